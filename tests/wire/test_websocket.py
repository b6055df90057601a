"""Websocket frames against jupyter_server's own encoders and decoders, and against junk."""

import json
import struct
import tracemalloc
from bisect import bisect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)

from jrc.errors import WireError
from jrc.wire.message import Message
from jrc.wire.websocket import decode_legacy, decode_v1, encode_legacy, encode_v1
from tests.support.messages import (
    Fields,
    any_text,
    clean_text,
    fields,
    iopub,
    legacy_by_server,
    nested,
    packable_text,
    undecodable_text,
)


def parts_of(message: Message) -> list[bytes]:
    """Header, parent_header, metadata, content, buffers… as bytes."""
    texts = (message.header, message.parent_header, message.metadata, message.content)
    return [bytes(part) for part in (*texts, *message.buffers)]


def look_everywhere(message: Message) -> None:
    """Decode every field, as the rooms above do."""
    for name in ("header", "parent", "metadata", "content"):
        getattr(message, f"{name}_fields")
    _ = message.msg_id, message.msg_type, message.parent_id


def decode_or_refuse(decode: Callable[[Any], Message], frame: str | bytes) -> Message | None:
    """The message, or None where decoding it or looking at it gave a WireError."""
    try:
        message = decode(frame)
        look_everywhere(message)
    except WireError:
        return None
    return message


# v1


@given(message=fields(packable_text))
def test_v1_frames_equal_those_of_the_server(session: Session, message: Fields) -> None:
    parts = message.by_jupyter(session)
    theirs = serialize_msg_to_ws_v1(parts, message.channel)
    header, parent, metadata, content, *buffers = parts
    ours = Message(message.channel, header, parent, metadata, content, tuple(buffers))
    assert encode_v1(ours) == theirs


@given(message=fields(packable_text))
def test_v1_frames_of_the_server_are_read(session: Session, message: Fields) -> None:
    parts = message.by_jupyter(session)
    decoded = decode_v1(serialize_msg_to_ws_v1(parts, message.channel))
    assert decoded.channel == message.channel
    assert parts_of(decoded) == parts
    assert decoded.msg_type == message.msg_type


@given(message=fields(any_text))
def test_the_server_reads_our_v1_frames(session: Session, message: Fields) -> None:
    made = message.by_jrc()
    channel, parts = deserialize_msg_from_ws_v1(encode_v1(made))
    assert channel == message.channel
    assert parts == parts_of(made)
    assert session.deserialize([b"", *parts])["content"] == made.content_fields


def test_v1_parts_are_views_of_the_frame() -> None:
    """64 MiB in one output are not copied."""
    decoded = decode_v1(encode_v1(Message("iopub", b"{}", b"{}", b"{}", b"{}", (b"x" * 100,))))
    assert isinstance(decoded.content, memoryview)
    assert all(isinstance(part, memoryview) for part in decoded.buffers)


@given(frame=st.binary(max_size=300))
@example(b"")
@example(bytes(8))
@example(struct.pack("<Q", 2**64 - 1))
@example(struct.pack("<8Q", 6, 56, 56, 56, 56, 56, 56, 0))
@example(struct.pack("<7Q", 6, 56, 56, 56, 56, 56, 56))
def test_random_v1_frames_give_a_wire_error(frame: bytes) -> None:
    decode_or_refuse(decode_v1, frame)


@given(message=fields(any_text), data=st.data())
def test_truncated_v1_frames_give_a_wire_error(message: Fields, data: st.DataObject) -> None:
    frame = encode_v1(message.by_jrc())
    with pytest.raises(WireError):
        decode_v1(frame[: data.draw(st.integers(0, len(frame) - 1))])


