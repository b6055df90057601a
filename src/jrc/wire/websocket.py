"""Messages in websocket frames: the v1 subprotocol, and the legacy framing of older servers.

Source: jupyter_server ``docs/source/developers/websocket-protocols.rst`` and
``services/kernels/connection/base.py``. There is no signature on a websocket.
"""

import json
import struct
from itertools import pairwise
from typing import Any

from jrc.errors import WireError
from jrc.wire.message import (
    Message,
    Part,
    decode_object,
    decode_text,
    encode_object,
    encode_text,
)

V1_SUBPROTOCOL = "v1.kernel.websocket.jupyter.org"
"""The server frames in v1 only for a client that offers this subprotocol."""

MAX_PARTS = 65_536
"""Most parts of one frame. The count comes from the other side, and each part is an object here."""

_V1_FIXED_PARTS = 5  # channel, header, parent_header, metadata, content
_LEGACY_KEYS = ("header", "parent_header", "metadata", "content")


def encode_v1(message: Message) -> bytes:
    """The binary frame of ``message`` in the v1 subprotocol.

    All integers are uint64 little-endian: their number N, then N offsets from the start of the
    frame (each part's start, and the end of the last one), then channel, header, parent_header,
    metadata, content and the buffers. N is 6 plus the number of buffers.
    """
    parts: list[Part] = [
        message.channel.encode(),
        message.header,
        message.parent_header,
        message.metadata,
        message.content,
        *message.buffers,
    ]
    count = len(parts) + 1
    offset = 8 * (1 + count)
    offsets = [offset]
    for part in parts:
        offset += len(part)
        offsets.append(offset)
    return b"".join([struct.pack(f"<{1 + count}Q", count, *offsets), *parts])


def decode_v1(frame: bytes) -> Message:
    """The message in a v1 frame. Its parts are views into ``frame``: nothing is copied.

    Raises:
        WireError: the offsets do not describe the frame.
    """
    if len(frame) < 8:
        raise WireError(f"A v1 frame of {len(frame)} bytes is too short for its offset count.")
    (count,) = struct.unpack_from("<Q", frame)
    if not 1 + _V1_FIXED_PARTS <= count <= MAX_PARTS or 8 * (1 + count) > len(frame):
        raise WireError(f"A v1 frame of {len(frame)} bytes can't have {count} offsets.")
    offsets = struct.unpack_from(f"<{count}Q", frame, 8)
    if offsets[0] != 8 * (1 + count) or offsets[-1] != len(frame):
        raise WireError("A v1 frame's offsets do not cover the frame.")
    if any(start > stop for start, stop in pairwise(offsets)):
        raise WireError("A v1 frame's offsets are not in order.")
    view = memoryview(frame)
    channel, header, parent, metadata, content, *buffers = (
        view[start:stop] for start, stop in pairwise(offsets)
    )
    return Message(_channel(channel), header, parent, metadata, content, tuple(buffers))


def _channel(part: Part) -> str:
    try:
        return str(part, "ascii")
    except UnicodeDecodeError as error:
        raise WireError("A v1 frame's channel is not ASCII.") from error


def encode_legacy(message: Message) -> str | bytes:
    """The frame of ``message`` for a server that selected no subprotocol.

    JSON text with a ``channel`` key; with buffers a binary frame: uint32 big-endian count and
    offsets, then the JSON, then the buffers.
    """
    fields = ", ".join(
        f'"{key}": {decode_text(part)}'
        for key, part in zip(
            _LEGACY_KEYS,
            (message.header, message.parent_header, message.metadata, message.content),
            strict=True,
        )
    )
    text = encode_text(f'{{"channel": {json.dumps(message.channel)}, {fields}, "buffers": []}}')
    if not message.buffers:
        return text.decode()
    parts: list[Part] = [text, *message.buffers]
    count = len(parts)
    offset = 4 * (1 + count)
    offsets = []
    for part in parts:
        offsets.append(offset)
        offset += len(part)
    return b"".join([struct.pack(f"!{1 + count}I", count, *offsets), *parts])


def decode_legacy(frame: str | bytes) -> Message:
    """The message in a legacy text or binary frame.

    Raises:
        WireError: the frame is neither.
    """
    if isinstance(frame, str):
        return _from_legacy_json(frame, ())
    if len(frame) < 4:
        raise WireError(f"A legacy frame of {len(frame)} bytes is too short for its count.")
    (count,) = struct.unpack_from("!I", frame)
    if not 1 <= count <= MAX_PARTS or 4 * (1 + count) > len(frame):
        raise WireError(f"A legacy frame of {len(frame)} bytes can't have {count} parts.")
    offsets = [*struct.unpack_from(f"!{count}I", frame, 4), len(frame)]
    if offsets[0] != 4 * (1 + count) or any(start > stop for start, stop in pairwise(offsets)):
        raise WireError("A legacy frame's offsets are not in order.")
    view = memoryview(frame)
    text, *buffers = (view[start:stop] for start, stop in pairwise(offsets))
    return _from_legacy_json(text, tuple(buffers))


def _from_legacy_json(text: Part | str, buffers: tuple[Part, ...]) -> Message:
    fields = decode_object(text, "legacy frame")
    parts = []
    for key in _LEGACY_KEYS:
        part = fields.get(key)
        if part is None:
            part = {}
        if not isinstance(part, dict):
            raise WireError(f"A legacy message's {key} is not a JSON object.")
        parts.append(_encode_again(part, key))
    channel = fields.get("channel")
    if not isinstance(channel, str):
        raise WireError("A legacy message has no channel.")
    header, parent_header, metadata, content = parts
    return Message(channel, header, parent_header, metadata, content, buffers)


def _encode_again(part: dict[str, Any], key: str) -> bytes:
    try:
        return encode_object(part)
    except RecursionError as error:  # reading and writing need not have the same limit
        raise WireError(f"A legacy message's {key} is nested too deeply.") from error
