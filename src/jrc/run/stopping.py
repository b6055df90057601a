"""What ends a run before its last cell, and how the code that runs is stopped."""

import asyncio
from contextlib import suppress

from jrc.errors import JrcError
from jrc.kernel.execution import Finished
from jrc.run.cell_requests import CellRequest
from jrc.run.kernel_side import KernelControl
from jrc.run.outbox import Outbox
from jrc.run.progress import Account
from jrc.run.protocol import Exchange


class Stops:
    """Why a run ends before its last cell, as far as that is known.

    Attributes:
        given_up: nothing more is expected of the kernel.
        interrupted: the user of this client interrupted it.
        cancelled: the kernel said that somebody cancelled the run.
        aborted: the first cell that the kernel did not begin.
    """

    def __init__(self) -> None:
        self.given_up = False
        self.interrupted = False
        self.cancelled = False
        self.aborted: CellRequest | None = None
        self._late: set[int] = set()
        self._stopped_late = False

    def timed_out(self, key: int, *, goes_on: bool) -> None:
        """The time of a cell is up.

        Args:
            key: of the cell.
            goes_on: the next cell is executed all the same.
        """
        self._late.add(key)
        self._stopped_late = self._stopped_late or not goes_on

    def let_it_go_on(self, *, all_sent: bool) -> bool:
        """Whether the kernel will execute the cells behind this one."""
        return not self._stopped_late and (not self.interrupted or all_sent)

    def status_of(self, event: Finished, cell: CellRequest) -> str:
        """How a cell ended, whatever it made of an interrupt: it may have caught it."""
        if event.key in self._late:
            return "timeout"
        if event.status == "error" and (self.interrupted or self.cancelled):
            return "interrupted"
        return "ok" if cell.exits(event.reply) else event.status

    def conclude(self, account: Account) -> None:
        """Note in the account what no cell shows."""
        if self.interrupted:
            account.stop("interrupted", None)
        if self.aborted is not None:
            account.stop("aborted", self.aborted)
        if self.cancelled and not (self.interrupted or self._late):
            account.was_cancelled()


class Interrupter:
    """Stops the code that a kernel executes.

    Args:
        control: interrupts.
        exchange: makes the kernel begin no other cell.
        outbox: sends that.
        account: notices what does not work.
        seconds: for the kernel to take in that no other cell may begin.
    """

    def __init__(
        self,
        control: KernelControl,
        exchange: Exchange,
        outbox: Outbox,
        account: Account,
        seconds: float,
    ) -> None:
        self._control = control
        self._exchange = exchange
        self._outbox = outbox
        self._account = account
        self._seconds = seconds
        self._cancel_taken = asyncio.Event()

    def cancel_taken(self) -> None:
        """The kernel will begin no other cell."""
        self._cancel_taken.set()

    async def stop_all(self) -> None:
        """Interrupt the cell that runs, and let no other begin."""
        self._outbox.drop()
        cancel = self._exchange.run.cancel()
        self._cancel_taken.clear()
        await self._outbox.send(cancel)
        if cancel:
            # The interrupt takes another way. If it arrived first, a cell that catches it would
            # end, and the next one would begin.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._cancel_taken.wait()
        await self._interrupt()

    async def stop_one(self) -> None:
        """Interrupt the cell that runs; the next one goes out when this can't hit it any more."""
        async with self._outbox.held():
            await self._interrupt()

    async def _interrupt(self) -> None:
        try:
            await self._control.interrupt()
        except JrcError as error:
            text = f"The interrupt did not reach the kernel: {error.message}"
            self._account.notice("interrupted", text)
