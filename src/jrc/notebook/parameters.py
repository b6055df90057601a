"""Parameters of a notebook: found in a cell, written as code, put into a cell of their own.

The semantics are papermill's, so that a notebook written for one works with the other. What was
used is kept in the notebook under ``metadata.jrc.parameters``; papermill's own metadata, which
describes a run of papermill, is left as it is. Nothing is executed to find parameters.

Source: papermill's documentation, "Parameterize" and "Command line"; its ``translators.py``, which
is right in most of it, and ``inspection.py``.
"""

import ast
import io
import keyword
import math
import re
import shlex
import tokenize
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from jrc.errors import UsageError
from jrc.notebook.document import INJECTED_TAG, Document, cell_tags
from jrc.notebook.language import PYTHON, normal
from jrc.notebook.parameter_values import Value
from jrc.notebook.reading import new_id
from jrc.notebook.schema import Json
from jrc.shell import quote

PARAMETERS_TAG = "parameters"

INJECTED = ("PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH")
"""Parameters that papermill makes where it is asked for them."""


class Place(Enum):
    """Where the cell with the values went."""

    REPLACED = "instead of the one of an earlier run"
    BEHIND_DEFAULTS = "behind the cell tagged 'parameters'"
    TOP = "at the top: no cell is tagged 'parameters'"


def parameterize(
    document: Document, parameters: Mapping[str, Value], *, language: str | None = None
) -> Place | None:
    """Put a cell that assigns the parameters into a document, as papermill does.

    Args:
        document: its notebook is changed, and its cells are found anew.
        parameters: by name; nothing is done when there are none.
        language: of the kernel; None for the one that the document names, else Python.

    Returns:
        where the cell is. What the person should know is in the document's notices.

    Raises:
        UsageError: the document takes no parameters, or its language can't express one.
    """
    if document.kind == "script":
        raise UsageError(
            f"{document.path} is a plain script: parameters go into notebooks.",
            hint=f"Give it arguments instead: jrc run {quote(str(document.path))} ARGS…",
        )
    if not parameters:
        return None
    language = normal(language or document.language) or PYTHON
    source = assignments(parameters, language)
    defaults = _first_with(PARAMETERS_TAG, document)
    unknown = [] if defaults is None else _unknown(document, defaults, parameters, language)
    place = _put_cell(document, source)
    if place is Place.TOP:
        unknown = [
            f"No cell of {document.path.name} is tagged '{PARAMETERS_TAG}': the parameters are set "
            "in a new first cell."
        ]
    document.notices += [("parameters", text) for text in unknown]
    metadata = document.notebook["metadata"]
    if not isinstance(metadata.get("jrc"), dict):
        metadata["jrc"] = {}
    metadata["jrc"]["parameters"] = _json_value(parameters)
    document.find_cells()
    return place


def _unknown(
    document: Document, defaults: int, parameters: Mapping[str, Value], language: str
) -> list[str]:
    """What to say of parameters that the tagged cell does not set: names may be misspelled."""
    known = names_of(document.notebook["cells"][defaults]["source"], language)
    strangers = [f"'{name}'" for name in parameters if name not in known and name not in INJECTED]
    if not strangers or (not known and language != PYTHON):
        return []
    has = f"It sets {', '.join(sorted(known))}." if known else "It sets nothing."
    return [
        f"The cell tagged '{PARAMETERS_TAG}' of {document.path.name} does not set "
        f"{', '.join(strangers)}. {has}"
    ]


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


_TYPE_COMMENT = re.compile(r"type:\s*(\S+)\s*(.*)")
_ASSIGNMENT = re.compile(
    r"^\s*(?:(?:export|declare|readonly|local|const|let|val|var)\s+)?"
    r"([A-Za-z_.][\w.]*)\s*(?::\s*([^=#]+?)\s*)?(?:<-|=(?!=))\s*(.*?)\s*(?:#\s*(.*))?$",
    re.MULTILINE,
)


class Parameter(NamedTuple):
    """One parameter, as far as the code tells.

    Attributes:
        name: of the variable.
        type: its annotation or type comment; empty when there is none.
        default: the code of its value.
        help: the comment behind it.
    """

    name: str
    type: str
    default: str
    help: str


