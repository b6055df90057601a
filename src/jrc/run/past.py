"""A journal in the place of a kernel that is gone."""

import asyncio
from collections.abc import AsyncIterator

from jrc.errors import NotFoundError
from jrc.recorder.journal import Journal
from jrc.wire.message import Message

_BREATH = 200


class PastChannels:
    """Gives out the messages of a journal as the channels of a kernel would.

    Behind the last one the kernel is gone, which is the truth.

    Args:
        journal: what the recorder wrote.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def send(self, message: Message) -> None:
        """Nobody is there to hear it."""

    async def events(self) -> AsyncIterator[Message]:
        """Every message.

        Raises:
            NotFoundError: that was all.
        """
        for count, (_, message) in enumerate(self._journal.messages):
            yield message
            if count % _BREATH == 0:
                await asyncio.sleep(0)
        raise NotFoundError("The kernel is gone.")


class PastKernel:
    """The control of a kernel that is gone."""

    async def interrupt(self) -> None:
        """There is nothing to interrupt."""

    async def exists(self) -> bool:
        return False
