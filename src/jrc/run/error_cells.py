"""Two cells that point to the error in a failed result, as papermill writes them. Pure.

Source: papermill, ``papermill/execute.py``; tools look for its tag and its anchor.
"""

from jrc.run.notebook import ERROR_MARKER_TAG, new_id
from jrc.run.notebook_shape import Json

_STYLE = (
    'style="color:red; font-family:Helvetica Neue, Helvetica, Arial, sans-serif; font-size:2em;"'
)
_LINK = (
    f"<span {_STYLE}>An Exception was encountered at "
    "'<a href=\"#papermill-error-cell\">In [%s]</a>'.</span>"
)
_ANCHOR = (
    f'<span id="papermill-error-cell" {_STYLE}>'
    "Execution using papermill encountered an exception here and stopped:</span>"
)


def with_error_cells(notebook: Json, index: int) -> Json:
    """A notebook with a link at its top, and what it leads to above the cell that failed.

    Args:
        notebook: it is not changed.
        index: of the cell.
    """
    cells = notebook["cells"]
    ids = {cell["id"] for cell in cells}
    link = _cell(_LINK % cells[index]["execution_count"], ids)
    anchor = _cell(_ANCHOR.replace("papermill encountered", "jrc encountered"), ids | {link["id"]})
    return {**notebook, "cells": [link, *cells[:index], anchor, *cells[index:]]}


def _cell(source: str, ids: set[str]) -> Json:
    return {
        "cell_type": "markdown",
        "id": new_id(source, ids),
        "metadata": {"tags": [ERROR_MARKER_TAG]},
        "source": source,
    }