@given(message=fields(any_text), data=st.data())
def test_mutated_v1_frames_give_a_message_or_a_wire_error(
    message: Fields, data: st.DataObject
) -> None:
    decode_or_refuse(decode_v1, data.draw(mutations(encode_v1(message.by_jrc()))))


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"\x06", "too short"),
        (struct.pack("<Q", 5) + bytes(48), "5 offsets"),
        (struct.pack("<Q", 2**63) + bytes(48), "offsets"),
        (struct.pack("<7Q", 6, 0, 56, 56, 56, 56, 56), "cover"),
        (struct.pack("<7Q", 6, 56, 56, 56, 56, 56, 57), "cover"),
        (struct.pack("<7Q", 6, 56, 58, 57, 57, 57, 58) + b"ab", "order"),
        (struct.pack("<7Q", 6, 56, 2**64 - 1, 57, 57, 57, 58) + b"ab", "order"),
        (struct.pack("<7Q", 6, 56, 57, 57, 57, 57, 57) + b"\xff", "channel"),
    ],
)
def test_a_refused_v1_frame_says_why(frame: bytes, why: str) -> None:
    with pytest.raises(WireError, match=why):
        decode_v1(frame)


# The legacy framing


@given(message=fields(packable_text))
def test_legacy_frames_of_the_server_are_read(session: Session, message: Fields) -> None:
    parts = message.by_jupyter(session)
    theirs = session.deserialize([b"", *parts])
    decoded = decode_legacy(legacy_by_server(session, parts, message.channel))
    assert decoded.channel == message.channel
    assert decoded.msg_id == theirs["msg_id"]
    assert decoded.content_fields == theirs["content"]
    assert decoded.metadata_fields == theirs["metadata"]
    assert parts_of(decoded)[4:] == list(message.buffers)


@given(message=fields(any_text))
def test_the_server_reads_our_legacy_frames(message: Fields) -> None:
    made = message.by_jrc()
    frame = encode_legacy(made)
    assert isinstance(frame, bytes) == bool(message.buffers)
    theirs = json.loads(frame) if isinstance(frame, str) else deserialize_binary_message(frame)
    assert theirs["channel"] == message.channel
    assert theirs["header"]["msg_id"] == made.msg_id
    assert theirs["content"] == made.content_fields
    assert theirs["metadata"] == made.metadata_fields
    assert [bytes(part) for part in theirs["buffers"]] == list(message.buffers)


@given(message=fields(clean_text))
def test_both_framings_say_the_same(message: Fields) -> None:
    made = message.by_jrc()
    assert parts_of(decode_legacy(encode_legacy(made))) == parts_of(decode_v1(encode_v1(made)))


@given(
    name=undecodable_text,
    buffers=st.sampled_from([(), (b"1",)]),
)
def test_raw_bytes_of_a_local_client_pass_through_the_legacy_framing(
    session: Session, name: str, buffers: tuple[bytes, ...]
) -> None:
    """A relay forwards content that jupyter_client packed, which need not be UTF-8."""
    packed = session.pack({"name": name})
    message = Message("shell", b"{}", b"{}", b"{}", packed, buffers)
    assert decode_legacy(encode_legacy(message)).content_fields == {"name": name}


@pytest.mark.parametrize("buffers", [(), (b"",)])
def test_lone_surrogates_and_nan_pass_the_legacy_framing(buffers: tuple[bytes, ...]) -> None:
    text = b'{"channel":"iopub","content":{"a":"\\ud800","b":NaN},"header":{},"metadata":{}}'
    frame = struct.pack("!3I", 2, 12, 12 + len(text)) + text if buffers else text.decode()
    content = decode_legacy(frame).content_fields
    assert content["a"] == "\ud800"
    assert content["b"] != content["b"]


def test_a_text_frame_with_a_raw_surrogate_is_read() -> None:
    """websockets never gives one, since it decodes UTF-8; a str may still hold it."""
    decoded = decode_legacy('{"channel":"iopub","content":{"a":"\ud800x\udc80"}}')
    assert decoded.content_fields == {"a": "\ud800x\udc80"}


