"""The values of parameters, from the command line and from files of YAML or JSON.

The rules are papermill's, and so is the order in which one source wins over another.

Source: papermill, ``papermill/cli.py``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from jrc.errors import UsageError
from jrc.options import Option
from jrc.shapes import parse

Value = None | bool | int | float | str | Sequence["Value"] | Mapping[str, "Value"]
"""What a parameter may be: what JSON can hold, and ``nan`` and ``inf``."""

WORDS: Mapping[str, Value] = {
    "None": None,
    "null": None,
    "True": True,
    "true": True,
    "False": False,
    "false": False,
}
"""Words that stand for a value, and are not text. papermill knows only Python's; a flag that is
``"false"`` would be on."""

DEEPEST_PARAMETER = 100
"""How deep the values of a file may be nested."""

MOST_ITEMS = 1_000_000
"""How many values a file may hold. YAML's aliases can make billions of them in a few lines."""


def _split(folded: str) -> tuple[str, str]:
    """``NAME=VALUE``, as the command line folds ``NAME VALUE``."""
    name, _, value = folded.partition("=")
    return name, value


class Given(NamedTuple):
    """The options that set parameters, each as often as it was given.

    Attributes:
        values: name and value of each ``-p``.
        files: of ``-f``: YAML, or JSON where the name ends in ``.json``.
        raw: name and text of each ``-r``.
        yaml: text of each ``-y``.
        base64: YAML of each ``-b``, encoded.
    """

    values: Annotated[
        Sequence[tuple[str, str]],
        Option("-p --parameter", "Set a parameter. Repeatable.", "NAME VALUE", parse=_split),
    ] = ()
    files: Annotated[
        Sequence[Path], Option("-f --parameter-file", "Parameters as YAML or JSON.", "PATH")
    ] = ()
    raw: Annotated[
        Sequence[tuple[str, str]],
        Option("-r --raw", "Set a parameter to text.", "NAME TEXT", parse=_split, hidden=True),
    ] = ()
    yaml: Annotated[Sequence[str], Option("-y --yaml", "Parameters.", "YAML", hidden=True)] = ()
    base64: Annotated[
        Sequence[str], Option("-b --base64", "Encoded YAML.", "TEXT", hidden=True)
    ] = ()


def parse_value(text: str) -> Value:
    """The value of an argument on the command line: None, a bool, a number or the text itself."""
    if text in WORDS:
        return WORDS[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def read_parameters(given: Given) -> dict[str, Value]:
    """All parameters of a run. Later ones win: base64, files, YAML, then ``-p`` and ``-r``.

    Raises:
        NotFoundError: there is no such file.
        UsageError: a file or text holds no parameters.
    """
    from jrc.notebook.reading import read_bytes

    parameters: dict[str, Value] = {}
    for text in given.base64:
        parameters.update(_mapping(_decoded(text), "The text of -b", json_text=False))
    for file in given.files:
        is_json = file.suffix.lower() == ".json"
        parameters.update(_mapping(read_bytes(file), str(file), json_text=is_json))
    for text in given.yaml:
        parameters.update(_mapping(text.encode(), "The text of -y", json_text=False))
    parameters.update((name, parse_value(text)) for name, text in given.values)
    parameters.update(given.raw)
    return parameters


def _decoded(text: str) -> bytes:
    import base64

    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise UsageError(f"The text of -b is no base64: {error}.") from error


def _mapping(data: bytes, name: str, *, json_text: bool) -> dict[str, Value]:
    try:
        text = str(data, "utf-8-sig")
        content = parse(text) if json_text else _parse_yaml(text)
        _check_size(content)
    except RecursionError as error:
        raise UsageError(f"{name} can't be read: it is nested too deeply.") from error
    except ValueError as error:
        raise UsageError(f"{name} can't be read: {error}.") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise UsageError(
            f"{name} holds no parameters: it must map names to values.",
            hint="One parameter a line, for example: epochs: 3",
        )
    return content


def _check_size(content: object) -> None:
    """Refuse what never ends: an alias of YAML may name what it is part of.

    Raises:
        ValueError: it is too large, or contains itself.
    """
    items = 0

    def visit(value: object, outer: frozenset[int]) -> None:
        nonlocal items
        items += 1
        if items > MOST_ITEMS:
            raise ValueError(f"it holds more than {MOST_ITEMS:,} values")
        if not isinstance(value, dict | list):
            return
        if id(value) in outer:
            raise ValueError("a value in it contains itself")
        if len(outer) > DEEPEST_PARAMETER:
            raise ValueError(f"its values are nested more than {DEEPEST_PARAMETER} levels deep")
        inner = outer | {id(value)}
        for item in value.values() if isinstance(value, dict) else value:
            visit(item, inner)

    visit(content, frozenset())


def _parse_yaml(text: str) -> object:
    """The content of a YAML file, with dates as the text that they are in the file.

    Raises:
        ValueError: it is not YAML.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class declares it
            first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        content: object = yaml.load(text, Loader)  # noqa: S506  a SafeLoader # nosec B506
    except yaml.MarkedYAMLError as error:
        # The text of the error quotes the lines, with an arrow below them.
        reason = ": ".join(part for part in (error.context, error.problem) if part)
        if (mark := error.problem_mark) is not None:
            reason += f" (line {mark.line + 1}, column {mark.column + 1})"
        raise ValueError(reason) from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    return content
