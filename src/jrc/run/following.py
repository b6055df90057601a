"""What a run published: from its kernel while that lives, otherwise from its journal."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jrc.errors import NotFoundError
from jrc.kernel.channels import Channels
from jrc.kernel.execution import KernelEnded
from jrc.kernel.messages import Messages
from jrc.kernel.session import RemoteKernel
from jrc.notebook.result_notebook import Filling
from jrc.recorder.journal import Journal
from jrc.run.cell_requests import cell_request
from jrc.run.events import CellOutput, Notice, RunEvent
from jrc.run.kernel_side import JournalKernel, KernelChannels, KernelControl
from jrc.run.listeners import Gate
from jrc.run.progress import Account, Listener, Result
from jrc.run.protocol import Exchange
from jrc.run.runner import Runner
from jrc.run.timing import DEFAULT_TIMING, Timing
from jrc.run.true_end import end_with_kernel, kernel_was_ended
from jrc.run.watch import Watch
from jrc.runs.followers import Followers
from jrc.runs.lookup import FoundRun, journal_path, read_journal_at
from jrc.runs.manifest import About, about_from_json
from jrc.runs.questions import ANSWER_SECONDS, KeptPast, kept_past

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

_END_MESSAGES = 2


class How(NamedTuple):
    """How a run is followed.

    Attributes:
        latest: skip what happened before.
        patience: how long to try to restore a lost link, in seconds.
        all_again: show what an earlier client has shown, too.
        until_now: stop at the present state of the run.
        comes_again: the run stays on the server when it is complete.
        timing: the thresholds of the run.
    """

    latest: bool = False
    patience: float = 60.0
    all_again: bool = False
    until_now: bool = False
    comes_again: bool = False
    timing: Timing = DEFAULT_TIMING


class Following:
    """Follows one run, and changes nothing on the server.

    Args:
        found: the run.
        server: the server that it is on.
        how: how to follow it.
        listener: gets the events.

    Attributes:
        past: what the recorder in the run's kernel holds; None if there is no such recorder.
        path: path of the journal below the server's root; empty if there is none.
    """

    def __init__(
        self, found: FoundRun, server: "ServerClient", how: How, listener: Listener
    ) -> None:
        self.past: KeptPast | None = None
        self.path = ""
        self._found = found
        self._server = server
        self._how = how
        self._listener = listener
        self._journal: Journal | None = None
        self._shown_notices: set[RunEvent] = set()
        self._losses: list[Notice] = []
        record = found.record
        self._shown = 0 if record is None or how.all_again else record.shown

    async def locate(self) -> str:
        """Find the journal, and return its path, which ``path`` holds from now on."""
        self.path = await journal_path(self._server, self._found)
        return self.path

    async def look(self) -> About:
        """Find out the state of the run. Call ``locate`` first.

        Returns:
            the run's manifest.

        Raises:
            NotFoundError: only the computer that began the run has its manifest.
        """
        kernel_id = self._found.kernel_id
        if kernel_id:
            seconds = self._how.timing.answer or ANSWER_SECONDS
            self.past = await kept_past(self._server, kernel_id, self._found.run, seconds=seconds)
        if self._found.record is not None:
            return about_from_json(self._found.record.about, most=0)
        if not await self.has_journal() and self.path:
            raise _fetched_by_another(self._found)
        if self._journal is None:
            raise NotFoundError(
                f"The run {self._found.run} has no journal on the server: only the computer that "
                f"began it ({self._found.owner or 'not known'}) can attach to it.",
                hint="jrc runs",
            )
        return about_from_json(self._journal.about)

    async def look_as(self, followers: Followers) -> About:
        """Join the followers, then look: another client that sees the end keeps the run for us.

        Raises:
            NotFoundError: as in ``look``.
        """
        await followers.join()
        about = await self.look()
        if await followers.join():
            # The note met an outage, so other clients did not know of us when we looked.
            about = await self.look()
        return about

    async def has_journal(self) -> bool:
        """Read the journal anew; returns whether there is one."""
        self._journal = await read_journal_at(self._server, self.path)
        return self._journal is not None

    async def follow(self, about: About, fill: Callable[[], Filling]) -> Result | None:
        """Follow the run to its end, or to its present state.

        Args:
            about: the run's manifest.
            fill: makes the notebook to fill; called again if everything is read anew.

        Returns:
            how it ended; None when neither its kernel nor a journal knows.
        """
        live = self.past is not None
        if self._how.until_now and await self.has_journal():
            live = False
        filling = fill()
        try:
            result = await (
                self._follow_live(about, filling) if live else self._read_past(about, filling)
            )
            if live and (result is None or result.status == "kernel-died"):
                if not await self.has_journal():
                    return self._without_journal(result)
                # What the kernel published last may be in its journal only. Everything may be,
                # if another client saw the end first and ended the kernel.
                filling.close()
                filling = fill()
                self._losses.clear()
                ended = _deleted().ended if result is None else result.ended
                result = await self._read_past(about, filling, ended)
        finally:
            filling.close()
            for loss in self._losses:
                self._listener.on_event(loss)
        return result

    def nothing_left(self) -> NotFoundError:
        """The error for a run that has neither a kernel nor a journal."""
        if self.path:
            # The journal was there when it was located.
            return _fetched_by_another(self._found)
        return NotFoundError(
            f"Nothing is left of the run {self._found.run}: its kernel is gone, and there is no "
            "journal of it on the server.",
            hint=f"To forget it: jrc runs rm {self._found.run}",
        )

    def _without_journal(self, result: Result | None) -> Result | None:
        """The end of a run that its kernel does not know, and that has no journal any more."""
        if not self.path:
            return _deleted() if result is None else result
        # There was one. The client that deleted it has fetched the run, or removed it.
        forgotten = result is not None and result.ended == KernelEnded("forgotten")
        return None if forgotten else result

    def take_up(self, filling: Filling, about: About) -> bool:
        """Fill in what an earlier client saved; returns whether there was something."""
        record = self._found.record
        if record is None or not record.output:
            return False
        before = filling.content.take_up(Path(record.output), about.document.cells, record.run)
        self._keep_language(filling, None)
        return before.messages is not None

    async def _follow_live(self, about: About, filling: Filling) -> Result | None:
        """Follow the kernel; None if it was gone before anything came from it."""
        requests = Messages()
        kernel_id = self._found.kernel_id
        past = self.past or KeptPast()
        channels = Channels(
            self._server,
            kernel_id,
            session_id=requests.session,
            patience=self._how.patience,
            timing=self._how.timing.link,
        )
        try:
            await channels.open()
        except NotFoundError:
            # Another client has just seen the end, and deleted the kernel.
            return None
        try:
            runner, exchange = self._runner(
                about,
                filling,
                past,
                channels=channels,
                control=RemoteKernel(self._server, kernel_id),
                requests=requests,
                questions=not self._how.all_again,
            )
            following = asyncio.create_task(self._to_its_end(runner, about, filling))
            try:
                while self._how.until_now and exchange.handled < past.count:
                    if following.done():
                        break
                    await asyncio.sleep(self._how.timing.look)
                if self._how.until_now and not following.done():
                    return Result()
                result = await following
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            if result.interrupted and await kernel_was_ended(
                self._server, kernel_id, self._found.run, self._how.timing.end
            ):
                end_with_kernel(result)
            return result
        finally:
            await channels.close()

    async def _read_past(
        self, about: About, filling: Filling, ended: KernelEnded | None = None
    ) -> Result | None:
        if self._journal is None and not await self.has_journal():
            return None
        assert self._journal is not None
        messages = self._journal.messages
        if ended is None or self._journal.ended:
            ended = KernelEnded("ended" if self._journal.ended else "gone")
        past = KeptPast(
            gone=messages[0][0] - 1 if messages else 0,
            count=messages[-1][0] if messages else 0,
            over=True,
        )
        kernel = JournalKernel(self._journal, ended, self._how.timing.journal_at_once)
        runner, _ = self._runner(
            about,
            filling,
            past,
            channels=kernel,
            control=kernel,
            requests=Messages(),
            questions=False,
        )
        result = await self._to_its_end(runner, about, filling)
        if self._journal.cancelled and result.status in ("ok", "error", "kernel-died"):
            result.status = "cancelled"
        elif result.interrupted and self._journal.ended:
            end_with_kernel(result)
        return result

    def _runner(
        self,
        about: About,
        filling: Filling,
        past: KeptPast,
        *,
        channels: KernelChannels,
        control: KernelControl,
        requests: Messages,
        questions: bool,
    ) -> tuple[Runner, Exchange]:
        document = about.document
        cells = document.cells[about.first :]
        requested = [
            cell_request(document, cell, allow_errors=about.allow_errors) for cell in cells
        ]
        after, kept, gone = self._begin_with(about, filling, past)
        exchange = Exchange.taken_up(
            requests,
            self._found.run,
            about.requests,
            after=after,
            questions=questions,
            may_ask=about.may_ask,
            now=asyncio.get_running_loop().time(),
        )
        filling.keep_step(self._found.run, exchange)
        seen = max(self._shown, past.count if self._how.latest else 0)
        gate = Gate(
            self._listener, lambda: self._is_new(exchange, seen), self._shown_notices, self._losses
        )
        account = Account(
            requested,
            outputs=filling.content.outputs,
            listener=gate,
            changed=filling.changed,
            total=document.cell_count,
            shown=[key for key, cell in enumerate(cells) if cell.index in kept],
        )
        if gone:
            account.lose(
                f"The first {gone} messages of the run are no longer on the server: the computer "
                f"that began it ({about.owner}) has them."
            )
        runner = Runner(
            channels=channels,
            control=control,
            exchange=exchange,
            account=account,
            listener=gate,
            watch=Watch(timing=self._how.timing.watch),
            timing=self._how.timing,
        )
        return runner, exchange

    def _is_new(self, exchange: Exchange, seen: int) -> bool:
        if exchange.run.current <= seen:
            return False
        self._shown = max(self._shown, exchange.run.current)
        return True

    def _begin_with(
        self, about: About, filling: Filling, past: KeptPast
    ) -> tuple[int, set[int], int]:
        """Where to begin.

        Returns:
            the number of the message to begin after; the cells whose saved outputs stay; and how
            many messages are neither saved nor on the server.
        """
        record = self._found.record
        if not past.gone or record is None or not record.output:
            return past.gone, set(), past.gone
        kept, saved = filling.content.take_up(
            Path(record.output), about.document.cells, self._found.run
        )
        if saved is None:
            return past.gone, set(), past.gone
        if self._how.all_again:
            for index in sorted(kept):
                for output in filling.content.outputs.cell(index):
                    self._listener.on_event(CellOutput(index, output))
        self._shown = max(self._shown, saved)
        # If everything is saved, the last reply and its idle still show how the run ended.
        after = min(saved, past.count - _END_MESSAGES) if past.over else saved
        return max(past.gone, after), kept, max(0, past.gone - saved)

    async def _to_its_end(self, runner: Runner, about: About, filling: Filling) -> Result:
        """Follow, and save everything that arrives."""
        filling.save()
        try:
            result = await runner.resume()
            self._keep_language(filling, result.language_info)
            # A client that comes later must find in the file what only the file has.
            if not (self._how.comes_again and self.past and self.past.gone):
                filling.content.finished(about.document.cells[about.first :])
        finally:
            filling.save()
        return result

    def _keep_language(self, filling: Filling, answered: dict[str, Any] | None) -> None:
        record = self._found.record
        known = record.language_info if record is not None else None
        filling.content.language_info = answered or (dict(known) if known else None)


def _fetched_by_another(found: FoundRun) -> NotFoundError:
    """The error for a run that was on the server a moment ago."""
    return NotFoundError(
        f"Nothing is left of the run {found.run} on the server: another client has fetched it just "
        "now, or removed it.",
        hint="The client that fetched it has saved the result. See your runs: jrc runs",
    )


def _deleted() -> Result:
    """The end of a run whose kernel was deleted before it was followed."""
    result = Result()
    end_with_kernel(result, "deleted")
    return result
