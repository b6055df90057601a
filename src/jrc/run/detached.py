"""Begin a run and leave: the kernel and its recorder do the rest."""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jrc.errors import ConfigError, DeadlineError, KernelDiedError, RemoteError
from jrc.kernel.channels import Channels, LinkLost, LinkRestored
from jrc.kernel.execution import KernelEnded
from jrc.kernel.large_messages import TOO_LARGE, USUAL_LIMIT
from jrc.kernel.messages import Messages
from jrc.kernel.session import RemoteKernel, new_run_id
from jrc.notebook.document import Document
from jrc.profile.owner import owner
from jrc.recorder.install import Installed
from jrc.run.cell_requests import cell_request, request_fields
from jrc.run.events import KernelReady, Notice, RunDetached, RunStarted
from jrc.run.job import kernel_for
from jrc.run.listeners import Guarded
from jrc.run.options import Options
from jrc.run.progress import Listener
from jrc.run.protocol import Exchange
from jrc.run.strategy import NotRun, RecorderInstalled, Unrecorded
from jrc.runs.manifest import MOST_BYTES, About
from jrc.runs.records import Process, RunPlace, RunRecord, RunRecords
from jrc.wire.message import Message

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

BEGIN_SECONDS = 120.0
"""For the kernel to start, take the recorder in, and get all cells."""

MUTE_SECONDS = 25.0
"""Without its answer for so long, it is tried over another link."""


async def begin_detached(
    document: Document,
    server: "ServerClient",
    *,
    options: Options,
    listener: Listener,
    output: Path | None,
    records: RunRecords,
) -> RunDetached:
    """Start a kernel, send it all cells of a document, and leave it with them.

    Args:
        document: what to execute.
        server: where.
        options: how.
        listener: who is told.
        output: the file that ``jrc attach`` saves to on this computer.
        records: what this computer remembers of its runs.

    Returns:
        the run.

    Raises:
        ConfigError: the kernel can't have a recorder, or the document is too large for one.
        DeadlineError, KernelDiedError: the kernel does not take the cells.
        JrcError: the server or the kernel can't be used.
    """
    listener = Guarded(listener)
    run = new_run_id()
    if document.stdin == "pipe":
        document.stdin = "detached"
    kernel = await kernel_for(document, server, options, run)
    if kernel.notice:
        listener.on_event(Notice("kernel", kernel.notice))
    try:
        begin = _Begin(document, server, kernel, options, run, can_answer=listener.can_answer)
        place = server.address.base_url
        cells = document.counted(options.cells.first)
        listener.on_event(
            RunStarted(
                run=run,
                document=str(document.path),
                server=place,
                kernel_id=kernel.id,
                session=kernel.session_path,
                cells=cells,
                kind=document.kind,
                profile=options.profile,
                kernel_name=kernel.name,
                output=None if output is None else str(output),
            )
        )
        installed = await begin.send_all()
        if isinstance(begin.language_info, dict):
            listener.on_event(KernelReady.of(begin.language_info))
        records.save(
            RunRecord(
                run=run,
                place=RunPlace(
                    profile=options.profile,
                    server=place,
                    kernel_id=kernel.id,
                    session_id=kernel.session_id or "",
                    journal=installed.journal or "",
                ),
                output="" if output is None else str(_absolute(output)),
                started=time.time(),
                about=begin.about,
                name=options.name,
                detached=True,
                client=Process(os.getpid()),
                language_info=begin.language_info,
            )
        )
    except BaseException:
        problem = await asyncio.shield(kernel.delete())
        if problem:
            listener.on_event(Notice("kernel", problem))
        raise
    if installed.journal is None or installed.journal_error:
        listener.on_event(
            Notice(
                "unjournaled",
                f"There is no journal on the server ({installed.journal_error}): the results are "
                "kept as long as the kernel lives.",
            )
        )
    return RunDetached(run, place, kernel.id, installed.journal, f"jrc attach {run}")


def _absolute(path: Path) -> Path:
    return path.absolute()


