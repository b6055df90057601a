"""A journal in the place of a kernel that is gone."""

import asyncio
from collections.abc import AsyncIterator

from jrc.kernel.execution import KernelEnded
from jrc.recorder.journal import Journal
from jrc.wire.message import Message

_BREATH = 200


class PastChannels:
    """Gives out the messages of a journal as the channels of a kernel would.

    Args:
        journal: what the recorder wrote.
        ended: what became of the kernel.
    """

    received = 0

    def __init__(self, journal: Journal, ended: KernelEnded) -> None:
        self._journal = journal
        self._ended = ended

    async def send(self, message: Message, *, later: bool = True) -> None:
        """Nobody is there to hear it."""

    async def all_arrived(self) -> bool:
        """There is nothing that could."""
        return True

    def start_over(self) -> None:
        """It can't say more than it does."""

    async def events(self) -> AsyncIterator[Message | KernelEnded]:
        """Every message, and behind the last one the end of the kernel."""
        for count, (_, message) in enumerate(self._journal.messages):
            yield message
            if count % _BREATH == 0:
                await asyncio.sleep(0)
        yield self._ended


class PastKernel:
    """The control of a kernel that is gone."""

    async def interrupt(self) -> None:
        """There is nothing to interrupt."""

    async def state(self) -> str | None:
        return None
