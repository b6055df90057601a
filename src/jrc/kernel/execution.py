"""What the messages of a kernel mean for the executions it was sent: a state machine. Pure.

Any number of requests may be in flight; ``parent_header.msg_id`` says which of them a message
belongs to. ``inflight`` knows when one is finished, and what proves it if messages were lost.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from jrc.kernel.inflight import InFlight, Request
from jrc.wire.message import Message, limit_notice

OUTPUT_TYPES = frozenset(
    {
        "stream",
        "display_data",
        "update_display_data",
        "execute_result",
        "error",
        "clear_output",
        "comm_open",
        "comm_msg",
        "comm_close",
    }
)

NO_REPLY_NAME = "NoReply"
NO_REPLY = (
    "the kernel is done with it and does not say how it ended; "
    "perhaps it was interrupted at its end"
)


class Started(NamedTuple):
    """The kernel began to execute the code of a request, and does not just abort it.

    Attributes:
        message: the ``busy`` status; what came first when that was lost.
    """

    key: int
    message: Message


class InputEchoed(NamedTuple):
    """The kernel published the code that it executes (``execute_input``)."""

    key: int
    message: Message


class Published(NamedTuple):
    """An output of a request: one of ``OUTPUT_TYPES``."""

    key: int
    message: Message


class LimitReached(NamedTuple):
    """The server dropped output of a request because it came too fast."""

    key: int
    notice: str


class InputRequested(NamedTuple):
    """The code of a request waits for a line of input.

    Attributes:
        allowed: the request allows its code to ask. A kernel that asks anyway gets no answer.
    """

    key: int
    message: Message
    allowed: bool = True


class Replied(NamedTuple):
    """The ``execute_reply`` of a request arrived; its output may still be on the way."""

    key: int
    message: Message


class Finished(NamedTuple):
    """Nothing more will come for a request, except from threads that it left behind.

    Attributes:
        reply: content of the ``execute_reply``; None when it was lost.
        error_published: an ``error`` message arrived on iopub.
        idle: the kernel's idle status; None when it was lost. Output may be lost with it.
    """

    key: int
    reply: dict[str, Any] | None
    error_published: bool
    idle: Message | None

    @property
    def status(self) -> str:
        """``ok``, ``error``, ``aborted``, or ``lost`` without a reply."""
        return "lost" if self.reply is None else str(self.reply.get("status", "lost"))

    @property
    def error_lost(self) -> bool:
        """The ``error`` message was dropped on the way; the reply carries the same fields.

        Without a traceback there was none: IPython prints what a wrong magic or an exception
        group has to say to stderr.
        """
        if self.reply is None or self.status != "error":
            return False
        return not self.error_published and bool(self.reply.get("traceback"))


class KernelEnded(NamedTuple):
    """The kernel that had the requests is gone: nothing more comes for any of them.

    Attributes:
        how: ``died`` (a new kernel takes its id), ``dead`` (none does), ``restarted`` or
            ``shutdown`` (somebody asked for that), ``ended`` (by somebody, or with its server),
            ``gone`` or ``deleted`` (found so later), ``unreached`` (it lives, but some requests
            never arrived), ``unanswered`` (a new kernel never answers), ``unresponsive`` (it lives,
            but begins nothing).
    """

    how: str


Event = (
    Started
    | InputEchoed
    | Published
    | LimitReached
    | InputRequested
    | Replied
    | Finished
    | KernelEnded
)


class _Execution(Request):
    """An ``execute_request`` and what came back for it."""

    def __init__(self, msg_id: str, key: int, *, may_ask: bool) -> None:
        super().__init__(msg_id)
        self.key = key
        self.may_ask = may_ask
        self.started = False
        self.busy: Message | None = None
        self.reply: dict[str, Any] | None = None
        self.idle: Message | None = None
        self.error_published = False


class Execution:
    """The executions of one client on one kernel, all on its main shell."""

    def __init__(self) -> None:
        self._in_flight: InFlight[_Execution] = InFlight()
        # The finished ones, too: threads that they left behind may still print.
        self._sent: dict[str, _Execution] = {}

    def sent(self, msg_id: str, key: int, *, may_ask: bool = False) -> None:
        """Note that an ``execute_request`` goes out.

        Args:
            msg_id: of the request.
            key: the caller's name for it, returned in its events.
            may_ask: its ``allow_stdin``.
        """
        request = self._sent[msg_id] = _Execution(msg_id, key, may_ask=may_ask)
        self._in_flight.add(request)

    def fence_sent(self, msg_id: str) -> None:
        """Note a request on shell whose answer proves what became of the earlier ones."""
        self._in_flight.fence_sent(msg_id, self._in_flight)

    @property
    def pending(self) -> list[int]:
        """Keys of the requests that are not finished, oldest first."""
        return [request.key for request in self._in_flight]

    @property
    def wants_fence(self) -> bool:
        """A request has its reply but no idle, and no fence is out that would explain it."""
        return bool(self._in_flight.missing_idle)

    def fences_lost(self) -> None:
        """Forget the fences that are out: their answers were lost with the link."""
        self._in_flight.fences_lost()

    def forget(self, msg_id: str) -> None:
        """A request was not executed after all, and is sent again under another id."""
        self._sent.pop(msg_id, None)
        self._in_flight.forget(msg_id)

    def no_reply(self, msg_id: str) -> list[Event]:
        """A request ends without a reply.

        Usually an interrupt hit the kernel just as it was about to send it.
        """
        request = self._sent[msg_id]
        request.reply = {"status": "error", "ename": NO_REPLY_NAME, "evalue": NO_REPLY}
        return self._over([request], reply=True)

    def stop_waiting_for_idle(self) -> list[Event]:
        """Finish every request that has its reply: no fence has helped."""
        return self._over([each for each in self._in_flight if each.reply_over], iopub=True)

    def receive(self, message: Message) -> Iterable[Event]:
        """What one message from the kernel means.

        Messages for other clients, and for the server's own requests, mean nothing here.

        Raises:
            WireError: the message can't be decoded.
        """
        proof = self._in_flight.proved(message)
        if proof is not None:
            return [
                *self._over(proof.no_reply, reply=True),
                *self._over(proof.no_output, iopub=True),
            ]
        request = self._sent.get(message.parent_id)
        if message.channel == "iopub":
            return self._on_iopub(message, request)
        if request is None:
            return ()
        if message.channel == "stdin" and message.msg_type == "input_request":
            return [InputRequested(request.key, message, request.may_ask)]
        if message.channel == "shell" and message.msg_type.endswith("_reply"):
            return self._on_reply(message, request)
        return ()

    def _on_iopub(self, message: Message, request: _Execution | None) -> Iterable[Event]:
        msg_type = message.msg_type
        if request is None or msg_type == "shutdown_reply":
            return _end_of_kernel(message)
        if msg_type == "status":
            return self._on_status(message, request)
        if msg_type == "execute_input":
            return [*self._start(message, request), InputEchoed(request.key, message)]
        if msg_type not in OUTPUT_TYPES:
            return ()
        if msg_type == "error":
            request.error_published = True
        events = [*self._start(message, request), Published(request.key, message)]
        notice = limit_notice(message)
        if notice is not None:
            events.append(LimitReached(request.key, notice))
        return events

    def _on_status(self, message: Message, request: _Execution) -> Iterable[Event]:
        state = message.content_fields.get("execution_state")
        if state == "busy":
            request.busy = message
            return self._over(self._in_flight.before(request), iopub=True)
        if state == "idle":
            request.idle = message
            return self._over([request], iopub=True)
        return _end_of_kernel(message)

    def _start(self, message: Message, request: _Execution) -> list[Event]:
        if request.started:
            return []
        request.started = True
        return [Started(request.key, request.busy or message)]

    def _on_reply(self, message: Message, request: _Execution) -> Iterable[Event]:
        events = self._over(self._in_flight.before(request), reply=True)
        request.reply = message.content_fields
        # An aborted request was never executed: it publishes nothing, idle included.
        aborted = request.reply.get("status") == "aborted"
        return [
            *events,
            Replied(request.key, message),
            *self._over([request], reply=True, iopub=aborted),
        ]

    def _over(
        self, requests: Iterable[_Execution], *, reply: bool = False, iopub: bool = False
    ) -> list[Event]:
        """No reply comes any more for these requests, or nothing more on iopub."""
        events: list[Event] = []
        for request in requests:
            request.reply_over = request.reply_over or reply
            request.iopub_over = request.iopub_over or iopub
            if self._in_flight.drop_finished(request):
                events.append(
                    Finished(request.key, request.reply, request.error_published, request.idle)
                )
        return events


def _end_of_kernel(message: Message) -> Iterable[Event]:
    """The end of the kernel, if that is what a message announces.

    A server announces the death of a kernel as ``restarting`` (or ``dead``, when it gives up) under
    no parent; a kernel that is shut down on request publishes its ``shutdown_reply``.
    """
    if message.msg_type == "status":
        state = message.content_fields.get("execution_state")
        if state == "restarting":
            return [KernelEnded("died")]
        if state == "dead":
            return [KernelEnded("dead")]
    if message.msg_type == "shutdown_reply":
        restart = bool(message.content_fields.get("restart"))
        return [KernelEnded("restarted" if restart else "shutdown")]
    return ()
