"""What goes to the kernel: the cells in their order, and what the exchange asks."""

import asyncio
import bisect
from collections.abc import Callable, Iterable, Sequence

from jrc.errors import ConfigError
from jrc.kernel.channels import LinkLost
from jrc.kernel.large_messages import LargeMessages
from jrc.run.cell_requests import CellRequest
from jrc.run.kernel_side import KernelChannels
from jrc.run.protocol import Exchange
from jrc.wire.message import Message


class Outbox:
    """The cells of one run that still wait, and the way of every message to the kernel.

    Args:
        cells: in order.
        channels: open channels of the kernel.
        exchange: makes the requests.
        pipelined: send all cells at once, if there is a recorder to guard them.
        can_answer: a person is there whom code may ask.
        number: what a person calls a cell.
    """

    def __init__(
        self,
        cells: Sequence[CellRequest],
        *,
        channels: KernelChannels,
        exchange: Exchange,
        pipelined: bool,
        can_answer: bool,
        number: Callable[[int], int],
    ) -> None:
        self._cells = cells
        self._number = number
        self._leaving = False
        self._channels = channels
        self._exchange = exchange
        self._pipelined = pipelined
        self._can_answer = can_answer
        self._waiting = list(range(len(cells)))
        self._large = LargeMessages()
        # Cells go out in their order, also where a link comes back while they do.
        self._in_order = asyncio.Lock()

    @property
    def waiting(self) -> bool:
        """Cells have not been sent yet."""
        return bool(self._waiting)

    def drop(self) -> None:
        """No other cell goes out."""
        self._waiting.clear()

    def held(self) -> asyncio.Lock:
        """No cell goes out as long as this is held."""
        return self._in_order

    async def send(self, messages: Iterable[Message]) -> None:
        """Send messages; those that the exchange repeats by itself wait for no link."""
        for message in messages:
            self._large.sending(message)
            await self._channels.send(message, later=not self._exchange.run.comes_again(message))
            self._large.sent(asyncio.get_running_loop().time())

    def check_size(self, lost: LinkLost) -> None:
        """Find out whether the link was lost because of what was sent.

        Raises:
            ConfigError: a message was too large for the server, and would be each time.
        """
        oversized = self._large.link_lost(lost.code, asyncio.get_running_loop().time())
        if oversized is None:
            return
        keys = [key for key, msg_id in self._exchange.sent.items() if msg_id == oversized.msg_id]
        what = f"The code of cell {self._number(keys[0])} is too large. " if keys else ""
        raise ConfigError(what + oversized.sentence)

    async def send_again(self, messages: Callable[[], Iterable[Message]]) -> None:
        """Repeat what the kernel may have missed, before any cell that was not sent yet.

        Args:
            messages: tells what to repeat when its turn has come.
        """
        async with self._in_order:
            await self.send(messages())

    async def send_cells(self) -> None:
        """Send all cells where a recorder guards them, else one, if none is under way."""
        async with self._in_order:
            while self._waiting and (self._together or not self._exchange.pending):
                await self.send([self._request(self._waiting.pop(0))])

    async def send_all_cells(self) -> None:
        """Send all cells behind the recorder, also in a run that went cell by cell."""
        self._leaving = True
        await self.send_cells()

    async def put_back(self, key: int) -> None:
        """Send the cells again from one on that the kernel refused.

        Args:
            key: of the cell.
        """
        bisect.insort(self._waiting, key)
        await self.send_cells()

    @property
    def _together(self) -> bool:
        may_go = self._leaving or self._pipelined
        return may_go and self._exchange.run.goes_ahead(unattended=self._leaving)

    def _request(self, key: int) -> Message:
        return self._exchange.run.execute(
            key,
            self._cells[key],
            allow_stdin=self._can_answer,
            now=asyncio.get_running_loop().time(),
            ahead=self._together and not self._leaving,
        )
