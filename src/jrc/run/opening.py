"""What all new runs have in common: an id, a kernel, a manifest, a record, and a last event.

``run.job`` and ``run.detached`` begin runs. What they need before the server is asked for a kernel
is imported at the top, the rest where it is used: see ``jrc.startup``.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jrc.errors import ExitCode, InterruptedByUserError, JrcError, KernelDiedError
from jrc.kernel.session import KernelChoice, RemoteKernel, new_run_id, start_kernel
from jrc.notebook.document import Document
from jrc.notebook.result_notebook import Filling
from jrc.notebook.writers import Writers
from jrc.profile.files import seen
from jrc.profile.owner import owner
from jrc.profile.paths import Paths
from jrc.run.events import Notice, RunDetached, RunFinished, RunStarted
from jrc.run.options import Options
from jrc.runs.records import Process, RunPlace, RunRecord, RunRecords

if TYPE_CHECKING:
    from jrc.kernel.channels import Channels
    from jrc.kernel.messages import Messages
    from jrc.run.cell_requests import CellRequest
    from jrc.run.progress import Listener
    from jrc.run.protocol import Exchange
    from jrc.runs.manifest import About
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.run.opening")


class Connection(NamedTuple):
    """The open channels of a run's kernel.

    Attributes:
        channels: of the kernel.
        requests: makes the messages of this session.
        start_left: seconds that a new kernel still has for its first answer, at least 1; None for
            a kernel that was already running. A server lets clients in after a minute, also where
            the kernel does not answer.
    """

    channels: "Channels"
    requests: "Messages"
    start_left: float | None


class NewRun:
    """A run that this client begins.

    Args:
        document: what to execute.
        server: where to execute it.
        options: how to execute it.
        listener: gets the events.
        output: the file for the result; None to save nothing.

    Attributes:
        run_id: id of the run.
        document, options, output: as given.
        cells: those that are executed.
        kernel: the kernel, once it was asked for.
        keep_kernel: the kernel stays when the run ends.
        left: the last event of a run that goes on without this client; None for any other run.
    """

    def __init__(
        self,
        document: Document,
        server: "ServerClient",
        options: Options,
        listener: "Listener",
        output: Path | None,
    ) -> None:
        self.run_id = new_run_id()
        self.document = document
        self.options = options
        self.output = output
        self.cells = document.cells[options.cells.first :]
        self.kernel: RemoteKernel | None = None
        self.keep_kernel = options.kernel.keep
        self.left: RunDetached | None = None
        self._server = server
        self._listener = listener
        # What is written there while the kernel starts is somebody else's.
        file = None if output is None else seen(output)
        self._output_before = "" if file is None else file.mark
        self._started = time.time()

    @contextlib.asynccontextmanager
    async def kernel_started(self) -> AsyncIterator[RemoteKernel]:
        """The kernel, which is deleted at the end unless it is to be kept, or the run was left.

        Raises:
            JrcError: the server starts no kernel.
        """
        self.kernel = kernel = await self._start_kernel()
        self._notice("kernel", kernel.notice)
        try:
            yield kernel
        finally:
            if self.left is None and self.keep_kernel:
                await asyncio.shield(kernel.keep())
            elif self.left is None:
                self._notice("kernel", await asyncio.shield(kernel.delete()))

    @contextlib.asynccontextmanager
    async def connected(self, kernel: RemoteKernel) -> AsyncIterator[Connection]:
        """The kernel's channels, which are closed at the end.

        Raises:
            KernelDiedError: the new kernel ended, or does not answer.
            JrcError: the kernel can't be reached.
        """
        from jrc.kernel.channels import Channels
        from jrc.kernel.messages import Messages

        requests = Messages()
        channels = Channels(
            self._server,
            kernel.id,
            session_id=requests.session,
            patience=self.options.patience,
            timing=self.options.timing.link,
        )
        start_timeout = self.options.kernel.start_timeout
        began = time.monotonic()
        try:
            await kernel.open(channels, start_timeout=start_timeout)
            start_left = None
            if kernel.session_id is not None:
                start_left = max(start_timeout - (time.monotonic() - began), 1.0)
            yield Connection(channels, requests, start_left)
        finally:
            await channels.close()

    def announce(self, kernel: RemoteKernel) -> None:
        """Say that the run begins."""
        self._listener.on_event(
            RunStarted(
                run=self.run_id,
                document=str(self.document.path),
                server=self._server.address.base_url,
                kernel_id=kernel.id,
                session=kernel.session_path,
                cells=self.document.counted(self.options.cells.first),
                kind=self.document.kind,
                profile=self.options.profile,
                kernel_name=kernel.name,
                output=None if self.output is None else str(self.output),
            )
        )

    def requested(self) -> "list[CellRequest]":
        """The cells as the kernel gets them."""
        from jrc.run.cell_requests import cell_request

        allow_errors = self.options.cells.allow_errors
        return [cell_request(self.document, cell, allow_errors=allow_errors) for cell in self.cells]

    def exchange(
        self, requests: "Messages", *, recorded: bool = True, acknowledge: bool = True
    ) -> "Exchange":
        """The protocol between this run and its kernel.

        Args:
            requests: makes the messages.
            recorded: with a recorder in the kernel.
            acknowledge: the kernel may free what has arrived.
        """
        from jrc.run.cell_requests import request_fields
        from jrc.run.protocol import Exchange

        return Exchange(
            requests,
            recorded_as=self.run_id if recorded else None,
            acknowledge=acknowledge,
            fields=request_fields(self.document, len(self.cells), self.options.name),
            own_kernel=self.options.kernel.id is None,
        )

    def about(self, sent: Sequence[str]) -> "About":
        """What another client needs to know to attach.

        Args:
            sent: ids of the requests, in the order of the cells.
        """
        from jrc.runs.manifest import About

        return About(
            owner=owner(),
            document=self.document,
            requests=sent,
            first=self.options.cells.first,
            allow_errors=self.options.cells.allow_errors,
            allow_loss=self.options.cells.allow_loss,
            may_ask=self._listener.can_answer,
            keep_kernel=self.options.kernel.keep,
            keep_kernel_on_error=self.options.kernel.keep_on_error,
        )

    def record(self, about: Mapping[str, Any], *, journal: str | None = None) -> RunRecord:
        """What this computer remembers of the run.

        Args:
            about: as ``About.to_json`` wrote it.
            journal: absolute path of the journal on the server's machine; None for none.
        """
        assert self.kernel is not None
        return RunRecord(
            run=self.run_id,
            place=RunPlace(
                profile=self.options.profile,
                server=self._server.address.base_url,
                kernel_id=self.kernel.id,
                session_id=self.kernel.session_id or "",
                journal=journal or "",
            ),
            output="" if self.output is None else str(self.output.absolute()),
            started=self._started,
            about=about,
            name=self.options.name,
            client=Process(os.getpid()),
            output_before=self._output_before,
        )

    def leave(self, journal: str | None) -> RunDetached:
        """Let the run go on without this client, with its kernel.

        Args:
            journal: absolute path of the journal on the server's machine; None for none.

        Returns:
            the run's last event here.
        """
        assert self.kernel is not None
        self.left = left_run(self._server, self.run_id, self.kernel.id, journal)
        return self.left

    def fail(self, error: BaseException, output: Path | None = None) -> None:
        """Say that the run ended with an error before its cells did.

        Args:
            error: why it ended.
            output: the file that holds the result; None when nothing was saved.
        """
        self._listener.on_event(failed_run(self.run_id, error, output))

    async def _start_kernel(self) -> RemoteKernel:
        """The kernel that the options name, or a new one."""
        kernel = self.options.kernel
        if kernel.id is not None:
            return RemoteKernel(self._server, kernel.id)
        return await start_kernel(
            self._server,
            KernelChoice.of(self.document, kernel.spec),
            document=_as_text(self.document.path.name),
            run=self.run_id,
            patience=self.options.patience,
            stays=bool(self.options.profile),
        )

    def _notice(self, kind: str, text: str) -> None:
        if text:
            self._listener.on_event(Notice(kind, text))


class Memory:
    """The record of a run on this computer, written in a thread: the disk may be slow.

    Args:
        records: where; None to remember nothing.
    """

    def __init__(self, records: RunRecords | None) -> None:
        self._records = records
        self._writing: asyncio.Task[None] | None = None

    @property
    def remembers(self) -> bool:
        """What is noted can be found later."""
        return self._records is not None

    def note(self, record: RunRecord) -> None:
        """Write the record, after any that is still being written. A failure is logged."""
        if self._records is not None:
            work = self._save(self._records, record, self._writing)
            self._writing = asyncio.create_task(work, name="run-record")

    async def written(self) -> None:
        """Wait until the last record is on disk."""
        if self._writing is not None:
            await self._writing

    async def forget(self, run: str) -> None:
        """Remove the record of a run; there may be none."""
        await self.written()
        if self._records is not None:
            self._records.remove(run)

    @staticmethod
    async def _save(
        records: RunRecords, record: RunRecord, before: "asyncio.Task[None] | None"
    ) -> None:
        if before is not None:
            await before
        try:
            await asyncio.to_thread(_save_with_client, records, record)
        except JrcError as error:
            log.warning("the run is not noted on this computer: %s", error)


def open_result(
    filling: Filling,
    run: str,
    listener: "Listener",
    records: RunRecords | None,
    *,
    before: str | None = None,
) -> None:
    """Make a run the only one that writes its file, before the first save.

    Args:
        filling: what is saved.
        run: id of the run.
        listener: gets what a person should know of the file.
        records: says which other runs can still be attached to; None for none.
        before, Raises: as in ``Filling.open``.
    """
    filling.open(
        run,
        Writers(Paths.from_environment().state / "writers"),
        say=lambda text: listener.on_event(Notice("saved", text)),
        goes_on=lambda other: records is not None and records.find(other) is not None,
        before=before,
    )


def left_run(server: "ServerClient", run: str, kernel_id: str, journal: str | None) -> RunDetached:
    """The last event of a run that goes on without a client."""
    return RunDetached(run, server.address.base_url, kernel_id, journal, f"jrc attach {run}")


def failed_run(run: str, error: BaseException, output: Path | None) -> RunFinished:
    """The last event of a run that an error ended.

    Args:
        run: its id.
        error: why it ended.
        output: the file that holds the result; None when nothing was saved.
    """
    status, code = "failed", int(ExitCode.BUG)
    if isinstance(error, JrcError):
        code = error.exit_code
    if isinstance(error, KernelDiedError):
        status = "kernel-died"
    elif isinstance(error, InterruptedByUserError):
        status = "interrupted"
    elif isinstance(error, asyncio.CancelledError):
        status, code = "interrupted", ExitCode.INTERRUPTED
    return RunFinished(run, status, code, None if output is None else str(output), [])


def _as_text(name: str) -> str:
    """A file name without the lone surrogates that stand for bytes which are no UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _save_with_client(records: RunRecords, record: RunRecord) -> None:
    from jrc.tunnel.processes import start_time

    me = record.client.pid
    records.save(record._replace(client=Process(me, start_time(me))))
