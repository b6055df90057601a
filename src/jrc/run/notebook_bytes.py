"""A notebook as the bytes of its file: the same bytes that nbformat writes, piece by piece.

nbformat copies the whole notebook twice and encodes it token by token in Python. Here nothing is
copied but the piece at hand, so that a large output costs little memory, and the innermost lists
and objects, which are most of a notebook, are encoded by the C encoder of ``json``.

Source: nbformat ``v4/nbjson.py`` and ``v4/rwbase.py``.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from json.encoder import encode_basestring
from typing import Any

from jrc.run.notebook import TRANSIENT_CELL_METADATA, TRANSIENT_METADATA
from jrc.run.notebook_shape import Json

PIECE = 1 << 18
"""Characters that are encoded at a time."""

_SPLIT_MIMES = ("application/javascript", "image/svg+xml")

_SCALARS = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class _Lines:
    """Text that the file holds as a list of lines."""

    text: str


def notebook_bytes(notebook: Json) -> Iterator[bytes]:
    """The content of the file of a notebook, in pieces.

    The notebook must not be changed meanwhile. Lone surrogates, which UTF-8 can't hold, are
    written as the ``\\\\u`` escapes that JSON has for them.

    Args:
        notebook: nbformat 4 JSON whose text is joined.
    """
    pieces: list[str] = []
    length = 0
    for piece in _value(_as_in_file(notebook), "\n"):
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
    if isinstance(fields.get(key), str):
        fields[key] = _Lines(fields[key])


def _without(fields: Json, keys: tuple[str, ...]) -> Json:
    return {key: value for key, value in fields.items() if key not in keys}


def _value(value: Any, newline: str) -> Iterator[str]:
    """The JSON text of a value, in pieces.

    Args:
        value: a JSON value; text may be marked as ``_Lines``.
        newline: a line end and the indentation of the line on which the value begins.
    """
    if isinstance(value, _Lines):
        yield from _lines(value.text, newline)
    elif isinstance(value, str):
        yield from _text(value)
    elif not isinstance(value, dict | list) or not value:
        yield _encoder("").encode(value)
    elif _is_flat(value.values() if isinstance(value, dict) else value):
        yield _flat(value, newline)
    else:
        yield from _nested(value, newline)


def _is_flat(values: Iterable[Any]) -> bool:
    """Whether values are all of a kind that takes one line each, and no large text."""
    return all(type(v) in _SCALARS and (type(v) is not str or len(v) <= PIECE) for v in values)


def _flat(value: Json | list[Any], newline: str) -> str:
    inner = newline + " "
    text = _encoder(inner).encode(value)
    return f"{text[0]}{inner}{text[1:-1]}{newline}{text[-1]}"


def _nested(value: Json | list[Any], newline: str) -> Iterator[str]:
    inner = newline + " "
    before = inner
    if isinstance(value, dict):
        yield "{"
        for key in sorted(value):
            yield f"{before}{encode_basestring(key)}: "
            yield from _value(value[key], inner)
            before = "," + inner
        yield newline + "}"
    else:
        yield "["
        for item in value:
            yield before
            yield from _value(item, inner)
            before = "," + inner
        yield newline + "]"


def _lines(text: str, newline: str) -> Iterator[str]:
    """A list of lines. Each keeps its end, of whatever kind ``str.splitlines`` knows."""
    if not text:
        yield "[]"
        return
    inner = newline + " "
    before = inner
    yield "["
    for block in _blocks(text):
        lines = block.splitlines(keepends=True)
        if _is_flat(lines):
            yield before + _encoder(inner).encode(lines)[1:-1]
        else:
            for line in lines:
                yield before
                yield from _text(line)
                before = "," + inner
        before = "," + inner
    yield newline + "]"


def _blocks(text: str) -> Iterator[str]:
    """The text in blocks of whole lines."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + PIECE) + 1 or len(text)
        yield text[start:end]
        start = end


def _text(text: str) -> Iterator[str]:
    if len(text) <= PIECE:
        yield encode_basestring(text)
        return
    yield '"'
    for start in range(0, len(text), PIECE):
        yield encode_basestring(text[start : start + PIECE])[1:-1]
    yield '"'


@cache
def _encoder(inner: str) -> json.JSONEncoder:
    """An encoder for lists and objects whose items stand on lines of their own.

    Args:
        inner: a line end and the indentation of the items.
    """
    separators = ("," + inner, ": ")
    # Without `indent` json uses its C encoder; the separator does what `indent` would.
    return json.JSONEncoder(
        ensure_ascii=False, sort_keys=True, check_circular=False, separators=separators
    )
