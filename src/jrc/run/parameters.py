"""Parameters of a notebook: values from the command line and from files, put into a cell.

The semantics are papermill's, so that a notebook written for one works with the other. What was
used is kept in the notebook under ``metadata.jrc.parameters``; papermill's own metadata, which
describes a run of papermill, is left as it is.

Source: papermill's documentation, "Parameterize" and "Command line".
"""

import json
import keyword
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from jrc.errors import UsageError
from jrc.run.document import Document, cell_tags
from jrc.run.notebook import new_id, read_bytes
from jrc.run.notebook_shape import Json

Value = None | bool | int | float | str | Sequence["Value"] | Mapping[str, "Value"]
"""What a parameter may be: what JSON can hold, and ``nan`` and ``inf``."""

PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"


class Place(Enum):
    """Where the cell with the values went."""

    REPLACED = "instead of the one of an earlier run"
    BEHIND_DEFAULTS = "behind the cell tagged 'parameters'"
    TOP = "at the top: no cell is tagged 'parameters'"


def parse_value(text: str) -> Value:
    """The value that a word of the command line stands for: None, a bool, a number or itself."""
    words: dict[str, Value] = {"None": None, "True": True, "False": False}
    if text in words:
        return words[text]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def read_parameters(pairs: Sequence[tuple[str, str]], file: Path | None) -> dict[str, Value]:
    """All parameters of a run: those of the file, and over them those of the command line.

    Args:
        pairs: name and value of each ``-p``.
        file: of ``-f``: YAML, or JSON where its name ends in ``.json``.

    Raises:
        NotFoundError: there is no such file.
        UsageError: the file holds no parameters.
    """
    parameters = {} if file is None else _read_file(file)
    parameters.update((name, parse_value(text)) for name, text in pairs)
    return parameters


def parameterize(
    document: Document, parameters: Mapping[str, Value], *, language: str | None = None
) -> Place | None:
    """Put a cell that assigns the parameters into a document, as papermill does.

    Args:
        document: its notebook is changed, and its cells are found anew.
        parameters: by name; nothing is done when there are none.
        language: of the kernel; None for the one that the document names, else Python.

    Returns:
        where the cell is.

    Raises:
        UsageError: the document takes no parameters, or its language can't express one.
    """
    if document.kind == "script":
        raise UsageError(
            f"{document.path} is a plain script: parameters go into notebooks.",
            hint=f"Give it arguments instead: jrc run {document.path} ARGS…",
        )
    if not parameters:
        return None
    source = assignments(parameters, language or document.language or "python")
    place = _put_cell(document, source)
    document.notebook["metadata"].setdefault("jrc", {})["parameters"] = _json_value(parameters)
    document.find_cells()
    return place


