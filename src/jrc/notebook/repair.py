"""Notebooks that break the format harmlessly, made valid: pure functions on their JSON.

Other programs leave a stray key, an old kind of output or half a kernelspec in a notebook. Jupyter
opens such a file, nbclient and papermill execute it, and so does jrc. What the result holds is
valid. Nothing is guessed about code: a cell whose source is no text stays as it is.

Source: nbformat, ``nbformat.v4.5.schema.json``, and ``v4/convert.py`` for what older formats had.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jrc.notebook.schema import (
    NBFORMAT,
    NBFORMAT_MINOR,
    OUTPUT_FIELDS,
    Json,
    cell_metadata_check,
    is_json_mime,
    notebook_metadata_check,
)
from jrc.shapes import MOST_LEVELS, is_deep

SKIP_TAG = "skip-execution"

OUTPUT_LEVELS = 8
"""How deep an output's data lies in a notebook, at most."""

_DEEPEST = MOST_LEVELS - OUTPUT_LEVELS
"""What is nested deeper in an output is in a file that can't be read again."""

_FIELDS = ("cells", "metadata", "nbformat", "nbformat_minor")
_OF_CODE = ("outputs", "execution_count", "prompt_number", "input", "language")
_OLD_KINDS = {"pyout": "execute_result", "pyerr": "error"}
_OLD_MIMES = {
    "text": "text/plain",
    "html": "text/html",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "latex": "text/latex",
    "json": "application/json",
    "javascript": "application/javascript",
}
_MOST_KINDS = 6
_MOST_CELLS = 4


class Repaired(NamedTuple):
    """A notebook, and what was repaired in it.

    Attributes:
        notebook: nbformat 4.5 JSON; valid, but for what cannot be repaired.
        repairs: what was changed, each with the cells that it concerns; empty for nothing.
    """

    notebook: Json
    repairs: list[str]


def repair(notebook: Json) -> Repaired:
    """Make a notebook of format 4 valid where that changes nothing of what is executed.

    The outputs of a cell that will be executed are repaired silently: the run replaces them.

    Args:
        notebook: its text is joined and its cells have ids; it is not changed.
    """
    log = _Log()
    metadata = notebook.get("metadata")
    if metadata is None:
        log.add("metadata that is null")
        metadata = {}
    cells = notebook.get("cells")
    if not isinstance(metadata, dict) or not isinstance(cells, list):
        return Repaired(notebook, [])
    strangers = {key: value for key, value in notebook.items() if key not in _FIELDS}
    for key in strangers:
        log.add(f"unknown key {_shown(key)}, moved into the metadata")
    minor = notebook.get("nbformat_minor")
    if type(minor) is not int or minor < NBFORMAT_MINOR:
        log.add("nbformat_minor that is no number")
        minor = NBFORMAT_MINOR
    return Repaired(
        {
            "cells": [_cell(cell, log.at(number)) for number, cell in enumerate(cells, 1)],
            "metadata": _notebook_metadata({**strangers, **metadata}, log),
            "nbformat": NBFORMAT,
            "nbformat_minor": minor,
        },
        log.sentences(),
    )


def summary(repairs: Sequence[str]) -> str:
    """What to say of repairs, in one line of bounded length."""
    more = len(repairs) - _MOST_KINDS
    shown = [*repairs[:_MOST_KINDS], *([f"and {more} more"] if more > 0 else [])]
    return "; ".join(shown)


class _Log:
    """What was repaired, and in which cells."""

    def __init__(self, found: dict[str, list[int]] | None = None, cell: int = 0) -> None:
        self._found = {} if found is None else found
        self._cell = cell

    def at(self, cell: int) -> "_Log":
        """The same log, for what is found in a cell; counted from 1."""
        return _Log(self._found, cell)

    def add(self, what: str) -> None:
        cells = self._found.setdefault(what, [])
        # Cells are looked at in their order.
        if self._cell and cells[-1:] != [self._cell]:
            cells.append(self._cell)

    def sentences(self) -> list[str]:
        return [what + _places(cells) for what, cells in self._found.items()]


def _places(cells: Sequence[int]) -> str:
    if not cells:
        return ""
    shown = ", ".join(map(str, cells[:_MOST_CELLS]))
    more = len(cells) - _MOST_CELLS
    word = "cell" if len(cells) == 1 else "cells"
    return f" ({word} {shown}{f' and {more} more' if more > 0 else ''})"


