"""What waits to be sent to the remote kernel."""

import asyncio
from collections import deque
from dataclasses import dataclass

from jrc.wire.message import Message

USUAL_LIMIT = 10 * 2**20
"""Bytes of the largest message that a Jupyter Server takes when nobody has configured it."""

TOO_LARGE = 1009
"""With this code a websocket is closed because of a message's size (RFC 6455, section 7.4.1)."""

_LARGE = 2**20
_REFUSAL_WITHIN = 5.0  # seconds from the last byte to the server's refusal


class Outbox:
    """Two queues: control and stdin never wait behind shell. Both wait while the link is down."""

    def __init__(self) -> None:
        self._urgent: deque[Message] = deque()
        self._shell: deque[Message] = deque()
        self._filled = asyncio.Event()
        self._open = asyncio.Event()

    def put(self, message: Message) -> None:
        """Send it in its turn."""
        (self._shell if message.channel == "shell" else self._urgent).append(message)
        self._filled.set()

    def put_first(self, message: Message) -> None:
        """Send it before everything that waits."""
        self._urgent.appendleft(message)
        self._filled.set()

    def open(self) -> None:
        """The link is up."""
        self._open.set()

    def close(self) -> None:
        """The link is down: give out nothing."""
        self._open.clear()

    async def next(self) -> Message:
        """What to send next, as soon as there is something and the link is up."""
        while True:
            await self._filled.wait()
            await self._open.wait()
            queue = self._urgent or self._shell
            if queue:
                return queue.popleft()
            self._filled.clear()


@dataclass(frozen=True)
class Oversized:
    """A message that a server closed its websocket for.

    Attributes:
        msg_id: of the message.
        size: bytes of its content and buffers.
    """

    msg_id: str
    size: int


class LargeMessages:
    """Finds the message for which a server closed the link. All times are of one clock."""

    def __init__(self) -> None:
        self._last: Oversized | None = None
        self._until = 0.0

    def sending(self, message: Message) -> None:
        """A message goes out."""
        size = len(message.content) + sum(len(buffer) for buffer in message.buffers)
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
