"""Parameters of a notebook: values from the command line and from files, put into a cell.

The semantics are papermill's, so that a notebook written for one works with the other. What was
used is kept in the notebook under ``metadata.jrc.parameters``; papermill's own metadata, which
describes a run of papermill, is left as it is.

Source: papermill's documentation, "Parameterize" and "Command line".
"""

import math
import shlex
from collections.abc import Mapping
from enum import Enum

from jrc.errors import UsageError
from jrc.notebook.document import INJECTED_TAG, Document, cell_tags
from jrc.notebook.language import PYTHON, normal
from jrc.notebook.parameter_cell import names_of
from jrc.notebook.parameter_code import assignments
from jrc.notebook.parameter_values import Value
from jrc.notebook.reading import new_id
from jrc.notebook.schema import Json

PARAMETERS_TAG = "parameters"

INJECTED = ("PAPERMILL_INPUT_PATH", "PAPERMILL_OUTPUT_PATH")
"""Parameters that papermill makes where it is asked for them."""


class Place(Enum):
    """Where the cell with the values went."""

    REPLACED = "instead of the one of an earlier run"
    BEHIND_DEFAULTS = "behind the cell tagged 'parameters'"
    TOP = "at the top: no cell is tagged 'parameters'"


def parameterize(
    document: Document, parameters: Mapping[str, Value], *, language: str | None = None
) -> Place | None:
    """Put a cell that assigns the parameters into a document, as papermill does.

    Args:
        document: its notebook is changed, and its cells are found anew.
        parameters: by name; nothing is done when there are none.
        language: of the kernel; None for the one that the document names, else Python.

    Returns:
        where the cell is. What the person should know is in the document's notices.

    Raises:
        UsageError: the document takes no parameters, or its language can't express one.
    """
    if document.kind == "script":
        raise UsageError(
            f"{document.path} is a plain script: parameters go into notebooks.",
            hint=f"Give it arguments instead: jrc run {shlex.quote(str(document.path))} ARGS…",
        )
    if not parameters:
        return None
    language = normal(language or document.language) or PYTHON
    source = assignments(parameters, language)
    defaults = _first_with(PARAMETERS_TAG, document)
    unknown = [] if defaults is None else _unknown(document, defaults, parameters, language)
    place = _put_cell(document, source)
    if place is Place.TOP:
        unknown = [
            f"No cell of {document.path.name} is tagged '{PARAMETERS_TAG}': the parameters are set "
            "in a new first cell."
        ]
    document.notices += [("parameters", text) for text in unknown]
    metadata = document.notebook["metadata"]
    if not isinstance(metadata.get("jrc"), dict):
        metadata["jrc"] = {}
    metadata["jrc"]["parameters"] = _json_value(parameters)
    document.find_cells()
    return place


def _unknown(
    document: Document, defaults: int, parameters: Mapping[str, Value], language: str
) -> list[str]:
    """What to say of parameters that the tagged cell does not set: names may be misspelled."""
    known = names_of(document.notebook["cells"][defaults]["source"], language)
    strangers = [f"'{name}'" for name in parameters if name not in known and name not in INJECTED]
    if not strangers or (not known and language != PYTHON):
        return []
    has = f"It sets {', '.join(sorted(known))}." if known else "It sets nothing."
    return [
        f"The cell tagged '{PARAMETERS_TAG}' of {document.path.name} does not set "
        f"{', '.join(strangers)}. {has}"
    ]


def _put_cell(document: Document, source: str) -> Place:
    cells = document.notebook["cells"]
    new: Json = {
        "cell_type": "code",
        "execution_count": None,
        "id": new_id(INJECTED_TAG, {cell["id"] for cell in cells}),
        "metadata": {"tags": [INJECTED_TAG]},
        "outputs": [],
        "source": source,
    }
    injected = _first_with(INJECTED_TAG, document)
    if injected is not None:
        new["id"] = cells[injected]["id"]
        cells[injected] = new
        return Place.REPLACED
    defaults = _first_with(PARAMETERS_TAG, document)
    cells.insert(0 if defaults is None else defaults + 1, new)
    return Place.TOP if defaults is None else Place.BEHIND_DEFAULTS


def _first_with(tag: str, document: Document) -> int | None:
    cells = document.notebook["cells"]
    return next((index for index, cell in enumerate(cells) if tag in cell_tags(cell)), None)


def _json_value(value: object) -> object:
    """A value for the notebook's metadata: JSON has no numbers that are not finite."""
    match value:
        case float() if not math.isfinite(value):
            return repr(value)
        case list():
            return [_json_value(item) for item in value]
        case dict():
            return {str(key): _json_value(item) for key, item in value.items()}
    return value
