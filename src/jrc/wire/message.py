"""One Jupyter message, kept as the bytes it travelled in.

Source: jupyter_client "Messaging in Jupyter", sections "General Message Format" and
"The Wire Protocol".
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jrc.errors import WireError
from jrc.shapes import NotJsonError, parse

PROTOCOL_VERSION = "5.3"

DEEPEST_MESSAGE = 900
"""How deep the JSON of a message may be nested: deeper than that of a notebook, so that a value in
an output which no notebook can hold is still known, and put there as text."""

CHANNELS = frozenset({"shell", "iopub", "stdin", "control"})
"""The channels of a kernel that carry messages."""

Part = bytes | memoryview
"""One frame of a message; a view when it is a slice of a larger received buffer."""


def decode_object(part: Part | str, what: str) -> dict[str, Any]:
    """The JSON object in one frame.

    Args:
        part: JSON, as UTF-8 or as text.
        what: the frame's name, for the error message.

    Raises:
        WireError: the bytes are not a JSON object.
    """
    try:
        text = part if isinstance(part, str) else decode_text(part)
        value = parse(text, levels=DEEPEST_MESSAGE)
    except NotJsonError as error:
        raise WireError(f"A message's {what} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise WireError(f"A message's {what} is not a JSON object but {type(value).__name__}.")
    return value


def decode_text(part: Part) -> str:
    """The text of a frame; bytes that are not UTF-8 become surrogate escapes.

    Kernels send such bytes: jupyter_client packs with ``surrogateescape``.
    """
    # str() decodes straight from the view: no intermediate copy of a large content.
    return str(part, "utf-8", "surrogateescape")


def encode_text(json_text: str) -> bytes:
    """JSON text as UTF-8, its lone surrogates as ``\\u`` escapes so that it always decodes."""
    # Python and JSON spell the escape of a surrogate alike, and JSON allows it inside strings,
    # the only place where JSON text has surrogates.
    return json_text.encode("utf-8", "backslashreplace")


def encode_object(value: dict[str, Any]) -> bytes:
    """Compact UTF-8 JSON."""
    return encode_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


@dataclass(frozen=True, eq=False)
class Message:
    """A message on a channel, decoded no further than somebody looks.

    Attributes:
        channel: ``shell``, ``iopub``, ``stdin`` or ``control``.
        header, parent_header, metadata, content: JSON objects as UTF-8 bytes.
        buffers: raw binary frames.
    """

    channel: str
    header: Part
    parent_header: Part
    metadata: Part
    content: Part = field(repr=False)
    buffers: Sequence[Part] = field(default=(), repr=False)

    @cached_property
    def header_fields(self) -> dict[str, Any]:
        return decode_object(self.header, "header")

    @cached_property
    def parent_fields(self) -> dict[str, Any]:
        return decode_object(self.parent_header, "parent_header")

    @cached_property
    def metadata_fields(self) -> dict[str, Any]:
        return decode_object(self.metadata, "metadata")

    @cached_property
    def content_fields(self) -> dict[str, Any]:
        return decode_object(self.content, "content")

    @property
    def msg_id(self) -> str:
        return _text(self.header_fields, "msg_id")

    @property
    def msg_type(self) -> str:
        return _text(self.header_fields, "msg_type")

    @property
    def parent_id(self) -> str:
        """``parent_header.msg_id``, empty for a message that nobody asked for."""
        return _text(self.parent_fields, "msg_id")


def check_envelope(message: Message) -> None:
    """Make sure that all of a message but its content can be read.

    Raises:
        WireError: it can't, or it names no channel.
    """
    if message.channel not in CHANNELS:
        raise WireError(f"A message is for the channel {message.channel[:20]!r}: there is none.")
    _ = (message.msg_id, message.msg_type, message.parent_id, message.metadata_fields)


def is_readable(message: Message, *, content: bool = True) -> bool:
    """Whether a message can be read: all of it, or its ``content`` left out."""
    try:
        check_envelope(message)
        if content:
            _ = message.content_fields
    except WireError:
        return False
    return True


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise WireError(f"A message's {key} is not a string but {type(value).__name__}.")
    return value


def are_lost(count: int) -> str:
    """How a sentence begins about so many messages that do not arrive."""
    return "1 message is lost" if count == 1 else f"{count} messages are lost"


_LIMIT_NOTICES = ("IOPub data rate exceeded", "IOPub message rate exceeded")
_LONGEST_NOTICE = 4096


def limit_notice(message: Message) -> str | None:
    """The first line of what a server writes to stderr when it begins to drop output.

    None for any other message.

    Source: jupyter_server ``services/kernels/connection/channels.py``, ``_limit_rate``.
    """
    if message.msg_type != "stream" or len(message.content) > _LONGEST_NOTICE:
        return None
    content = message.content_fields
    if content.get("name") != "stderr":
        return None
    text = str(content.get("text", "")).strip()
    return text.splitlines()[0] if text.startswith(_LIMIT_NOTICES) else None


def message_id(session: str, number: int) -> str:
    """The id of a message, which no server makes for a message of its own.

    A server asks the kernel whether it lives under the session id of our websocket, and the answers
    come to us too: those to ``<session>_<number>`` (jupyter_client 6) or
    ``<session>_<process>_<number>`` (later ones).

    Args:
        session: of the client.
        number: counts its messages.

    Source: jupyter_client ``session.py``; jupyter_server 1 ``nudge`` in ``kernels/handlers.py``.
    """
    return f"{session}-{number}"


def new_message(
    channel: str,
    msg_type: str,
    content: dict[str, Any],
    *,
    msg_id: str,
    session: str,
    username: str,
    date: str,
    parent_header: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    buffers: Sequence[Part] = (),
) -> Message:
    """A message of our own.

    Args:
        channel: the channel to send it on.
        msg_type: for example ``execute_request``.
        content: the message's own fields.
        msg_id: unique; everything that answers it carries it as ``parent_header.msg_id``.
        session: hex id of this client; the same for all its messages.
        username: who asks.
        date: ISO 8601, in UTC.
        parent_header: header of the message that this one answers.
        metadata: what is neither header nor content.
        buffers: raw binary frames.
    """
    header = {
        "msg_id": msg_id,
        "msg_type": msg_type,
        "session": session,
        "username": username,
        "date": date,
        "version": PROTOCOL_VERSION,
    }
    return Message(
        channel=channel,
        header=encode_object(header),
        parent_header=encode_object(parent_header or {}),
        metadata=encode_object(metadata or {}),
        content=encode_object(content),
        buffers=buffers,
    )
