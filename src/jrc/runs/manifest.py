"""The manifest of a run: the document without outputs, and the ids of its requests.

A client that attaches needs it. It is in the first note of the journal, and in the local record.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jrc.errors import UsageError, WireError
from jrc.notebook.document import Document, Kind
from jrc.notebook.reading import parse_notebook
from jrc.notebook.schema import Json, fits
from jrc.profile.limits import DEFAULT_LIMITS
from jrc.shapes import parse, unicode_text

FORMAT = 1

MOST_BYTES = 6 << 20
"""Most bytes of the packed document. Servers refuse messages over 10 MiB."""

_KINDS: dict[str, Kind] = {"notebook": "notebook", "percent": "percent", "script": "script"}


class About(NamedTuple):
    """The manifest of a run.

    Attributes:
        owner: who began it, ``user@host``.
        document: what is executed.
        requests: ids of the requests, one for each cell that is executed.
        first: position of the first of these cells in the document.
        allow_errors: the run goes on after a cell that failed.
        allow_loss: lost output does not make the exit code non-zero.
        may_ask: the code may ask questions.
        keep_kernel, keep_kernel_on_error: the kernel stays when the run is fetched.
    """

    owner: str
    document: Document
    requests: Sequence[str]
    first: int = 0
    allow_errors: bool = False
    allow_loss: bool = False
    may_ask: bool = True
    keep_kernel: bool = False
    keep_kernel_on_error: bool = False

    def to_json(self) -> dict[str, Any]:
        """The form in the journal and in the record. Outputs of earlier runs are left out."""
        document = self.document
        inside = {
            "kind": document.kind,
            "notebook": without_outputs(document.notebook),
            "args": document.args,
            "lines": document.lines,
            "requests": list(self.requests),
            "first": self.first,
            "allow_errors": self.allow_errors,
            "allow_loss": self.allow_loss,
            "may_ask": self.may_ask,
            "keep_kernel": self.keep_kernel,
            "keep_kernel_on_error": self.keep_kernel_on_error,
        }
        return {
            "format": FORMAT,
            "owner": self.owner,
            "document": str(document.path.absolute()),
            "packed": base64.b85encode(zlib.compress(json.dumps(inside).encode())).decode(),
        }


def about_from_json(value: Mapping[str, Any], *, most: int = DEFAULT_LIMITS.unpacked) -> About:
    """Read what ``About.to_json`` wrote.

    Args:
        value: what the journal or the record contains.
        most: the most bytes that the document is unpacked to; 0 for all, of a record of our own.

    Raises:
        WireError: it can't be understood.
    """
    if value.get("format") != FORMAT:
        raise WireError("Another version of jrc began this run, and its manifest can't be read.")
    try:
        inside: Any = parse(_unpacked(base64.b85decode(value["packed"]), most))
        document = Document(
            _KINDS[inside["kind"]],
            Path(value["document"]),
            _valid(inside["notebook"]),
            [str(word) for word in inside["args"]],
            {str(cell): int(line) for cell, line in inside["lines"].items()},
        )
        requests, first = [str(request) for request in inside["requests"]], int(inside["first"])
        if first < 0 or first + len(requests) > len(document.cells):
            raise ValueError("it has more requests than cells")
        return About(
            owner=unicode_text(str(value["owner"])),
            document=document,
            requests=requests,
            first=first,
            allow_errors=bool(inside["allow_errors"]),
            allow_loss=bool(inside["allow_loss"]),
            # jrc 0.1 did not write it.
            may_ask=bool(inside.get("may_ask", True)),
            keep_kernel=bool(inside.get("keep_kernel")),
            keep_kernel_on_error=bool(inside.get("keep_kernel_on_error")),
        )
    except UsageError as error:
        raise WireError(error.message) from error
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, zlib.error) as error:
        raise WireError(f"The manifest of the run can't be read: {error!r}.") from error


def _valid(notebook: Json) -> Json:
    """The notebook of a run, as it would be read from a file where it is not as jrc writes it."""
    if fits(notebook):
        return notebook
    return parse_notebook("The notebook of the run", json.dumps(notebook).encode()).notebook


def _unpacked(data: bytes, most: int) -> bytes:
    unpacking = zlib.decompressobj()
    unpacked = unpacking.decompress(data, most)
    if not unpacking.eof:
        raise ValueError(f"it is cut short, or larger than {most:,} bytes")
    return unpacked


def without_outputs(notebook: Json) -> Json:
    """A copy of a notebook as it is before its first execution."""
    cells = [
        {**cell, "outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell
        for cell in notebook["cells"]
    ]
    return {**notebook, "cells": cells}
