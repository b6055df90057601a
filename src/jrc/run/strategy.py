"""How the requests of a run go to its kernel, and what the answers mean.

No I/O and no clock: messages to send are returned, the time is an argument, and the ids and dates
of messages are made by the ``Messages`` that are given.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from jrc.kernel.execution import Event as ExecutionEvent
from jrc.kernel.execution import Execution
from jrc.kernel.messages import Messages
from jrc.recorder.install import Installed
from jrc.recorder.protocol import RunState
from jrc.recorder.tracker import Lost
from jrc.run.cell_requests import CellRequest
from jrc.wire.message import Message

FENCE_PAUSE = 5.0
"""Seconds between two fences because of frames that can't be read: there may be many of these."""


class NotRun(NamedTuple):
    """A request met a kernel without a recorder and was not executed: send it again."""

    key: int


class RecorderInstalled(NamedTuple):
    """The recorder is in the kernel, and the run is open.

    Attributes:
        installed: what it says of itself.
    """

    installed: Installed


class Unrecorded(NamedTuple):
    """From now on nothing is recorded.

    Attributes:
        reason: why, as the end of a sentence.
        possible: the kernel can have a recorder, and lost it.
    """

    reason: str
    possible: bool = True


class JournalKept(NamedTuple):
    """The recorder answered the request for a journal.

    Attributes:
        path: of the journal on the server's machine; None without one.
        reason: why there is none, or why it is not complete; empty otherwise.
    """

    path: str | None
    reason: str


class CancelTaken(NamedTuple):
    """The kernel begins none of the requests any more that it has not begun."""


Event = ExecutionEvent | Lost | NotRun | RecorderInstalled | Unrecorded | JournalKept | CancelTaken


class Flight:
    """The requests of a run that went out.

    Attributes:
        make: makes them.
        execution: what became of those that execute cells.
        keys: the cells' keys by the ids of their requests, also of those that were repeated.
        unconfirmed: the guarded requests of which nothing was heard, in their order.
        language_info: what the kernel says of its language; None before it said so.
    """

    def __init__(self, make: Messages) -> None:
        self.make = make
        self.execution = Execution()
        self.keys: dict[str, int] = {}
        self.unconfirmed: dict[str, Message] = {}
        self.language_info: dict[str, Any] | None = None
        self._about_language: set[str] = set()

    def sent(self, msg_id: str, key: int, *, may_ask: bool) -> None:
        """Note that a request to execute a cell goes out, or went out before."""
        self.keys[msg_id] = key
        self.execution.sent(msg_id, key, may_ask=may_ask)

    def request(
        self,
        code: str,
        cell: CellRequest,
        *,
        allow_stdin: bool,
        metadata: dict[str, Any] | None = None,
        buffers: Sequence[bytes] = (),
    ) -> Message:
        """A request to execute code as a cell wants it to be executed."""
        return self.make.execute(
            code,
            stop_on_error=not cell.allows_error,
            allow_stdin=allow_stdin,
            user_expressions=cell.user_expressions,
            store_history=cell.store_history,
            metadata=metadata or {},
            buffers=buffers,
        )

    def fence(self) -> Message:
        """A request that proves what became of the earlier ones, noted as sent."""
        fence = self.make.kernel_info()
        self.execution.fence_sent(fence.msg_id)
        return fence

    def ask_language(self) -> Message:
        return self._noted(self.make.kernel_info())

    def ask_language_meanwhile(self) -> Message:
        """Ask on control, because on shell the answer would come behind all cells."""
        return self._noted(self.make.control("kernel_info_request", {}))

    def note_language(self, answer: Message) -> None:
        if answer.channel != "iopub" and answer.parent_id in self._about_language:
            info = answer.content_fields.get("language_info")
            self.language_info = info if isinstance(info, dict) else self.language_info

    def _noted(self, question: Message) -> Message:
        self._about_language.add(question.msg_id)
        return question


