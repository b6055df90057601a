"""What a cell tagged ``parameters`` sets: names, types, defaults and comments. Nothing is executed.

Source: papermill, ``PythonTranslator.inspect`` and ``papermill/inspection.py``.
"""

import ast
import io
import re
import tokenize
import warnings
from typing import NamedTuple

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
