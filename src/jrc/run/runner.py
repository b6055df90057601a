"""Cells to a kernel and what comes back: the thin acting part.

``exchange`` tells what messages mean and what to ask, ``watch`` when to act unasked, ``account``
keeps what came. Here they meet the channels.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from jrc.errors import NotFoundError, UnreachableError
from jrc.kernel.channels import ChannelEvent, LinkLost, LinkRestored
from jrc.kernel.deadlines import Act, Found, Watch
from jrc.kernel.execution import (
    Finished,
    InputEchoed,
    InputRequested,
    KernelEnded,
    LimitReached,
    Published,
    Replied,
    Started,
)
from jrc.kernel.messages import Requests
from jrc.recorder.protocol import read_stamp
from jrc.run.cell_requests import CellRequest
from jrc.run.events import KernelReady
from jrc.run.outbox import Outbox
from jrc.run.progress import Account, Listener, Result, unrecorded
from jrc.run.protocol import Exchange
from jrc.run.remote import KernelChannels, KernelControl
from jrc.run.strategy import (
    CancelTaken,
    Event,
    JournalKept,
    NotRun,
    OutputGone,
    Unrecorded,
)
from jrc.tasks import cancel_all, first_of
from jrc.wire.message import Message

log = logging.getLogger("jrc.run")

_TICK = 0.1

LANGUAGE_SECONDS = 10.0
"""For the kernel of a notebook without code to say what its language is."""

HELP_AT_MOST = 10
"""So often in a row an idle kernel gets its cells again, or another session, and begins none."""

CANCEL_SECONDS = 2.0
"""For the kernel to take in that no other cell may begin; it does so while one is executed."""

DETACH_SECONDS = 10.0
"""For the kernel to open the journal of a run that its client leaves."""


class Runner:
    """Executes cells on one kernel. For one run only.

    Args:
        cells: in order.
        channels: open channels of the kernel.
        control: the kernel's interrupt and existence.
        requests: makes the messages; its session is the channels' session.
        listener: who is asked.
        account: what became of the cells.
        cell_timeout: seconds for one cell; None for no limit.
        start_timeout: seconds for the kernel's first answer; None for no limit.
        prologue: code to execute silently before the first cell.
        exchange: makes the requests and understands the answers.
        pipelined: send all cells at once, if there is a recorder to guard them.
    """

    def __init__(
        self,
        cells: Sequence[CellRequest],
        *,
        channels: KernelChannels,
        control: KernelControl,
        requests: Requests,
        exchange: Exchange,
        listener: Listener,
        account: Account,
        cell_timeout: float | None = None,
        start_timeout: float | None = None,
        prologue: str = "",
        pipelined: bool = True,
    ) -> None:
        self._cells = list(cells)
        self._channels = channels
        self._control = control
        self._requests = requests
        self._listener = listener
        self._exchange = exchange
        self._account = account
        self._watch = Watch(cell_timeout, start_timeout)
        self._prologue = prologue
        self._outbox = Outbox(
            self._cells,
            channels=channels,
            exchange=exchange,
            # An interrupt must hit the cell that is late, and not the next one.
            pipelined=pipelined
            and (cell_timeout is None or not any(cell.allows_error for cell in self._cells)),
            can_answer=listener.can_answer,
            number=account.number,
        )
        self._introduced = False
        self._interrupted = False
        self._timed_out: set[int] = set()
        self._stopped_late = False
        self._helped = 0
        self._given_up = False
        self._cancelled = False
        self._began = 0.0
        self._aborted: CellRequest | None = None
        self._link_was_half_open = False
        self._resumed = False
        self._journal: asyncio.Future[JournalKept] | None = None
        self._cancel_taken = asyncio.Event()
        self._questions: set[asyncio.Task[None]] = set()

    async def run(self, sent: Callable[[list[str]], None]) -> Result:
        """Execute the cells.

        Args:
            sent: called with the ids of the requests, where all cells go out at once behind the
                recorder.

        Returns:
            how it ended; what arrived is in the account whatever happened.

        Raises:
            UnreachableError, AuthError, NotFoundError, WireError: the link is gone for good.
        """
        await self._outbox.send(self._exchange.run.begin(self._prologue, None))
        await self._outbox.send_cells()
        if self._exchange.run.outlives_client and not self._outbox.waiting:
            sent(self.sent)
        return await self._follow()

    async def resume(self) -> Result:
        """Follow a run that another client began.

        Returns:
            how it ended.

        Raises:
            UnreachableError, AuthError, NotFoundError, WireError: the link is gone for good.
        """
        self._resumed = True
        self._outbox.drop()
        await self._outbox.send(self._exchange.run.link_restored(self._now()))
        return await self._follow()

    async def detach(self, about: Callable[[list[str]], dict[str, Any]]) -> JournalKept:
        """Make the kernel independent of this client: all cells sent, a journal kept.

        Args:
            about: makes what whoever attaches needs to know, of the requests' ids.

        Returns:
            where the journal is, or why there is none.
        """
        await self._outbox.send_all_cells()
        request = self._exchange.run.keep_journal(about(self.sent))
        if not request:
            return JournalKept(None, "there is no recorder in the kernel")
        self._journal = asyncio.get_running_loop().create_future()
        await self._outbox.send(request)
        try:
            async with asyncio.timeout(DETACH_SECONDS):
                return await self._journal
        except TimeoutError:
            return JournalKept(None, f"the kernel did not answer within {DETACH_SECONDS:.0f} s")

    @property
    def sent(self) -> list[str]:
        """The ids of the requests that went out, in the order of the cells."""
        ids = self._exchange.sent
        return [ids[key] for key in sorted(ids)]

    @property
    def detachable(self) -> bool:
        """The run can go on without this client, also one whose cell survived an interrupt."""
        if not self._exchange.run.outlives_client or self._stopped_late:
            return False
        return not self._interrupted or len(self._exchange.sent) == len(self._cells)

    async def _follow(self) -> Result:
        self._began = self._now()
        try:
            await first_of(self._consume(), self._keep_watch())
        finally:
            await cancel_all([*self._questions])
        if self._interrupted:
            self._account.stop("interrupted", None)
        if self._aborted is not None:
            self._account.stop("aborted", self._aborted)
        if self._cancelled and not (self._interrupted or self._timed_out):
            self._account.was_cancelled()
        self._account.result.language_info = self._exchange.language_info
        return self._account.result

    async def interrupt(self) -> None:
        """Interrupt what runs now, because the person wants it."""
        self._interrupted = True
        self._account.notice("interrupted", "Interrupting the remote cell.")
        await self._stop_remote_code()

    async def forget(self) -> None:
        """What the recorder and the journal hold of the run is no longer needed."""
        await self._outbox.send(self._exchange.run.forget())

    async def _consume(self) -> None:
        try:
            async for event in self._channels.events():
                self._watch.heard(self._now())
                if isinstance(event, Message):
                    self._watch.answered()
                await self._handle(self._meaning(event))
                self._introduce_kernel()
                await self._outbox.send(self._exchange.run.due(self._now()))
                if isinstance(event, LinkRestored):
                    await self._outbox.send_again(self._repeated)
                if self._over:
                    return
        except NotFoundError:
            self._on_kernel_ended(KernelEnded("deleted"))

    def _repeated(self) -> list[Message]:
        return self._exchange.run.link_restored(self._now())

    def _introduce_kernel(self) -> None:
        info = self._exchange.language_info
        if not self._introduced and isinstance(info, dict):
            self._introduced = True
            self._listener.on_event(KernelReady.of(info))

    @property
    def _over(self) -> bool:
        return self._given_up or not (
            self._outbox.waiting or self._exchange.pending or self._waits_for_language
        )

    @property
    def _waits_for_language(self) -> bool:
        """Nothing is executed, and the result says at least what the kernel is."""
        if self._cells or self._exchange.language_info is not None:
            return False
        return self._now() - self._began < LANGUAGE_SECONDS

    def _meaning(self, event: ChannelEvent | KernelEnded) -> Iterable[Event]:
        match event:
            case KernelEnded():
                return [event]
            case LinkLost():
                self._outbox.check_size(event)
                self._link_was_half_open = event.half_open
                self._exchange.run.link_lost()
                text = f"Link to the server lost: {event.reason}. Reconnecting…"
                self._account.notice("link-lost", text)
                return []
            case LinkRestored():
                text = f"Link restored after {event.seconds:.1f} s."
                self._account.notice("link-restored", text)
                if self._link_was_half_open:
                    self._account.half_open(self._exchange.run.exposed)
                return []
        return self._exchange.receive(event, self._now())

    async def _handle(self, events: Iterable[Event]) -> None:
        for event in events:
            await self._on(event)

    async def _on(self, event: Event) -> None:
        match event:
            case Started():
                self._helped = 0
                self._watch.started(event.key, self._now())
                self._account.started(event)
            case InputEchoed():
                self._account.echoed(event)
            case Published():
                for note in self._account.published(event):
                    await self._channels.send(
                        self._requests.comm_message(note.comm_id, note.data, note.parent_header)
                    )
            case LimitReached():
                self._account.limit_reached(event)
            case OutputGone():
                self._account.output_gone(event.count)
            case InputRequested():
                self._ask(event.message)
            case Replied():
                stamp = read_stamp(event.message)
                self._cancelled = self._cancelled or (stamp is not None and stamp.cancelled)
                self._account.replied(event)
            case Finished():
                await self._on_finished(event)
            case NotRun():
                await self._outbox.put_back(event.key)
            case Unrecorded():
                self._on_unrecorded(event)
            case JournalKept():
                if self._journal is not None and not self._journal.done():
                    self._journal.set_result(event)
            case CancelTaken():
                self._cancel_taken.set()
            case KernelEnded():
                self._on_kernel_ended(event)

    async def _on_finished(self, event: Finished) -> None:
        cell = self._cells[event.key]
        status = self._status_of(event)
        seconds = self._watch.elapsed(event.key, self._now())
        self._account.finished(event, status=status, seconds=seconds)
        self._watch.finished(event.key)
        if status == "aborted":
            # The reason is the cell before it, whose end may arrive later.
            self._outbox.drop()
            self._aborted = self._aborted or cell
        elif status == "ok" and cell.exits(event.reply):
            self._outbox.drop()
            self._account.exited(event.key)
        elif status != "ok" and not (status in ("error", "timeout") and cell.allows_error):
            self._outbox.drop()
            self._account.stop(status, cell)
        elif self._interrupted:
            self._account.stop("interrupted", cell)
        else:
            await self._outbox.send_cells()

    def _status_of(self, event: Finished) -> str:
        # Whatever the cell made of the interrupt: it may have caught it.
        if event.key in self._timed_out:
            return "timeout"
        if event.status == "error" and (self._interrupted or self._cancelled):
            return "interrupted"
        return "ok" if self._cells[event.key].exits(event.reply) else event.status

    def _on_unrecorded(self, event: Unrecorded) -> None:
        if self._resumed:
            self._on_kernel_ended(KernelEnded("died"))
            return
        self._account.notice("unrecorded", unrecorded(event.reason))

    def _on_kernel_ended(self, event: KernelEnded) -> None:
        self._account.kernel_ended(event, self._exchange.pending)
        self._given_up = True

    def _ask(self, request: Message) -> None:
        if self._resumed and not self._listener.can_answer:
            # Whoever only looks takes nothing away: the question waits for somebody else.
            text = "The code waits for an answer: attach at a terminal to give it."
            self._account.notice("waiting", text)
            return
        question = asyncio.create_task(self._answer(request), name="run-input")
        self._questions.add(question)
        question.add_done_callback(self._questions.discard)

    async def _answer(self, request: Message) -> None:
        content = request.content_fields
        value = await self._listener.ask(
            str(content.get("prompt", "")), hidden=bool(content.get("password"))
        )
        if value is None and self._resumed:
            self._account.notice(
                "question", "The code asks a question: attach to the run in a terminal."
            )
        elif value is None:
            await self.interrupt()
        else:
            await self._channels.send(self._exchange.answer(value, request, self._now()))

    async def _keep_watch(self) -> None:
        """Act at the deadlines. Ends only when the run is over."""
        self._watch.heard(self._now())
        while not self._over:
            await asyncio.sleep(_TICK)
            await self._outbox.send(self._exchange.run.due(self._now()))
            actions = self._watch.due(
                self._now(),
                pending=bool(self._exchange.pending),
                idle_missing=self._exchange.run.wants_fence,
            )
            for action in actions:
                await self._act(action)

    async def _act(self, action: Act) -> None:
        match action:
            case Act.FENCE:
                await self._channels.send(self._exchange.fence())
            case Act.STOP_WAITING_FOR_IDLE:
                await self._handle(self._exchange.stop_waiting_for_idle())
            case Act.POLL_KERNEL:
                await self._poll_kernel()
            case Act.INTERRUPT:
                await self._interrupt_late(self._watch.overdue)
            case Act.GIVE_UP_START:
                self._on_kernel_ended(KernelEnded("unanswered"))
            case Act.GIVE_UP:
                text = "The cell does not react to the interrupt: giving up."
                self._account.notice("timeout", text)
                self._account.stop("timeout", self._cells[self._exchange.pending[0]])
                self._given_up = True

    async def _interrupt_late(self, key: int) -> None:
        self._timed_out.add(key)
        self._account.notice("timeout", "The cell's time is up: interrupting it.")
        if not self._cells[key].allows_error:
            self._stopped_late = True
            await self._stop_remote_code()
            return
        # The next cell goes out only when this interrupt can't hit it any more.
        async with self._outbox.held():
            await self._interrupt_kernel()

    async def _stop_remote_code(self) -> None:
        """Interrupt the cell that runs, and let no other begin."""
        self._outbox.drop()
        cancel = self._exchange.run.cancel()
        self._cancel_taken.clear()
        await self._outbox.send(cancel)
        if cancel:
            # The interrupt goes another way. If it were the first to arrive, a cell that catches it
            # would end, and the next one begin.
            with suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_SECONDS):
                    await self._cancel_taken.wait()
        await self._interrupt_kernel()

    async def _interrupt_kernel(self) -> None:
        try:
            await self._control.interrupt()
        except (UnreachableError, NotFoundError) as error:
            text = f"The interrupt did not reach the kernel: {error.message}"
            self._account.notice("interrupted", text)

    async def _poll_kernel(self) -> None:
        try:
            state = await self._control.state()
        except UnreachableError as error:
            log.info("kernel poll failed: %s", error)
            return
        if state is None:
            self._on_kernel_ended(KernelEnded("deleted"))
            return
        answers = self._exchange.run.answers_when_idle
        idle = state == "idle" and answers and await self._channels.all_arrived()
        word = self._exchange.run.state
        match self._watch.polled(
            idle=idle,
            word=word,
            received=self._channels.received,
            # While something is still to be fetched, a slow link may take its time for it.
            nothing_runs=word is not None
            and not word.running
            and word.count <= self._exchange.handled,
        ):
            case Found.CELLS_MISSING:
                await self._on_missing_cells()
            case Found.MUTE if self._tried_in_vain():
                self._on_kernel_ended(KernelEnded("mute"))
            case Found.MUTE:
                log.info("the kernel is idle, and does not answer: connecting as another session")
                self._channels.start_over()

    def _tried_in_vain(self) -> bool:
        """Whether the kernel was helped so often that it makes no sense to go on."""
        self._helped += 1
        return self._helped > HELP_AT_MOST

    async def _on_missing_cells(self) -> None:
        """The kernel never got the cells: a server lost them, or a client died as it sent them."""
        if self._resumed:
            self._on_kernel_ended(KernelEnded("unreached"))
            return
        if self._tried_in_vain():
            self._on_kernel_ended(KernelEnded("mute"))
            return
        log.info("the kernel is idle, and did not get all cells: sending them again")
        await self._outbox.send_again(lambda: self._exchange.run.unconfirmed)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
