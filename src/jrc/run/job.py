"""One run from the document to its end: a kernel, the cells, the file, an exit code."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jrc import shell
from jrc.errors import (
    ExitCode,
    InterruptedByUserError,
    JrcError,
    UnreachableError,
)
from jrc.kernel.session import KernelChoice, RemoteKernel, new_run_id, start_kernel
from jrc.notebook.document import Document
from jrc.notebook.language import is_python
from jrc.notebook.result_notebook import Filling
from jrc.notebook.schema import Json
from jrc.notebook.writers import Writers
from jrc.profile.owner import owner
from jrc.profile.paths import Paths
from jrc.run.events import Notice, RunDetached, RunFinished, RunStarted
from jrc.run.listeners import Guarded
from jrc.run.options import Options
from jrc.runs.records import Process, RunPlace, RunRecord, RunRecords
from jrc.startup import WHILE_A_KERNEL_STARTS, load

if TYPE_CHECKING:
    from jrc.kernel.channels import Channels
    from jrc.kernel.messages import Messages
    from jrc.run.outcome import Ending
    from jrc.run.progress import Listener, Result
    from jrc.run.protocol import Exchange
    from jrc.run.runner import Runner
    from jrc.runs.manifest import About
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.run.job")

_FAILED = ("error", "timeout", "interrupted", "cancelled", "aborted")


async def kernel_for(
    document: Document, server: "ServerClient", options: Options, run: str
) -> RemoteKernel:
    """The kernel that the options say, or a new one."""
    if options.kernel.id is not None:
        return RemoteKernel(server, options.kernel.id)
    choice = KernelChoice.of(document, options.kernel.spec)
    name = _as_text(document.path.name)
    return await start_kernel(
        server,
        choice,
        document=name,
        run=run,
        patience=options.patience,
        stays=bool(options.profile),
    )


def _as_text(name: str) -> str:
    """A file name without the lone surrogates that stand for bytes which are no UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Job:
    """One execution of a document.

    Args:
        document: what to execute; its notebook gets the outputs.
        server: where.
        options: how.
        listener: who is told.
        output: the file to save to; None to save nothing.
        records: what this computer remembers of its runs; None to remember nothing.
        deliver: called once with the result; large outputs in it can be read until it returns.

    Attributes:
        run_id: id of the run.
    """

    def __init__(
        self,
        document: Document,
        server: "ServerClient",
        *,
        options: Options,
        listener: "Listener",
        output: Path | None,
        records: RunRecords | None = None,
        deliver: Callable[[Json], None] = lambda _: None,
    ) -> None:
        self.run_id = new_run_id()
        self._deliver = deliver
        self._document = document
        self._cells = document.cells[options.cells.first :]
        self._server = server
        self._options = options
        self._listener = Guarded(listener)
        self._known_runs = records
        self._records = records if options.profile else None
        self._filling = Filling(document, output)
        if output is not None and options.cells.first:
            self._filling.take_up(output, document.cells[: options.cells.first])
        self._exchange: Exchange | None = None
        self._runner: Runner | None = None
        self._kernel: RemoteKernel | None = None
        self._keep = options.kernel.keep
        self._left: RunDetached | None = None
        self._started = time.time()
        self._start_left = options.kernel.start_timeout
        self._result_saved = False
        self._recording: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Execute the document and save what came.

        Returns:
            the exit code: 0, or a script's own.

        Raises:
            RemoteError, KernelDiedError, DeadlineError, OutputLostError,
            InterruptedByUserError: how it ended otherwise.
            JrcError: the server, the kernel or the file can't be used.
        """
        self._filling.open(
            self.run_id,
            Writers(Paths.from_environment().state / "writers"),
            say=lambda text: self._listener.on_event(Notice("saved", text)),
            goes_on=lambda run: (
                self._known_runs is not None and self._known_runs.find(run) is not None
            ),
        )
        try:
            self._filling.save()
        except BaseException:
            self._filling.close()
            raise
        try:
            result = await self._execute()
        except BaseException as error:
            # Whatever it is, a bug of ours included: what arrived is saved first.
            await self._close(error)
            raise
        self._save_result()
        self._filling.close()
        return self._ending.conclude(self.run_id, result, self._listener)

    only_follows = False

    @property
    def can_be_left(self) -> bool:
        """The run can go on without us."""
        return self._runner is not None and self._records is not None and self._runner.detachable

    async def interrupt(self) -> None:
        """Interrupt the cell that runs now, and execute no other.

        Raises:
            InterruptedByUserError: nothing runs yet.
        """
        if self._runner is None:
            raise InterruptedByUserError("Interrupted before the first cell.")
        await self._runner.interrupt()

    async def leave(self) -> None:
        """Let the run go on without us: the caller cancels ``run`` next."""
        if self._runner is None or self._kernel is None or self._left is not None:
            return
        kept = await self._runner.detach(lambda ids: self._about(ids).to_json())
        if kept.path is None or kept.reason:
            self._listener.on_event(
                Notice(
                    "unjournaled",
                    f"There is no complete journal on the server ({kept.reason}): what happens "
                    "from now on is kept as long as the kernel lives.",
                )
            )
        self._leave(kept.path)
        self._remember(self._runner.sent, detached=True)

    def how_to_come_back(self) -> str | None:
        """What to type to go on with the kernel of a run that was stopped."""
        if self._kernel is None or not self._keep:
            return None
        return f"The kernel is kept: jrc run --kernel-id {shell.quote(self._kernel.id)} FILE"

    async def _execute(self) -> "Result":
        async with self._started_kernel() as kernel:
            # Not before: it would hold up the request that starts the kernel.
            loading = asyncio.create_task(load(*WHILE_A_KERNEL_STARTS), name="load-runner")
            from jrc.kernel.channels import Channels
            from jrc.kernel.messages import Messages

            requests = Messages()
            channels = Channels(
                self._server,
                kernel.id,
                session_id=requests.session,
                patience=self._options.patience,
            )
            try:
                began = time.monotonic()
                await kernel.open(channels, start_timeout=self._options.kernel.start_timeout)
                await loading
                # A server lets clients in after a minute, also where the kernel says nothing.
                self._start_left = self._options.kernel.start_timeout - (time.monotonic() - began)
                self._runner = runner = self._make_runner(channels, kernel, requests)
                self._announce(kernel)
                result = await runner.run(self._document.prologue, self._remember)
                await self._find_true_end(result)
                self._filling.language_info = result.language_info
                self._keep = self._keep or (
                    self._options.kernel.keep_on_error and result.status in _FAILED
                )
                if self._options.cells.mark_error and result.status == "error" and result.cell:
                    self._filling.mark_error(result.cell.index)
                # Before the kernel lets go of what it recorded, and before it is deleted.
                self._save_result()
                await runner.forget()
                await self._forget_record()
                return result
            except BaseException as error:
                if isinstance(error, UnreachableError) and self.can_be_left:
                    self._leave(None)
                if self._left is None:
                    # Before the kernel is deleted.
                    self._save_result()
                raise
            finally:
                await channels.close()

    async def _find_true_end(self, result: "Result") -> None:
        if self._kernel is None or self._exchange is None or not self._exchange.run.outlives_client:
            return
        if not result.interrupted:
            return
        from jrc.run.true_end import end_with_kernel, kernel_was_ended

        if await kernel_was_ended(self._server, self._kernel.id, self.run_id):
            end_with_kernel(result)

    def _make_runner(
        self, channels: "Channels", kernel: RemoteKernel, requests: "Messages"
    ) -> "Runner":
        from jrc.kernel.deadlines import Watch
        from jrc.run.cell_requests import cell_request, request_fields
        from jrc.run.progress import Account
        from jrc.run.protocol import Exchange
        from jrc.run.runner import Runner

        requested = [
            cell_request(self._document, cell, allow_errors=self._options.cells.allow_errors)
            for cell in self._cells
        ]
        self._exchange = Exchange(
            requests,
            recorded_as=self.run_id if self._wants_recorder else None,
            fields=request_fields(self._document, len(self._cells), self._options.name),
            own_kernel=self._options.kernel.id is None,
        )
        if self._wants_recorder and self._records is not None:
            # Somebody may attach after us: what is not in the file stays in the kernel.
            self._filling.keep_step(self.run_id, self._exchange)
        # An interrupt must hit the cell that is late, and not the next one.
        timeout = self._options.cells.timeout
        one_by_one = timeout is not None and any(cell.allows_error for cell in requested)
        return Runner(
            channels=channels,
            control=kernel,
            exchange=self._exchange,
            listener=self._listener,
            account=Account(
                requested,
                outputs=self._filling.outputs,
                listener=self._listener,
                changed=self._changed,
                total=self._document.cell_count,
            ),
            watch=Watch(timeout, None if kernel.session_id is None else max(self._start_left, 1.0)),
            pipelined=self._options.pipeline and not one_by_one,
        )

    @contextlib.asynccontextmanager
    async def _started_kernel(self) -> AsyncIterator[RemoteKernel]:
        kernel = await kernel_for(self._document, self._server, self._options, self.run_id)
        self._kernel = kernel
        if kernel.notice:
            self._listener.on_event(Notice("kernel", kernel.notice))
        try:
            yield kernel
        finally:
            if not self._keep and self._left is None:
                problem = await asyncio.shield(kernel.delete())
                if problem:
                    self._listener.on_event(Notice("kernel", problem))

    @property
    def _wants_recorder(self) -> bool:
        """Only an ipykernel can have one."""
        return self._options.recorder and is_python(self._language)

    @property
    def _language(self) -> str | None:
        if self._options.kernel.language is None:
            return self._document.language
        return self._options.kernel.language

    def _announce(self, kernel: RemoteKernel) -> None:
        if self._options.recorder and not self._wants_recorder:
            from jrc.run.progress import unrecorded

            text = unrecorded(f"it is for {self._language}")
            self._listener.on_event(Notice("unrecorded", text))
        self._listener.on_event(
            RunStarted(
                run=self.run_id,
                document=str(self._document.path),
                server=self._server.address.base_url,
                kernel_id=kernel.id,
                session=kernel.session_path,
                cells=self._document.counted(self._options.cells.first),
                kind=self._document.kind,
                profile=self._options.profile,
                kernel_name=kernel.name,
                output=None if self._filling.path is None else str(self._filling.path),
            )
        )

    def _changed(self, index: int, finished: bool) -> None:
        # Behind the last cell the result is saved at once.
        is_last = index == self._cells[-1].index
        self._filling.changed(index, finished and not is_last)
        if finished and self._filling.problem:
            self._listener.on_event(Notice("saved", self._filling.problem))

    def _about(self, sent: list[str]) -> "About":
        from jrc.runs.manifest import About

        return About(
            owner=owner(),
            document=self._document,
            requests=sent,
            first=self._options.cells.first,
            allow_errors=self._options.cells.allow_errors,
            allow_loss=self._options.cells.allow_loss,
        )

    def _leave(self, journal: str | None) -> None:
        assert self._kernel is not None
        self._left = RunDetached(
            run=self.run_id,
            server=self._server.address.base_url,
            kernel_id=self._kernel.id,
            journal=journal,
            attach=f"jrc attach {self.run_id}",
        )

    def _remember(self, sent: list[str], *, detached: bool = False) -> None:
        """Note the run on this computer, in a thread: the disk may be slow."""
        if self._records is None or self._kernel is None:
            return
        record = RunRecord(
            run=self.run_id,
            place=RunPlace(
                profile=self._options.profile,
                server=self._server.address.base_url,
                kernel_id=self._kernel.id,
                session_id=self._kernel.session_id or "",
                journal="" if self._left is None else self._left.journal or "",
            ),
            output="" if self._filling.path is None else str(self._filling.path.absolute()),
            started=self._started,
            about=self._about(sent).to_json(),
            name=self._options.name,
            detached=detached,
            client=Process(os.getpid()),
            shown=0 if self._exchange is None or not detached else self._exchange.handled,
            language_info=None if self._exchange is None else self._exchange.language_info,
        )
        before = self._recording
        self._recording = asyncio.create_task(
            _save(self._records, record, before), name="run-record"
        )

    async def _forget_record(self) -> None:
        if self._recording is not None:
            await self._recording
        if self._records is not None:
            self._records.remove(self.run_id)

    async def _close(self, error: BaseException) -> None:
        """End after an error: a run that was left goes on, any other is over."""
        if self._left is None:
            self._save_result()
            await asyncio.shield(self._forget_record())
            cancelled = isinstance(error, asyncio.CancelledError | InterruptedByUserError)
            code: int = ExitCode.INTERRUPTED if cancelled else ExitCode.BUG
            if isinstance(error, JrcError):
                code = error.exit_code
            self._finish("interrupted" if cancelled else "failed", code, [])
            return
        if self._recording is not None:
            await asyncio.shield(self._recording)
        if isinstance(error, UnreachableError):
            error.hint = f"The run may go on without you. Later: {self._left.attach}"
        self._filling.save()
        self._filling.close()
        self._listener.on_event(self._left)

    def _save_result(self) -> None:
        """Save for the last time. Once: where that fails, it has said so."""
        if not self._result_saved:
            self._result_saved = True
            self._filling.finished(self._cells)
            try:
                self._filling.save()
            finally:
                self._deliver(self._filling.notebook())

    def _finish(self, status: str, code: int, lost: list[str]) -> None:
        self._save_result()
        self._filling.close()
        output = None if self._filling.result is None else str(self._filling.result)
        self._listener.on_event(RunFinished(self.run_id, status, code, output, lost))

    @property
    def _ending(self) -> "Ending":
        from jrc.run.outcome import Ending

        go_on = ""
        if self._keep and self._kernel is not None and self._document.kind != "script":
            words = ["jrc", "run", *self._options.command, "--kernel-id", self._kernel.id]
            go_on = shell.join(words)
        return Ending(
            self._document,
            self._filling.result,
            cell_timeout=self._options.cells.timeout,
            allow_loss=self._options.cells.allow_loss,
            go_on=go_on,
        )


async def _save(records: RunRecords, record: RunRecord, before: asyncio.Task[None] | None) -> None:
    if before is not None:
        await before
    try:
        await asyncio.to_thread(_save_with_client, records, record)
    except JrcError as error:
        log.warning("the run is not noted on this computer: %s", error)


def _save_with_client(records: RunRecords, record: RunRecord) -> None:
    from jrc.tunnel.processes import start_time

    me = record.client.pid
    records.save(record._replace(client=Process(me, start_time(me))))
