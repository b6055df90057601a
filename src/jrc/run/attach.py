"""Come back to a run: see what happened since, follow it, write the notebook, end as it ends."""

import logging
import os
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jrc.errors import (
    JrcError,
    KernelDiedError,
    NotFoundError,
    UsageError,
)
from jrc.profile.paths import Paths
from jrc.recorder.journal import Journal
from jrc.run.about import About, about_from_json
from jrc.run.account import Account, Listener, Result
from jrc.run.ask import KeptPast, kept_past
from jrc.run.ending import Ending
from jrc.run.events import Notice, RunDetached, RunEvent, RunFinished, RunStarted
from jrc.run.exchange import Exchange
from jrc.run.execution import KernelEnded
from jrc.run.filling import Filling
from jrc.run.found import FoundRun, delete_journal, read_journal_of
from jrc.run.gate import Gate
from jrc.run.guarded import Guarded
from jrc.run.kernel import RemoteKernel
from jrc.run.past import PastChannels, PastKernel
from jrc.run.records import RunRecords, client_lives
from jrc.run.remote import KernelChannels, KernelControl
from jrc.run.requested import cell_request
from jrc.run.requests import Requests
from jrc.run.runner import Runner
from jrc.run.writers import Writers
from jrc.server.channels import Channels

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.run.attach")


@dataclass(frozen=True)
class AttachOptions:
    """What a person may say.

    Attributes:
        latest: do not show what happened before.
        keep_kernel: leave the kernel and the journal when the run is complete.
        patience: seconds to try to bring a lost link back.
    """

    latest: bool = False
    keep_kernel: bool = False
    patience: float = 60.0


