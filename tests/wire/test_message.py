"""A message's fields: the same as jupyter_client reads, and WireError for everything else."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session

from jrc.errors import WireError
from jrc.wire.message import decode_object, encode_object, message_id
from tests.support.messages import (
    Fields,
    any_text,
    fields,
    iopub,
    json_objects,
    nested,
    undecodable_text,
)


@given(value=json_objects(any_text))
def test_an_object_comes_back_as_it_was(value: dict[str, Any]) -> None:
    """Two lone surrogates side by side are one character in JSON, so Python's own trip decides."""
    assert decode_object(encode_object(value), "content") == json.loads(json.dumps(value))


@given(value=json_objects(any_text))
def test_jupyter_client_reads_what_we_write(session: Session, value: dict[str, Any]) -> None:
    """Session's unpacker replaces what is not UTF-8: nothing of ours may need it."""
    assert session.unpack(encode_object(value)) == json.loads(json.dumps(value))


@given(message=fields(any_text))
def test_jupyter_client_deserializes_our_messages(session: Session, message: Fields) -> None:
    made = message.by_jrc()
    parts = [b"", made.header, made.parent_header, made.metadata, made.content, *made.buffers]
    theirs = session.deserialize([bytes(part) for part in parts])
    assert theirs["msg_id"] == made.msg_id
    assert theirs["msg_type"] == made.msg_type == message.msg_type
    assert theirs["header"]["session"] == "1f"
    assert theirs["content"] == made.content_fields
    assert theirs["metadata"] == made.metadata_fields
    assert [bytes(part) for part in theirs["buffers"]] == list(message.buffers)


@given(text=undecodable_text)
def test_bytes_that_python_could_not_decode_survive(session: Session, text: str) -> None:
    """jupyter_client writes surrogate escapes, as of a file name, as the bytes they stand for."""
    packed = session.pack({"name": text})
    assert decode_object(packed, "content") == {"name": text}
    assert decode_object(memoryview(packed), "content") == {"name": text}


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_outside_of_json_are_read_and_written(literal: bytes) -> None:
    """Kernels in other languages, and old ones, send them."""
    value = decode_object(b'{"x":' + literal + b"}", "content")
    assert encode_object(value) == b'{"x":' + literal + b"}"
    assert not math.isfinite(value["x"])


@given(data=st.binary(max_size=200))
def test_random_bytes_are_an_object_or_a_wire_error(data: bytes) -> None:
    try:
        value = decode_object(data, "content")
    except WireError:
        return
    assert isinstance(value, dict)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b'{"a":}',
        b"\xff\xfe{}",
        b'{"a":1}{"b":2}',
        nested(200_000),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_object_is_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError, match="content"):
        decode_object(data, "content")


def test_nesting_below_the_limit_is_read() -> None:
    depth = 200
    value: Any = iopub(nested(depth)).content_fields["a"]
    for _ in range(depth - 1):
        (value,) = value
    assert value == []


@pytest.mark.parametrize("header", [b'{"msg_id":1}', b'{"msg_id":null}', b'{"msg_id":{}}'])
def test_an_id_that_is_no_text_is_a_wire_error(header: bytes) -> None:
    message = iopub()
    broken = type(message)("iopub", header, header, b"{}", b"{}")
    with pytest.raises(WireError, match="msg_id"):
        _ = broken.msg_id
    with pytest.raises(WireError, match="msg_id"):
        _ = broken.parent_id


def test_a_message_that_nobody_asked_for_has_no_parent() -> None:
    assert iopub().parent_id == ""


def test_an_error_says_which_part_is_broken() -> None:
    """The message of the error carries no content: that may be large, or private."""
    with pytest.raises(WireError) as caught:
        _ = iopub(b'{"secret": ').content_fields
    assert "content" in caught.value.message
    assert "secret" not in caught.value.message


def test_repr_does_not_show_the_content() -> None:
    assert "hunter2" not in repr(iopub(b'{"value": "hunter2"}'))


def test_a_server_under_our_session_makes_other_ids() -> None:
    """Of jupyter_client 6, which an Enterprise Gateway has, and of this one."""
    ours = {message_id("1f", number) for number in range(3)}
    theirs = {f"1f_{number}" for number in range(3)} | {Session(session="1f").msg_id}
    assert not ours & theirs
