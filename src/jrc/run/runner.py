"""Sends cells to a kernel and acts on what comes back: the thin acting part.

``protocol`` says what messages mean and what to ask, ``watch`` when to act unasked,
``progress`` keeps what came, ``stopping`` why it ends. Here they meet the channels.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from jrc.errors import NotFoundError, ProtocolError, UnreachableError, WireError
from jrc.kernel.channels import FrameDamaged, LinkLost, LinkRestored
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
from jrc.recorder.protocol import read_stamp
from jrc.recorder.tracker import Lost
from jrc.run.kernel_side import KernelChannels, KernelControl, KernelEvent, MessageDamaged
from jrc.run.outbox import Outbox
from jrc.run.progress import Account, Listener, Result, unrecorded
from jrc.run.protocol import Exchange
from jrc.run.stopping import Interrupter, Stops
from jrc.run.strategy import (
    CancelTaken,
    Event,
    JournalKept,
    NotRun,
    Unrecorded,
)
from jrc.run.timing import DEFAULT_TIMING, Timing
from jrc.run.watch import Act, Found, IdleKernel, Watch
from jrc.tasks import cancel_all, first_of
from jrc.wire.message import Message

log = logging.getLogger("jrc.run")

MOST_QUESTIONS = 8
"""At the same time: each waits in a thread. A kernel asks one, and with subshells a few."""


class Questions:
    """Passes the questions of the code on to the user, and the answers back.

    Args:
        listener: answers.
        channels: bring the answer.
        exchange: makes the answer.
        account: notices what can't be answered here.
        unanswered: what to do in a run of ours where there is no answer to be had.
    """

    def __init__(
        self,
        listener: Listener,
        *,
        channels: KernelChannels,
        exchange: Exchange,
        account: Account,
        unanswered: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        self._listener = listener
        self._channels = channels
        self._exchange = exchange
        self._account = account
        self._unanswered = unanswered
        self._open: set[asyncio.Task[None]] = set()

    def ask(self, request: Message, *, allowed: bool) -> None:
        """Ask the user, while other messages keep arriving.

        Args:
            request: the question.
            allowed: the code was allowed to ask. The kernel that asks all the same gets no answer.
        """
        if not allowed:
            text = "The kernel asks a question that this run does not allow: it gets no answer."
            self._account.notice("question", text)
            if not self._exchange.is_taken_up:
                self._begin(self._unanswered())
        elif self._exchange.is_taken_up and not self._listener.can_answer:
            # The question waits for a client that can answer.
            text = "The code waits for an answer: attach at a terminal to give it."
            self._account.notice("waiting", text)
        else:
            self._begin(self._answer(request))

    def _begin(self, answer: Coroutine[Any, Any, None]) -> None:
        if len(self._open) == MOST_QUESTIONS:
            answer.close()
            log.warning("the kernel asks more questions at the same time than anybody answers")
            return
        question = asyncio.create_task(answer, name="run-input")
        self._open.add(question)
        question.add_done_callback(self._open.discard)

    async def close(self) -> None:
        """Cancel the questions that are open."""
        await cancel_all([*self._open])

    async def _answer(self, request: Message) -> None:
        content = request.content_fields
        value = await self._listener.ask(
            str(content.get("prompt", "")), hidden=bool(content.get("password"))
        )
        if value is not None:
            now = asyncio.get_running_loop().time()
            await self._channels.send(self._exchange.answer(value, request, now))
        elif self._exchange.is_taken_up:
            self._account.notice(
                "question", "The code asks a question: attach to the run in a terminal."
            )
        else:
            await self._unanswered()


class KernelPolls:
    """Asks the server how a silent kernel is, and helps one that is idle and begins nothing.

    Args:
        control: asks the server.
        channels: to the kernel.
        exchange: knows what the kernel should do.
        outbox: sends what the kernel may have missed.
        idle_kernel: says what the polls show.
        helps: how many times in a row the kernel is helped at most.
    """

    def __init__(
        self,
        control: KernelControl,
        channels: KernelChannels,
        exchange: Exchange,
        outbox: Outbox,
        idle_kernel: IdleKernel,
        helps: int,
    ) -> None:
        self._control = control
        self._channels = channels
        self._exchange = exchange
        self._outbox = outbox
        self._idle_kernel = idle_kernel
        self._helps = helps
        self._helped = 0

    def cell_began(self) -> None:
        """The kernel needs no help."""
        self._helped = 0

    async def poll(self) -> KernelEnded | None:
        """Ask, and help where that is needed; returns the end of a kernel that nothing helps.

        Raises:
            AuthError: the server refuses the credentials.
        """
        try:
            state = await self._control.state()
        except (UnreachableError, ProtocolError) as error:
            # The link works, whatever a proxy answers here.
            log.info("kernel poll failed: %s", error)
            return None
        if state is None:
            return KernelEnded("deleted")
        run = self._exchange.run
        idle = state == "idle" and run.answers_when_idle and await self._channels.all_arrived()
        state_of_run = run.state
        match self._idle_kernel.polled(
            idle=idle,
            answers=run.answers,
            state=state_of_run,
            # While something is still to be fetched, a slow link may take its time for it.
            nothing_runs=state_of_run is not None
            and not state_of_run.running
            and state_of_run.count <= self._exchange.handled,
            received=self._channels.received,
        ):
            case Found.CELLS_MISSING:
                return await self._send_missing_cells()
            case Found.UNRESPONSIVE:
                return self._start_over()
        return None

    async def _send_missing_cells(self) -> KernelEnded | None:
        """The kernel never got the cells: a server lost them, or a client died as it sent them."""
        if self._exchange.is_taken_up:
            return KernelEnded("unreached")
        if self._tried_in_vain():
            return KernelEnded("unresponsive")
        log.info("the kernel is idle, and did not get all cells: sending them again")
        await self._outbox.send_again(lambda: self._exchange.run.unconfirmed)
        return None

    def _start_over(self) -> KernelEnded | None:
        if self._tried_in_vain():
            return KernelEnded("unresponsive")
        log.info("the kernel is idle, and does not answer: connecting as another session")
        self._channels.start_over()
        return None

    def _tried_in_vain(self) -> bool:
        """Whether the kernel was helped so often that it makes no sense to go on."""
        self._helped += 1
        return self._helped > self._helps


class Departure:
    """Makes a kernel independent of this client: all cells sent, a journal kept.

    Args:
        exchange: asks for the journal.
        outbox: sends it all.
        seconds: for the journal to be opened.
    """

    def __init__(self, exchange: Exchange, outbox: Outbox, seconds: float) -> None:
        self._exchange = exchange
        self._outbox = outbox
        self._seconds = seconds
        self._journal: asyncio.Future[JournalKept] | None = None

    async def prepare(self, about: Callable[[], dict[str, Any]]) -> JournalKept:
        """Send what is left and wait for the journal.

        Args:
            about: makes the manifest for clients that attach, once everything is sent.

        Returns:
            where the journal is, or why there is none.
        """
        await self._outbox.send_all_cells()
        request = self._exchange.run.keep_journal(about())
        if not request:
            return JournalKept(None, "there is no recorder in the kernel")
        self._journal = asyncio.get_running_loop().create_future()
        await self._outbox.send(request)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._journal
        except TimeoutError:
            return JournalKept(None, f"the kernel did not answer within {self._seconds:.0f} s")

    def journal_kept(self, event: JournalKept) -> None:
        """The kernel answered."""
        if self._journal is not None and not self._journal.done():
            self._journal.set_result(event)


class Runner:
    """Executes cells on one kernel, or follows their execution. For one run only.

    Args:
        channels: open channels of the kernel.
        control: the kernel's interrupt and existence.
        exchange: makes the requests and understands the answers.
        account: the cells, and what became of them.
        listener: answers.
        watch: the run's deadlines.
        pipelined: send all cells at once, if there is a recorder to guard them.
        timing: the thresholds of the run.
    """

    def __init__(
        self,
        *,
        channels: KernelChannels,
        control: KernelControl,
        exchange: Exchange,
        account: Account,
        listener: Listener,
        watch: Watch,
        pipelined: bool = True,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self._channels = channels
        self._exchange = exchange
        self._account = account
        self._watch = watch
        self._timing = timing
        self._stops = Stops()
        self._outbox = Outbox(
            account.cells,
            channels=channels,
            exchange=exchange,
            pipelined=pipelined,
            can_answer=listener.can_answer,
            number=account.number,
        )
        self._interrupter = Interrupter(control, exchange, self._outbox, account, timing.cancel)
        self._polls = KernelPolls(
            control, channels, exchange, self._outbox, watch.idle_kernel, timing.watch.helps
        )
        self._departure = Departure(exchange, self._outbox, timing.leave)
        self._questions = Questions(
            listener,
            channels=channels,
            exchange=exchange,
            account=account,
            unanswered=self.interrupt,
        )
        self._began = 0.0

    async def run(self, prologue: str, remember: Callable[[list[str]], None]) -> Result:
        """Execute the cells.

        Args:
            prologue: code to execute silently before the first cell; empty for none.
            remember: called with the ids of the requests, where all cells go out at once behind the
                recorder.

        Returns:
            how it ended; what arrived is in the account whatever happened.

        Raises:
            UnreachableError, AuthError, NotFoundError: the link is gone for good.
        """
        await self._outbox.send(self._exchange.run.begin(prologue, None))
        await self._outbox.send_cells()
        if self._exchange.run.outlives_client and not self._outbox.waiting:
            remember(self.sent)
        return await self._follow()

    async def resume(self) -> Result:
        """Follow a run that another client began.

        Returns:
            how it ended.

        Raises:
            UnreachableError, AuthError, NotFoundError: the link is gone for good.
        """
        self._outbox.drop()
        await self._outbox.send(self._repeated())
        return await self._follow()

    async def detach(self, about: Callable[[list[str]], dict[str, Any]]) -> JournalKept:
        """Make the kernel independent of this client: all cells sent, a journal kept.

        Args:
            about: makes the manifest for clients that attach, from the requests' ids.

        Returns:
            where the journal is, or why there is none.
        """
        return await self._departure.prepare(lambda: about(self.sent))

    @property
    def sent(self) -> list[str]:
        """The ids of the requests that went out, in the order of the cells."""
        ids = self._exchange.sent
        return [ids[key] for key in sorted(ids)]

    @property
    def detachable(self) -> bool:
        """The run can go on without this client, also one whose cell survived an interrupt."""
        all_sent = len(self._exchange.sent) == len(self._account.cells)
        return self._exchange.run.outlives_client and self._stops.let_it_go_on(all_sent=all_sent)

    async def interrupt(self) -> None:
        """Interrupt the cell that is executed, because the user wants it."""
        self._stops.interrupted = True
        self._account.notice("interrupted", "Interrupting the remote cell.")
        await self._interrupter.stop_all()

    async def forget(self) -> None:
        """Let the kernel free what it holds of the run, and delete the journal."""
        await self._outbox.send(self._exchange.run.forget())

    async def _follow(self) -> Result:
        self._began = self._now()
        try:
            await first_of(self._consume(), self._keep_watch())
        finally:
            await self._questions.close()
        self._stops.conclude(self._account)
        return self._account.result

    async def _consume(self) -> None:
        try:
            async for event in self._channels.events():
                if not isinstance(event, FrameDamaged):
                    self._watch.heard(self._now())
                if isinstance(event, Message):
                    self._watch.answered()
                await self._take(event)
                self._account.language(self._exchange.language_info)
                await self._outbox.send(self._exchange.run.due(self._now()))
                if isinstance(event, LinkRestored):
                    await self._outbox.send_again(self._repeated)
                if self._over:
                    return
        except NotFoundError:
            self._on_kernel_ended(KernelEnded("deleted"))

    def _repeated(self) -> list[Message]:
        return self._exchange.run.link_restored(self._now())

    @property
    def _over(self) -> bool:
        return self._stops.given_up or not (
            self._outbox.waiting or self._exchange.pending or self._waits_for_language
        )

    @property
    def _waits_for_language(self) -> bool:
        """Nothing is executed, and the result says at least what the kernel is."""
        if self._account.cells or self._exchange.language_info is not None:
            return False
        return self._now() - self._began < self._timing.language

    async def _take(self, event: KernelEvent) -> None:
        try:
            await self._handle(self._meaning(event))
        except WireError as error:
            # Only its content can't be read.
            self._on_damage(error.message)

    def _meaning(self, event: KernelEvent) -> Iterable[Event]:
        match event:
            case KernelEnded():
                return [event]
            case FrameDamaged():
                self._on_damage(event.reason)
                return []
            case MessageDamaged():
                return self._exchange.run.lost(event.number)
            case LinkLost():
                self._outbox.check_size(event)
                self._exchange.run.link_lost()
                self._account.link_lost(event)
                return []
            case LinkRestored():
                self._account.link_restored(event, self._exchange.run.exposed)
                return []
        return self._exchange.receive(event, self._now())

    async def _handle(self, events: Iterable[Event]) -> None:
        for event in events:
            await self._on(event)

    async def _on(self, event: Event) -> None:
        match event:
            case Started():
                self._polls.cell_began()
                self._watch.started(event.key, self._now())
                self._account.started(event)
            case InputEchoed():
                self._account.echoed(event)
            case Published():
                for note in self._account.published(event):
                    await self._channels.send(self._exchange.comm_message(note))
            case LimitReached():
                self._account.limit_reached(event)
            case Lost():
                self._account.lose(event.sentence)
            case InputRequested():
                self._questions.ask(event.message, allowed=event.allowed)
            case Replied():
                stamp = read_stamp(event.message)
                self._stops.cancelled |= stamp is not None and stamp.cancelled
                self._account.replied(event)
            case Finished():
                await self._on_finished(event)
            case NotRun():
                await self._outbox.put_back(event.key)
            case Unrecorded():
                self._on_unrecorded(event)
            case JournalKept():
                self._departure.journal_kept(event)
            case CancelTaken():
                self._interrupter.cancel_taken()
            case KernelEnded():
                self._on_kernel_ended(event)

    async def _on_finished(self, event: Finished) -> None:
        cell = self._account.cells[event.key]
        status = self._stops.status_of(event, cell)
        seconds = self._watch.elapsed(event.key, self._now())
        self._account.finished(event, status=status, seconds=seconds)
        self._watch.finished(event.key)
        if status == "aborted":
            # The reason is the cell before it, whose end may arrive later.
            self._outbox.drop()
            self._stops.aborted = self._stops.aborted or cell
        elif status == "ok" and cell.exits(event.reply):
            self._outbox.drop()
            self._account.exited(event.key)
        elif status != "ok" and not (status in ("error", "timeout") and cell.allows_error):
            self._outbox.drop()
            self._account.stop(status, cell)
        elif self._stops.interrupted:
            self._account.stop("interrupted", cell)
        else:
            await self._outbox.send_cells()

    def _on_damage(self, reason: str) -> None:
        if self._exchange.run.frame_damaged():
            self._account.frame_lost(reason)

    def _on_unrecorded(self, event: Unrecorded) -> None:
        if self._exchange.is_taken_up:
            self._on_kernel_ended(KernelEnded("forgotten"))
            return
        self._account.notice("unrecorded", unrecorded(event.reason))

    def _on_kernel_ended(self, event: KernelEnded) -> None:
        self._account.kernel_ended(event, self._exchange.pending)
        self._stops.given_up = True

    async def _keep_watch(self) -> None:
        """Act at the deadlines. Ends only when the run is over."""
        self._watch.heard(self._now())
        while not self._over:
            await asyncio.sleep(self._timing.watch.tick)
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
            case Act.ASSUME_IDLE:
                await self._handle(self._exchange.stop_waiting_for_idle())
            case Act.POLL_KERNEL:
                ended = await self._polls.poll()
                if ended is not None:
                    self._on_kernel_ended(ended)
            case Act.INTERRUPT:
                await self._interrupt_late(self._watch.overdue)
            case Act.GIVE_UP_START:
                self._on_kernel_ended(KernelEnded("unanswered"))
            case Act.GIVE_UP:
                text = "The cell does not react to the interrupt: giving up."
                self._account.notice("timeout", text)
                self._account.stop("timeout", self._account.cells[self._exchange.pending[0]])
                self._stops.given_up = True

    async def _interrupt_late(self, key: int) -> None:
        self._account.notice("timeout", "The cell's time is up: interrupting it.")
        goes_on = self._account.cells[key].allows_error
        self._stops.timed_out(key, goes_on=goes_on)
        await (self._interrupter.stop_one() if goes_on else self._interrupter.stop_all())

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
