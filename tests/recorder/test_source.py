"""What is sent to the kernel is what stands in ``in_kernel``, without its talk."""

import ast
from pathlib import Path

import pytest

from jrc.recorder import in_kernel, install

FOLDER = Path(in_kernel.__file__).parent
MODULES = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")


def without_docstrings(tree: ast.Module) -> str:
    """The tree with every docstring, and every ``pass``, taken out of the bodies."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [each for each in node.body if not is_talk(each)]
    return ast.dump(tree)


def is_talk(node: ast.stmt) -> bool:
    ours = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
        ("jrc.", "__future__")
    )
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return ours or docstring or isinstance(node, ast.Pass)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_means_the_same_without_its_talk(path: Path) -> None:
    text = path.read_text("utf-8")
    stripped = install._without_talk(text)
    assert without_docstrings(ast.parse(stripped)) == without_docstrings(ast.parse(text))


def test_every_module_is_sent() -> None:
    assert {f"{name}.py" for name in install._MODULES} == {path.name for path in MODULES}


def test_the_oldest_python_understands_it() -> None:
    ast.parse(install.source(), feature_version=(3, 8))
