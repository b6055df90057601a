"""Cells to a kernel, one after the other, and what comes back.

The thin acting part: ``execution`` tells what messages mean, ``watch`` when to act unasked,
``outputs`` what a cell shows. Here they meet the channels.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jrc.errors import NotFoundError, UnreachableError
from jrc.run.events import CellFinished, CellOutput, CellStarted, Notice, RunEvent
from jrc.run.execution import (
    Event,
    Execution,
    Finished,
    InputEchoed,
    InputRequested,
    KernelEnded,
    LimitReached,
    Published,
    Replied,
    Started,
)
from jrc.run.outputs import Outputs, to_output
from jrc.run.requests import Requests
from jrc.run.watch import Act, Watch
from jrc.server.channels import ChannelEvent, LinkLost, LinkRestored
from jrc.wire.message import Message

log = logging.getLogger("jrc.run")

_TICK = 0.2

_HOW_KERNELS_END = {
    "died": "The kernel died (out of memory, or os._exit) and the server restarted it.",
    "dead": "The kernel died and the server gave up restarting it.",
    "restarted": "Somebody restarted the kernel.",
    "shutdown": "Somebody shut the kernel down.",
    "deleted": "The kernel was deleted on the server: by somebody, or culled as idle.",
}


@dataclass(frozen=True)
class CellRequest:
    """One cell as the kernel gets it.

    Attributes:
        index: of the cell in the notebook.
        source: what the person wrote.
        code: what the kernel executes; for a plain script more than ``source``.
        allows_error: an error is expected, and the next cell runs.
        user_expressions: expressions that the kernel evaluates after the code.
    """

    index: int
    source: str
    code: str
    allows_error: bool = False
    user_expressions: dict[str, str] = field(default_factory=dict)


@dataclass
class Result:
    """How the cells ended.

    Attributes:
        status: as in ``events.RunFinished``.
        cell: the one that ended the run before its last cell; None when all were executed.
        reply: content of the last ``execute_reply``.
        reason: why the kernel is gone, when it is.
        lost: one sentence for each loss of output.
        language_info: what the kernel says of its language.
    """

    status: str = "ok"
    cell: CellRequest | None = None
    reply: dict[str, Any] | None = None
    reason: str = ""
    lost: list[str] = field(default_factory=list)
    language_info: dict[str, Any] | None = None


class Listener(Protocol):
    """Who is told what happens, and who is asked."""

    can_answer: bool

    def on_event(self, event: RunEvent) -> None: ...

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        """One line from the person; None when there is no answer to be had."""
        ...


class KernelChannels(Protocol):
    """What the runner needs of ``server.channels.Channels``."""

    async def send(self, message: Message) -> None: ...

    def events(self) -> Any: ...


class KernelControl(Protocol):
    """What the runner needs of the server's REST interface, for its one kernel."""

    async def interrupt(self) -> None: ...

    async def exists(self) -> bool: ...


