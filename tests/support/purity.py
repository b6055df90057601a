"""Whether a module is pure, as its docstring may say: it only makes values of its arguments.

No input or output, no clock, no chance, no look at the environment, no task or thread. What cannot
be seen here is whether a function that it calls is so.
"""

import ast
import re
from collections.abc import Iterator

IMPURE = {
    "asyncio",
    "builtins.input",
    "builtins.open",
    "builtins.print",
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "filelock",
    "getpass",
    "glob",
    "io",
    "keyring",
    "locale",
    "multiprocessing",
    "os",
    "pathlib",
    "platform",
    "random",
    "secrets",
    "select",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "uuid",
    "websockets",
    "zmq",
}
"""Modules and names that only a module which acts may use."""

HARMLESS = {
    "io.StringIO",
    "pathlib.PurePath",
    "pathlib.PurePosixPath",
    "socket.EAI_AGAIN",
    "socket.gaierror",
    "sys.maxsize",
}
"""Values and classes of such modules that do nothing."""


def claims_purity(tree: ast.Module) -> bool:
    """Whether the module's docstring says that it is pure."""
    text = ast.get_docstring(tree) or ""
    return re.search(r"(^|\n|[.:,] )pure\b(?! but)", text, re.IGNORECASE) is not None


def impurities(tree: ast.Module) -> set[str]:
    """What a module uses that is not pure. Imports for type checkers do not count."""
    names: dict[str, str] = {"open": "builtins.open", "print": "builtins.print"}
    names["input"] = "builtins.input"
    used = set()
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            names |= {(each.asname or each.name): each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {
                (each.asname or each.name): f"{node.module}.{each.name}" for each in node.names
            }
            used |= {f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in names:
                used.add(f"{names[node.value.id]}.{node.attr}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            used.add(names.get(node.func.id, ""))
    return {each for each in used - HARMLESS if _is_impure(each)}


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from _executed(child)


def _is_impure(name: str) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:count]) in IMPURE for count in range(1, len(parts) + 1))