def _notebook_metadata(metadata: Json, log: _Log) -> Json:
    metadata = dict(metadata)
    spec, info = metadata.get("kernelspec"), metadata.get("language_info")
    spec = dict(spec) if isinstance(spec, dict) else {}
    info = dict(info) if isinstance(info, dict) else {}
    if not isinstance(info.get("name"), str) and isinstance(spec.get("language"), str):
        # What a broken kernelspec or language_info still says is kept in the other one.
        info["name"] = spec["language"]
    if isinstance(spec.get("name"), str) and not isinstance(spec.get("display_name"), str):
        spec["display_name"] = spec["name"]
    for key, value in (("kernelspec", spec), ("language_info", info)):
        if notebook_metadata_check(key, metadata):
            continue
        log.add(f"{key} that is {_how_empty(metadata[key])}")
        metadata[key] = {k: v for k, v in value.items() if _language_field_fits(k, v)}
        if not notebook_metadata_check(key, metadata):
            del metadata[key]
    if "language_info" not in metadata and "kernelspec" not in metadata and "name" in info:
        metadata["language_info"] = {"name": info["name"]}
    for key in list(metadata):
        if not notebook_metadata_check(key, metadata):
            log.add(f"{key} in the metadata, taken out")
            del metadata[key]
    return metadata


def _how_empty(value: object) -> str:
    if value is None:
        return "null"
    return "incomplete" if isinstance(value, dict) else "no object"


def _language_field_fits(key: str, value: object) -> bool:
    return key not in ("file_extension", "mimetype", "pygments_lexer", "codemirror_mode") or (
        isinstance(value, str) or (key == "codemirror_mode" and isinstance(value, dict))
    )


def _cell(cell: object, log: _Log) -> object:
    if not isinstance(cell, dict) or not isinstance(cell.get("cell_type"), str):
        return cell
    cell = dict(cell)
    metadata = cell.get("metadata")
    if not isinstance(metadata, dict):
        log.add(f"metadata of a cell that is {'null' if metadata is None else 'no object'}")
    cell["metadata"] = metadata = dict(metadata) if isinstance(metadata, dict) else {}
    _set_type(cell, log)
    is_code = cell["cell_type"] == "code"
    if is_code:
        _take_old_names(cell, log)
    _set_source(cell, log)
    known = {"id", "cell_type", "metadata", "source"}
    known |= {"outputs", "execution_count"} if is_code else {"attachments"}
    for key in sorted(cell.keys() - known):
        _put_away(cell, key, log)
    cell["metadata"] = _cell_metadata(cell["cell_type"], metadata, log)
    if is_code:
        runs = bool(_text(cell["source"]).strip())
        runs = runs and SKIP_TAG not in cell["metadata"].get("tags", [])
        _repair_results(cell, _Log() if runs else log, log)
    elif "attachments" in cell:
        cell["attachments"] = _attachments(cell["attachments"], log)
    return cell


def _set_type(cell: Json, log: _Log) -> None:
    kind = cell["cell_type"]
    if kind == "heading":
        log.add("cell of the type heading, now markdown")
        level = cell.pop("level", 1)
        marks = "#" * (min(max(level, 1), 6) if type(level) is int else 1)
        title = " ".join(_text(cell.get("source")).split())
        cell.update(cell_type="markdown", source=f"{marks} {title}")
    elif kind == "html":
        log.add("cell of the type html, now markdown")
        cell["cell_type"] = "markdown"
    elif kind not in ("code", "markdown", "raw"):
        log.add(f"cell of the unknown type {_shown(kind)}, now raw")
        cell["cell_type"] = "raw"


def _take_old_names(cell: Json, log: _Log) -> None:
    for old, new in (("input", "source"), ("prompt_number", "execution_count")):
        if old in cell and cell.get(new) is None:
            log.add(f"key '{old}' of the format 3, now '{new}'")
            cell[new] = cell.pop(old)


def _set_source(cell: Json, log: _Log) -> None:
    source = cell.get("source")
    if source is None:
        log.add("cell without source, now empty")
        cell["source"] = ""
    elif not isinstance(source, str) and cell["cell_type"] != "code":
        log.add("source that is no text")
        cell["source"] = _text(source)
    elif isinstance(source, list) and all(isinstance(line, str) for line in source):
        cell["source"] = "".join(source)


