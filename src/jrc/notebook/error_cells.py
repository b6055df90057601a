"""Two cells that point to the error in a failed result, where papermill puts them. Pure.

The tag and the anchor are those of papermill, for tools that look for them.

Source: papermill, ``papermill/execute.py``.
"""

from jrc.notebook.reading import ERROR_MARKER_TAG, new_id
from jrc.notebook.schema import Json

_STYLE = 'style="color: red; font-size: 1.5em"'
_LINK = f'<span {_STYLE}>This run failed at <a href="#papermill-error-cell">In [%s]</a>.</span>'
_ANCHOR = f'<span id="papermill-error-cell" {_STYLE}>The run stopped at this cell:</span>'


def with_error_cells(notebook: Json, index: int) -> Json:
    """A notebook with a link at its top, and what it leads to above the cell that failed.

    Args:
        notebook: it is not changed.
        index: of the cell.
    """
    cells = notebook["cells"]
    ids = {cell["id"] for cell in cells}
    link = _cell(_LINK % cells[index]["execution_count"], ids)
    anchor = _cell(_ANCHOR, ids | {link["id"]})
    return {**notebook, "cells": [link, *cells[:index], anchor, *cells[index:]]}


def _cell(source: str, ids: set[str]) -> Json:
    return {
        "cell_type": "markdown",
        "id": new_id(source, ids),
        "metadata": {"tags": [ERROR_MARKER_TAG]},
        "source": source,
    }
