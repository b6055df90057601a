"""Decides who gets what between local clients and a remote kernel. Pure: no I/O, no clock.

Each method takes one event. Most of them return the actions that follow from it. Requests go to
the kernel unchanged. A reply goes to the client whose request it answers, found by
``parent_header.msg_id``. What the kernel publishes goes to every client. ``interrupt_request`` and
``shutdown_request`` are answered here: a kernel behind a server is interrupted and ended through
the server.

Source: jupyter_client "Messaging in Jupyter".
"""

from collections.abc import Iterable

from jrc.errors import JrcError, KernelDiedError, WireError
from jrc.kernel.large_messages import LargeMessages
from jrc.kernel.messages import Messages
from jrc.recorder.recording import NoReply, RecorderLost
from jrc.recorder.tracker import Lost
from jrc.relay.actions import (
    Action,
    AskServer,
    Beat,
    Deliver,
    End,
    Interrupt,
    Log,
    Restart,
    Send,
    StartOver,
    Stop,
)
from jrc.relay.answers import Answers, Loss, topic
from jrc.relay.in_flight import ClientRequest, ClientRequests, by_lane
from jrc.relay.recorded import Found, NeverArrived, Recorded
from jrc.relay.watch import Act, Timing, Watch
from jrc.wire.message import Message
from jrc.wire.zmq import Addressed

DIED = Loss(
    "KernelDied", "The remote kernel died while this ran or waited (often: it ran out of memory)."
)
RESTARTED = Loss("KernelRestarted", "The remote kernel was restarted while this ran or waited.")
REPLY_LOST = Loss(
    "ReplyLost",
    "The link to the server was down while this ran, and its reply was lost: "
    "whether it ran to its end is not known.",
)
MOST_LOSSES = 20
"""Sentences about output that was lost at once: a kernel can make that a million messages."""

_INTERRUPTED = Loss("KeyboardInterrupt", "")
_USUAL = Timing()


