"""A notebook as the bytes of its file: the same bytes that nbformat writes, piece by piece.

nbformat copies the whole notebook twice and encodes it token by token in Python. Here nothing is
copied but the piece at hand, so that a large output costs little memory.

Source: nbformat ``v4/nbjson.py`` and ``v4/rwbase.py``.
"""

import json
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, NamedTuple

from jrc.notebook.reading import TRANSIENT_CELL_METADATA, TRANSIENT_METADATA
from jrc.notebook.schema import Json
from jrc.notebook.spool import Piece, SpooledText, Text

PIECE = 1 << 18
"""Characters that are encoded at a time."""

_SPLIT_MIMES = ("application/javascript", "image/svg+xml")

_OUTPUT_DEPTH = 4
"""How deep an output lies in a notebook: in its list, in a cell, in the cells, in the notebook."""


class _Lines(NamedTuple):
    """Text that the file holds as a list of lines."""

    text: Text


class _Late:
    """Large text, encoded only when it is its turn to be written.

    Args:
        value: the text.
        newline: as for ``_add``.
    """

    __slots__ = ("_newline", "_value")

    def __init__(self, value: Text | _Lines, newline: str) -> None:
        self._value = value
        self._newline = newline

    def pieces(self) -> Iterator[str]:
        if isinstance(self._value, _Lines):
            return _list_of_lines(_pieces(self._value.text), self._newline)
        return _string(_pieces(self._value))


def notebook_bytes(notebook: Json) -> Iterator[bytes]:
    """The content of the file of a notebook, in pieces.

    The notebook must not be changed meanwhile. Lone surrogates, which UTF-8 can't hold, are
    written as the ``\\u`` escapes that JSON has for them.

    Args:
        notebook: nbformat 4 JSON whose text is joined.
    """
    pieces: list[str] = []
    length = 0
    for part in _parts(_as_in_file(notebook), "\n", _OUTPUT_DEPTH):
        for piece in (part,) if isinstance(part, str) else part.pieces():
            pieces.append(piece)
            length += len(piece)
            if length >= PIECE:
                yield _encoded(pieces)
                pieces.clear()
                length = 0
    pieces.append("\n")
    yield _encoded(pieces)


def _encoded(pieces: list[str]) -> bytes:
    return "".join(pieces).encode("utf-8", "backslashreplace")


def _as_in_file(notebook: Json) -> Json:
    """The notebook with its text marked to be split, made of new dicts around the old values."""
    return {
        **notebook,
        "metadata": _without(notebook["metadata"], TRANSIENT_METADATA),
        "cells": [_cell_as_in_file(cell) for cell in notebook["cells"]],
    }


def _cell_as_in_file(cell: Json) -> Json:
    new = {**cell, "metadata": _without(cell["metadata"], TRANSIENT_CELL_METADATA)}
    _mark(new, "source")
    if "attachments" in cell:
        attachments = cell["attachments"].items()
        new["attachments"] = {name: _bundle_as_in_file(bundle) for name, bundle in attachments}
    if cell["cell_type"] == "code":
        new["outputs"] = [_output_as_in_file(output) for output in cell["outputs"]]
    return new


def _output_as_in_file(output: Json) -> Json:
    if output["output_type"] in ("execute_result", "display_data"):
        return {**output, "data": _bundle_as_in_file(output["data"])}
    if output["output_type"] == "stream":
        output = dict(output)
        _mark(output, "text")
    return output


def _bundle_as_in_file(bundle: Json) -> Json:
    new = dict(bundle)
    for mime in bundle:
        if mime.startswith("text/") or mime in _SPLIT_MIMES:
            _mark(new, mime)
    return new


def _mark(fields: Json, key: str) -> None:
    if isinstance(fields.get(key), Text):
        fields[key] = _Lines(fields[key])


def _without(fields: Json, keys: tuple[str, ...]) -> Json:
    return {key: value for key, value in fields.items() if key not in keys}