@given(frame=st.binary(max_size=300) | st.text(st.characters(), max_size=100))
@example(struct.pack("!I", 2**32 - 1))
@example(struct.pack("!2I", 1, 8))
@example(struct.pack("!3I", 2, 12, 2**32 - 1))
@example("{}")
@example('{"channel": 1}')
@example('{"channel": "shell", "content": []}')
def test_random_legacy_frames_give_a_wire_error(frame: str | bytes) -> None:
    decode_or_refuse(decode_legacy, frame)


@given(message=fields(any_text), data=st.data())
def test_truncated_legacy_text_gives_a_wire_error(message: Fields, data: st.DataObject) -> None:
    frame = encode_legacy(Fields(message.channel, message.msg_type, message.content).by_jrc())
    with pytest.raises(WireError):
        decode_legacy(frame[: data.draw(st.integers(0, len(frame) - 1))])


@given(message=fields(any_text), data=st.data())
def test_mutated_legacy_frames_give_a_message_or_a_wire_error(
    message: Fields, data: st.DataObject
) -> None:
    frame = encode_legacy(message.by_jrc())
    raw = frame if isinstance(frame, bytes) else frame.encode()
    mutated = data.draw(mutations(raw))
    decode_or_refuse(decode_legacy, mutated)
    decode_or_refuse(decode_legacy, mutated.decode("utf-8", "replace"))


def test_nesting_near_the_limit_gives_a_message_or_a_wire_error() -> None:
    """The legacy framing decodes and encodes again, and Python's two limits are not the same."""
    deepest = bisect(range(200_000), 0, key=lambda depth: is_refused(nested(depth)))
    for depth in range(max(0, deepest - 60), deepest + 60):
        content = nested(depth)
        decode_or_refuse(decode_legacy, f'{{"channel":"iopub","content":{content.decode()}}}')
        decode_or_refuse(decode_v1, encode_v1(iopub(content)))


def is_refused(content: bytes) -> bool:
    """Whether a message with this content is nested too deeply to be read."""
    return decode_or_refuse(decode_v1, encode_v1(iopub(content))) is None


# Memory


@pytest.mark.parametrize("claimed", [6, 7, 1000, 2**20, 2**32, 2**63, 2**64 - 1])
def test_a_v1_frame_that_claims_much_costs_little(claimed: int) -> None:
    """Counts and offsets come from the other side: they are checked before they are believed."""
    body = struct.pack("<6Q", 56, *[2**63] * 5) + b"shell"
    assert peak_of(lambda: decode_or_refuse(decode_v1, struct.pack("<Q", claimed) + body)) < 2**16


@pytest.mark.parametrize("claimed", [1, 2, 1000, 2**20, 2**31, 2**32 - 1])
def test_a_legacy_frame_that_claims_much_costs_little(claimed: int) -> None:
    frame = struct.pack("!3I", claimed, 12, 2**31) + b'{"channel":"shell"}'
    assert peak_of(lambda: decode_or_refuse(decode_legacy, frame)) < 2**16


@pytest.mark.parametrize(("decode", "pattern"), [(decode_v1, "<Q"), (decode_legacy, "!I")])
def test_a_frame_of_nothing_but_offsets_is_refused_cheaply(
    decode: Callable[[Any], Message], pattern: str
) -> None:
    """A million empty buffers would cost thirty times the memory of their frame."""
    count = 1_000_000
    size = struct.calcsize(pattern)
    end = struct.pack(pattern, size * (1 + count))
    frame = struct.pack(pattern, count) + end * count
    assert peak_of(lambda: decode_or_refuse(decode, frame)) < 2**16


def peak_of(action: Callable[[], object]) -> int:
    """The most memory that ``action`` held at one time, in bytes."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@st.composite
def mutations(draw: st.DrawFn, frame: bytes) -> bytes:
    """``frame`` with a few bytes overwritten, removed or put in, mostly among its offsets."""
    mutated = bytearray(frame)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, min(80, len(mutated))) | st.integers(0, len(mutated)))
        removed = draw(st.integers(0, 8))
        mutated[at : at + removed] = draw(st.binary(max_size=8))
    return bytes(mutated)