class Machine:
    """The decisions of a relay, for one remote kernel and those that replace it.

    Args:
        messages: makes the relay's own messages.
        restarts_in_place: the process survives a client's request to restart, and the death of a
            kernel that the server starts again. Otherwise the client watches the process, and
            takes its end for the end of the kernel.
        timing: when to act although nothing has arrived.
    """

    def __init__(
        self, messages: Messages, *, restarts_in_place: bool, timing: Timing = _USUAL
    ) -> None:
        self._messages = messages
        self._restarts_in_place = restarts_in_place
        self._answers = Answers(messages)
        self._requests = ClientRequests()
        self._recorded = Recorded(messages)
        self._watch = Watch(timing)
        self._large = LargeMessages()
        self._is_python = False
        self._kernel_is_new = False
        self._is_alive = False
        self._asking_server = False

    def kernel_started(self, language: str, now: float) -> list[Action]:
        """The kernel has started.

        Args:
            language: what it executes, lower case; empty when that is not known.
            now: the clock.
        """
        self._is_python = language == "python"
        self._watch.heard(now)
        return [*self._beat(), *self._install_recorder()]

    # What the clients ask

    def from_client(self, addressed: Addressed) -> list[Action]:
        """A message of a local client.

        Raises:
            WireError: it can't be understood.
        """
        message = addressed.message
        msg_type, _ = message.msg_type, message.msg_id
        if msg_type == "interrupt_request":
            return [self._answers.status(message, "busy"), Interrupt(addressed)]
        if msg_type == "shutdown_request":
            return [self._answers.status(message, "busy"), *self._shut_down(addressed)]
        if message.channel != "stdin" and msg_type.endswith("_request"):
            self._requests.add(ClientRequest(addressed))
        return [Send(message)]

    def subscribed(self, topic: bytes) -> list[Action]:
        """A client can receive iopub messages from now on."""
        return [self._answers.welcome(topic)]

    def client_lost(self) -> list[Action]:
        """Messages do not reach a client that does not read what is published."""
        text = "A client of this kernel has not read for a while: it loses messages until it does."
        return [Log(text, warning=True), self._notice(text)]

    def interrupted(self, request: Addressed, problem: str) -> list[Action]:
        """The server has interrupted the kernel, or the problem says why it has not."""
        content: dict[str, object] = {"status": "ok"}
        if problem:
            content = {"status": "error", "ename": "Interrupt", "evalue": problem, "traceback": []}
        return [*self._answers.reply(request, content)]

    def restarted(self, request: Addressed) -> list[Action]:
        """The server has been asked to restart the kernel."""
        content = {"status": "ok", "restart": True}
        return [*self._answers.reply(request, content, broadcast=True)]

    def _shut_down(self, request: Addressed) -> list[Action]:
        restart = request.message.content_fields.get("restart") is True
        if restart and self._restarts_in_place:
            return [Restart(request)]
        content = {"status": "ok", "restart": restart}
        return [*self._answers.reply(request, content, broadcast=True), Stop()]

    # What goes to the kernel

    def sending(self, message: Message, now: float) -> Message:
        """A message is sent now. Whatever happens next, it may have reached the kernel.

        Returns:
            the message as it is to be sent.
        """
        request = self._requests.get(message.msg_id)
        outgoing = self._recorded.outgoing(message, now)
        if request is not None:
            request.sent = True
            request.recorded = self._recorded.covers(message.msg_id)
        self._large.sending(message)
        return outgoing

    def sent(self, now: float) -> None:
        """The last byte of that message has been sent."""
        self._large.sent(now)

    # What the kernel says

    def from_kernel(self, message: Message, now: float) -> list[Action]:
        """A message of the kernel.

        Raises:
            WireError: it can't be understood.
        """
        self._watch.heard(now)
        found = self._recorded.receive(message, now)
        return [*self._pass_on(found, now), *self._ask_recorder(now)]

    def frame_damaged(self, reason: str) -> list[Action]:
        """Something came from the server that can't be read: find out what it may have been."""
        actions: list[Action] = []
        self._recorded.frame_damaged()
        if not self._requests.many_fences:
            actions += self._send_fences(request for request in self._requests if request.sent)
        running = self._requests.running
        if running is not None and not (running.recorded or running.damaged):
            running.damaged = True
            text = f"A message came that can't be read, and it is lost: {reason}"
            actions += [Log(text, warning=True), self._notice(text)]
        return actions

    def _pass_on(self, found: Iterable[Found], now: float) -> list[Action]:
        actions: list[Action] = []
        losses = 0
        for each in found:
            match each:
                case Message():
                    actions += self._on_message(each, now)
                case Lost():
                    losses += 1
                    if losses <= MOST_LOSSES:
                        actions.append(self._notice(each.sentence))
                    elif losses == MOST_LOSSES + 1:
                        actions.append(self._notice("More is lost than is named here."))
                case NoReply():
                    # The interrupt that swallowed the reply is what the client asked for.
                    actions += self._refuse(each.msg_id, _INTERRUPTED)
                case NeverArrived():
                    requests = self._requests.all_of(each.msg_ids)
                    actions += [self._again(r) for r in requests if r.sent and not r.reply_over]
                case RecorderLost():
                    actions.append(Log(f"nothing is recorded: {each.reason}"))
                    # The recorder would have had the replies. Without it, only fences can tell.
                    self._requests.nothing_recorded()
                    actions += self._fence_all()
        return actions

    def _on_message(self, message: Message, now: float) -> list[Action]:
        try:
            if self._messages.is_own(message.parent_id):
                return self._on_fence(message)
            if message.channel == "iopub":
                return self._on_iopub(message, now)
            request = self._requests.get(message.parent_id)
            if request is None:
                return []
            if message.channel == "stdin":
                return self._on_question(request, message)
        except WireError as error:
            return [Log(f"dropped a message of the kernel: {error}", warning=True)]
        return self._on_reply(request, message)

    def _on_question(self, request: ClientRequest, message: Message) -> list[Action]:
        if request.may_ask:
            return [Deliver(message, request.client)]
        text = "the kernel asks a question that its client does not allow: it gets no answer"
        return [Log(text, warning=True)]

    def _on_reply(self, request: ClientRequest, message: Message) -> list[Action]:
        if request.reply_over:
            return []  # not every kernel answers in order: the client got an error in its place
        request.reply_over = True
        request.recorded = self._recorded.covers(message.parent_id)
        actions: list[Action] = [Deliver(message, request.client)]
        if request.iopub_over:
            actions += self._idle(request)
        self._requests.drop_finished(request)
        return actions

    def _on_iopub(self, message: Message, now: float) -> list[Action]:
        msg_type = message.msg_type
        if msg_type == "iopub_welcome":
            return []  # it welcomes the server; our clients are welcomed by us
        actions: list[Action] = [Deliver(message, (topic(msg_type),))]
        if msg_type == "status":
            return [*actions, *self._on_status(message, now)]
        if msg_type == "shutdown_reply":
            if message.content_fields.get("restart") is True:
                return [*actions, *self._on_kernel_lost(RESTARTED, now, announce="restarting")]
            self._watch.suspect(now)
        return actions

    def _on_status(self, message: Message, now: float) -> list[Action]:
        state = message.content_fields.get("execution_state")
        if state == "restarting":
            return [*self._beat(alive=False), *self._on_kernel_lost(DIED, now, announce=None)]
        if state == "dead":
            return [End("The remote kernel died, and the server gave up on it.")]
        request = self._requests.get(message.parent_id)
        if state == "idle" and request is not None:
            request.idle = request.iopub_over = True
            self._requests.drop_finished(request)
        # Old servers drop the first message of a kernel that they restarted.
        begins = state == "starting" or (self._kernel_is_new and request is not None)
        return [*self._beat(), *(self._install_recorder() if begins else [])]

    def _install_recorder(self) -> list[Action]:
        """Send the recorder to a kernel that has just started, ahead of all requests."""
        self._kernel_is_new = False
        if not self._is_python or self._recorded.installed:
            return []
        return [Send(self._recorded.install(), first=True)]

    def _ask_recorder(self, now: float) -> list[Action]:
        return [Send(question) for question in self._recorded.due(now)]

    # The link

    def link_lost(self, code: int | None, now: float) -> list[Action]:
        """The link is down.

        Args:
            code: with which the websocket was closed; None where nothing was said.
            now: the clock.
        """
        self._watch.link_lost(now)
        self._recorded.link_lost()
        oversized = self._large.link_lost(code, now)
        if oversized is None:
            return []
        # A server closes the link when a message is too large. A second try would end the same.
        text = oversized.sentence
        refusal = self._refuse(oversized.msg_id, Loss("MessageTooLarge", text))
        return [Log(text, warning=True), *(refusal or [self._notice(text)])]

    def link_restored(self, now: float) -> list[Action]:
        """The link is back: find out what became of the requests that were sent before."""
        actions: list[Action] = [
            Send(message, first=True) for message in self._recorded.link_restored()
        ]
        actions += self._fence_all()
        actions += self._ask_recorder(now)
        seconds = self._watch.link_restored(now)
        if seconds is not None:
            actions.append(self._notice(f"The link to the server is back after {seconds:.0f} s."))
        return actions

    def _fence_all(self) -> list[Action]:
        self._requests.fences_lost()
        return self._send_fences(request for request in self._requests if request.sent)

    def _send_fences(self, suspects: Iterable[ClientRequest]) -> list[Action]:
        actions: list[Action] = []
        for lane, requests in by_lane(suspects).items():
            probe = self._messages.kernel_info(lane.channel, subshell=lane.subshell)
            self._requests.fence_sent(probe.msg_id, requests, lane)
            actions.append(Send(probe, first=True))
        return actions

    def _on_fence(self, message: Message) -> list[Action]:
        """Decide about the requests in doubt. Clients see nothing of the fence itself."""
        verdict = self._requests.judged(message)
        actions: list[Action] = [each for request in verdict.idle for each in self._idle(request)]
        actions += [self._again(request) for request in verdict.again]
        for request in verdict.lost:
            actions += self._fail(request, REPLY_LOST)
        doubtful = tuple(request.message.msg_id for request in verdict.doubtful)
        return [*actions, *map(Send, self._recorded.ask_arrived(doubtful))]

    # Deadlines

    def tick(self, now: float) -> list[Action]:
        """Some time has passed. Call it a few times a second."""
        actions: list[Action] = []
        missing = self._requests.missing_idle
        if not (missing or self._requests.fences_out):
            self._watch.no_idle_missing()
        unanswered = self._requests.unanswered
        for act in self._watch.due(now, unanswered=unanswered, idle_missing=bool(missing)):
            match act:
                case Act.ANNOUNCE_LOSS:
                    text = "The link to the server is down; trying to bring it back."
                    actions.append(self._notice(text))
                case Act.POLL_KERNEL:
                    if not self._asking_server:
                        actions.append(AskServer())
                    self._asking_server = True
                case Act.SEEK_IDLE:
                    actions += self._send_fences(missing)
                case Act.ASSUME_IDLE:
                    actions += [action for each in missing for action in self._idle(each)]
        return [*actions, *self._ask_recorder(now)]

    def server_answered(self, state: str, *, all_arrived: bool, received: int) -> list[Action]:
        """The server has said what the kernel does.

        Args:
            state: as ``idle``; ``dead`` where the kernel is gone, ``unknown`` where nobody knows.
            all_arrived: nothing is on its way to the server.
            received: how many bytes came over the link until now.
        """
        self._asking_server = False
        if state == "dead":
            reason = "The remote kernel is gone: the server was restarted, or somebody deleted it."
            return [End(reason)]
        idle = state == "idle" and all_arrived
        if self._watch.polled(idle=idle, received=received):
            text = "the kernel is idle, and does not answer: connecting as another session"
            return [Log(text), StartOver()]
        return self._ask_idle_kernel() if idle else []

    def _ask_idle_kernel(self) -> list[Action]:
        """Ask an idle kernel something that it answers at once, to see whether it answers at all.

        Behind recorded executions, the answer also shows whether those have arrived. No other
        request is given up because of it: not every kernel answers in order.
        """
        waiting = [
            request
            for request in self._requests
            if request.recorded and request.sent and not request.reply_over
        ]
        if waiting and not self._requests.many_fences:
            return self._send_fences(waiting)
        return [Send(self._messages.kernel_info("control"), first=True)]

    # The end of a kernel

    def ended(self, error: JrcError) -> list[Action]:
        """The kernel is gone for good, or can no longer be reached."""
        if isinstance(error, KernelDiedError) and not self._restarts_in_place:
            # A client would take an error in the reply for the cell's own, and one that allows
            # errors would go on in an empty kernel. A local kernel that dies does not answer.
            said = [self._notice(error.message), self._answers.status(None, "dead")]
            return [Beat(alive=False), *said]
        loss = Loss(type(error).__name__.removesuffix("Error"), error.message)
        failed = self._fail_all(loss, announce="dead", for_good=True)
        return [Beat(alive=False), *failed]

    def _on_kernel_lost(self, loss: Loss, now: float, *, announce: str | None) -> list[Action]:
        actions = self._pass_on(self._recorded.give_up(), now)
        if not self._restarts_in_place:
            return [*actions, End(loss.text)]
        self._kernel_is_new = True
        return [*actions, *self._fail_all(loss, announce=announce, for_good=False)]

    def _fail_all(self, loss: Loss, *, announce: str | None, for_good: bool) -> list[Action]:
        """Answer the requests that the kernel will not answer.

        Args:
            loss: why.
            announce: the ``execution_state`` to publish; None when the server has published it.
            for_good: no other kernel replaces it, so fail those too that were not sent.
        """
        self._requests.fences_lost()
        self._requests.nothing_recorded()
        actions: list[Action] = []
        for request in self._requests:
            if request.sent or for_good:
                request.iopub_over = True
                actions += self._fail(request, loss)
        # After the answers: an editor ignores those of a kernel that it knows to be dead.
        return actions if announce is None else [*actions, self._answers.status(None, announce)]

    # One request

    def _again(self, request: ClientRequest) -> Action:
        """Send a request again that did not arrive, or that does no harm twice."""
        self._requests.sent_again(request)
        return Send(request.message)

    def _refuse(self, msg_id: str, loss: Loss) -> list[Action]:
        """Answer one request with an error: no other answer will come."""
        request = self._requests.get(msg_id)
        if request is None:
            return []
        request.iopub_over = True
        return self._fail(request, loss)

    def _fail(self, request: ClientRequest, loss: Loss) -> list[Action]:
        """Report an error as a kernel does: on iopub, and in the reply."""
        actions: list[Action] = []
        if not request.reply_over:
            request.reply_over = True
            actions += self._answers.error(request, loss)
        if request.iopub_over:
            actions += self._idle(request)
        self._requests.drop_finished(request)
        return actions

    def _idle(self, request: ClientRequest) -> list[Action]:
        if request.idle:
            return []
        request.idle = request.iopub_over = True
        self._requests.drop_finished(request)
        return [self._answers.status(request.message, "idle")]

    def _notice(self, text: str) -> Action:
        """Show a text to the person: on stderr of the running cell, if there is one."""
        return self._answers.notice(text, self._requests.running)

    def _beat(self, *, alive: bool = True) -> list[Action]:
        if alive == self._is_alive:
            return []
        self._is_alive = alive
        return [Beat(alive)]