class Strategy:
    """How the requests of a run go out and what comes back: ``PlainRun`` or ``RecordedRun``.

    Here is what holds for a kernel that is not asked for anything but to execute cells.

    Attributes:
        outlives_client: what is published stays in the kernel, where another client finds it.
        answers_when_idle: the kernel is asked again and again, and answers when it is idle.
        wants_fence: a reply came without its idle, and only another fence can tell why.
        state: what the recorder said of the run last.
        answers: how often it has said so.
        handled: number of the last recorded message that was given out and dealt with; it grows
            before the last event of a message is given out.
        current: number of the message whose events are given out now; 0 for one without a number.
        exposed: keys of the requests whose output is gone where it was sent into a dead link.
        unconfirmed: the guarded requests of which nothing was heard. To send them again is safe.
    """

    outlives_client = False
    answers_when_idle = False

    def __init__(self, flight: Flight) -> None:
        self._flight = flight

    @property
    def wants_fence(self) -> bool:
        return False

    @property
    def state(self) -> RunState | None:
        return None

    @property
    def answers(self) -> int:
        return 0

    @property
    def handled(self) -> int:
        return 0

    @property
    def current(self) -> int:
        return 0

    @property
    def exposed(self) -> list[int]:
        return []

    @property
    def unconfirmed(self) -> list[Message]:
        return []

    def begin(self, prologue: str, about: dict[str, Any] | None) -> list[Message]:
        """What to send first.

        Args:
            prologue: code to execute silently before the first cell; empty for none.
            about: the manifest for clients that attach; None for a run without a journal.
        """
        raise NotImplementedError

    def execute(
        self, key: int, cell: CellRequest, *, allow_stdin: bool, now: float, ahead: bool = False
    ) -> Message:
        """A request to execute a cell, noted as sent.

        Args:
            key: the caller's name for it, returned in its events.
            cell: what the kernel executes, and how.
            allow_stdin: whether the code may ask questions.
            now: the clock.
            ahead: it is sent ahead of our answers to what comes before it.
        """
        raise NotImplementedError

    def goes_ahead(self, *, unattended: bool) -> bool:
        """Whether cells may be sent before their predecessors are finished.

        Args:
            unattended: nobody will be there to answer what a cell asks of its client.
        """
        return False

    def sent(self, msg_id: str, *, guarded: bool, now: float) -> None:
        """Note that a request to execute a cell goes out, or went out before."""

    def receive(self, message: Message, now: float) -> Iterable[Event]:
        """What one message means. To be iterated to its end before the next one."""
        return self._flight.execution.receive(message)

    def answered(self, reply: Message, now: float) -> Message:
        """Note that an ``input_reply`` goes out; returns what to send."""
        return reply

    def saved(self, number: int) -> None:
        """The kernel may free the messages up to this number, and from now on only what is saved.

        Without this, what was given out may be freed.
        """

    def due(self, now: float) -> list[Message]:
        """What to ask now. Call it after each message, and a few times a second."""
        return []

    def frame_damaged(self) -> bool:
        """Something came that can't be read: ``due`` asks what it may have been.

        Returns:
            whether it is lost: nobody kept it.
        """
        return False

    def lost(self, number: int) -> Iterable[Event]:
        """Nobody has the recorded message with this number in a form that can be read."""
        return []

    def link_lost(self) -> None:
        """Answers that were under way will not come."""

    def link_restored(self, now: float) -> list[Message]:
        """What to send first over the new link."""
        raise NotImplementedError

    def comes_again(self, message: Message) -> bool:
        """Whether ``link_restored`` will return this message, in its turn: it may not wait."""
        return False

    def cancel(self) -> list[Message]:
        """What makes the kernel abort what it has not begun; ``CancelTaken`` is the answer."""
        return []

    def keep_journal(self, about: dict[str, Any]) -> list[Message]:
        """What makes the kernel write a journal from now on; ``JournalKept`` is the answer."""
        return []

    def forget(self) -> list[Message]:
        """What makes the kernel drop what it keeps of the run, its journal too."""
        return []


class PlainRun(Strategy):
    """Cells as they are, one after the other: what is lost on the way stays lost."""

    def __init__(self, flight: Flight) -> None:
        super().__init__(flight)
        self._doubts = False
        self._no_fence_before = 0.0

    @property
    def wants_fence(self) -> bool:
        return self._flight.execution.wants_fence

    @property
    def exposed(self) -> list[int]:
        return self._flight.execution.pending

    def begin(self, prologue: str, about: dict[str, Any] | None) -> list[Message]:
        first = [self._flight.ask_language()]
        return [*first, self._flight.make.execute_silently(prologue)] if prologue else first

    def execute(
        self, key: int, cell: CellRequest, *, allow_stdin: bool, now: float, ahead: bool = False
    ) -> Message:
        request = self._flight.request(cell.code, cell, allow_stdin=allow_stdin)
        self._flight.sent(request.msg_id, key, may_ask=allow_stdin)
        self.sent(request.msg_id, guarded=False, now=now)
        return request

    def frame_damaged(self) -> bool:
        self._doubts = True
        return True

    def due(self, now: float) -> list[Message]:
        """A fence, where a reply may have been what could not be read."""
        if not (self._doubts and self._flight.execution.pending) or now < self._no_fence_before:
            return []
        self._doubts = False
        self._no_fence_before = now + FENCE_PAUSE
        return [self._flight.fence()]

    def link_restored(self, now: float) -> list[Message]:
        self._flight.execution.fences_lost()
        return [self._flight.fence()] if self._flight.execution.pending else []
