"""Notebook files: read as plain JSON, brought to nbformat 4.5, repaired, or refused.

Importing nbformat costs hundreds of milliseconds, so it is asked only what it alone can answer:
how to upgrade a notebook from before 2015, and what is wrong with one that does not look right.

Source: nbformat "The Notebook file format" and its JSON schema of version 4.5.
"""

import json
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from jrc.errors import NotFoundError, UsageError
from jrc.notebook.repair import Repaired, repair
from jrc.notebook.schema import (
    NBFORMAT,
    NBFORMAT_MINOR,
    Json,
    fits,
    is_cell_id,
    is_json_mime,
)
from jrc.shapes import NotJsonError, TooDeepError, parse
from jrc.startup import LARGE_PARTS_OF_NBFORMAT, hidden

TRANSIENT_METADATA = ("orig_nbformat", "orig_nbformat_minor", "signature")
"""Notebook metadata that belongs in no file."""

TRANSIENT_CELL_METADATA = ("trusted",)
"""Cell metadata that belongs in no file."""

ERROR_MARKER_TAG = "papermill-error-cell-tag"
"""Tag of a cell that points to the error of a run."""

_REASON_LENGTH = 200


def read_bytes(path: Path) -> bytes:
    """The content of a document's file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it can't be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist.") from error
    except OSError as error:
        # Windows refuses to open a folder, others to read from it.
        if isinstance(error, IsADirectoryError | PermissionError) and path.is_dir():
            raise UsageError(f"{path} is a folder.", hint="Name a file in it.") from error
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{path} can't be read: {reason}.") from error


def read_notebook(path: Path) -> Json:
    """As ``load_notebook``, for those who need not know what was repaired."""
    return load_notebook(path).notebook


def load_notebook(path: Path) -> Repaired:
    """A notebook file as nbformat 4.5 JSON: text joined, ids and empty fields filled in.

    What breaks the format harmlessly is repaired. The cells in which papermill and jrc point to the
    error of an earlier run are taken out.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is not a notebook that can be run.
    """
    return parse_notebook(str(path), read_bytes(path))


def parse_notebook(name: str, data: bytes) -> Repaired:
    """As ``load_notebook``, of a file's content.

    Args:
        name: of the file, for error messages.
        data: its content.

    Raises:
        UsageError: it is not a notebook that can be run.
    """
    read = _read(name, data)
    cells = read.notebook["cells"]
    read.notebook["cells"] = [cell for cell in cells if not is_error_marker(cell)]
    return read


def is_error_marker(cell: Json) -> bool:
    """Whether a cell of a notebook only points to the error of an earlier run."""
    tags = cell["metadata"].get("tags")
    return isinstance(tags, list) and ERROR_MARKER_TAG in tags


def _read(name: str, data: bytes) -> Repaired:
    notebook = _parse(name, data)
    major = notebook.get("nbformat")
    if isinstance(major, float) and major.is_integer():
        major = notebook["nbformat"] = int(major)
    if isinstance(major, bool) or not isinstance(major, int) or major < 1:
        raise UsageError(f"{name} is JSON but not a notebook: it has no nbformat number.")
    if major > NBFORMAT:
        raise UsageError(
            f"{name} has the notebook format {major}; this jrc reads formats up to {NBFORMAT}.",
            hint="Upgrade jrc, or save the notebook in an older format.",
        )
    if major < NBFORMAT:
        notebook = _upgraded(name, notebook)
    notebook["nbformat"] = NBFORMAT
    complete(notebook)
    if fits(notebook):
        return Repaired(notebook, [])
    minor = notebook["nbformat_minor"]
    if isinstance(minor, int) and minor > NBFORMAT_MINOR:
        # What looks wrong may be new. Only nbformat knows what it lets pass.
        _check_with_nbformat(name, notebook)
        return Repaired(notebook, [])
    repaired = repair(notebook)
    if not fits(repaired.notebook):
        _check_with_nbformat(name, repaired.notebook)
    return repaired


def complete(notebook: Json) -> None:
    """Bring a notebook of format 4 to 4.5 in place, as far as its shape allows.

    Text that a file holds as a list of lines becomes one string, what belongs in no file is taken
    out, cells get the ids that 4.5 demands, and an absent field whose empty value is meant gets it.
    """
    minor = notebook.setdefault("nbformat_minor", NBFORMAT_MINOR)
    if isinstance(minor, int) and minor < NBFORMAT_MINOR:
        notebook["nbformat_minor"] = NBFORMAT_MINOR
    metadata = notebook.setdefault("metadata", {})
    if isinstance(metadata, dict):
        for key in TRANSIENT_METADATA:
            metadata.pop(key, None)
    ids: set[str] = set()
    for index, cell in enumerate(_dicts(notebook.get("cells"))):
        _complete_cell(cell)
        if not is_cell_id(cell.get("id")) or cell["id"] in ids:
            cell["id"] = new_id(f"{index}:{cell.get('source')}", ids)
        ids.add(cell["id"])


def new_id(seed: str, taken: Iterable[str]) -> str:
    """A cell id that is not taken; the same seed gives the same id, run after run."""
    number = zlib.crc32(seed.encode("utf-8", "surrogatepass"))
    while f"{number:08x}" in taken:
        number = (number + 1) % 2**32
    return f"{number:08x}"


def _parse(name: str, data: bytes) -> Json:
    try:
        notebook = parse(str(data, "utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{name} is not UTF-8 text (byte {error.start}); a notebook is.",
            hint="Save it as UTF-8.",
        ) from error
    except TooDeepError as error:
        raise UsageError(
            f"{name} can't be read: its JSON is {error}.",
            hint="Look for a program that put its data into the metadata again and again.",
        ) from error
    except NotJsonError as error:
        raise _not_json(name, data, error) from error
    if not isinstance(notebook, dict):
        raise UsageError(f"{name} is JSON but not a notebook: it is not an object.")
    return notebook


def _not_json(name: str, data: bytes, error: Exception) -> UsageError:
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        return UsageError(f"{name} is empty.", hint="Save the notebook again.")
    conflict = re.search(rb"^<<<<<<< ", data, re.MULTILINE)
    if conflict:
        line = data.count(b"\n", 0, conflict.start()) + 1
        return UsageError(
            f"{name} has an unresolved merge conflict in line {line}.",
            hint="Resolve the conflict and try again.",
        )
    return UsageError(
        f"{name} is not a notebook: it is not JSON ({error}).",
        hint="Was it saved completely? Take it from your version control or a checkpoint.",
    )


def _complete_cell(cell: Json) -> None:
    metadata = cell.setdefault("metadata", {})
    if isinstance(metadata, dict):
        for key in TRANSIENT_CELL_METADATA:
            metadata.pop(key, None)
    _join(cell, "source")
    attachments = cell.get("attachments")
    for bundle in _dicts(list(attachments.values()) if isinstance(attachments, dict) else None):
        _join_bundle(bundle)
    if cell.get("cell_type") != "code":
        return
    cell.setdefault("execution_count", None)
    for output in _dicts(cell.setdefault("outputs", [])):
        data = output.get("data")
        if isinstance(data, dict):
            _join_bundle(data)
        _join(output, "text")


def _join_bundle(bundle: Json) -> None:
    for mime in bundle:
        if not is_json_mime(mime):
            _join(bundle, mime)


def _join(fields: Json, key: str) -> None:
    lines = fields.get(key)
    if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
        fields[key] = "".join(lines)


def _dicts(values: object) -> list[Json]:
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []


def _upgraded(name: str, notebook: Json) -> Json:
    with hidden(*LARGE_PARTS_OF_NBFORMAT):
        import nbformat

    try:
        # nbformat upgrades what its own reader made of the text.
        upgraded = nbformat.reads(  # type: ignore[no-untyped-call]
            json.dumps(notebook), as_version=NBFORMAT
        )
    # Exception: it takes for granted what an old notebook should hold.
    except Exception as error:
        reason = str(error).partition("\n")[0][:_REASON_LENGTH] or type(error).__name__
        raise UsageError(
            f"{name} can't be upgraded from the notebook format {notebook['nbformat']}: {reason}."
        ) from error
    plain = cast("Json", parse(json.dumps(upgraded)))
    for cell in _dicts(plain.get("cells")):
        # nbformat makes up an id for each cell; ours are the same in every run.
        cell.pop("id", None)
    return plain


def _check_with_nbformat(name: str, notebook: Json) -> None:
    no_cells = _what_is_no_cell(notebook)
    if no_cells:
        raise UsageError(f"{name} is not a valid notebook: {no_cells}.")
    with hidden(*LARGE_PARTS_OF_NBFORMAT):
        import nbformat

    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        place = _place(list(error.relative_path))
        reason = error.message.partition("\n")[0]
        if len(reason) > _REASON_LENGTH:
            # The message begins with the whole offending value.
            reason = f"{reason[:80]} … {reason[-100:]}"
        raise UsageError(
            f"{name} is not a valid notebook: {place}{reason}.",
            hint="Open it in Jupyter and save it, or take an older version of the file.",
        ) from error
    # Exception: the check itself fails on what is too far from a notebook.
    except Exception as error:
        raise UsageError(f"{name} is not a notebook of the format 4.") from error


def _what_is_no_cell(notebook: Json) -> str:
    """What is so far from a notebook that nbformat's own check would fail; empty for nothing."""
    cells = notebook.get("cells")
    if not isinstance(cells, list):
        return "its cells are not a list"
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict):
            return f"cell {number} is not an object"
        if not isinstance(cell.get("cell_type"), str):
            return f"cell {number} has no cell_type"
    return ""


def _place(path: list[str | int]) -> str:
    if len(path) < 2 or path[0] != "cells" or not isinstance(path[1], int):
        return f"{'.'.join(map(str, path))}: " if path else ""
    rest = ".".join(map(str, path[2:]))
    return f"cell {path[1] + 1}, {rest}: " if rest else f"cell {path[1] + 1}: "
