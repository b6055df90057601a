"""The messages that the relay sends to clients in the kernel's name.

Pure: ids and dates come from the ``Messages`` that it is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jrc.kernel.messages import Messages
from jrc.relay.actions import Deliver
from jrc.relay.in_flight import ClientRequest
from jrc.visible import visible
from jrc.wire.message import Message, Part
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


class Answers:
    """Makes the messages that clients get in the kernel's name."""

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

    def error(self, request: ClientRequest, loss: Loss) -> list[Deliver]:
        """An error in place of a reply; for an execution on iopub too, as a kernel does."""
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
        """The state of the kernel; without a parent, it belongs to no request."""
        header = NOBODY if parent is None else parent.header
        return self._publish("status", {"execution_state": state}, header)

    def notice(self, text: str, running: ClientRequest | None) -> Deliver:
        """A line on stderr for the person: in the running cell, if there is one."""
        header = NOBODY if running is None else running.message.header
        content = {"name": "stderr", "text": f"[jrc] {visible(text)}\n"}
        return self._publish("stream", content, header)

    def _publish(self, msg_type: str, content: Mapping[str, object], header: Part) -> Deliver:
        return Deliver(self._message("iopub", msg_type, content, header), (topic(msg_type),))

    def _message(
        self, channel: str, msg_type: str, content: Mapping[str, object], parent_header: Part
    ) -> Message:
        # The parent's header as the client sent it: it is not decoded for that.
        return self._messages.new(channel, msg_type, content, parent_header=parent_header)


def topic(msg_type: str) -> bytes:
    """Under which topic a message is published."""
    return msg_type.encode("utf-8", "replace")


def _reply_type(request: Message) -> str:
    return request.msg_type.removesuffix("_request") + "_reply"
