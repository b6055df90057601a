"""The messages that the relay itself sends, to clients in the kernel's name and to the kernel.

Pure: where ids begin and what time it is are arguments.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from jrc.relay.actions import Deliver
from jrc.relay.in_flight import Lane, Request
from jrc.wire.message import Message, Part, encode_object, message_id, new_message
from jrc.wire.zmq import Addressed

NOBODY: Part = b"{}"
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


class Messages:
    """Makes messages with ids that nobody else uses.

    Args:
        session: hex id of the relay that no other client has.
        date: the time now, ISO 8601 in UTC.

    Attributes:
        session: of the relay; also the ``session_id`` of its websocket.
    """

    def __init__(self, session: str, date: Callable[[], str]) -> None:
        self.session = session
        self._date = date
        self._count = 0

    def control(self, msg_type: str, content: Mapping[str, object]) -> Message:
        """A request of the relay's own on the control channel."""
        return self.new("control", msg_type, content)

    def probe(self, lane: Lane) -> Message:
        """A request that changes nothing, which a kernel answers behind the earlier ones."""
        message = self.new(lane.channel, "kernel_info_request", {})
        if lane.subshell is None:
            return message
        header = {**message.header_fields, "subshell_id": lane.subshell}
        return replace(message, header=encode_object(header))

    def is_own(self, msg_id: str) -> bool:
        """Whether a message of the relay has this id."""
        return msg_id.startswith(self.session)

    def new(self, channel: str, msg_type: str, content: Mapping[str, object]) -> Message:
        self._count += 1
        return new_message(
            channel,
            msg_type,
            dict(content),
            msg_id=message_id(self.session, self._count),
            session=self.session,
            username="jrc",
            date=self._date(),
        )


class Answers:
    """What the clients hear in the kernel's name."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def welcome(self, topic: bytes) -> Deliver:
        """Welcome a client that can receive iopub messages now.

        Source: Jupyter enhancement proposal 65, "iopub_welcome message".
        """
        content = {"subscription": topic.decode("utf-8", "replace")}
        welcome = self._messages.new("iopub", "iopub_welcome", content)
        return Deliver(welcome, (topic,) if topic else ())

    def reply(
        self, asked: Addressed, content: Mapping[str, object], *, broadcast: bool = False
    ) -> list[Deliver]:
        """The reply to a request, and the idle behind it.

        Args:
            asked: the request.
            content: of the reply.
            broadcast: publish the reply, too, so that every client knows.
        """
        request = asked.message
        msg_type = _reply_type(request)
        reply = self._message(request.channel, msg_type, content, request.header)
        published = [self._publish(msg_type, content, request.header)] if broadcast else []
        return [Deliver(reply, asked.identities), *published, self.status(request, "idle")]

    def error(self, request: Request, loss: Loss) -> list[Deliver]:
        """An error in place of a reply; as a kernel does, on iopub too where it is of code."""
        message = request.message
        text = f"{loss.name}: {loss.text}"
        content = {"ename": loss.name, "evalue": loss.text, "traceback": [text]}
        reply = self._message(
            message.channel,
            _reply_type(message),
            {"status": "error", "execution_count": 0, **content},
            message.header,
        )
        answer = Deliver(reply, request.client)
        if not request.executes:
            return [answer]
        return [self._publish("error", content, message.header), answer]

    def status(self, parent: Message | None, state: str) -> Deliver:
        """The kernel's state; a parent of None is nobody's request."""
        header = NOBODY if parent is None else parent.header
        return self._publish("status", {"execution_state": state}, header)

    def notice(self, text: str, running: Request | None) -> Deliver:
        """A line on stderr for the person: in the cell that runs, if one does."""
        header = NOBODY if running is None else running.message.header
        content = {"name": "stderr", "text": f"[jrc] {text}\n"}
        return self._publish("stream", content, header)

    def _publish(self, msg_type: str, content: Mapping[str, object], header: Part) -> Deliver:
        return Deliver(self._message("iopub", msg_type, content, header), (topic(msg_type),))

    def _message(
        self, channel: str, msg_type: str, content: Mapping[str, object], parent_header: Part
    ) -> Message:
        # The parent's header as the client sent it: it is not decoded for that.
        return replace(self._messages.new(channel, msg_type, content), parent_header=parent_header)


def topic(msg_type: str) -> bytes:
    """Under which topic a message is published."""
    return msg_type.encode("utf-8", "replace")


def _reply_type(request: Message) -> str:
    return request.msg_type.removesuffix("_request") + "_reply"
