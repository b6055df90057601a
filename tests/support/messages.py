"""Hypothesis strategies for Jupyter messages, and the reference codecs to compare with."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from jrc.wire.message import Message, encode_object, new_message

CHANNELS = ("shell", "iopub", "stdin", "control")

any_text = st.text(st.characters(), max_size=40)
"""Text as JSON escapes can spell it: lone surrogates included."""

clean_text = st.text(max_size=40)
"""Text that UTF-8 can spell."""

undecodable_text = st.text(st.characters(min_codepoint=0xDC80, max_codepoint=0xDCBF), max_size=9)
"""What Python makes of bytes that are no UTF-8; none of them in a row make a character."""

packable_text = clean_text | undecodable_text
"""Text that ``jupyter_client`` can send."""


def json_objects(text: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects of all shapes. Floats are finite: JSON has no others."""
    leaf = (
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | text
    )
    values = st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
        max_leaves=12,
    )
    return st.dictionaries(text, values, max_size=5)


@dataclass(frozen=True)
class Fields:
    """What a message says, apart from how it is framed."""

    channel: str
    msg_type: str
    content: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    parent_header: dict[str, Any] = field(default_factory=dict)
    buffers: tuple[bytes, ...] = ()

    def by_jrc(self) -> Message:
        """The message as jrc makes it."""
        return new_message(
            self.channel,
            self.msg_type,
            self.content,
            msg_id="1f_1",
            session="1f",
            username="ada",
            date="2026-11-22T19:30:00.000000Z",
            parent_header=self.parent_header,
            metadata=self.metadata,
            buffers=self.buffers,
        )

    def by_jupyter(self, session: Session) -> list[bytes]:
        """The message's parts as ``jupyter_client`` makes them.

        Returns:
            header, parent_header, metadata, content, buffers….
        """
        message = session.msg(self.msg_type, self.content, metadata=self.metadata)
        message["parent_header"] = self.parent_header
        return [*unsigned(session.serialize(message)), *self.buffers]


def fields(text: st.SearchStrategy[str]) -> st.SearchStrategy[Fields]:
    """Messages of every shape, with up to four buffers.

    Args:
        text: for keys and values, at any depth.
    """
    objects = json_objects(text)
    return st.builds(
        Fields,
        channel=st.sampled_from(CHANNELS),
        msg_type=clean_text,
        content=objects,
        metadata=objects,
        parent_header=objects,
        buffers=st.lists(st.binary(max_size=64), max_size=4).map(tuple),
    )


def unsigned(parts: list[bytes]) -> list[bytes]:
    """ZMQ parts without what stands before the header: identities, delimiter, signature."""
    return parts[parts.index(b"<IDS|MSG>") + 2 :]


def legacy_by_server(session: Session, parts: list[bytes], channel: str) -> str | bytes:
    """The legacy frame that jupyter_server makes of a message from the kernel.

    Args:
        session: whose key signs nothing.
        parts: header, parent_header, metadata, content, buffers….
        channel: where the message came from.
    """
    server: Any = SimpleNamespace(session=session)
    zmq_parts = [b"<IDS|MSG>", b"", *parts]
    frame: str | bytes = ZMQChannelsWebsocketConnection._reserialize_reply(
        server, zmq_parts, channel=channel
    )
    return frame


def nested(depth: int) -> bytes:
    """A JSON object that holds lists ``depth`` deep."""
    return b'{"a":' + b"[" * depth + b"]" * depth + b"}"


def iopub(content: bytes = b"{}") -> Message:
    """A message whose content is exactly these bytes."""
    empty = encode_object({})
    return Message("iopub", empty, empty, empty, content)
