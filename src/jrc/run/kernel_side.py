"""What a run needs of its kernel, be it a living one or its journal."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from jrc.kernel.channels import ChannelEvent
from jrc.kernel.execution import KernelEnded
from jrc.wire.message import Message, is_readable

if TYPE_CHECKING:
    from jrc.recorder.journal import Journal


class MessageDamaged(NamedTuple):
    """A journal has a message that can't be read.

    Attributes:
        number: of the message in its run.
    """

    number: int


KernelEvent = ChannelEvent | KernelEnded | MessageDamaged


class KernelChannels(Protocol):
    """What the runner needs of ``kernel.channels.Channels``."""

    @property
    def received(self) -> int: ...

    async def all_arrived(self) -> bool: ...

    async def send(self, message: Message, *, later: bool = True) -> None: ...

    def events(self) -> AsyncIterator["KernelEvent"]: ...

    def start_over(self) -> None: ...


class KernelControl(Protocol):
    """What the runner needs of the server's REST interface, for its one kernel."""

    async def interrupt(self) -> None: ...

    async def state(self) -> str | None: ...


class JournalKernel:
    """A journal instead of a kernel that is gone: its channels and its control.

    Args:
        journal: what the recorder wrote.
        ended: what became of the kernel.
        at_once: how many messages are read before other tasks have their turn.
    """

    received = 0

    def __init__(self, journal: "Journal", ended: KernelEnded, at_once: int) -> None:
        self._journal = journal
        self._at_once = at_once
        self._ended = ended

    async def send(self, message: Message, *, later: bool = True) -> None:
        """Nothing is sent: the kernel is gone."""

    async def all_arrived(self) -> bool:
        """Nothing is on its way."""
        return True

    def start_over(self) -> None:
        """There is no session to replace."""

    async def events(self) -> AsyncIterator[KernelEvent]:
        """Every message, and after the last one the end of the kernel."""
        for count, (number, message) in enumerate(self._journal.messages):
            if message is None or not is_readable(message):
                yield MessageDamaged(number)
            else:
                yield message
            if count % self._at_once == 0:
                await asyncio.sleep(0)
        yield self._ended

    async def interrupt(self) -> None:
        """There is nothing to interrupt."""

    async def state(self) -> str | None:
        """Busy: the end of the kernel comes after its messages, and must not be found earlier."""
        return "busy"
