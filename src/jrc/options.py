"""Options that people type: each is described once, in the annotation of the field that holds it.

A room declares its options as a named tuple. A field that can be typed carries an :class:`Option`,
from which ``jrc.cli.options`` makes the option of a command::

    class CellOptions(NamedTuple):
        allow_loss: Annotated[bool, Option("--allow-loss", "Exit with 0 even if …")] = False
"""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Annotated, Any, NamedTuple, get_args, get_origin

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_PART = rf"({_NUMBER})([smhd])"
_WHOLE = rf"{_NUMBER}|(?:{_PART})+"


class Option(NamedTuple):
    """How an option is typed.

    Attributes:
        names: what to type, the short form first: ``-o --output``, ``--recorder/--no-recorder``.
        help: one line.
        value: what the help calls the value; empty for a flag, or where the type says it.
        parse: makes the value from a word; raises ``ValueError`` with a sentence. A field that is
            a sequence gets one value each time that the option is given.
        least, most: limits of a number.
        hidden: not in the help.
    """

    names: str
    help: str
    value: str = ""
    parse: Callable[[str], object] | None = None
    least: float | None = None
    most: float | None = None
    hidden: bool = False


def option_of(hint: object) -> tuple[Any, Option | None]:
    """The type in an annotation, and the option that it describes, if it does."""
    if get_origin(hint) is Annotated:
        kind, *remarks = get_args(hint)
        return kind, next((each for each in remarks if isinstance(each, Option)), None)
    return hint, None


def words_of(options: NamedTuple, only: Collection[str] = ()) -> list[str]:
    """The words of a command line that give these options again.

    Args:
        options: a group. Options that have their default value take no words.
        only: the fields to look at; empty for all.
    """
    return list(_words(options, only))


def _words(options: NamedTuple, only: Collection[str]) -> Iterator[str]:
    for name, value in options._asdict().items():
        _, option = option_of(type(options).__annotations__[name])
        default = options._field_defaults.get(name)
        if option is None or value == default or (only and name not in only):
            continue
        typed = option.names.split()[0]
        if isinstance(value, bool):
            yes, _, no = typed.partition("/")
            yield yes if value else no
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            yield typed
            yield from map(str, each) if isinstance(each, tuple) else [str(each)]


def seconds(text: str) -> float:
    """A duration as people type it, in seconds: ``90``, ``90s``, ``10m``, ``2h``, ``1h30m``.

    Raises:
        ValueError: it is none.
    """
    given = text.strip().lower()
    if re.fullmatch(_WHOLE, given) is None:
        raise ValueError(f"'{text}' is no duration. Type it as 90, 90s, 10m or 2h.")
    parts = re.findall(_PART, given) or [(given, "")]
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def limit(text: str) -> float | None:
    """A duration that limits something; None for ``0``, which is no limit.

    Raises:
        ValueError: it is none.
    """
    return seconds(text) or None
