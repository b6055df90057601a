"""What waits to be sent to the remote kernel."""

import asyncio
from collections import deque

from jrc.wire.message import Message


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