class Runner:
    """Executes cells on one kernel. For one run only.

    Args:
        cells: in order.
        channels: open channels of the kernel.
        control: the kernel's interrupt and existence.
        requests: makes the messages; its session is the channels' session.
        listener: who is told.
        outputs: gets what the cells publish.
        changed: called with a cell's index when its outputs changed, and whether it is finished.
        cell_timeout: seconds for one cell; None for no limit.
        prologue: code to execute silently before the first cell.
    """

    def __init__(
        self,
        cells: Sequence[CellRequest],
        *,
        channels: KernelChannels,
        control: KernelControl,
        requests: Requests,
        listener: Listener,
        outputs: Outputs,
        changed: Callable[[int, bool], None],
        cell_timeout: float | None = None,
        prologue: str = "",
    ) -> None:
        self._cells = list(cells)
        self._waiting = deque(range(len(self._cells)))
        self._channels = channels
        self._control = control
        self._requests = requests
        self._listener = listener
        self._outputs = outputs
        self._changed = changed
        self._execution = Execution()
        self._watch = Watch(cell_timeout)
        self._prologue = prologue
        self._info_id = ""
        self._result = Result()
        self._interrupted = False
        self._timed_out = False
        self._given_up = False
        self._link_was_half_open = False
        self._questions: set[asyncio.Task[None]] = set()
        self._limited: set[int] = set()

    async def run(self) -> Result:
        """Execute the cells.

        Returns:
            how it ended; outputs are in ``outputs`` whatever happened.

        Raises:
            UnreachableError, AuthError, NotFoundError, WireError: the link is gone for good.
        """
        info = self._requests.kernel_info()
        self._info_id = info.msg_id
        await self._channels.send(info)
        if self._prologue:
            await self._channels.send(self._requests.execute_silently(self._prologue))
        await self._send_next()
        consuming = asyncio.create_task(self._consume(), name="run-consume")
        watching = asyncio.create_task(self._keep_watch(), name="run-watch")
        try:
            await asyncio.wait({consuming, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = [consuming, watching, *self._questions]
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome
        if self._interrupted:
            self._stop("interrupted", None)
        return self._result

    async def interrupt(self) -> None:
        """Interrupt what runs now, because the person wants it."""
        self._interrupted = True
        self._waiting.clear()
        self._notice("interrupted", "Interrupting the remote cell.")
        await self._interrupt_kernel()

    async def _consume(self) -> None:
        try:
            async for event in self._channels.events():
                self._watch.heard(self._now())
                for meaning in await self._meaning(event):
                    await self._on(meaning)
                if self._over:
                    return
        except NotFoundError:
            self._on_kernel_ended(KernelEnded("deleted"))

    @property
    def _over(self) -> bool:
        return self._given_up or not (self._waiting or self._execution.pending)

    async def _meaning(self, event: ChannelEvent) -> Sequence[Event]:
        match event:
            case LinkLost():
                self._link_was_half_open = event.half_open
                self._notice("link-lost", f"Link to the server lost: {event.reason}. Reconnecting…")
            case LinkRestored():
                self._notice("link-restored", f"Link restored after {event.seconds:.1f} s.")
                self._suspect_half_open_loss()
                self._execution.fences_lost()
                if self._execution.pending:
                    await self._send_fence()
            case _:
                if event.parent_id == self._info_id and event.msg_type == "kernel_info_reply":
                    self._result.language_info = event.content_fields.get("language_info")
                return list(self._execution.receive(event))
        return []

    async def _on(self, event: Event) -> None:
        match event:
            case Started():
                self._on_started(event)
            case InputEchoed():
                index = self._index(event.key)
                self._outputs.mark(index, "iopub.execute_input", event.message)
                count = event.message.content_fields.get("execution_count")
                self._outputs.set_execution_count(index, count)
            case Published():
                await self._on_published(event)
            case LimitReached():
                self._on_limit(event)
            case InputRequested():
                question = asyncio.create_task(self._answer(event.message), name="run-input")
                self._questions.add(question)
                question.add_done_callback(self._questions.discard)
            case Replied():
                index = self._index(event.key)
                self._outputs.mark(index, "shell.execute_reply", event.message)
                count = event.message.content_fields.get("execution_count")
                self._outputs.set_execution_count(index, count)
            case Finished():
                await self._on_finished(event)
            case KernelEnded():
                self._on_kernel_ended(event)

    def _on_started(self, event: Started) -> None:
        cell = self._cells[event.key]
        self._watch.started(event.key, self._now())
        self._outputs.mark(cell.index, "iopub.status.busy", event.message)
        self._tell(CellStarted(cell.index, event.key + 1, len(self._cells), cell.source))

    async def _on_published(self, event: Published) -> None:
        index = self._index(event.key)
        message = event.message
        for note in self._outputs.publish(index, message):
            await self._channels.send(
                self._requests.comm_message(note.comm_id, note.data, note.parent_header)
            )
        self._tell_output(index, message)
        self._changed(index, False)

    def _tell_output(self, index: int, message: Message) -> None:
        msg_type = message.msg_type
        if msg_type.startswith("comm"):
            return
        if msg_type in ("clear_output", "update_display_data"):
            self._tell(CellOutput(index, {"output_type": msg_type, **message.content_fields}))
        else:
            self._tell(CellOutput(index, to_output(msg_type, message.content_fields)))

    def _on_limit(self, event: LimitReached) -> None:
        if event.key in self._limited:
            return
        self._limited.add(event.key)
        self._lose(
            f"Cell {event.key + 1}: the server dropped output that came too fast "
            f"({event.notice.rstrip('.')})."
        )

    async def _on_finished(self, event: Finished) -> None:
        cell = self._cells[event.key]
        self._note_losses(event)
        if event.error_lost and event.reply is not None:
            self._outputs.error(cell.index, event.reply)
            self._tell(CellOutput(cell.index, to_output("error", event.reply)))
        if event.idle is not None:
            self._outputs.mark(cell.index, "iopub.status.idle", event.idle)
        status = self._status_of(event)
        self._result.reply = event.reply
        self._tell(
            CellFinished(
                cell=cell.index,
                number=event.key + 1,
                total=len(self._cells),
                status=status,
                seconds=self._watch.elapsed(event.key, self._now()),
                execution_count=self._outputs.execution_count(cell.index),
            )
        )
        self._watch.finished(event.key)
        self._changed(cell.index, True)
        if status != "ok" and not (status == "error" and cell.allows_error):
            self._stop(status, cell)
        elif self._interrupted:
            self._stop("interrupted", cell)
        else:
            await self._send_next()

    def _status_of(self, event: Finished) -> str:
        if event.status == "error" and self._timed_out:
            return "timeout"
        if event.status == "error" and self._interrupted:
            return "interrupted"
        return event.status

    def _note_losses(self, event: Finished) -> None:
        number = event.key + 1
        if event.reply is None:
            self._lose(
                f"Cell {number}: its reply was lost while the link was down; "
                "whether it was executed to its end is not known."
            )
        elif event.idle is None and event.status != "aborted":
            self._lose(
                f"Cell {number}: the kernel's end-of-output mark was lost between kernel and "
                "server, and probably output before it."
            )

    def _suspect_half_open_loss(self) -> None:
        if not self._link_was_half_open:
            return
        for key in self._execution.pending:
            self._lose(
                f"Cell {key + 1}: the link was silent before it broke; "
                "what the server sent into the silence is lost."
            )

    def _on_kernel_ended(self, event: KernelEnded) -> None:
        pending = self._execution.pending
        cell = self._cells[pending[0]] if pending else None
        self._result.reason = _HOW_KERNELS_END[event.how]
        self._notice("kernel", self._result.reason)
        self._stop("kernel-died", cell)
        self._given_up = True

    def _stop(self, status: str, cell: CellRequest | None) -> None:
        self._waiting.clear()
        if self._result.status == "ok":
            self._result.status = "output-lost" if status == "lost" else status
            self._result.cell = cell

    async def _answer(self, request: Message) -> None:
        content = request.content_fields
        value = await self._listener.ask(
            str(content.get("prompt", "")), hidden=bool(content.get("password"))
        )
        if value is None:
            await self.interrupt()
        else:
            await self._channels.send(self._requests.input_reply(value, request))

    async def _send_next(self) -> None:
        if not self._waiting:
            return
        key = self._waiting.popleft()
        cell = self._cells[key]
        request = self._requests.execute(
            cell.code,
            stop_on_error=not cell.allows_error,
            allow_stdin=self._listener.can_answer,
            user_expressions=cell.user_expressions,
        )
        self._outputs.start(cell.index)
        self._execution.sent(request.msg_id, key)
        await self._channels.send(request)

    async def _send_fence(self) -> None:
        fence = self._requests.kernel_info()
        self._execution.fence_sent(fence.msg_id)
        await self._channels.send(fence)

    async def _keep_watch(self) -> None:
        """Act at the deadlines. Ends only when the run is over."""
        self._watch.heard(self._now())
        while not self._over:
            await asyncio.sleep(_TICK)
            actions = self._watch.due(
                self._now(),
                pending=bool(self._execution.pending),
                idle_missing=self._execution.wants_fence,
            )
            for action in actions:
                await self._act(action)

    async def _act(self, action: Act) -> None:
        match action:
            case Act.FENCE:
                await self._send_fence()
            case Act.STOP_WAITING_FOR_IDLE:
                for event in self._execution.stop_waiting_for_idle():
                    await self._on(event)
            case Act.POLL_KERNEL:
                await self._poll_kernel()
            case Act.INTERRUPT:
                self._timed_out = True
                self._notice("timeout", "The cell's time is up: interrupting it.")
                await self._interrupt_kernel()
            case Act.GIVE_UP:
                pending = self._execution.pending
                self._notice("timeout", "The cell does not react to the interrupt: giving up.")
                self._stop("timeout", self._cells[pending[0]])
                self._given_up = True

    async def _interrupt_kernel(self) -> None:
        try:
            await self._control.interrupt()
        except (UnreachableError, NotFoundError) as error:
            self._notice("interrupted", f"The interrupt did not reach the kernel: {error.message}")

    async def _poll_kernel(self) -> None:
        try:
            exists = await self._control.exists()
        except UnreachableError as error:
            log.info("kernel poll failed: %s", error)
            return
        if not exists:
            self._on_kernel_ended(KernelEnded("deleted"))

    def _lose(self, sentence: str) -> None:
        self._result.lost.append(sentence)
        self._notice("output-lost", sentence)

    def _notice(self, kind: str, text: str) -> None:
        self._tell(Notice(kind, text))

    def _tell(self, event: RunEvent) -> None:
        self._listener.on_event(event)

    def _index(self, key: int) -> int:
        return self._cells[key].index

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
