"""Begin a run and leave it to its kernel and its recorder."""

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from jrc.errors import (
    ConfigError,
    DeadlineError,
    JrcError,
    KernelDiedError,
    RemoteError,
    WireError,
)
from jrc.kernel.channels import FrameDamaged, LinkLost, LinkRestored
from jrc.kernel.execution import KernelEnded
from jrc.kernel.query import ASK_AT_MOST
from jrc.kernel.session import RemoteKernel
from jrc.notebook.document import Document
from jrc.recorder.journal import JOURNAL_SUFFIX
from jrc.run.events import KernelReady, Notice, RunDetached
from jrc.run.listeners import Guarded
from jrc.run.opening import Connection, NewRun
from jrc.run.options import Options
from jrc.run.outbox import Outbox
from jrc.run.progress import Listener
from jrc.run.strategy import Event, JournalKept, NotRun, RecorderInstalled, Unrecorded
from jrc.run.timing import Timing
from jrc.runs.lookup import delete_journal
from jrc.runs.manifest import MOST_BYTES
from jrc.runs.questions import cancel_run, forget_run
from jrc.runs.records import RunRecords
from jrc.runs.server_runs import FOLDERS
from jrc.wire.message import Message

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.run.detached")


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
        server: where to execute it.
        options: how to execute it.
        listener: gets the events; the last one is ``RunFinished`` where the run can't begin.
        output: the file that ``jrc attach`` saves to on this computer.
        records: what this computer remembers of its runs.

    Returns:
        the last event of the run here, which the listener has not got.

    Raises:
        ConfigError: the kernel can't have a recorder, or the document is too large for one.
        DeadlineError, KernelDiedError: the kernel does not take the cells.
        JrcError: the server or the kernel can't be used.
    """
    listener = Guarded(listener)
    if document.stdin == "pipe":
        document.stdin = "detached"
    run = NewRun(document, server, options, listener, output)
    begin: _Begin | None = None
    try:
        async with run.kernel_started() as kernel:
            async with run.connected(kernel) as connection:
                begin = _Begin(run, kernel, connection, can_answer=listener.can_answer)
                run.announce(kernel)
                kept = await begin.send_all()
                if begin.language_info is not None:
                    listener.on_event(KernelReady.of(begin.language_info))
                record = run.record(begin.about, journal=kept.path)
                records.save(record._replace(detached=True, language_info=begin.language_info))
            # Nothing is awaited from here on, so the run can't be stopped any more.
            left = run.leave(kept.path)
    except BaseException as error:
        records.remove(run.run_id)
        if begin is not None:
            await asyncio.shield(_undo(server, run))
        run.fail(error)
        raise
    if kept.path is None or kept.reason:
        listener.on_event(
            Notice(
                "unjournaled",
                f"There is no journal on the server ({kept.reason}): the results are "
                "kept as long as the kernel lives.",
            )
        )
    return left


async def _undo(server: "ServerClient", run: NewRun) -> None:
    """Leave nothing of a run that could not begin, if the server answers in time."""
    kernel = run.kernel
    try:
        async with asyncio.timeout(run.options.timing.detached.undo):
            if kernel is not None and (run.keep_kernel or kernel.session_id is None):
                await cancel_run(server, kernel.id, run.run_id)
                await forget_run(server, kernel.id, run.run_id)
            else:
                for folder in FOLDERS:
                    await delete_journal(server, f"{folder}/{run.run_id}{JOURNAL_SUFFIX}")
    except (JrcError, TimeoutError) as error:
        log.info("something of the run %s may be left on the server: %s", run.run_id, error)


class _Begin:
    """Sends all that a kernel needs from a client that leaves.

    Args:
        run: what is begun.
        kernel: its kernel.
        connection: to the kernel.
        can_answer: somebody may attach who answers what the code asks.

    Attributes:
        about: what a client that attaches needs to know.

    Raises:
        ConfigError: the document is too large for a message.
    """

    def __init__(
        self, run: NewRun, kernel: RemoteKernel, connection: Connection, *, can_answer: bool
    ) -> None:
        self._run = run
        self._kernel = kernel
        self._connection = connection
        # The output is for a client that attaches: nothing is acknowledged.
        self._exchange = run.exchange(connection.requests, acknowledge=False)
        self._kept: JournalKept | None = None
        self._asked: set[str] = set()
        self._doubts = False
        self._lives = connection.start_left is None
        requested = run.requested()
        self._cells = [
            self._exchange.run.execute(key, cell, allow_stdin=can_answer, now=self._now())
            for key, cell in enumerate(requested)
        ]
        # The manifest, which goes out first, names the requests of all cells: none waits here.
        self._outbox = Outbox(
            (),
            channels=connection.channels,
            exchange=self._exchange,
            pipelined=True,
            can_answer=can_answer,
            number=lambda key: requested[key].number,
        )
        self.about = run.about([cell.msg_id for cell in self._cells]).to_json()
        if len(self.about["packed"]) > MOST_BYTES:
            raise ConfigError(
                f"{run.document.path.name} is too large for a detached run: "
                f"{len(self.about['packed']) >> 20} MiB without its outputs.",
                hint="Large attachments in markdown cells are the usual reason. jrc run without "
                "--detach has no such limit.",
            )

    @property
    def language_info(self) -> dict[str, object] | None:
        """What the kernel said of its language."""
        return self._exchange.language_info

    async def send_all(self) -> JournalKept:
        """Send the recorder and all cells to the kernel, and wait until it has them."""
        document, begin_within = self._run.document, self._timing.detached.begin
        try:
            seconds = begin_within if self._lives else self._connection.start_left
            async with asyncio.timeout(seconds) as limit:
                begin = self._exchange.run.begin(document.prologue, self.about)
                await self._outbox.send([*begin, *self._cells])
                watching = asyncio.create_task(self._keep_watch(), name="detached-watch")
                try:
                    return await self._until_taken(limit)
                finally:
                    watching.cancel()
        except TimeoutError as error:
            if not self._lives:
                start_timeout = self._run.options.kernel.start_timeout
                raise self._kernel.silent_at_start(start_timeout) from error
            raise DeadlineError(
                f"The kernel did not take {document.path.name} within {begin_within:.0f} s.",
                hint="Is it busy? See: jrc kernel list",
            ) from error

    async def _keep_watch(self) -> None:
        """Ask what is due, and change the session when nothing is answered for long."""
        channels, since = self._connection.channels, self._now()
        while True:
            await asyncio.sleep(self._timing.watch.tick)
            await self._outbox.send(self._exchange.run.due(self._now()))
            if self._now() - since >= self._timing.detached.unanswered:
                # Usually an answer takes milliseconds.
                since = self._now()
                if await channels.all_arrived():
                    channels.start_over()

    async def _until_taken(self, limit: asyncio.Timeout) -> JournalKept:
        # The server takes messages in order: once it answers the last one, it has all of them.
        await self._ask_last()
        answered = False
        async for event in self._connection.channels.events():
            match event:
                case LinkLost():
                    self._outbox.check_size(event)
                    self._exchange.run.link_lost()
                case LinkRestored():
                    await self._outbox.send_again(self._repeated)
                    self._asked.clear()
                    await self._ask_last()
                    answered = False
                case FrameDamaged():
                    await self._on_damage()
                case Message():
                    if not self._lives:
                        self._lives = True
                        limit.reschedule(self._now() + self._timing.detached.begin)
                    answered = answered or (
                        event.channel == "control" and event.parent_id in self._asked
                    )
                    await self._take(event)
            if self._kept is not None and answered:
                return self._kept
            if self._doubts and self._kept is None:
                self._exchange.run.frame_damaged()
            await self._outbox.send(self._exchange.run.due(self._now()))
        raise KernelDiedError("The kernel ended before it had all cells.")

    async def _take(self, message: Message) -> None:
        try:
            for event in self._exchange.receive(message, self._now()):
                self._on(event)
        except WireError:
            # Only its content can't be read.
            await self._on_damage()
        state = self._exchange.run.state
        if self._kept is None and state is not None:
            # The answer to the installation may have been what was damaged.
            self._kept = JournalKept(state.journal, state.journal_error)

    def _on(self, event: Event) -> None:
        match event:
            case KernelEnded():
                raise KernelDiedError("The kernel ended before it had all cells.")
            case RecorderInstalled():
                installed = event.installed
                self._kept = JournalKept(installed.journal, installed.journal_error)
            case Unrecorded() if not event.possible:
                raise ConfigError(
                    f"This kernel can't run detached: {event.reason}.",
                    hint="Only ipykernel 6 and newer can. Without --detach any kernel will do.",
                )
            case NotRun():
                raise RemoteError(
                    "The kernel refused the cells: other code failed in it just then, and "
                    "everything that was queued behind that code was dropped.",
                    hint="Nothing of the run was executed. Try again.",
                )

    async def _on_damage(self) -> None:
        """Ask again: what can't be read may have been an answer.

        The recorder is asked as soon as it was heard of. A kernel in which it is not installed yet
        would answer as one that has none.
        """
        self._doubts = True
        if len(self._asked) < ASK_AT_MOST:
            await self._ask_last()

    async def _ask_last(self) -> None:
        last = self._exchange.ask_language()
        self._asked.add(last.msg_id)
        await self._outbox.send([last])

    def _repeated(self) -> list[Message]:
        return self._exchange.run.link_restored(self._now())

    @property
    def _timing(self) -> Timing:
        return self._run.options.timing

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
