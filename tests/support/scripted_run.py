"""The real engine of runs on the channels of a kernel that says what a test wants."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from jrc.errors import WireError
from jrc.kernel.channels import ChannelEvent, FrameDamaged
from jrc.kernel.execution import KernelEnded
from jrc.kernel.messages import Messages
from jrc.notebook.outputs import Outputs
from jrc.run.cell_requests import CellRequest
from jrc.run.progress import Account, Listener, Result
from jrc.run.protocol import Exchange
from jrc.run.runner import Runner
from jrc.run.watch import Watch
from jrc.wire.message import Message, check_envelope
from tests.support.running import Recorder

Answer = Callable[[Message], Iterable[ChannelEvent | KernelEnded]]
"""What a kernel says to a request."""


@dataclass
class ScriptedKernel:
    """Channels and control of a kernel.

    Attributes:
        answer: what it says to a request.
        at_interrupt: what it says when it is interrupted.
        sent: the requests that came to it.
        interrupts: how often it was interrupted.
    """

    answer: Answer
    at_interrupt: Callable[[], Iterable[ChannelEvent]] = lambda: ()
    sent: list[Message] = field(default_factory=list)
    interrupts: int = 0
    received: int = 0
    _said: "asyncio.Queue[ChannelEvent | KernelEnded]" = field(default_factory=asyncio.Queue)

    async def send(self, message: Message, *, later: bool = True) -> None:
        self.sent.append(message)
        for event in self.answer(message):
            self._said.put_nowait(as_link(event))

    async def events(self) -> AsyncIterator[ChannelEvent | KernelEnded]:
        while True:
            yield await self._said.get()

    async def all_arrived(self) -> bool:
        return True

    def start_over(self) -> None:
        """It is one session for ever."""

    async def interrupt(self) -> None:
        self.interrupts += 1
        for event in self.at_interrupt():
            self._said.put_nowait(event)

    async def state(self) -> str | None:
        return "busy"

    def requests(self, msg_type: str) -> list[Message]:
        """What came to it of one kind."""
        return [message for message in self.sent if message.msg_type == msg_type]


def as_link(event: ChannelEvent | KernelEnded) -> ChannelEvent | KernelEnded:
    """What the link makes of a message whose envelope can't be read."""
    if isinstance(event, Message):
        try:
            check_envelope(event)
        except WireError as error:
            return FrameDamaged(error.message)
    return event


@dataclass
class Ran:
    """A run that has ended.

    Attributes:
        result: how.
        outputs: what its cells hold.
    """

    result: Result
    outputs: Outputs


def cells(count: int) -> list[CellRequest]:
    """So many cells, each of one line of code."""
    return [CellRequest(n, n + 1, f"cell({n})", f"cell({n})") for n in range(count)]


async def run_on(
    kernel: ScriptedKernel,
    *,
    count: int = 1,
    listener: Listener | None = None,
    recorded_as: str | None = None,
) -> Ran:
    """Run some cells on a scripted kernel, to their end."""
    outputs, listener, requested = Outputs(), listener or Recorder(), cells(count)
    account = Account(
        requested,
        outputs=outputs,
        listener=listener,
        changed=lambda index, finished: None,
        total=count,
    )
    runner = Runner(
        channels=kernel,
        control=kernel,
        exchange=Exchange(Messages(), recorded_as=recorded_as),
        account=account,
        listener=listener,
        watch=Watch(),
        pipelined=recorded_as is not None,
    )
    try:
        return Ran(await runner.run("", lambda sent: None), outputs)
    except BaseException:
        outputs.close()
        raise
