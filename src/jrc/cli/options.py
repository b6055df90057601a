"""Options of commands, made from what :mod:`jrc.options` describes; words of two parts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, TypeVar, get_args, get_origin

import typer

from jrc.errors import UsageError
from jrc.options import Option, option_of
from jrc.options import seconds as _seconds

R = TypeVar("R")

Completion = Callable[[str], Sequence[str] | Sequence[tuple[str, str]]]
"""The words that a shell offers for the beginning of one."""


def with_options(
    completions: Mapping[str, Completion] | None = None,
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Make a function a command that typer understands.

    A parameter of the function is an option (``Annotated[…, Option(…)]``), anything that typer
    knows, or a group: a named tuple whose fields are such, or groups again. Fields without an
    annotation of either kind are not options.

    Args:
        completions: what the shell offers, by the names of parameters and fields.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        own = [
            (name, each.annotation, each.default)
            for name, each in signature(function).parameters.items()
        ]
        options = [option for each in own for option in _flat(*each, completions=completions or {})]

        @wraps(function)
        def command(**given: Any) -> R:
            return function(**{name: _value(name, hint, given) for name, hint, _ in own})

        command.__signature__ = Signature(options)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in options}
        return command

    return decorate


def _flat(
    name: str,
    hint: Any,
    default: Any,
    *,
    completions: Mapping[str, Completion],
    within: bool = False,
) -> Iterator[Parameter]:
    """The parameters that typer gets for one of ours."""
    if _is_group(hint):
        for field, of in hint.__annotations__.items():
            usual = hint._field_defaults.get(field, Parameter.empty)
            yield from _flat(field, of, usual, completions=completions, within=True)
        return
    kind, option = option_of(hint)
    if option is not None:
        if _is_sequence(kind):
            # Typer gives a list, or None where the option was not given.
            kind, default = list[str if option.parse else get_args(kind)[0]], None  # type: ignore[misc]
        hint = Annotated[kind, _as_typer(option, completions.get(name))]
    elif within and get_origin(hint) is not Annotated:
        return
    yield Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _value(name: str, hint: Any, given: Mapping[str, Any]) -> Any:
    """The value of one of our parameters, from what typer gives."""
    if not _is_group(hint):
        return given[name]
    values = {
        field: _value(field, of, given)
        for field, of in hint.__annotations__.items()
        if field in given or _is_group(of)
    }
    return hint(**{field: value for field, value in values.items() if value is not None})


def _is_group(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")


def _is_sequence(kind: Any) -> bool:
    return get_origin(kind) is Sequence


def _as_typer(option: Option, completion: Completion | None) -> Any:
    return typer.Option(
        *option.names.split(),
        help=option.help,
        metavar=option.value or None,
        parser=None if option.parse is None else parser(option.parse),
        autocompletion=completion,
        min=option.least,
        max=option.most,
        hidden=option.hidden,
    )


def parser(parse: Callable[[str], R]) -> Callable[[Any], R]:
    """The same for typer, which wants an error of its own and parses defaults as well."""

    @wraps(parse)
    def parsed(word: Any) -> R:
        try:
            return parse(str(word))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return parsed


seconds = parser(_seconds)
"""A duration in seconds: the parser of an option that takes one."""


def pairs(words: Iterable[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` words as a dict.

    Args:
        words: what was given behind the option, each time that it was given.
        option: its name, for the error.

    Raises:
        UsageError: one has no name or no ``=``.
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise UsageError(f"{option} takes NAME=VALUE.", hint=f"{option} NAME=VALUE")
        found[name] = value
    return found
