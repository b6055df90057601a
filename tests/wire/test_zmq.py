"""ZMQ frames against jupyter_client's Session, and against junk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session

from jrc.errors import ConfigError, WireError
from jrc.wire.message import Message
from jrc.wire.zmq import Addressed, Signer, decode_zmq, encode_zmq
from tests.support.messages import Fields, any_text, fields, packable_text, unsigned

SCHEMES = ("hmac-sha256", "hmac-sha512", "hmac-sha1")

keys = st.binary(min_size=1, max_size=80)
identities = st.lists(
    st.binary(max_size=20).filter(lambda frame: frame != b"<IDS|MSG>"), max_size=3
).map(tuple)


def parts_of(message: Message) -> list[bytes]:
    texts = (message.header, message.parent_header, message.metadata, message.content)
    return [bytes(part) for part in (*texts, *message.buffers)]


def signed_by_jupyter(
    message: Fields, front: tuple[bytes, ...], key: bytes, scheme: str
) -> list[bytes]:
    session = Session(key=key, signature_scheme=scheme, check_pid=False)
    made = session.msg(message.msg_type, message.content, metadata=message.metadata)
    made["parent_header"] = message.parent_header
    return [*session.serialize(made, ident=list(front)), *message.buffers]


@given(message=fields(packable_text), front=identities, key=keys, scheme=st.sampled_from(SCHEMES))
def test_frames_of_jupyter_client_are_read(
    message: Fields, front: tuple[bytes, ...], key: bytes, scheme: str
) -> None:
    frames = signed_by_jupyter(message, front, key, scheme)
    addressed = decode_zmq(message.channel, frames, Signer(key, scheme))
    assert addressed.identities == front
    assert addressed.message.channel == message.channel
    assert parts_of(addressed.message) == unsigned(frames)


@given(message=fields(any_text), front=identities, key=keys, scheme=st.sampled_from(SCHEMES))
def test_jupyter_client_reads_our_frames(
    message: Fields, front: tuple[bytes, ...], key: bytes, scheme: str
) -> None:
    frames = encode_zmq(message.by_jrc(), front, Signer(key, scheme))
    session = Session(key=key, signature_scheme=scheme, check_pid=False)
    found, parts = session.feed_identities([bytes(frame) for frame in frames])
    read = session.deserialize(parts)
    assert tuple(found) == front
    assert read["msg_type"] == message.msg_type
    assert read["content"] == message.content
    assert read["metadata"] == message.metadata
    assert read["buffers"] == list(message.buffers)


@given(message=fields(any_text), front=identities, key=st.binary(max_size=40))
def test_what_is_encoded_is_decoded(message: Fields, front: tuple[bytes, ...], key: bytes) -> None:
    signer, sent = Signer(key), message.by_jrc()
    frames = [bytes(frame) for frame in encode_zmq(sent, front, signer)]
    addressed = decode_zmq(message.channel, frames, signer)
    assert addressed.identities == front
    assert parts_of(addressed.message) == parts_of(sent)


@given(message=fields(packable_text), key=keys, other=keys)
def test_a_wrong_key_is_refused(message: Fields, key: bytes, other: bytes) -> None:
    # HMAC fills a short key up with zeros.
    if key.rstrip(b"\0") == other.rstrip(b"\0"):
        other += b"x"
    frames = signed_by_jupyter(message, (b"client",), key, "hmac-sha256")
    with pytest.raises(WireError, match="wrong signature"):
        decode_zmq("shell", frames, Signer(other))


@given(message=fields(packable_text), data=st.data())
def test_a_changed_part_is_refused(message: Fields, data: st.DataObject) -> None:
    frames = signed_by_jupyter(message, (), b"key", "hmac-sha256")
    index = data.draw(st.integers(1, 5), "signature, header, parent_header, metadata or content")
    frames[index] += b" "
    with pytest.raises(WireError, match="wrong signature"):
        decode_zmq("shell", frames, Signer(b"key"))


def test_no_signature_is_a_wrong_one() -> None:
    frames = [b"<IDS|MSG>", b"", b"{}", b"{}", b"{}", b"{}"]
    with pytest.raises(WireError, match="wrong signature"):
        decode_zmq("shell", frames, Signer(b"key"))
    assert decode_zmq("shell", frames, Signer(b"")).identities == ()


@given(frames=st.lists(st.binary(max_size=30) | st.just(b"<IDS|MSG>"), max_size=12))
def test_junk_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(WireError):
        decode_zmq("shell", frames, Signer(b"key"))


@given(frames=st.lists(st.binary(max_size=30) | st.just(b"<IDS|MSG>"), max_size=12))
def test_junk_without_a_key_is_a_message_or_refused(frames: list[bytes]) -> None:
    try:
        addressed = decode_zmq("shell", frames, Signer(b""))
    except WireError:
        return
    assert isinstance(addressed, Addressed)
    assert frames[len(addressed.identities)] == b"<IDS|MSG>"


def test_too_many_frames_are_refused() -> None:
    with pytest.raises(WireError, match="70000 frames"):
        decode_zmq("shell", [b""] * 70_000, Signer(b""))


@pytest.mark.parametrize("scheme", ["sha256", "hmac-", "hmac-nothing", "hmac-shake_128", ""])
def test_an_unknown_scheme_is_refused(scheme: str) -> None:
    with pytest.raises(ConfigError, match="signature scheme"):
        Signer(b"key", scheme)


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(Signer(b"secret"))
