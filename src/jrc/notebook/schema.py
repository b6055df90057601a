"""Whether a notebook's JSON is valid nbformat 4.5, without importing nbformat.

Source: nbformat, ``nbformat.v4.5.schema.json``.
"""

import re
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
"""A JSON object of a notebook."""

NBFORMAT = 4
NBFORMAT_MINOR = 5

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CELL_FIELDS = {"id", "cell_type", "metadata", "source"}
_CODE_FIELDS = _CELL_FIELDS | {"outputs", "execution_count"}
OUTPUT_FIELDS = {
    "stream": {"output_type", "name", "text"},
    "display_data": {"output_type", "data", "metadata"},
    "execute_result": {"output_type", "data", "metadata", "execution_count"},
    "error": {"output_type", "ename", "evalue", "traceback"},
}
"""The fields of an output, by its kind."""


def is_json_mime(mime: str) -> bool:
    """Whether the data of a mimetype is a JSON value rather than text."""
    return mime == "application/json" or (
        mime.startswith("application/") and mime.endswith("+json")
    )


def is_cell_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def fits(notebook: Json) -> bool:
    """Whether nbformat would call a notebook valid 4.5. False may also mean: ask nbformat."""
    if notebook.keys() != {"cells", "metadata", "nbformat", "nbformat_minor"}:
        return False
    cells, metadata = notebook["cells"], notebook["metadata"]
    return (
        _is_number(notebook["nbformat"], NBFORMAT)
        and _is_number(notebook["nbformat_minor"], NBFORMAT_MINOR)
        and isinstance(metadata, dict)
        and all(notebook_metadata_check(key, metadata) for key in metadata)
        and isinstance(cells, list)
        and all(map(_cell_fits, cells))
        and len({cell["id"] for cell in cells}) == len(cells)
    )


def _cell_fits(cell: object) -> bool:
    if not isinstance(cell, dict) or not isinstance(cell.get("source"), str):
        return False
    cell_type, cell_id, metadata = cell.get("cell_type"), cell.get("id"), cell.get("metadata")
    if not is_cell_id(cell_id):
        return False
    if not isinstance(cell_type, str) or not isinstance(metadata, dict):
        return False
    if not all(cell_metadata_check(cell_type, key, metadata) for key in metadata):
        return False
    if cell_type == "code":
        return (
            cell.keys() == _CODE_FIELDS
            and count_fits(cell["execution_count"])
            and isinstance(cell["outputs"], list)
            and all(map(_output_fits, cell["outputs"]))
        )
    attachments = cell.get("attachments", {})
    return (
        cell_type in ("markdown", "raw")
        and cell.keys() - {"attachments"} == _CELL_FIELDS
        and isinstance(attachments, dict)
        and all(map(_bundle_fits, attachments.values()))
    )


def _output_fits(output: object) -> bool:
    if not isinstance(output, dict) or not isinstance(output.get("output_type"), str):
        return False
    kind = output["output_type"]
    if output.keys() != OUTPUT_FIELDS.get(kind):
        return False
    if kind == "stream":
        return isinstance(output["name"], str) and isinstance(output["text"], str)
    if kind == "error":
        return (
            isinstance(output["ename"], str)
            and isinstance(output["evalue"], str)
            and _strings(output["traceback"])
        )
    return (
        _bundle_fits(output["data"])
        and isinstance(output["metadata"], dict)
        and count_fits(output.get("execution_count"))
    )


def _bundle_fits(bundle: object) -> bool:
    return isinstance(bundle, dict) and all(
        isinstance(value, str) or is_json_mime(mime) for mime, value in bundle.items()
    )


def _is_number(value: object, number: int) -> bool:
    return type(value) is int and value == number


def count_fits(count: object) -> bool:
    """Whether it may be an execution count."""
    return count is None or (type(count) is int and count >= 0)


def _strings(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _tags_fit(tags: object) -> bool:
    return (
        isinstance(tags, list)
        and _strings(tags)
        and all(tag and "," not in tag for tag in tags)
        and len(set(tags)) == len(tags)
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_CELL_METADATA: dict[str, Callable[[Any], bool]] = {
    "tags": _tags_fit,
    "name": lambda name: isinstance(name, str) and name != "" and "\n" not in name,
    "jupyter": lambda value: isinstance(value, dict),
}
_METADATA_OF_TYPE: dict[str, dict[str, Callable[[Any], bool]]] = {
    "code": {
        **_CELL_METADATA,
        "execution": lambda times: isinstance(times, dict) and _strings(list(times.values())),
        "collapsed": lambda value: isinstance(value, bool),
        "scrolled": lambda value: isinstance(value, bool) or value == "auto",
    },
    "markdown": _CELL_METADATA,
    "raw": {**_CELL_METADATA, "format": _is_text},
}


def cell_metadata_check(cell_type: str, key: str, metadata: Json) -> bool:
    """Whether the value of a key of a cell's metadata is of the right kind, or absent."""
    check = _METADATA_OF_TYPE.get(cell_type, _CELL_METADATA).get(key)
    return check is None or key not in metadata or check(metadata[key])


_NOTEBOOK_METADATA: dict[str, Callable[[Any], bool]] = {
    "kernelspec": lambda spec: (
        isinstance(spec, dict) and _strings([spec.get("name"), spec.get("display_name")])
    ),
    "language_info": lambda info: (
        isinstance(info, dict)
        and _is_text(info.get("name"))
        and isinstance(info.get("codemirror_mode", ""), str | dict)
        and _strings([info.get(k, "") for k in ("file_extension", "mimetype", "pygments_lexer")])
    ),
    "title": _is_text,
    "authors": lambda authors: isinstance(authors, list),
}


def notebook_metadata_check(key: str, metadata: Json) -> bool:
    """Whether the value of a key of a notebook's metadata is of the right kind, or absent."""
    check = _NOTEBOOK_METADATA.get(key)
    return check is None or key not in metadata or check(metadata[key])
