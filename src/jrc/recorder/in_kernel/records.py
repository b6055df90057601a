"""The bytes of one recorded message: in memory, in a file, and on the way to a client.

    magic    4 bytes  b"jrcR"
    check    uint32   CRC-32 of all that follows it; 0 when it was not computed
    size     uint64   bytes after this head
    number   uint64   1, 2, ... in its run; 0 for a note
    channel  uint8    index in CHANNELS
    parts    uint32   how many
    then     uint64 for each part: its length in bytes; then the parts

All integers are little-endian. The parts of a message are header, parent_header, metadata and
content as UTF-8 JSON, and its buffers; a note has one part, a JSON object.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Iterable, Iterator, NamedTuple

RECORD_MAGIC = b"jrcR"
RECORD_HEAD = struct.Struct("<4sIQQBI")
CHANNELS = ("iopub", "shell", "stdin", "")
IOPUB, SHELL, STDIN, NOTE = range(4)

JOURNAL_SUFFIX = ".jrcjournal"
STATE_SUFFIX = ".json"

_MOST_PARTS = 1 << 20
_CHECK_END = 8


class Record(NamedTuple):
    """One decoded record.

    Attributes:
        number: in its run; 0 for a note.
        channel: one of ``CHANNELS``; empty for a note.
        parts: views into the bytes that it was decoded from.
        end: where the next record starts.
    """

    number: int
    channel: str
    parts: list[memoryview]
    end: int


class BadRecordError(ValueError):
    """Bytes that are no record."""


def encode_record(number: int, channel: int, parts: Iterable[Any], checked: bool = False) -> bytes:
    """The bytes of one record.

    Args:
        number: in its run; 0 for a note.
        channel: index in ``CHANNELS``.
        parts: anything with a buffer.
        checked: compute the CRC.
    """
    flat = [part if type(part) is bytes else flat_bytes(part) for part in parts]
    lengths = [len(part) for part in flat]
    packed = struct.pack(f"<{len(lengths)}Q", *lengths)
    size = len(packed) + sum(lengths)
    head = RECORD_HEAD.pack(RECORD_MAGIC, 0, size, number, channel, len(lengths))
    if checked:
        check = zlib.crc32(packed, zlib.crc32(head[_CHECK_END:]))
        for part in flat:
            check = zlib.crc32(part, check)
        head = head[:4] + struct.pack("<I", check) + head[_CHECK_END:]
    return b"".join([head, packed, *flat])


def flat_bytes(part: Any) -> memoryview | bytes:
    """The bytes of any contiguous buffer, without a copy where that is possible."""
    view = memoryview(part)
    try:
        return view.cast("B")
    except TypeError:
        return view.tobytes(order="A")


def record_end(view: memoryview, start: int) -> int | None:
    """Where the record at ``start`` ends; None when it goes on beyond ``view``.

    Raises:
        BadRecordError: there is no record at ``start``.
    """
    if len(view) - start < RECORD_HEAD.size:
        if bytes(view[start : start + 4]) != RECORD_MAGIC[: len(view) - start]:
            raise BadRecordError(f"no record starts at byte {start}")
        return None
    magic, _, size, _, channel, parts = RECORD_HEAD.unpack_from(view, start)
    if magic != RECORD_MAGIC or channel >= len(CHANNELS) or parts > _MOST_PARTS or size < 8 * parts:
        raise BadRecordError(f"no record starts at byte {start}")
    end = start + RECORD_HEAD.size + int(size)
    return end if end <= len(view) else None


def record_number(view: memoryview, start: int) -> int:
    """The number of the whole record that starts at ``start``."""
    return int(RECORD_HEAD.unpack_from(view, start)[3])


def decode_record(view: memoryview, start: int) -> Record | None:
    """The record at ``start``; None when it goes on beyond ``view``.

    Raises:
        BadRecordError: there is no record at ``start``, or its bytes were damaged.
    """
    end = record_end(view, start)
    if end is None:
        return None
    _, check, _, number, channel, count = RECORD_HEAD.unpack_from(view, start)
    if check and zlib.crc32(view[start + _CHECK_END : end]) != check:
        raise BadRecordError(f"the record at byte {start} is damaged")
    lengths = struct.unpack_from(f"<{count}Q", view, start + RECORD_HEAD.size)
    at = start + RECORD_HEAD.size + 8 * count
    if at + sum(lengths) != end:
        raise BadRecordError(f"the record at byte {start} does not fit its parts")
    parts = []
    for length in lengths:
        parts.append(view[at : at + length])
        at += length
    return Record(number, CHANNELS[channel], parts, end)


def whole_records(view: memoryview) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each whole record in ``view``."""
    start = 0
    while start < len(view):
        end = record_end(view, start)
        if end is None:
            return
        yield record_number(view, start), start, end
        start = end
