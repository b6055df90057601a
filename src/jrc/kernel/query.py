"""Questions to a kernel: one request at a time, and all that answers it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple, Never

from jrc.errors import KernelDiedError, UnreachableError, WireError
from jrc.kernel.channels import Channels, FrameDamaged, LinkLost, Server
from jrc.kernel.messages import Messages
from jrc.tasks import first_of
from jrc.wire.message import Message

ASK_AT_MOST = 5
"""How often a question is sent when its answer may be lost."""

_DEAD = ("dead", "restarting", "autorestarting")


class Timing(NamedTuple):
    """When a question is asked again, in seconds.

    Attributes:
        silence: without any answer to a question that a kernel answers at once or never.
    """

    silence: float = 2.0


_USUAL = Timing()


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
        timing: when a question is asked again.
    """

    def __init__(
        self,
        channels: Channels,
        messages: Messages,
        *,
        bridges: bool = False,
        timing: Timing = _USUAL,
    ) -> None:
        self._channels = channels
        self._events = channels.events()
        self._bridges = bridges
        self._timing = timing
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
        async for message in self._answers(request, {request.msg_id}):
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

        It is sent again while nothing comes at all: a kernel that gets it while a recorder is being
        installed may not know it yet, and the recorder hides that the kernel was busy with it.

        Returns:
            the reply; None from a kernel that does not know the request. Such a kernel publishes
            that it is busy, and does not reply. One that knows it publishes nothing.

        Raises:
            KernelDiedError: the kernel ended meanwhile.
            UnreachableError: the websocket broke.
        """
        asked = {request.msg_id}
        return await first_of(self._first_answer(request, asked), self._insist(request, asked))

    async def _first_answer(self, request: Message, asked: set[str]) -> Message | None:
        async for message in self._answers(request, asked):
            return None if message.channel == "iopub" else message
        raise UnreachableError("The websocket was closed.")

    async def _insist(self, request: Message, asked: set[str]) -> Never:
        while True:
            await asyncio.sleep(self._timing.silence)
            await self._ask_again(request, asked)

    async def _ask_again(self, request: Message, asked: set[str]) -> None:
        """Send a request on control once more, which does no harm, and a few times at most."""
        if request.channel == "control" and len(asked) < ASK_AT_MOST:
            again = self.messages.again(request)
            asked.add(again.msg_id)
            await self._channels.send(again)

    async def _answers(self, request: Message, asked: set[str]) -> AsyncIterator[Message]:
        await self._channels.send(request)
        async for event in self._events:
            if isinstance(event, FrameDamaged):
                # It may have been the answer.
                await self._ask_again(request, asked)
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
