"""Messages in ZMQ frames: identities, delimiter, signature, then the message's own parts.

Source: jupyter_client "Messaging in Jupyter", section "The Wire Protocol".
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jrc.errors import ConfigError, WireError
from jrc.wire.message import Message, Part

DELIMITER = b"<IDS|MSG>"
"""Stands between the identities that a ROUTER socket puts in front and the message."""

MAX_PARTS = 65_536
"""Most frames of one message. Each frame is an object here, and the other side chooses how many."""

_SIGNED_PARTS = 4  # header, parent_header, metadata, content; never the buffers


class Signer:
    """Signs messages with the key of a connection file.

    Args:
        key: the shared secret; empty for messages without a signature.
        scheme: ``hmac-`` and the name of a hash function.

    Raises:
        ConfigError: there is no such scheme.
    """

    def __init__(self, key: bytes, scheme: str = "hmac-sha256") -> None:
        family, _, digest = scheme.partition("-")
        if family != "hmac" or digest not in hashlib.algorithms_available:
            raise ConfigError(f"The connection file's signature scheme {scheme!r} is not known.")
        try:
            self._keyed = hmac.new(key, digestmod=digest) if key else None
        except (ValueError, TypeError) as error:  # shake_128: a hash, but without a fixed length
            raise ConfigError(
                f"The connection file's signature scheme {scheme!r} can't sign."
            ) from error

    def __repr__(self) -> str:
        return f"Signer({'unsigned' if self._keyed is None else self._keyed.name})"

    def sign(self, parts: Iterable[Part]) -> bytes:
        """The signature of a message.

        Args:
            parts: header, parent_header, metadata, content.

        Returns:
            lower-case hex digits; nothing when there is no key.
        """
        if self._keyed is None:
            return b""
        digest = self._keyed.copy()
        for part in parts:
            digest.update(part)
        return digest.hexdigest().encode()

    def verify(self, signature: Part, parts: Iterable[Part]) -> bool:
        """Whether the signature is that of the parts. Takes the same time for each wrong one."""
        return self._keyed is None or hmac.compare_digest(self.sign(parts), signature)


@dataclass(frozen=True)
class Addressed:
    """A message with the way back to who sent it.

    Attributes:
        identities: the frames that a ROUTER socket needs in front of an answer.
        message: what was sent.
    """

    identities: tuple[bytes, ...]
    message: Message


def encode_zmq(message: Message, front: Iterable[bytes], signer: Signer) -> list[Part]:
    """The frames of a message.

    Args:
        message: what to send.
        front: the identities of the receiver; on iopub the topic.
        signer: has the key that the receiver has.
    """
    parts = (message.header, message.parent_header, message.metadata, message.content)
    return [*front, DELIMITER, signer.sign(parts), *parts, *message.buffers]


def decode_zmq(channel: str, frames: Sequence[bytes], signer: Signer) -> Addressed:
    """The message in the frames that a ROUTER socket received.

    Args:
        channel: the socket's name: ``shell``, ``control`` or ``stdin``.
        frames: identities, delimiter, signature, header, parent_header, metadata, content, buffers.
        signer: has the key that the sender should have.

    Raises:
        WireError: the frames are no message, or the signature is wrong.
    """
    if len(frames) > MAX_PARTS:
        raise WireError(f"A message on {channel} has {len(frames)} frames.")
    try:
        split = frames.index(DELIMITER)
    except ValueError as error:
        raise WireError(f"{len(frames)} frames on {channel} have no delimiter.") from error
    signature, parts = frames[split + 1 : split + 2], frames[split + 2 :]
    if len(parts) < _SIGNED_PARTS:
        raise WireError(f"A message on {channel} has only {len(parts)} parts.")
    if not signer.verify(signature[0], parts[:_SIGNED_PARTS]):
        raise WireError(f"A message on {channel} has a wrong signature.")
    header, parent, metadata, content, *buffers = parts
    message = Message(channel, header, parent, metadata, content, tuple(buffers))
    return Addressed(tuple(frames[:split]), message)