class _Begin:
    """The first and only messages of a client that leaves."""

    def __init__(
        self,
        document: Document,
        server: "ServerClient",
        kernel: RemoteKernel,
        options: Options,
        run: str,
        *,
        can_answer: bool,
    ) -> None:
        self._document = document
        self._kernel = kernel
        self._requests = Messages()
        cells = document.cells[options.cells.first :]
        # What it happens to receive is for whoever attaches: it acknowledges nothing.
        self._exchange = Exchange(
            self._requests,
            recorded_as=run,
            acknowledge=False,
            fields=request_fields(document, len(cells), options.name),
            own_kernel=options.kernel.id is None,
        )
        self._channels = Channels(
            server, kernel.id, session_id=self._requests.session, patience=options.patience
        )
        self._installed: Installed | None = None
        self._start_timeout = options.kernel.start_timeout
        self._lives = kernel.session_id is None
        allow_errors = options.cells.allow_errors
        self._cells = [
            self._exchange.run.execute(
                key,
                cell_request(document, cell, allow_errors=allow_errors),
                allow_stdin=can_answer,
                now=self._now(),
            )
            for key, cell in enumerate(cells)
        ]
        self.about = About(
            owner=owner(),
            document=document,
            requests=[cell.msg_id for cell in self._cells],
            first=options.cells.first,
            allow_errors=allow_errors,
            allow_loss=options.cells.allow_loss,
        ).to_json()
        if len(self.about["packed"]) > MOST_BYTES:
            raise ConfigError(
                f"{document.path.name} is too large for a detached run: "
                f"{len(self.about['packed']) >> 20} MiB without its outputs.",
                hint="Large attachments in markdown cells are the usual reason. jrc run without "
                "--detach has no such limit.",
            )

    @property
    def language_info(self) -> dict[str, object] | None:
        """What the kernel said of its language."""
        return self._exchange.language_info

    async def send_all(self) -> Installed:
        """Bring the recorder and all cells to the kernel, and make sure that they are there."""
        began = self._now()
        await self._kernel.open(self._channels, start_timeout=self._start_timeout)
        # A server lets clients in after a minute, also where the kernel says nothing.
        left = max(self._start_timeout - (self._now() - began), 1.0)
        try:
            async with asyncio.timeout(BEGIN_SECONDS if self._lives else left) as limit:
                await self._send(self._exchange.run.begin(self._document.prologue, self.about))
                await self._send(self._cells)
                starting_over = asyncio.create_task(self._start_over_now_and_then())
                try:
                    return await self._until_taken(limit)
                finally:
                    starting_over.cancel()
        except TimeoutError as error:
            if not self._lives:
                raise self._kernel.silent_at_start(self._start_timeout) from error
            raise DeadlineError(
                f"The kernel did not take {self._document.path.name} within {BEGIN_SECONDS:.0f} s.",
                hint="Is it busy? See: jrc kernel list",
            ) from error
        finally:
            await self._channels.close()

    async def _start_over_now_and_then(self) -> None:
        """A kernel that is not busy answers within milliseconds, if its server is in order."""
        while True:
            await asyncio.sleep(MUTE_SECONDS)
            if await self._channels.all_arrived():
                self._channels.start_over()

    async def _until_taken(self, limit: asyncio.Timeout) -> Installed:
        # The server takes messages in order: when it answers the last one, it has all of them.
        last = await self._send_last()
        answered = False
        async for event in self._channels.events():
            match event:
                case LinkLost():
                    if event.code == TOO_LARGE:
                        raise ConfigError(
                            f"{self._document.path.name} has a cell that is too large for the "
                            f"server; usually its limit is {USUAL_LIMIT >> 20} MiB.",
                            hint="Upload large data as a file.",
                        )
                    self._exchange.run.link_lost()
                case LinkRestored():
                    await self._send(self._exchange.run.link_restored(self._now()))
                    last, answered = await self._send_last(), False
                case Message():
                    if not self._lives:
                        self._lives = True
                        limit.reschedule(self._now() + BEGIN_SECONDS)
                    answered = answered or (event.channel == "control" and event.parent_id == last)
                    self._note(event)
                    await self._send(self._exchange.run.due(self._now()))
            if self._installed is not None and answered:
                return self._installed
        raise KernelDiedError("The kernel ended before it had all cells.")

    def _note(self, message: Message) -> None:
        for event in self._exchange.receive(message, self._now()):
            if isinstance(event, KernelEnded):
                raise KernelDiedError("The kernel ended before it had all cells.")
            if isinstance(event, RecorderInstalled):
                self._installed = event.installed
            if isinstance(event, Unrecorded) and not event.possible:
                raise ConfigError(
                    f"This kernel can't run detached: {event.reason}.",
                    hint="Only ipykernel 6 and newer can. Without --detach any kernel will do.",
                )
            if isinstance(event, NotRun):
                raise RemoteError(
                    "The kernel refused the cells: other code failed in it just then, and took "
                    "along what was queued behind it.",
                    hint="Nothing of the run was executed. Try again.",
                )

    async def _send_last(self) -> str:
        last = self._requests.control("kernel_info_request", {})
        await self._channels.send(last)
        return last.msg_id

    async def _send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            await self._channels.send(message, later=not self._exchange.run.comes_again(message))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
