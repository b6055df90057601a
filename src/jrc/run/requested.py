"""A document's cells as requests, and what is told of them."""

from typing import Any

from jrc.run.account import CellRequest
from jrc.run.document import Cell, Document
from jrc.run.requests import owner
from jrc.run.script import EXIT_EXPRESSIONS


def cell_request(document: Document, cell: Cell, *, allow_errors: bool) -> CellRequest:
    """A cell as the kernel gets it."""
    script = document.kind == "script"
    return CellRequest(
        index=cell.index,
        source=cell.source,
        code=document.code(cell),
        allows_error=allow_errors or "raises-exception" in cell.tags,
        user_expressions=dict(EXIT_EXPRESSIONS) if script else {},
        # What runs a script is jrc's own code: the person's history is not the place for it.
        store_history=not script,
    )


def request_fields(document: Document, cells: int) -> dict[str, Any]:
    """What the recorder shall say of a document's requests to whoever lists the runs."""
    return {"owner": owner(), "document": document.path.name, "cells": cells}
