"""Who gets what: a state machine without I/O or clock between local clients and a remote kernel.

Requests go to the kernel as they are, and replies back to the client whose request they answer, by
``parent_header.msg_id``. What the kernel publishes goes to every client. Answered here are
``interrupt_request`` and ``shutdown_request``: a kernel behind a server is interrupted and ended
through the server.

When the link was down, replies may be lost. A *fence*, a harmless request sent behind the requests
in doubt, tells: a kernel answers the requests of one lane in order and publishes in order, hence
the fence's ``busy`` proves that nothing more comes on iopub for the earlier ones, and its reply
that no reply comes for them any more.

Source: jupyter_client "Messaging in Jupyter".
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from jrc.relay.actions import Action, AskRecorder, Deliver, Forward, Interrupt, News, Shutdown
from jrc.relay.messages import Messages
from jrc.relay.pending import Lane, Pending, Request
from jrc.wire.message import Message, Part
from jrc.wire.zmq import Addressed

EMPTY: Part = b"{}"
"""The parent header of a message that nobody asked for."""


@dataclass(frozen=True)
class Loss:
    """Why a client gets an error in place of its reply.

    Attributes:
        name: the error's ``ename``.
        text: the error's ``evalue``.
    """

    name: str
    text: str


REPLY_LOST = Loss(
    "ReplyLost",
    "The link to the server was down while this ran, and its reply was lost: "
    "whether it ran to its end is not known.",
)


_MOST_FENCES = 10
"""Unanswered ones. They would pile up behind a long execution whose kernel a server takes for
idle."""


@dataclass
class _Fence:
    lane: Lane
    suspects: list[str]
    replied: bool = False


class Router:
    """Between the local clients and one remote kernel.

    Args:
        messages: makes the router's own messages.
        recorded: whether nothing that was published for the request with this id can be lost, nor
            its reply.

    Attributes:
        pending: the unfinished requests.
    """

    def __init__(
        self, messages: Messages, recorded: Callable[[str], bool] = lambda _: False
    ) -> None:
        self.pending = Pending()
        self._messages = messages
        self._recorded = recorded
        self._fences: dict[str, _Fence] = {}

    def from_client(self, addressed: Addressed) -> list[Action]:
        """What a message of a local client asks for.

        Raises:
            WireError: it can't be understood.
        """
        message = addressed.message
        msg_type, _ = message.msg_type, message.msg_id
        if msg_type == "interrupt_request":
            return [self._status(message, "busy"), Interrupt(addressed)]
        if msg_type == "shutdown_request":
            restart = message.content_fields.get("restart") is True
            return [self._status(message, "busy"), Shutdown(addressed, restart)]
        if message.channel != "stdin" and msg_type.endswith("_request"):
            self.pending.add(addressed)
        return [Forward(message)]

    def sent(self, message: Message) -> None:
        """Note that a message goes out now: it may have reached the kernel, whatever happens."""
        request = self.pending.get(message.msg_id)
        if request is not None:
            request.sent = True

    def from_kernel(self, message: Message) -> list[Action]:
        """Where a message of the kernel goes.

        Raises:
            WireError: it can't be understood.
        """
        if self._messages.is_own(message.parent_id):
            return self._on_fence(message)
        if message.channel == "iopub":
            return self._on_iopub(message)
        request = self.pending.get(message.parent_id)
        if request is None:
            return []
        if message.channel == "stdin":
            return [Deliver(message, request.client)]
        return self._reply(request, message)

    def subscribed(self, topic: bytes) -> list[Action]:
        """Welcome a client that can receive iopub messages now.

        Source: Jupyter enhancement proposal 65, "iopub_welcome message".
        """
        content = {"subscription": topic.decode("utf-8", "replace")}
        welcome = self._messages.to_client("iopub", "iopub_welcome", content)
        return [Deliver(welcome, (topic,) if topic else ())]

    def answer(
        self, asked: Addressed, content: Mapping[str, object], *, broadcast: bool = False
    ) -> list[Action]:
        """Answer a request in the kernel's name.

        Args:
            asked: the request.
            content: of the reply.
            broadcast: publish the reply, too, so that every client knows.
        """
        request = asked.message
        msg_type = request.msg_type.removesuffix("_request") + "_reply"
        reply = self._messages.to_client(
            request.channel, msg_type, content, parent_header=request.header
        )
        news = [self._publish(msg_type, content, request.header)] if broadcast else []
        return [Deliver(reply, asked.identities), *news, self._status(request, "idle")]

    def link_restored(self) -> list[Action]:
        """Find out what became of the requests that were sent before the link was lost."""
        self._fences.clear()
        return self._send_fences(request for request in self.pending if request.sent)

    def ask_idle_kernel(self) -> list[Action]:
        """Ask what an idle kernel answers at once, to hear whether it answers at all.

        The answer comes behind those to the recorded executions, and tells whether they arrived.
        No other request is given up for it: not every kernel answers in order.
        """
        self._forget_answered_fences()
        waiting = [request for request in self.pending if request.sent and not request.replied]
        recorded = [each for each in waiting if self._recorded(each.message.msg_id)]
        if recorded and len(self._fences) < _MOST_FENCES:
            return self._send_fences(recorded)
        return [Forward(self._probe(Lane("control", None)), first=True)]

    @property
    def missing_idle(self) -> list[Request]:
        """Requests that have their reply but no idle, and no fence is out that would tell.

        Only those on shell: not every kernel publishes its status for control.
        """
        examined = {id for f in self._fences.values() if not f.replied for id in f.suspects}
        return [
            request
            for request in self.pending
            if request.replied
            and request.lane.channel == "shell"
            and request.message.msg_id not in examined
            and not self._recorded(request.message.msg_id)
        ]

    def seek_idle(self) -> list[Action]:
        """Send fences that will tell about ``missing_idle``."""
        self._forget_answered_fences()
        return self._send_fences(self.missing_idle)

    def assume_idle(self) -> list[Action]:
        """Tell the clients idle for ``missing_idle``: no fence makes it come."""
        return [action for request in self.missing_idle for action in self._idle(request)]

    def kernel_ended(self, loss: Loss, *, announce: str | None, for_good: bool) -> list[Action]:
        """Answer what the kernel will not answer any more.

        Args:
            loss: why.
            announce: the ``execution_state`` to publish; None when the server has published it.
            for_good: no other kernel takes its place.
        """
        self._fences.clear()
        actions: list[Action] = []
        for request in self.pending:
            if request.sent or for_good:
                request.iopub_over = True
                actions.extend(self._fail(request, loss))
        # Behind the answers: an editor drops those of a kernel that it knows to be dead.
        return actions if announce is None else [*actions, self._status(None, announce)]

    def process_ends(self, reason: str) -> list[Action]:
        """Say why in the cell that runs, and answer nothing: the clients see the process end."""
        return [*self.notice(reason), self._status(None, "dead")]

    def repeat(self, msg_ids: Iterable[str]) -> list[Action]:
        """Send requests again of which it is known that they never arrived."""
        return [
            self._again(request) for request in self.pending.all_of(msg_ids) if not request.replied
        ]

    def refuse(self, msg_id: str, loss: Loss) -> list[Action]:
        """Answer one request with an error: no other answer will come."""
        request = self.pending.get(msg_id)
        if request is None:
            return []
        request.iopub_over = True
        return self._fail(request, loss)

    def notice(self, text: str) -> list[Action]:
        """Tell the person something: on stderr of the cell that runs, if one does."""
        running = self.pending.running
        header = EMPTY if running is None else running.message.header
        content = {"name": "stderr", "text": f"[jrc] {text}\n"}
        return [self._publish("stream", content, header)]

    def _on_iopub(self, message: Message) -> list[Action]:
        msg_type = message.msg_type
        if msg_type == "iopub_welcome":
            return []  # it welcomes the server; our clients are welcomed by us
        actions: list[Action] = [Deliver(message, (_topic(msg_type),))]
        if msg_type == "status":
            return [*actions, *self._on_status(message)]
        if msg_type == "shutdown_reply":
            restart = message.content_fields.get("restart") is True
            return [*actions, News.RESTARTED if restart else News.SHUT_DOWN]
        return actions

    def _on_status(self, message: Message) -> list[Action]:
        state = message.content_fields.get("execution_state")
        if state == "restarting":
            return [News.DIED]
        if state == "dead":
            return [News.DEAD]
        if state == "starting":
            return [News.STARTED]
        request = self.pending.get(message.parent_id)
        if state == "idle" and request is not None:
            request.idle = True
            self.pending.forget_finished(request)
        return [News.ALIVE if request is None else News.WORKING]

    def _reply(self, request: Request, message: Message) -> list[Action]:
        request.replied = True
        actions: list[Action] = [Deliver(message, request.client)]
        if request.iopub_over:
            actions.extend(self._idle(request))
        self.pending.forget_finished(request)
        return actions

    def _forget_answered_fences(self) -> None:
        self._fences = {id: fence for id, fence in self._fences.items() if not fence.replied}

    def _send_fences(self, suspects: Iterable[Request]) -> list[Action]:
        lanes: dict[Lane, list[str]] = defaultdict(list)
        for request in suspects:
            lanes[request.lane].append(request.message.msg_id)
        actions: list[Action] = []
        for lane, msg_ids in lanes.items():
            probe = self._probe(lane)
            self._fences[probe.msg_id] = _Fence(lane, msg_ids)
            actions.append(Forward(probe, first=True))
        return actions

    def _probe(self, lane: Lane) -> Message:
        """A request that changes nothing, which a kernel answers behind the earlier ones."""
        if lane.channel == "control":
            return self._messages.control_request("kernel_info_request", {})
        return self._messages.shell_request("kernel_info_request", {}, subshell=lane.subshell)

    def _on_fence(self, message: Message) -> list[Action]:
        """Judge the requests in doubt. Nothing of the fence itself reaches a client."""
        fence = self._fences.get(message.parent_id)
        if fence is None:
            return []
        if message.channel == "iopub":
            return self._iopub_over(fence)
        if message.channel != fence.lane.channel:
            return []
        # Kept for its iopub message, which may come later than its reply.
        fence.replied = True
        actions: list[Action] = []
        doubtful: list[str] = []
        for request in self.pending.all_of(fence.suspects):
            if request.replied:
                continue
            if request.repeatable:
                actions.append(self._again(request))
            elif self._recorded(request.message.msg_id):
                doubtful.append(request.message.msg_id)
            else:
                actions.extend(self._fail(request, REPLY_LOST))
        return [*actions, AskRecorder(tuple(doubtful))] if doubtful else actions

    def _again(self, request: Request) -> Forward:
        request.sent = request.iopub_over = False
        return Forward(request.message)

    def _iopub_over(self, fence: _Fence) -> list[Action]:
        actions: list[Action] = []
        for request in self.pending.all_of(fence.suspects):
            if self._recorded(request.message.msg_id):
                continue
            request.iopub_over = True
            if request.replied:
                actions.extend(self._idle(request))
        return actions

    def _fail(self, request: Request, loss: Loss) -> list[Action]:
        """Tell of an error as a kernel does: on iopub, and in the reply."""
        actions: list[Action] = []
        if not request.replied:
            request.replied = True
            actions.extend(self._error(request, loss))
        if request.iopub_over:
            actions.extend(self._idle(request))
        self.pending.forget_finished(request)
        return actions

    def _error(self, request: Request, loss: Loss) -> list[Action]:
        msg_type, header = request.message.msg_type, request.message.header
        text = f"{loss.name}: {loss.text}"
        content = {"ename": loss.name, "evalue": loss.text, "traceback": [text]}
        reply = self._messages.to_client(
            request.message.channel,
            msg_type.removesuffix("_request") + "_reply",
            {"status": "error", "execution_count": 0, **content},
            parent_header=header,
        )
        answer = Deliver(reply, request.client)
        if msg_type != "execute_request":
            return [answer]
        return [self._publish("error", content, header), answer]

    def _idle(self, request: Request) -> list[Action]:
        if request.idle:
            return []
        request.idle = True
        self.pending.forget_finished(request)
        return [self._status(request.message, "idle")]

    def _status(self, parent: Message | None, state: str) -> Deliver:
        header = EMPTY if parent is None else parent.header
        return self._publish("status", {"execution_state": state}, header)

    def _publish(self, msg_type: str, content: Mapping[str, object], header: Part) -> Deliver:
        message = self._messages.to_client("iopub", msg_type, content, parent_header=header)
        return Deliver(message, (_topic(msg_type),))


def _topic(msg_type: str) -> bytes:
    return msg_type.encode("utf-8", "replace")
