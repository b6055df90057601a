"""Messages that are too large for a server, which closes its websocket for them."""

from dataclasses import dataclass

from jrc.wire.message import Message

USUAL_LIMIT = 10 * 2**20
"""Bytes of the largest message that a Jupyter Server takes when nobody has configured it."""

TOO_LARGE = 1009
"""With this code a websocket is closed because of a message's size (RFC 6455, section 7.4.1)."""

_LARGE = 2**20
_REFUSAL_WITHIN = 5.0  # seconds from the last byte to the server's refusal


@dataclass(frozen=True)
class Oversized:
    """A message that a server closed its websocket for.

    Attributes:
        msg_id: of the message.
        size: bytes of its metadata, content and buffers.
    """

    msg_id: str
    size: int

    @property
    def sentence(self) -> str:
        """What to tell the person; it fits behind the name of what was sent."""
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
        """The last byte of it went out."""
        self._until = min(self._until, now + _REFUSAL_WITHIN)

    def link_lost(self, code: int | None, now: float) -> Oversized | None:
        """The message that did it; None when it was something else.

        Args:
            code: with which the websocket was closed. It may be lost behind what we still sent.
            now: the clock.
        """
        last, self._last = self._last, None
        if last is None or now > self._until:
            return None
        return last if code == TOO_LARGE or last.size > USUAL_LIMIT else None
