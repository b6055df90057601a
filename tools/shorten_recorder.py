"""Write the text that runs in a kernel: the modules of ``recorder.in_kernel``, made short.

    python tools/shorten_recorder.py

The text is committed beside the modules, so that no process of jrc has to make it, and a person can
read what is sent. A test compares it with the modules. The request that carries it must fit into
the first segments of a connection, so everything that the kernel does not need is left out.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

RECORDER = Path(__file__).parents[1] / "src" / "jrc" / "recorder"
TARGET = RECORDER / "in_kernel.txt"

MODULES = (
    "records",
    "storage",
    "archive",
    "frames",
    "flushes",
    "turns",
    "manners",
    "recorder",
    "control",
)
"""In this order they are one module: each uses only what stands before it."""

Function = TypeVar("Function", ast.FunctionDef, ast.AsyncFunctionDef)

_BLANK = re.compile(r"\n{2,}")
_INDENT = re.compile(r"^(?:    )+", re.MULTILINE)


class _Shorten(ast.NodeTransformer):
    """Takes out docstrings, types, and imports of jrc.

    Types stay in the body of a class, where a named tuple is made of them.
    """

    def visit_Module(self, node: ast.Module) -> ast.Module:
        node.body = self._shortened(node.body)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        others = [each for each in node.body if not isinstance(each, ast.AnnAssign)]
        node.body = [*fields, *self._shortened(others)] or [ast.Pass()]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        return self._function(node)

    def _function(self, node: Function) -> Function:
        node.returns = None
        arguments: ast.arguments = node.args
        for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            each.annotation = None
        for extra in (arguments.vararg, arguments.kwarg):
            if extra is not None:
                extra.annotation = None
        node.body = self._shortened(node.body) or [ast.Pass()]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | None:
        if node.value is None:
            return None
        return ast.Assign([node.target], node.value, lineno=node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        ours = node.module is not None and node.module.partition(".")[0] in ("jrc", "__future__")
        return None if ours else node

    def _shortened(self, body: list[ast.stmt]) -> list[ast.stmt]:
        kept = [each for each in body if not _is_text(each)]
        return [new for each in kept if (new := self.visit(each)) is not None]


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def shortened() -> ast.Module:
    """All modules as one, without what a kernel does not need."""
    body: list[ast.stmt] = []
    for name in MODULES:
        text = (RECORDER / "in_kernel" / f"{name}.py").read_text("utf-8")
        body += _Shorten().visit(ast.parse(text)).body
    imports = [each for each in body if isinstance(each, ast.Import | ast.ImportFrom)]
    rest = [each for each in body if each not in imports]
    used = {each.id for node in rest for each in ast.walk(node) if isinstance(each, ast.Name)}
    future = ast.ImportFrom("__future__", [ast.alias("annotations")], 0)
    module = ast.Module([future, *_joined(imports, used), *rest], [])
    return ast.fix_missing_locations(module)


def _joined(imports: list[ast.Import | ast.ImportFrom], used: set[str]) -> Iterator[ast.stmt]:
    """Each module and name that is used, once."""
    names: dict[str, dict[str, ast.alias]] = {}
    for node in imports:
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        for each in node.names:
            if (each.asname or each.name.partition(".")[0]) in used:
                names.setdefault(module, {})[ast.unparse(each)] = each
    for module, aliases in names.items():
        found = list(aliases.values())
        yield ast.ImportFrom(module, found, 0) if module else ast.Import(found)


def text() -> str:
    """The text of it, with tabs."""
    text = _BLANK.sub("\n", ast.unparse(shortened()))
    return _INDENT.sub(lambda found: "\t" * (len(found[0]) // 4), text) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), "utf-8", newline="\n")
    sys.stdout.write(f"{TARGET}: {len(TARGET.read_bytes()):,} bytes\n")
