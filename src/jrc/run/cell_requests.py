"""A document's cells as requests to a kernel, and what the recorder says of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jrc.notebook.document import Cell, Document
from jrc.notebook.script import EXIT_EXPRESSIONS, exit_code_of_cell
from jrc.profile.owner import owner

_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)


@dataclass(frozen=True)
class CellRequest:
    """One cell as the kernel gets it.

    Attributes:
        index: of the cell in the notebook.
        number: how a person calls it; see ``document.Cell``.
        source: what the person wrote.
        code: what the kernel executes; for a plain script more than ``source``.
        allows_error: an error is expected, and the next cell runs.
        user_expressions: expressions that the kernel evaluates after the code.
        store_history: keep the code in the kernel's history, and count it as ``In[n]``.
        title: what the cell is called.
        has_exit_code: ``sys.exit(n)`` in it is the end of the run, whatever n is; else only for 0.
    """

    index: int
    number: int
    source: str
    code: str
    allows_error: bool = False
    user_expressions: dict[str, str] = field(default_factory=dict)
    store_history: bool = True
    title: str = ""
    has_exit_code: bool = False

    def exits(self, reply: Mapping[str, Any] | None) -> bool:
        """Whether its reply says that it ended the run, and did not fail."""
        code = None if reply is None or self.allows_error else exit_code_of_cell(reply)
        return code is not None and (code == 0 or self.has_exit_code)


def cell_request(document: Document, cell: Cell, *, allow_errors: bool) -> CellRequest:
    """A cell as the kernel gets it."""
    script = document.kind == "script"
    return CellRequest(
        index=cell.index,
        number=cell.number,
        source=cell.source,
        code=document.code(cell),
        allows_error=allow_errors or "raises-exception" in cell.tags,
        user_expressions=dict(EXIT_EXPRESSIONS) if script else {},
        # What runs a script is jrc's own code: the person's history is not the place for it.
        store_history=not script,
        title=document.path.name if script else title_of(document, cell),
        has_exit_code=document.kind == "percent",
    )


def title_of(document: Document, cell: Cell) -> str:
    """What a cell is called: the first heading of the text above it, else its first code line."""
    for node in _text_above(document, cell):
        found = _HEADING.search(_joined(node.get("source")))
        if found:
            return found[1].strip()
    lines = [line.strip() for line in cell.source.splitlines()]
    return next((line for line in lines if line and not line.startswith("#")), "")


def _text_above(document: Document, cell: Cell) -> list[dict[str, Any]]:
    """The Markdown cells between the code cell before and this one."""
    cells = document.notebook["cells"]
    first = cell.index
    while first and cells[first - 1].get("cell_type") == "markdown":
        first -= 1
    return list(cells[first : cell.index])


def _joined(source: object) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source or "")


def request_fields(document: Document, cells: int, name: str = "") -> dict[str, Any]:
    """What the recorder says of a document's requests when somebody lists the runs.

    Args:
        document: what is executed.
        cells: how many of its cells.
        name: that the person gave the run; empty for none.
    """
    named = {"name": name} if name else {}
    return {"owner": owner(), "document": document.path.name, "cells": cells, **named}