def _parts(value: Any, newline: str, depth: int, before: str = "") -> Iterator[str | _Late]:
    """The JSON text of a value, in parts: the items of its outer lists and objects, one by one.

    Args:
        value, newline: as for ``_add``.
        depth: how many levels of lists and objects are taken apart.
        before: what stands before it.
    """
    if depth == 0 or not value or not isinstance(value, dict | list):
        parts: list[str | _Late] = [before]
        _add(value, newline, parts)
        yield from _joined(parts)
        return
    first, inner, after = _frame(value, newline)
    before += first
    for item in sorted(value) if isinstance(value, dict) else value:
        if isinstance(value, dict):
            key = f"{before}{encode_basestring(item)}: "
            yield from _parts(value[item], inner, depth - 1, key)
        else:
            yield from _parts(item, inner, depth - 1, before)
        before = "," + inner
    yield after


def _joined(parts: list[str | _Late]) -> Iterable[str | _Late]:
    texts = [part for part in parts if isinstance(part, str)]
    return ["".join(texts)] if len(texts) == len(parts) else parts


def _add(value: Any, newline: str, parts: list[str | _Late]) -> None:
    """Add the JSON text of a value to ``parts``.

    Args:
        value: a JSON value; text may be marked as ``_Lines``.
        newline: a line end and the indentation of the line on which the value begins.
        parts: what is written before it.
    """
    if isinstance(value, str):
        parts.append(encode_basestring(value) if len(value) <= PIECE else _Late(value, newline))
    elif isinstance(value, _Lines):
        if isinstance(value.text, str) and len(value.text) <= PIECE:
            parts.append(_few_lines(value.text, newline))
        else:
            parts.append(_Late(value, newline))
    elif isinstance(value, SpooledText):
        parts.append(_Late(value, newline))
    elif value is None or (isinstance(value, float) and not isfinite(value)):
        # JSON has no NaN. nbformat writes it all the same, and then no browser opens the notebook.
        parts.append("null")
    elif not value or not isinstance(value, dict | list):
        parts.append(json.dumps(value))
    else:
        before, inner, after = _frame(value, newline)
        for item in sorted(value) if isinstance(value, dict) else value:
            if isinstance(value, dict):
                parts.append(f"{before}{encode_basestring(item)}: ")
                _add(value[item], inner, parts)
            else:
                parts.append(before)
                _add(item, inner, parts)
            before = "," + inner
        parts.append(after)


def _frame(value: Json | list[Any], newline: str) -> tuple[str, str, str]:
    """What stands before the first item of a list or object, before the others, and at its end."""
    begin, end = "{}" if isinstance(value, dict) else "[]"
    inner = newline + " "
    return begin + inner, inner, newline + end


def _pieces(text: Text) -> Iterator[Piece]:
    if isinstance(text, SpooledText):
        return text.pieces()
    starts = range(0, len(text), PIECE)
    return (Piece(text[start : start + PIECE], plain=False) for start in starts)


def _string(pieces: Iterable[Piece]) -> Iterator[str]:
    yield '"'
    for piece in pieces:
        yield piece.text if piece.plain else encode_basestring(piece.text)[1:-1]
    yield '"'


def _few_lines(text: str, newline: str) -> str:
    lines = f",{newline} ".join(map(encode_basestring, text.splitlines(keepends=True)))
    return f"[{newline} {lines}{newline}]" if lines else "[]"


def _list_of_lines(pieces: Iterable[Piece], newline: str) -> Iterator[str]:
    """A list of lines. Each keeps its end, of whatever kind ``str.splitlines`` knows."""
    inner = newline + " "
    between = "," + inner
    # What to write before the next text: nothing behind a line that did not end yet.
    before = f'[{inner}"'
    for piece in _whole_line_ends(pieces):
        if piece.plain:
            # There is no line end in it either.
            yield before + piece.text
            before = ""
            continue
        lines = piece.text.splitlines(keepends=True)
        yield before + between.join(map(encode_basestring, lines))[1:-1]
        ended = len(lines[-1].splitlines()[0]) < len(lines[-1])
        before = f'"{between}"' if ended else ""
    yield "[]" if before.startswith("[") else f'"{newline}]'


def _whole_line_ends(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The same text in pieces of which none is empty or ends between ``\\r`` and ``\\n``."""
    kept = ""
    for piece in pieces:
        text = kept + piece.text
        plain = piece.plain and not kept
        kept = "\r" if text.endswith("\r") else ""
        text = text.removesuffix(kept)
        if text:
            yield Piece(text, plain=plain)
    if kept:
        yield Piece(kept, plain=False)
