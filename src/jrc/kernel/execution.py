"""What became of each request that a kernel was sent: a state machine without I/O or clock.

Any number of requests may be in flight; their messages are told apart by ``parent_header.msg_id``.

A request is finished when its ``execute_reply`` (shell) and its ``status: idle`` (iopub) have
both arrived, in either order. Both can get lost: idle when the queue between kernel and server
overflows, the reply when a link dies and the server buffered for somebody else. So the caller may
send a *fence*: any later request on the shell channel, in practice a ``kernel_info_request``. A
kernel answers its shell requests in order and publishes on iopub in order, hence

- ``busy`` of a later request proves that nothing more comes on iopub for the earlier ones;
- the reply to a later request proves that no reply comes any more for the earlier ones.

Source: jupyter_client "Messaging in Jupyter", sections "Kernel status" and "Execution results".
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from jrc.wire.message import Message

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

_LIMIT_NOTICES = ("IOPub data rate exceeded", "IOPub message rate exceeded")


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
    """The code of a request waits for a line from the person."""

    key: int
    message: Message


class Replied(NamedTuple):
    """The ``execute_reply`` of a request arrived; its output may still be on the way."""

    key: int
    message: Message


class Finished(NamedTuple):
    """Nothing more will come for a request, except from threads that it left behind.

    Attributes:
        reply: content of the ``execute_reply``; None when it was lost.
        error_published: an ``error`` message arrived on iopub.
        idle: the kernel's idle status; None when it was lost, and output may be, too.
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
    """The kernel that had the requests is no more; nothing will come for any of them.

    Attributes:
        how: ``died`` (a new one takes its id), ``dead`` (none does), ``restarted`` or ``shutdown``
            (somebody asked for that), ``ended`` (somebody, or its server), ``gone`` or ``deleted``
            (found so), ``unreached`` (it lives, and some requests never came to it),
            ``unanswered`` (a new one that says nothing), ``mute`` (it lives, and begins nothing).
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


class _Request:
    """What became of a request; ``key`` is None for a fence."""

    def __init__(self, key: int | None) -> None:
        self.key = key
        self.started = False
        self.busy: Message | None = None
        self.reply: dict[str, Any] | None = None
        self.reply_over = False
        self.idle: Message | None = None
        self.iopub_over = False
        self.error_published = False
        self.finished = False


class Execution:
    """The requests of one client on one kernel."""

    def __init__(self) -> None:
        self._requests: dict[str, _Request] = {}

    def sent(self, msg_id: str, key: int) -> None:
        """Note that an ``execute_request`` goes out.

        Args:
            msg_id: of the request.
            key: the caller's name for it, returned in its events.
        """
        self._requests[msg_id] = _Request(key)

    def fence_sent(self, msg_id: str) -> None:
        """Note that a request goes out on shell only to prove what became of the earlier ones."""
        self._requests[msg_id] = _Request(None)

    @property
    def pending(self) -> list[int]:
        """Keys of the requests that are not finished, oldest first."""
        return [r.key for r in self._requests.values() if r.key is not None and not r.finished]

    @property
    def wants_fence(self) -> bool:
        """A request has its reply but no idle, and no fence is out that would tell."""
        waiting = False
        for request in self._requests.values():
            if waiting and request.key is None and not request.reply_over:
                return False
            waiting = waiting or (request.reply_over and not request.iopub_over)
        return waiting

    def fences_lost(self) -> None:
        """Forget the fences that are out: their answers were lost with the link."""
        self._requests = {
            msg_id: r for msg_id, r in self._requests.items() if r.key is not None or r.finished
        }

    def forget(self, msg_id: str) -> None:
        """A request was not executed after all, and is sent again under another id."""
        self._requests.pop(msg_id, None)

    def no_reply(self, msg_id: str) -> list[Event]:
        """A request ends without a reply.

        Most often an interrupt hit the kernel as it would send it. More is not known, and not said.
        """
        request = self._requests[msg_id]
        request.reply = {"status": "error", "ename": NO_REPLY_NAME, "evalue": NO_REPLY}
        request.reply_over = True
        return self._finish(request)

    def stop_waiting_for_idle(self) -> list[Event]:
        """Finish every request that has its reply: no fence could make the kernel's idle come."""
        events: list[Event] = []
        for request in self._requests.values():
            if request.reply_over:
                request.iopub_over = True
                events.extend(self._finish(request))
        return events

    def receive(self, message: Message) -> Iterable[Event]:
        """What one message from the kernel means.

        Messages of other clients and of the server's own probes mean nothing here.

        Raises:
            WireError: the message can't be decoded.
        """
        if message.channel == "iopub":
            return self._on_iopub(message)
        request = self._requests.get(message.parent_id)
        if request is None:
            return ()
        if message.channel == "stdin" and message.msg_type == "input_request":
            return [] if request.key is None else [InputRequested(request.key, message)]
        if message.channel == "shell" and message.msg_type.endswith("_reply"):
            return self._on_reply(message, request)
        return ()

    def _on_iopub(self, message: Message) -> Iterable[Event]:
        msg_type = message.msg_type
        request = self._requests.get(message.parent_id)
        if request is None or msg_type == "shutdown_reply":
            return _kernel_news(message)
        if msg_type == "status":
            return self._on_status(message, request)
        if request.key is None:
            return ()
        if msg_type == "execute_input":
            return [*self._start(message, request), InputEchoed(request.key, message)]
        if msg_type not in OUTPUT_TYPES:
            return ()
        if msg_type == "error":
            request.error_published = True
        events = [*self._start(message, request), Published(request.key, message)]
        notice = _limit_notice(message)
        if notice is not None:
            events.append(LimitReached(request.key, notice))
        return events

    def _on_status(self, message: Message, request: _Request) -> Iterable[Event]:
        state = message.content_fields.get("execution_state")
        if state == "busy":
            request.busy = message
            return self._over(request, reply=False)
        if state == "idle":
            request.idle = message
            request.iopub_over = True
            return self._finish(request)
        return _kernel_news(message)

    def _start(self, message: Message, request: _Request) -> list[Event]:
        if request.started or request.key is None:
            return []
        request.started = True
        return [Started(request.key, request.busy or message)]

    def _on_reply(self, message: Message, request: _Request) -> Iterable[Event]:
        events = self._over(request, reply=True)
        request.reply = message.content_fields
        request.reply_over = True
        if request.key is not None:
            events.append(Replied(request.key, message))
        if request.reply.get("status") == "aborted":
            # An aborted request was never executed: it publishes nothing, idle included.
            request.iopub_over = True
        return [*events, *self._finish(request)]

    def _over(self, later: _Request, *, reply: bool) -> list[Event]:
        """Close the reply, or the iopub side, of every request that was sent before ``later``."""
        events: list[Event] = []
        for request in list(self._requests.values()):
            if request is later:
                break
            if reply:
                request.reply_over = True
            else:
                request.iopub_over = True
            events.extend(self._finish(request))
        return events

    def _finish(self, request: _Request) -> list[Event]:
        if request.finished or not (request.reply_over and request.iopub_over):
            return []
        request.finished = True
        if request.key is None:
            return []
        return [Finished(request.key, request.reply, request.error_published, request.idle)]


def _kernel_news(message: Message) -> Iterable[Event]:
    """News about the kernel as a whole.

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


def _limit_notice(message: Message) -> str | None:
    """The first line of the notice that a server writes to stderr when it begins to drop output.

    Source: jupyter_server ``services/kernels/connection/channels.py``, ``_limit_rate``.
    """
    if message.msg_type != "stream" or len(message.content) > 4096:
        return None
    content = message.content_fields
    if content.get("name") != "stderr":
        return None
    text = str(content.get("text", "")).strip()
    return text.splitlines()[0] if text.startswith(_LIMIT_NOTICES) else None
