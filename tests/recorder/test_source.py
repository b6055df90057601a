"""What is sent to the kernel is what stands in ``in_kernel``, made short."""

import ast
from pathlib import Path

import pytest

from jrc.recorder import in_kernel, install

FOLDER = Path(in_kernel.__file__).parent
MODULES = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")


class Shortened(ast.NodeTransformer):
    """What may be left out: docstrings, ``pass``, types of results, and where anything goes."""

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.visit_FunctionDef(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        for each in (*node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg):
            if each is not None and is_any(each.annotation):
                each.annotation = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None and is_any(node.annotation):
            return ast.Assign([node.target], node.value, None)
        return self.generic_visit(node)


def essence(text: str) -> str:
    """The tree of a module, without what may be left out."""
    tree = Shortened().visit(ast.parse(text))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not is_talk(each)]
    return ast.dump(tree)


def is_any(annotation: ast.expr | None) -> bool:
    return isinstance(annotation, ast.Name) and annotation.id == "Any"


def is_talk(node: ast.stmt) -> bool:
    ours = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
        ("jrc.", "__future__")
    )
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return ours or docstring or isinstance(node, ast.Pass)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_means_the_same_when_it_is_shortened(path: Path) -> None:
    text = path.read_text("utf-8")
    assert essence(install._shortened(text)) == essence(text)


def test_every_module_is_sent() -> None:
    assert {f"{name}.py" for name in install._MODULES} == {path.name for path in MODULES}


def test_the_oldest_python_understands_it() -> None:
    ast.parse(install.source(), feature_version=(3, 8))
