"""One run from the document to its end: a kernel, the cells, the file, an exit code."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jrc import shell
from jrc.errors import AuthError, InterruptedByUserError, JrcError, UsageError
from jrc.notebook.document import Document
from jrc.notebook.language import is_python
from jrc.notebook.result_notebook import Filling
from jrc.notebook.saving import UnsavedError
from jrc.notebook.schema import Json
from jrc.run.events import Notice
from jrc.run.listeners import Guarded
from jrc.run.opening import Connection, Memory, NewRun, open_result
from jrc.run.options import Options
from jrc.runs.records import RunRecords
from jrc.startup import WHILE_A_KERNEL_STARTS, load

if TYPE_CHECKING:
    from jrc.kernel.session import RemoteKernel
    from jrc.run.outcome import Ending
    from jrc.run.progress import Listener, Result
    from jrc.run.protocol import Exchange
    from jrc.run.runner import Runner
    from jrc.server.client import ServerClient


class Job:
    """One execution of a document.

    Args:
        document: what to execute; its notebook gets the outputs.
        server: where to execute it.
        options: how to execute it.
        listener: gets the events.
        output: the file to save to; None to save nothing.
        records: what this computer remembers of its runs; None to remember nothing.
        deliver: called once with the result; large outputs in it can be read until it returns.
    """

    only_follows = False

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
        self._server = server
        self._listener = Guarded(listener)
        self._run = NewRun(document, server, options, self._listener, output)
        self._known_runs = records
        self._memory = Memory(records if options.profile else None)
        self._filling = Filling(document, output)
        if output is not None and options.cells.first:
            self._filling.content.take_up(output, document.cells[: options.cells.first])
        self._deliver = deliver
        self._delivered = False
        self._exchange: Exchange | None = None
        self._runner: Runner | None = None

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._run.run_id

    async def run(self) -> int:
        """Execute the document and save what came.

        Returns:
            the exit code: 0, or a script's own.

        Raises:
            RemoteError, KernelDiedError, DeadlineError, OutputLostError,
            InterruptedByUserError: the run failed.
            JrcError: the server, the kernel or the file can't be used.
        """
        open_result(self._filling, self.run_id, self._listener, self._known_runs)
        try:
            self._filling.save()
        except BaseException:
            self._filling.close()
            raise
        try:
            result = await self._execute()
        except BaseException as error:
            # Whatever it is, a bug of ours included: what arrived is saved first.
            await (self._end_left(error) if self._run.left else self._end_failed(error))
            raise
        self._save_result()
        self._filling.close()
        kept = self.how_to_come_back()
        if kept is not None and not result.failed:
            self._listener.on_event(Notice("kernel", kept))
        return self._ending.conclude(self.run_id, result, self._listener)

    @property
    def can_be_left(self) -> bool:
        """The run can go on without us."""
        return self._runner is not None and self._memory.remembers and self._runner.detachable

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
        if self._runner is None or self._exchange is None or self._run.left is not None:
            return
        kept = await self._runner.detach(lambda ids: self._run.about(ids).to_json())
        if kept.path is None or kept.reason:
            self._listener.on_event(
                Notice(
                    "unjournaled",
                    f"There is no complete journal on the server ({kept.reason}): what happens "
                    "from now on is kept as long as the kernel lives.",
                )
            )
        self._run.leave(kept.path)
        if self._memory.remembers:
            self._note_left(self._run.about(self._runner.sent).to_json(), kept.path)

    def how_to_come_back(self) -> str | None:
        """What to type to go on with the kernel of a run that was stopped."""
        if self._run.kernel is None or not self._run.keep_kernel:
            return None
        return f"The kernel is kept: jrc run --kernel-id {shell.quote(self._run.kernel.id)} FILE"

    def _note_left(self, about: dict[str, Any], journal: str | None) -> None:
        """Note the run, which goes on without us."""
        assert self._exchange is not None
        self._memory.note(
            self._run.record(about, journal=journal)._replace(
                detached=True,
                shown=self._exchange.handled,
                language_info=self._exchange.language_info,
            )
        )

    async def _execute(self) -> "Result":
        async with self._run.kernel_started() as kernel:
            # Not before: it would hold up the request that starts the kernel.
            loading = asyncio.create_task(load(*WHILE_A_KERNEL_STARTS), name="load-runner")
            async with self._run.connected(kernel) as connection:
                try:
                    await loading
                    self._runner = runner = self._make_runner(connection, kernel)
                    self._say_unrecorded()
                    self._run.announce(kernel)
                    result = await runner.run(self._run.document.prologue, self._remember)
                    await self._find_true_end(result, kernel)
                    self._take_in(result)
                    # Before the kernel frees what it recorded, and before it is deleted.
                    await self._save_last()
                    await runner.forget()
                    await self._memory.forget(self.run_id)
                    return result
                except BaseException as error:
                    if self._goes_on_after(error):
                        self._run.leave(None)
                    if self._run.left is None:
                        # Before the kernel is deleted.
                        await self._save_last()
                    raise

    def _goes_on_after(self, error: BaseException) -> bool:
        """Whether the kernel may have more of the run than we got before an error ended us."""
        return isinstance(error, Exception) and not self._delivered and self.can_be_left

    async def _save_last(self) -> None:
        """Save the result; a kernel that has the last copy of it stays, with the run's record.

        Raises:
            UnsavedError, UsageError: as in ``Filling.save``.
        """
        try:
            self._save_result()
        except UnsavedError as error:
            await self._keep_last_copy(error)
            raise

    async def _keep_last_copy(self, error: UnsavedError) -> None:
        kernel, runner, exchange = self._run.kernel, self._runner, self._exchange
        if kernel is None or runner is None or exchange is None:
            return
        if not (self._memory.remembers and exchange.run.outlives_client):
            return
        from jrc.runs.questions import journal_begun

        about = self._run.about(runner.sent).to_json()
        # The kernel may be culled before somebody comes.
        journal = await journal_begun(self._server, kernel.id, self.run_id, about)
        left = self._run.leave(journal)
        self._note_left(about, journal)
        where = self._server.address.base_url
        error.message += f" Its kernel on {where} stays, and has all of it."
        error.hint = f"Make room on the disk, then fetch it: {left.attach}"

    def _take_in(self, result: "Result") -> None:
        """What follows from how the cells ended, for the file and for the kernel."""
        options = self._run.options
        self._filling.content.language_info = result.language_info
        if options.kernel.keep_on_error and result.failed:
            self._run.keep_kernel = True
        if options.cells.mark_error and result.status == "error" and result.cell:
            self._filling.content.mark_error(result.cell.index)

    async def _find_true_end(self, result: "Result", kernel: "RemoteKernel") -> None:
        if self._exchange is None or not self._exchange.run.outlives_client:
            return
        if not result.interrupted:
            return
        from jrc.run.true_end import end_with_kernel, kernel_was_ended

        if await kernel_was_ended(
            self._server, kernel.id, self.run_id, self._run.options.timing.end
        ):
            end_with_kernel(result)

    def _make_runner(self, connection: Connection, kernel: "RemoteKernel") -> "Runner":
        from jrc.run.progress import Account
        from jrc.run.runner import Runner
        from jrc.run.watch import Watch

        options = self._run.options
        requested = self._run.requested()
        exchange = self._run.exchange(connection.requests, recorded=self._wants_recorder)
        self._exchange = exchange
        if self._wants_recorder and self._memory.remembers:
            # Somebody may attach after us: what is not in the file stays in the kernel.
            self._filling.keep_step(self.run_id, exchange)
        # An interrupt must hit the cell that is late, and not the next one.
        timeout = options.cells.timeout
        one_by_one = timeout is not None and any(cell.allows_error for cell in requested)
        return Runner(
            channels=connection.channels,
            control=kernel,
            exchange=exchange,
            listener=self._listener,
            account=Account(
                requested,
                outputs=self._filling.content.outputs,
                listener=self._listener,
                changed=self._changed,
                total=self._run.document.cell_count,
            ),
            watch=Watch(timeout, connection.start_left, options.timing.watch),
            pipelined=options.pipeline and not one_by_one,
            timing=options.timing,
        )

    @property
    def _wants_recorder(self) -> bool:
        """Only an ipykernel can have one."""
        return self._run.options.recorder and is_python(self._language)

    @property
    def _language(self) -> str | None:
        known = self._run.options.kernel.language
        return self._run.document.language if known is None else known

    def _say_unrecorded(self) -> None:
        """Say that a kernel of another language has no recorder."""
        if self._run.options.recorder and not self._wants_recorder:
            from jrc.run.progress import unrecorded

            text = unrecorded(f"it is for {self._language}")
            self._listener.on_event(Notice("unrecorded", text))

    def _changed(self, index: int, finished: bool) -> None:
        # Behind the last cell the result is saved at once.
        is_last = index == self._run.cells[-1].index
        self._filling.changed(index, finished and not is_last)
        if finished and self._filling.problem:
            self._listener.on_event(Notice("saved", self._filling.problem))

    def _remember(self, sent: list[str]) -> None:
        """Note the run, which can be attached to if this client is killed."""
        if self._memory.remembers:
            self._memory.note(self._run.record(self._run.about(sent).to_json()))

    async def _end_failed(self, error: BaseException) -> None:
        """End a run that an error ended."""
        try:
            self._save_result()
        finally:
            await asyncio.shield(self._memory.forget(self.run_id))
            self._filling.close()
            self._run.fail(error, self._filling.result)

    async def _end_left(self, error: BaseException) -> None:
        """End here; the run goes on."""
        left = self._run.left
        assert left is not None
        await asyncio.shield(self._memory.written())
        if isinstance(error, JrcError) and not isinstance(error, UnsavedError):
            before = f"{error.hint} " if isinstance(error, AuthError) else ""
            error.hint = f"{before}The run may go on without you. Later: {left.attach}"
        try:
            if not isinstance(error, UnsavedError):
                self._filling.save()
        except UsageError as problem:
            # The kernel has it all the same.
            self._listener.on_event(Notice("saved", problem.message))
        self._filling.close()
        self._listener.on_event(left)

    def _save_result(self) -> None:
        """Save for the last time. Once: where that fails, it has said so."""
        if not self._delivered:
            self._delivered = True
            self._filling.content.finished(self._run.cells)
            try:
                self._filling.save()
            finally:
                self._deliver(self._filling.content.notebook())

    @property
    def _ending(self) -> "Ending":
        from jrc.run.outcome import Ending

        run, go_on = self._run, ""
        if run.keep_kernel and run.kernel is not None and run.document.kind != "script":
            words = ["jrc", "run", *run.options.command, "--kernel-id", run.kernel.id]
            go_on = shell.join(words)
        return Ending(
            run.document,
            self._filling.result,
            cell_timeout=run.options.cells.timeout,
            allow_loss=run.options.cells.allow_loss,
            go_on=go_on,
        )
