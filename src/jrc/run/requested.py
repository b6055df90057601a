"""A document's cells as requests, and what is told of them."""

import re
from typing import Any

from jrc.notebook.document import Cell, Document
from jrc.notebook.script import EXIT_EXPRESSIONS
from jrc.profile.owner import owner
from jrc.run.progress import CellRequest

_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)


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
    """What the recorder shall say of a document's requests to whoever lists the runs.

    Args:
        document: what is executed.
        cells: how many of its cells.
        name: that the person gave the run; empty for none.
    """
    named = {"name": name} if name else {}
    return {"owner": owner(), "document": document.path.name, "cells": cells, **named}
