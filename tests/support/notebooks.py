"""Notebooks for tests: written, read, made comparable."""

from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from jrc.notebook.spool import apply_carriage_returns


def neighbours_merged(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Outputs with neighbouring pieces of one stream put together, as a terminal shows them."""
    merged: list[dict[str, Any]] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output["output_type"] == "stream" and output["name"] == last.get("name"):
            last["text"] += output["text"]
        else:
            merged.append(dict(output))
    for output in merged:
        if output["output_type"] == "stream":
            output["text"] = apply_carriage_returns(output["text"])
    return merged


def write(path: Path, *sources: str) -> Path:
    """Write a notebook of these code cells; returns its path."""
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)
    return path


def texts(path: Path) -> list[str]:
    """The text that each cell of a saved notebook printed."""
    cells = nbformat.read(path, as_version=4).cells
    return ["".join(o.get("text", "") for o in cell.get("outputs", [])) for cell in cells]