class Attachment:
    """Follows one run to its end.

    Args:
        found: the run.
        server: where it is.
        options: how.
        listener: who is told.
        output: the file for the result; None for the one that the run was begun with, or the
            usual one.
        records: what this computer remembers of its runs.
    """

    can_be_left = True
    only_follows = True

    def __init__(
        self,
        found: FoundRun,
        server: "ServerClient",
        *,
        options: AttachOptions,
        listener: Listener,
        output: Path | None,
        records: RunRecords,
    ) -> None:
        self._found = found
        self._server = server
        self._options = options
        self._listener = Guarded(listener)
        self._output = output
        self._records = records
        self._journal: Journal | None = None
        self._told: set[RunEvent] = set()
        self._past: KeptPast | None = None
        self._shown = 0 if found.record is None else found.record.shown

    async def run(self) -> int:
        """Follow the run.

        Returns:
            the exit code: 0, or a script's own.

        Raises:
            NotFoundError: nothing is left of the run.
            UsageError: another client on this computer follows it.
            RemoteError, KernelDiedError, OutputLostError: how it ended otherwise.
            JrcError: the server or the file can't be used.
        """
        self._refuse_a_second_client()
        self._past = live = await self._lives()
        about = await self._about()
        output = self._output or self._usual_output(about)
        self._announce(about, output)
        filling = self._open(about, output)
        try:
            result = await (
                self._follow_live(about, filling) if live else self._read_past(about, filling)
            )
            if live is not None and result.status == "kernel-died" and await self._has_journal():
                # What the kernel published last may be in its journal only.
                filling.close()
                filling = self._open(about, output)
                result = await self._read_past(about, filling, result.ended)
        except BaseException:
            filling.close()
            raise
        filling.close()
        return await self._end(about, filling.result, result)

    async def interrupt(self) -> None:
        """Stop to follow; the run goes on."""

    async def leave(self) -> None:
        """Stop to follow; the run goes on."""
        self._listener.on_event(
            RunDetached(
                run=self._found.run,
                server=self._server.address.base_url,
                kernel_id=self._found.kernel_id,
                journal=None,
                attach=f"jrc attach {self._found.run}",
            )
        )

    def how_to_come_back(self) -> str | None:
        return f"The run goes on: jrc attach {self._found.run}"

    def _refuse_a_second_client(self) -> None:
        record = self._found.record
        if record is not None and record.pid != os.getpid() and client_lives(record):
            raise UsageError(
                f"The run {record.run} is followed already: by the process {record.pid} on this "
                "computer.",
                hint="Press Ctrl-C twice there to leave it.",
            )

    async def _lives(self) -> KeptPast | None:
        """What the recorder in the run's kernel has; None when there is no such recorder."""
        kernel_id = self._found.kernel_id
        return await kept_past(self._server, kernel_id, self._found.run) if kernel_id else None

    async def _about(self) -> About:
        if self._found.record is not None:
            return about_from_json(self._found.record.about)
        if not await self._has_journal():
            raise NotFoundError(
                f"The run {self._found.run} has no journal on the server: only the computer that "
                f"began it ({self._found.owner or 'not known'}) can attach to it.",
                hint="jrc runs",
            )
        assert self._journal is not None
        return about_from_json(self._journal.about)

    async def _has_journal(self) -> bool:
        """Whether there is a journal; it is read then, anew."""
        self._journal = await read_journal_of(self._server, self._found)
        return self._journal is not None

    def _usual_output(self, about: About) -> Path | None:
        record = self._found.record
        if record is not None:
            return Path(record.output) if record.output else None
        if about.document.kind != "notebook":
            return None
        return Path(f"{about.document.path.stem}.out.ipynb")

    def _open(self, about: About, output: Path | None) -> Filling:
        filling = Filling(about.document, output)
        since = None
        if self._output is None:
            since = 0.0 if self._found.record is None else self._found.record.started
        filling.open(
            self._found.run,
            Writers(Paths.from_environment().state / "writers"),
            say=lambda text: self._listener.on_event(Notice("saved", text)),
            goes_on=lambda run: self._records.find(run) is not None,
            since=since,
        )
        return filling

    def _announce(self, about: About, output: Path | None) -> None:
        self._listener.on_event(
            RunStarted(
                run=self._found.run,
                document=str(about.document.path),
                server=self._server.address.base_url,
                kernel_id=self._found.kernel_id,
                session=self._found.session_path,
                cells=len(about.requests),
                kind=about.document.kind,
                profile=self._found.profile.name,
                output=None if output is None else str(output),
            )
        )

    async def _follow_live(self, about: About, filling: Filling) -> Result:
        requests = Requests()
        kernel_id = self._found.kernel_id
        past = self._past or KeptPast()
        channels = Channels(
            self._server,
            kernel_id,
            session_id=requests.session,
            patience=self._options.patience,
        )
        await channels.open()
        try:
            runner = self._runner(
                about,
                filling,
                past,
                channels=channels,
                control=RemoteKernel(self._server, kernel_id),
                requests=requests,
            )
            result = await self._to_its_end(runner, about, filling)
            if result.status != "kernel-died" and not self._options.keep_kernel:
                await runner.forget()
            return result
        finally:
            await channels.close()

    async def _read_past(
        self, about: About, filling: Filling, ended: KernelEnded | None = None
    ) -> Result:
        if self._journal is None and not await self._has_journal():
            raise await self._nothing_left(about, filling)
        assert self._journal is not None
        messages = self._journal.messages
        past = KeptPast(
            gone=messages[0][0] - 1 if messages else 0,
            count=messages[-1][0] if messages else 0,
        )
        runner = self._runner(
            about,
            filling,
            past,
            channels=PastChannels(self._journal, ended or KernelEnded("gone")),
            control=PastKernel(),
            requests=Requests(),
        )
        return await self._to_its_end(runner, about, filling)

    async def _nothing_left(self, about: About, filling: Filling) -> JrcError:
        """The error for a run that neither a kernel nor a journal knows."""
        record = self._found.record
        if record is None or record.detached:
            return NotFoundError(
                f"Nothing is left of the run {self._found.run}: its kernel is gone, and there is "
                "no journal of it on the server.",
                hint="jrc runs",
            )
        saved = None
        if record.output:
            before = filling.take_up(Path(record.output), about.document.cells, record.run)
            saved = before.messages
        if saved is not None:
            self._keep_language(filling, None)
            filling.finished()
            filling.save()
        if not self._options.keep_kernel:
            await self._clean_up()
        return KernelDiedError(
            f"The run {record.run} has lost its kernel: it ended or was restarted, and nobody else "
            "knew what was published after the run's client had ended.",
            hint=None if saved is None else f"What arrived before is saved in {filling.path}.",
        )

    def _runner(
        self,
        about: About,
        filling: Filling,
        past: KeptPast,
        *,
        channels: KernelChannels,
        control: KernelControl,
        requests: Requests,
    ) -> Runner:
        document = about.document
        cells = document.cells[about.first :]
        requested = [
            cell_request(document, cell, allow_errors=about.allow_errors) for cell in cells
        ]
        after, kept, gone = self._begin_with(about, filling, past)
        exchange = Exchange(requests, recorded_as=self._found.run, after=after, acknowledge=False)
        exchange.questions = not isinstance(channels, PastChannels)
        filling.keep_step(self._found.run, exchange)
        seen = max(self._shown, past.count if self._options.latest else 0)
        gate = Gate(self._listener, lambda: self._is_new(exchange, seen), self._told)
        account = Account(
            requested,
            outputs=filling.outputs,
            listener=gate,
            changed=filling.changed,
            first=about.first,
            shown=[key for key, cell in enumerate(cells) if cell.index in kept],
        )
        if gone:
            account.lose(
                f"What the run published first ({gone} messages) is where it was begun"
                f" ({about.owner}), and no longer on the server."
            )
        return Runner(
            requested,
            channels=channels,
            control=control,
            requests=requests,
            exchange=exchange,
            listener=gate,
            account=account,
        )

    def _is_new(self, exchange: Exchange, seen: int) -> bool:
        if exchange.current <= seen:
            return False
        self._shown = max(self._shown, exchange.current)
        return True

    def _begin_with(
        self, about: About, filling: Filling, past: KeptPast
    ) -> tuple[int, set[int], int]:
        """Where to begin.

        Returns:
            the number of the message to begin behind; the cells whose saved outputs stay; and how
            many messages are neither saved nor on the server.
        """
        record = self._found.record
        if not past.gone or record is None or not record.output:
            return past.gone, set(), past.gone
        kept, saved = filling.take_up(Path(record.output), about.document.cells, self._found.run)
        if saved is None:
            return past.gone, set(), past.gone
        self._shown = max(self._shown, saved)
        return max(past.gone, saved), kept, max(0, past.gone - saved)

    async def _to_its_end(self, runner: Runner, about: About, filling: Filling) -> Result:
        """Follow, and save whatever arrived."""
        filling.save()
        try:
            result = await runner.resume(about.requests)
            self._keep_language(filling, result.language_info)
            filling.finished(about.document.cells[about.first :])
        finally:
            filling.save()
        return result

    def _keep_language(self, filling: Filling, told: dict[str, Any] | None) -> None:
        record = self._found.record
        known = record.language_info if record is not None else None
        filling.language_info = told or (dict(known) if known else None)

    async def _end(self, about: About, output: Path | None, result: Result) -> int:
        if not self._options.keep_kernel:
            await self._clean_up()
        ending = Ending(about.document, output, allow_loss=about.allow_loss)
        failure = ending.failure(result)
        code = ending.exit_code(result) if failure is None else failure.exit_code
        place = None if output is None else str(output)
        self._listener.on_event(
            RunFinished(self._found.run, result.status, int(code), place, result.lost)
        )
        if failure is not None:
            raise failure
        return int(code)

    async def _clean_up(self) -> None:
        """The run is over and saved: nothing of it needs to stay on the server."""
        if self._found.session_id:
            await self._tidied(self._server.delete_session(self._found.session_id))
        await self._tidied(delete_journal(self._server, self._found))
        self._records.remove(self._found.run)

    async def _tidied(self, work: Awaitable[None]) -> None:
        try:
            await work
        except JrcError as error:
            text = f"The server could not be tidied up: {error.message}"
            self._listener.on_event(Notice("kernel", text))