def parameters_of(source: str, language: str) -> list[Parameter]:
    """The parameters that a cell sets, in its order.

    Args:
        source: of the cell.
        language: of the kernel, in lower case.
    """
    tree = _parsed(source) if language == "python" else None
    if tree is None:
        found = [
            Parameter(match[1], match[2] or "", match[3], match[4] or "")
            for match in _ASSIGNMENT.finditer(source)
        ]
    else:
        comments = _comments(source)
        found = [
            parameter
            for statement in tree.body
            for parameter in _set_by(statement, source, comments)
        ]
    # The last value of a name is its default.
    return list({parameter.name: parameter for parameter in found}.values())


def names_of(source: str, language: str) -> set[str]:
    """All variables that a cell may set, also those inside of an ``if`` or ``with``."""
    names = {parameter.name for parameter in parameters_of(source, language)}
    tree = _parsed(source) if language == "python" else None
    if tree is not None:
        names |= {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
    return names


def _parsed(source: str) -> ast.Module | None:
    """The syntax tree; None for code that is more than Python, as with magics."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    # MemoryError and RecursionError: of code that is nested very deeply.
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _comments(source: str) -> dict[int, str]:
    """The comments by their lines."""
    try:
        return {
            token.start[0]: token.string.lstrip("#").strip()
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT
        }
    except (tokenize.TokenError, SyntaxError):
        return {}


def _set_by(statement: ast.stmt, source: str, comments: dict[int, str]) -> list[Parameter]:
    annotation = ""
    match statement:
        case ast.Assign(targets=targets, value=value):
            names = [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=ast.expr() as value):
            names = [name]
            annotation = _code(kind, source).strip("'\"")
        case _:
            return []
    comment = comments.get(statement.end_lineno or 0, "")
    typed = _TYPE_COMMENT.match(comment)
    if typed is not None:
        annotation, comment = annotation or typed[1], typed[2]
    return [Parameter(name, annotation, _code(value, source), comment) for name in names]


def _code(node: ast.expr, source: str) -> str:
    """The text of an expression on one line, without the comments between its lines."""
    segment = ast.get_source_segment(source, node) or ""
    return segment if "\n" not in segment else ast.unparse(node)


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
            hint=f"It writes {', '.join(LANGUAGES)}; -l NAME chooses one of them.",
        )
    lines = ["# Parameters"]
    for name, value in parameters.items():
        variable = writer.variable(name)
        if variable is None:
            raise UsageError(
                f"{name!r} can't be the name of a parameter: {language} has no such names."
            )
        lines.append(f"{variable}{writer.equals}{writer.literal(value)}")
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
        mapping: around the items of a mapping, and between key and value; None where it has none.
        separator: between two items.
        equals: between a name and its value.
        nests: whether a list may be in another one.
    """

    variable: Callable[[str], str | None]
    words: tuple[str, str, str]
    numbers: tuple[str, str, str]
    text: Callable[[str], str]
    brackets: tuple[str, str]
    mapping: tuple[str, str, str] | None
    separator: str = ", "
    equals: str = " = "
    nests: bool = True

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
            case list() if self.nests or not any(isinstance(v, list) for v in value):
                return self.separator.join(map(self.literal, value)).join(self.brackets)
            case dict() if self.mapping is not None:
                begin, between, end = self.mapping
                items = [f"{self.text(str(k))}{between}{self.literal(v)}" for k, v in value.items()]
                return f"{begin}{self.separator.join(items)}{end}"
            case list() | dict():
                raise UsageError(f"The language of the kernel has no such values: {value!r:.80}.")
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


def _bash_variable(name: str) -> str | None:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else None


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
        _refuse_odd_text(text)
        return f'"{"".join(map(character, text))}"'

    def character(c: str) -> str:
        if c in special:
            return "\\" + c
        return c if c.isprintable() else {"\n": "\\n"}.get(c, f"\\U{ord(c):08x}")

    return literal


def _bash_text(text: str) -> str:
    _refuse_odd_text(text)
    return shlex.quote(text)


def _refuse_odd_text(text: str) -> None:
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise UsageError(f"The language of the kernel has no such text: {text!r}.")


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
    "bash": Language(
        _bash_variable,
        ("", "true", "false"),
        ("nan", "inf", "-inf"),
        _bash_text,
        ("(", ")"),
        None,
        separator=" ",
        equals="=",
        nests=False,
    ),
}
"""The languages whose parameters jrc writes, by their name in lower case."""
