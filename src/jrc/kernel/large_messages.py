"""Messages that are too large for a server, which closes its websocket for them."""

from dataclasses import dataclass

from jrc.wire.message import Message

USUAL_LIMIT = 10 * 2**20
"""Bytes of the largest message that a Jupyter Server accepts by default."""

TOO_LARGE = 1009
"""The close code of a websocket for a message that is too large (RFC 6455, section 7.4.1)."""

_LARGE = 2**20
_REFUSAL_WITHIN = 5.0  # seconds from the last byte to the server's refusal


@dataclass(frozen=True)
class Oversized:
    """A message that was too large for the server.

    Attributes:
        msg_id: of the message.
        size: bytes of its metadata, content and buffers.
    """

    msg_id: str
    size: int

    @property
    def sentence(self) -> str:
        """For the person, to follow the name of what was sent."""
        return (
            f"The server does not take messages of {self.size / 2**20:.0f} MiB; "
            f"usually its limit is {USUAL_LIMIT // 2**20} MiB. Upload large data as a file."
        )


class LargeMessages:
    """Finds the message for which a server closed the link. All times are of one clock."""

    def __init__(self) -> None:
        self._last: Oversized | None = None
        self._until = 0.0

    def sending(self, message: Message) -> None:
        """A message goes out."""
        size = sum(map(len, (message.metadata, message.content, *message.buffers)))
        if size >= _LARGE:
            self._last, self._until = Oversized(message.msg_id, size), float("inf")

    def sent(self, now: float) -> None:
        """The last byte of that message went out."""
        self._until = min(self._until, now + _REFUSAL_WITHIN)

    def link_lost(self, code: int | None, now: float) -> Oversized | None:
        """The message that closed the link; None if something else did.

        Args:
            code: of the close frame, which may be lost; None for none.
            now: the clock.
        """
        last, self._last = self._last, None
        if last is None or now > self._until:
            return None
        return last if code == TOO_LARGE or last.size > USUAL_LIMIT else None
