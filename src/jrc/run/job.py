"""One run from the document to its end: a kernel, the cells, the file, an exit code."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jrc.errors import (
    DeadlineError,
    ExitCode,
    InterruptedByUserError,
    JrcError,
    KernelDiedError,
    NotFoundError,
    OutputLostError,
    RemoteError,
)
from jrc.run.account import CellRequest, Listener, Result
from jrc.run.document import Cell, Document
from jrc.run.events import Notice, RunFinished, RunStarted
from jrc.run.failure import error_sentence, failing_line
from jrc.run.kernel import KernelChoice, RemoteKernel, new_run_id, start_kernel
from jrc.run.outputs import Outputs
from jrc.run.requests import Requests
from jrc.run.runner import Runner
from jrc.run.saving import Saver
from jrc.run.script import EXIT_EXPRESSIONS, exit_code_from_reply
from jrc.server.channels import Channels

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.run.job")


@dataclass(frozen=True)
class Options:
    """What a person may say about a run.

    Attributes:
        kernel: kernelspec to start; None for what the document says, then the server's default.
        kernel_id: a running kernel to use instead.
        keep_kernel: do not delete the kernel at the end.
        cell_timeout: seconds for one cell.
        allow_errors: go on after a cell that failed.
        allow_loss: lost output does not make the exit code non-zero.
        patience: seconds to try to bring a lost link back.
        recorder: let a recorder in the kernel keep what is published until it arrived.
        pipeline: send all cells at once.
    """

    kernel: str | None = None
    kernel_id: str | None = None
    keep_kernel: bool = False
    cell_timeout: float | None = None
    allow_errors: bool = False
    allow_loss: bool = False
    patience: float = 60.0
    recorder: bool = True
    pipeline: bool = True


class Job:
    """One execution of a document.

    Args:
        document: what to execute; its notebook gets the outputs.
        server: where.
        options: how.
        listener: who is told.
        output: the file to save to; None to save nothing.
    """

    def __init__(
        self,
        document: Document,
        server: "ServerClient",
        *,
        options: Options,
        listener: Listener,
        output: Path | None,
    ) -> None:
        self.run_id = new_run_id()
        self._document = document
        self._server = server
        self._options = options
        self._listener = listener
        self._output = output
        self._outputs = Outputs()
        self._saver = None if output is None else Saver(output, self._notebook)
        self._executed: set[int] = set()
        self._runner: Runner | None = None
        self._kernel: RemoteKernel | None = None
        self._language_info: dict[str, Any] | None = None

    async def run(self) -> int:
        """Execute the document and save what came.

        Returns:
            the exit code: 0, or a script's own.

        Raises:
            RemoteError, KernelDiedError, DeadlineError, OutputLostError,
            InterruptedByUserError: how it ended otherwise.
            JrcError: the server, the kernel or the file can't be used.
        """
        if self._saver is not None:
            self._saver.save()
        try:
            result = await self._execute()
        except (JrcError, asyncio.CancelledError) as error:
            self._finish(_status(error), _code(error), [])
            raise
        failure = self._failure(result)
        code = self._script_exit_code(result) if failure is None else failure.exit_code
        self._finish(result.status, code, result.lost)
        if failure is not None:
            raise failure
        return code

    async def interrupt(self) -> None:
        """Interrupt the cell that runs now, and execute no other.

        Raises:
            InterruptedByUserError: nothing runs yet.
        """
        if self._runner is None:
            raise InterruptedByUserError("Interrupted before the first cell.")
        await self._runner.interrupt()

    def how_to_come_back(self) -> str | None:
        """What to type to go on with the kernel of a run that was left."""
        if self._kernel is None or not self._options.keep_kernel:
            return None
        return f"The kernel is kept: jrc run --kernel-id {self._kernel.id} FILE"

    async def _execute(self) -> Result:
        requests = Requests()
        async with self._started_kernel() as kernel:
            channels = Channels(
                self._server,
                kernel.id,
                session_id=requests.session,
                patience=self._options.patience,
            )
            await self._open(channels, kernel)
            try:
                self._runner = Runner(
                    [self._request(cell) for cell in self._document.cells],
                    channels=channels,
                    control=kernel,
                    requests=requests,
                    listener=self._listener,
                    outputs=self._outputs,
                    changed=self._changed,
                    cell_timeout=self._options.cell_timeout,
                    prologue=self._document.prologue,
                    recorded_as=self.run_id if self._wants_recorder else None,
                    pipelined=self._options.pipeline,
                )
                self._announce(kernel)
                result = await self._runner.run()
                self._language_info = result.language_info
                return result
            finally:
                await channels.close()

    @contextlib.asynccontextmanager
    async def _started_kernel(self) -> AsyncIterator[RemoteKernel]:
        if self._options.kernel_id is not None:
            kernel = RemoteKernel(self._server, self._options.kernel_id)
        else:
            document = self._document
            choice = KernelChoice(self._options.kernel, document.kernel_name, document.language)
            kernel = await start_kernel(
                self._server, choice, document=document.path.name, run=self.run_id
            )
        self._kernel = kernel
        if kernel.notice:
            self._listener.on_event(Notice("kernel", kernel.notice))
        try:
            yield kernel
        finally:
            if not self._options.keep_kernel:
                await asyncio.shield(kernel.delete())

    @property
    def _wants_recorder(self) -> bool:
        """Only an ipykernel can have one."""
        return self._options.recorder and self._document.language in (None, "python")

    async def _open(self, channels: Channels, kernel: RemoteKernel) -> None:
        try:
            await channels.open()
        except NotFoundError as error:
            raise NotFoundError(
                f"The server has no kernel with the id {kernel.id}.", hint="jrc kernel list"
            ) from error

    def _announce(self, kernel: RemoteKernel) -> None:
        self._listener.on_event(
            RunStarted(
                run=self.run_id,
                document=str(self._document.path),
                server=self._server.address.base_url,
                kernel_id=kernel.id,
                session=kernel.session_path,
                cells=len(self._document.cells),
            )
        )

    def _request(self, cell: Cell) -> CellRequest:
        script = self._document.kind == "script"
        return CellRequest(
            index=cell.index,
            source=cell.source,
            code=self._document.code(cell),
            allows_error=self._options.allow_errors or "raises-exception" in cell.tags,
            user_expressions=dict(EXIT_EXPRESSIONS) if script else {},
            # What runs a script is jrc's own code: the person's history is not the place for it.
            store_history=not script,
        )

    def _changed(self, index: int, finished: bool) -> None:
        self._executed.add(index)
        if self._saver is not None:
            self._saver.changed(cell_finished=finished)
            if finished and self._saver.problem is not None:
                self._listener.on_event(Notice("saved", self._saver.problem.message))

    def _notebook(self) -> dict[str, Any]:
        """The document's notebook with everything that has arrived until now."""
        notebook = self._document.notebook
        for index in self._executed:
            cell = notebook["cells"][index]
            cell["outputs"] = self._outputs.cell(index)
            cell["execution_count"] = self._outputs.execution_count(index)
            cell["metadata"]["execution"] = self._outputs.timing(index)
        widgets = self._outputs.widget_state()
        if widgets is not None:
            notebook["metadata"]["widgets"] = widgets
        if self._language_info is not None:
            notebook["metadata"]["language_info"] = self._language_info
        return notebook

    def _finish(self, status: str, code: int, lost: list[str]) -> None:
        if self._saver is not None:
            self._saver.save()
        self._outputs.close()
        output = None if self._output is None else str(self._output)
        self._listener.on_event(RunFinished(self.run_id, status, code, output, lost))

    def _script_exit_code(self, result: Result) -> int:
        if self._document.kind != "script" or result.reply is None:
            return ExitCode.OK
        return exit_code_from_reply(result.reply) or ExitCode.OK

    def _failure(self, result: Result) -> JrcError | None:
        hint = None if self._output is None else f"What arrived is saved in {self._output}."
        match result.status:
            case "error":
                return RemoteError(self._error_sentence(result), hint=hint)
            case "timeout":
                limit = f"{self._options.cell_timeout:g} s"
                return DeadlineError(f"{self._name(result)} ran longer than {limit}.", hint=hint)
            case "aborted":
                return RemoteError(
                    f"{self._name(result)} was aborted: somebody interrupted the kernel.", hint=hint
                )
            case "interrupted":
                return InterruptedByUserError("Interrupted.", hint=hint)
            case "kernel-died":
                return KernelDiedError(f"{self._name(result)}: {result.reason}", hint=hint)
        if result.lost and not self._options.allow_loss:
            return OutputLostError(
                f"The run is complete, but output was lost: {result.lost[0]}"
                if result.status == "ok"
                else result.lost[0],
                hint=hint,
            )
        return None

    def _name(self, result: Result) -> str:
        if result.cell is None or self._document.kind == "script":
            return self._document.path.name
        number = 1 + [cell.index for cell in self._document.cells].index(result.cell.index)
        return f"Cell {number} of {self._document.path.name}"

    def _error_sentence(self, result: Result) -> str:
        what = error_sentence(result.reply or {})
        name = self._name(result)
        cell = result.cell
        line = None
        if cell is not None and self._document.kind != "script":
            line = failing_line((result.reply or {}).get("traceback", []))
        if line is None or cell is None:
            return f"{name} failed: {what}"
        start = next(c.line for c in self._document.cells if c.index == cell.index)
        number = line.number if not start else start + line.number - 1
        return f"{name} failed at line {number} ({line.text}): {what}"


def _status(error: BaseException) -> str:
    cancelled = isinstance(error, asyncio.CancelledError | InterruptedByUserError)
    return "interrupted" if cancelled else "failed"


def _code(error: BaseException) -> int:
    return error.exit_code if isinstance(error, JrcError) else ExitCode.INTERRUPTED