def assignments(parameters: Mapping[str, Value], language: str) -> str:
    """Source code that assigns the parameters.

    Args:
        parameters: by name.
        language: as kernelspecs name it; case does not matter.

    Raises:
        UsageError: jrc does not write that language, or the language can't express a parameter.
    """
    writer = LANGUAGES.get(language.lower())
    if writer is None:
        raise UsageError(
            f"jrc can't write parameters in the language {language}.",
            hint=f"It writes {', '.join(LANGUAGES)}.",
        )
    lines = ["# Parameters"]
    for name, value in parameters.items():
        variable = writer.variable(name)
        if variable is None:
            raise UsageError(
                f"{name!r} can't be the name of a parameter: {language} has no such names."
            )
        lines.append(f"{variable} = {writer.literal(value)}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Language:
    """How a language writes values.

    Attributes:
        variable: the name under which a parameter is assigned; None when there can be none.
        words: its ``None``, ``True`` and ``False``.
        numbers: its ``nan``, ``inf`` and ``-inf``.
        text: a string literal.
        brackets: around the items of a list.
        mapping: around the items of a mapping, and between key and value.
    """

    variable: Callable[[str], str | None]
    words: tuple[str, str, str]
    numbers: tuple[str, str, str]
    text: Callable[[str], str]
    brackets: tuple[str, str]
    mapping: tuple[str, str, str]

    def literal(self, value: object) -> str:
        """The source code of a value.

        Raises:
            UsageError: it is of a kind that YAML knows but notebooks have no use for.
        """
        match value:
            case None:
                return self.words[0]
            case bool():
                return self.words[1] if value else self.words[2]
            case float() if math.isnan(value):
                return self.numbers[0]
            case float() if math.isinf(value):
                return self.numbers[1] if value > 0 else self.numbers[2]
            case int() | float():
                return repr(value)
            case str():
                return self.text(value)
            case list():
                return ", ".join(map(self.literal, value)).join(self.brackets)
            case dict():
                begin, between, end = self.mapping
                items = [f"{self.text(str(k))}{between}{self.literal(v)}" for k, v in value.items()]
                return f"{begin}{', '.join(items)}{end}"
        raise UsageError(f"A parameter can't be a {type(value).__name__}: {value!r}.")


def _python_variable(name: str) -> str | None:
    return name if name.isidentifier() and not keyword.iskeyword(name) else None


def _r_variable(name: str) -> str | None:
    # As with papermill: R has no names that begin with an underscore, so it is left out.
    name = name.lstrip("_")
    valid = re.fullmatch(r"(?:[^\W\d_]|\.(?!\d))[\w.]*", name)
    return name if valid and name not in _R_WORDS else None


def _julia_variable(name: str) -> str | None:
    return name if re.fullmatch(r"[^\W\d][\w!]*", name) and name not in _JULIA_WORDS else None


# fmt: off
_R_WORDS = frozenset({
    "if", "else", "repeat", "while", "function", "for", "next", "break", "in", "TRUE", "FALSE",
    "NULL", "Inf", "NaN", "NA",
})
_JULIA_WORDS = frozenset({
    "baremodule", "begin", "break", "catch", "const", "continue", "do", "else", "elseif", "end",
    "export", "false", "finally", "for", "function", "global", "if", "import", "let", "local",
    "macro", "module", "quote", "return", "struct", "true", "try", "using", "while",
})
# fmt: on


def _escaped(special: str) -> Callable[[str], str]:
    """Double-quoted literals with C escapes, of a language that reads UTF-8.

    Args:
        special: the characters that need a backslash.
    """

    def literal(text: str) -> str:
        if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            raise UsageError(f"The language of the kernel has no such text: {text!r}.")
        return f'"{"".join(map(character, text))}"'

    def character(c: str) -> str:
        if c in special:
            return "\\" + c
        return c if c.isprintable() else {"\n": "\\n"}.get(c, f"\\U{ord(c):08x}")

    return literal


LANGUAGES: Mapping[str, Language] = {
    "python": Language(
        _python_variable,
        ("None", "True", "False"),
        ("float('nan')", "float('inf')", "float('-inf')"),
        repr,
        ("[", "]"),
        ("{", ": ", "}"),
    ),
    "r": Language(
        _r_variable,
        ("NULL", "TRUE", "FALSE"),
        ("NaN", "Inf", "-Inf"),
        _escaped('\\"'),
        ("list(", ")"),
        ("list(", " = ", ")"),
    ),
    "julia": Language(
        _julia_variable,
        ("nothing", "true", "false"),
        ("NaN", "Inf", "-Inf"),
        _escaped('\\"$'),
        ("[", "]"),
        ("Dict(", " => ", ")"),
    ),
}
"""The languages whose parameters jrc writes, by their name in lower case."""


def _put_cell(document: Document, source: str) -> Place:
    cells = document.notebook["cells"]
    new: Json = {
        "cell_type": "code",
        "execution_count": None,
        "id": new_id(INJECTED_TAG, {cell["id"] for cell in cells}),
        "metadata": {"tags": [INJECTED_TAG]},
        "outputs": [],
        "source": source,
    }
    injected = _first_with(INJECTED_TAG, document)
    if injected is not None:
        new["id"] = cells[injected]["id"]
        cells[injected] = new
        return Place.REPLACED
    defaults = _first_with(PARAMETERS_TAG, document)
    cells.insert(0 if defaults is None else defaults + 1, new)
    return Place.TOP if defaults is None else Place.BEHIND_DEFAULTS


def _first_with(tag: str, document: Document) -> int | None:
    cells = document.notebook["cells"]
    return next((index for index, cell in enumerate(cells) if tag in cell_tags(cell)), None)


def _json_value(value: object) -> object:
    """A value for the notebook's metadata: JSON has no numbers that are not finite."""
    match value:
        case float() if not math.isfinite(value):
            return repr(value)
        case list():
            return [_json_value(item) for item in value]
        case dict():
            return {str(key): _json_value(item) for key, item in value.items()}
    return value


def _read_file(file: Path) -> dict[str, Value]:
    data = read_bytes(file)
    try:
        text = str(data, "utf-8-sig")
        content = json.loads(text) if file.suffix.lower() == ".json" else _parse_yaml(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} can't be read: {error}.") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise UsageError(
            f"{file} holds no parameters: it must map names to values.",
            hint="One parameter a line, for example: epochs: 3",
        )
    return content


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
        content: object = yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    return content
