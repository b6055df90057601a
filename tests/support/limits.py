"""How large the classes and functions of a module are: for the limits that the house has."""

import ast
from collections.abc import Iterator
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Size(NamedTuple):
    """One class or function.

    Attributes:
        name: ``Class``, ``function`` or ``Class.method``.
        attributes: of a class: those that it declares, and those that its ``__init__`` sets.
        lines: of a function, from ``def`` to its end. A command is counted without its signature,
            which is the list of its options.
        parameters: of a function, without ``self``. Those of a command are not counted.
    """

    name: str
    attributes: int = 0
    lines: int = 0
    parameters: int = 0


def sizes(tree: ast.Module) -> Iterator[Size]:
    """The size of each class and function of a module, nested ones too."""
    return _sizes(tree, "")


def _sizes(node: ast.AST, within: str) -> Iterator[Size]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield Size(f"{within}{child.name}", attributes=len(_attributes(child)))
        elif isinstance(child, Function):
            yield _size_of(child, f"{within}{child.name}")
        named = isinstance(child, ast.ClassDef | Function)
        yield from _sizes(child, f"{within}{child.name}." if named else within)


def _attributes(node: ast.ClassDef) -> set[str]:
    found = set()
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            found.add(part.target.id)
        if isinstance(part, Function) and part.name == "__init__":
            found |= {
                each.attr
                for each in ast.walk(part)
                if isinstance(each, ast.Attribute)
                and isinstance(each.ctx, ast.Store)
                and isinstance(each.value, ast.Name)
                and each.value.id == "self"
            }
    return found


def _size_of(node: Function, name: str) -> Size:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    last = node.end_lineno or node.lineno
    if any("Annotated" in ast.unparse(each.annotation) for each in arguments if each.annotation):
        return Size(name, lines=last - node.body[0].lineno + 1)
    own = [each for each in arguments if each.arg not in ("self", "cls")]
    return Size(name, lines=last - node.lineno + 1, parameters=len(own))