def _put_away(cell: Json, key: str, log: _Log) -> None:
    """Move an unknown key of a cell into its metadata, where it is allowed."""
    value = cell.pop(key)
    of_code = key in _OF_CODE
    if key in cell["metadata"] or of_code or value is None:
        log.add(f"key {_shown(key)} of a {cell['cell_type']} cell, taken out")
    else:
        log.add(f"key {_shown(key)} of a cell, moved into its metadata")
        cell["metadata"][key] = value


def _cell_metadata(kind: str, metadata: Json, log: _Log) -> Json:
    if not cell_metadata_check(kind, "tags", metadata):
        metadata["tags"] = tags = _tags(metadata["tags"])
        log.add("tags that are no list of different words")
        if not tags:
            del metadata["tags"]
    for key in list(metadata):
        if not cell_metadata_check(kind, key, metadata):
            log.add(f"{key} in the metadata of a cell, taken out")
            del metadata[key]
    return metadata


def _tags(value: object) -> list[str]:
    words = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    tags = [tag.strip() for word in words if isinstance(word, str) for tag in word.split(",")]
    return list(dict.fromkeys(filter(None, tags)))


def _attachments(value: object, log: _Log) -> Json:
    if not isinstance(value, dict):
        log.add("attachments that are no object, taken out")
        return {}
    attachments = {name: _bundle(bundle) for name, bundle in value.items()}
    if attachments != value:
        log.add("attachments that are no text")
    return attachments


def _repair_results(cell: Json, log: _Log, count_log: _Log) -> None:
    count = cell.get("execution_count")
    cell["execution_count"] = valid_count(count)
    if cell["execution_count"] != count:
        count_log.add("execution count that is no natural number")
    outputs = cell.get("outputs")
    if not isinstance(outputs, list):
        log.add("outputs that are no list, taken out")
        outputs = []
    repaired = [new for new in map(valid_output, outputs) if new is not None]
    if repaired != outputs:
        log.add("outputs")
    cell["outputs"] = repaired


def valid_count(value: object) -> int | None:
    """A value as an execution count; None where it can't be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # An infinite one has no int.
    return int(value) if value >= 0 and value == value // 1 else None


def valid_output(output: object) -> Json | None:
    """A valid output; None for one of a kind that no version of the format has."""
    if not isinstance(output, dict):
        return None
    kind = output.get("output_type")
    kind = _OLD_KINDS.get(kind, kind) if isinstance(kind, str) else None
    if kind not in OUTPUT_FIELDS:
        return None
    new: Json = {"output_type": kind}
    if kind == "stream":
        name = output.get("name", output.get("stream"))
        new.update(name=name if isinstance(name, str) else "stdout", text=_text(output.get("text")))
    elif kind == "error":
        new.update({key: _text(output.get(key)) for key in ("ename", "evalue")})
        new["traceback"] = valid_traceback(output.get("traceback"))
    else:
        metadata, data = output.get("metadata"), output.get("data")
        old = {mime: output[key] for key, mime in _OLD_MIMES.items() if key in output}
        if isinstance(data, str) and data:
            old.setdefault("text/plain", data)
        new["data"] = _bundle(data if isinstance(data, dict) else old)
        shallow = isinstance(metadata, dict) and not is_deep(metadata, _DEEPEST)
        new["metadata"] = metadata if shallow else {}
        if kind == "execute_result":
            count = output.get("execution_count", output.get("prompt_number"))
            new["execution_count"] = valid_count(count)
    return new


def valid_traceback(value: object) -> list[str]:
    """A traceback as a list of text, whatever somebody's ``_render_traceback_`` made of it."""
    lines = value if isinstance(value, list) else [] if value is None else [value]
    return [_text(line) for line in lines]


def _bundle(bundle: object) -> Json:
    """Data by mimetype, without what says nothing."""
    if not isinstance(bundle, Mapping):
        return {}
    return {
        mime: value if is_json_mime(mime) and not is_deep(value, _DEEPEST) else _text(value)
        for mime, value in bundle.items()
        if value is not None or is_json_mime(mime)
    }


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    try:
        return json.dumps(value)
    except RecursionError:
        return "[…]"


def _shown(name: str) -> str:
    """A foreign name, short and on one line."""
    return repr(name if len(name) <= 40 else f"{name[:40]}…")
