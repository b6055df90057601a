"""Questions to a kernel: one request at a time, and all that answers it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from jrc.errors import KernelDiedError, UnreachableError, WireError
from jrc.kernel.channels import Channels, FrameDamaged, LinkLost, Server
from jrc.kernel.messages import Messages
from jrc.wire.message import Message

ASK_AT_MOST = 5
"""How often a question is sent when frames arrive that can't be decoded."""

_DEAD = ("dead", "restarting", "autorestarting")


class Answer(NamedTuple):
    """What answered a request.

    Attributes:
        reply: on the channel of the request.
        published: on iopub, each with the loop's time of its arrival in seconds.
    """

    reply: Message
    published: list[tuple[float, Message]]


class Conversation:
    """The channels of a kernel, for one request at a time.

    Args:
        channels: open channels.
        messages: of the channels' session; makes the requests.
        bridges: go on waiting when the link breaks. The server keeps the answers until the link is
            back, but a request that was on its way may be lost.
    """

    def __init__(self, channels: Channels, messages: Messages, *, bridges: bool = False) -> None:
        self._channels = channels
        self._events = channels.events()
        self._bridges = bridges
        self.messages = messages

    async def ask(self, request: Message, *, until_idle: bool = True) -> Answer:
        """Send a request, and wait for its reply and what comes with it.

        Args:
            request: on shell or control.
            until_idle: wait for the kernel's idle, too, and so for all that is published.

        Raises:
            KernelDiedError: the kernel ended meanwhile.
            UnreachableError: the websocket broke.
        """
        reply: Message | None = None
        idle = not until_idle
        published: list[tuple[float, Message]] = []
        async for message in self._answers(request):
            if message.channel != "iopub":
                reply = message
            else:
                published.append((asyncio.get_running_loop().time(), message))
                idle = idle or _state(message) == "idle"
            if reply is not None and idle:
                return Answer(reply, published)
        raise UnreachableError("The websocket was closed.")

    async def ask_if_known(self, request: Message) -> Message | None:
        """Send a request that not every kernel knows, on control.

        Returns:
            the reply; None from a kernel that does not know the request. Such a kernel publishes
            that it is busy, and does not reply. One that knows it publishes nothing.

        Raises:
            KernelDiedError: the kernel ended meanwhile.
            UnreachableError: the websocket broke.
        """
        async for message in self._answers(request):
            return None if message.channel == "iopub" else message
        raise UnreachableError("The websocket was closed.")

    async def _answers(self, request: Message) -> AsyncIterator[Message]:
        await self._channels.send(request)
        asked = {request.msg_id}
        async for event in self._events:
            may_ask = request.channel == "control" and len(asked) < ASK_AT_MOST
            if isinstance(event, FrameDamaged) and may_ask:
                # It may have been the answer. A request on control does no harm twice.
                again = self.messages.again(request)
                asked.add(again.msg_id)
                await self._channels.send(again)
            if isinstance(event, LinkLost) and not self._bridges:
                raise UnreachableError(
                    f"The websocket broke: {event.reason}.",
                    hint="A proxy on the way may cut long connections: see its time limits.",
                )
            if not isinstance(event, Message):
                continue
            if _state(event) in _DEAD:
                raise KernelDiedError("The kernel died before it answered.")
            if event.parent_id in asked:
                yield event


@asynccontextmanager
async def conversation(
    server: Server, kernel_id: str, *, seconds: float
) -> AsyncIterator[Conversation]:
    """A conversation over a websocket of its own.

    Args:
        server: where the kernel is.
        kernel_id: of a running kernel.
        seconds: for the whole conversation.

    Raises:
        NotFoundError: there is no such kernel.
        UnreachableError: it does not answer in time, or the server can't be reached.
    """
    messages = Messages()
    channels = Channels(server, kernel_id, session_id=messages.session, patience=seconds)
    try:
        async with asyncio.timeout(seconds):
            await channels.open()
            yield Conversation(channels, messages, bridges=True)
    except TimeoutError as error:
        raise UnreachableError(
            f"The kernel {kernel_id} did not answer within {seconds:.0f} s.",
            hint="It may be inside one long call. Try again later.",
        ) from error
    finally:
        await channels.close()


def _state(message: Message) -> str:
    if message.msg_type != "status":
        return ""
    try:
        return str(message.content_fields.get("execution_state", ""))
    except WireError:
        return ""
