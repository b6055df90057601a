"""A short talk with one kernel: a request, and everything that answers it."""

import asyncio
from dataclasses import dataclass, field

from jrc.errors import KernelDiedError, UnreachableError
from jrc.kernel.channels import Channels, LinkLost
from jrc.kernel.messages import Requests
from jrc.wire.message import Message

_DEAD = ("dead", "restarting", "autorestarting")


@dataclass
class Heard:
    """What answered a request.

    Attributes:
        reply: on the channel of the request.
        published: on iopub, each with the loop time of its arrival in seconds.
    """

    reply: Message
    published: list[tuple[float, Message]] = field(default_factory=list)


class Conversation:
    """The channels of a kernel, for one request after the other.

    Args:
        channels: open ones.
        requests: of the channels' session.
    """

    def __init__(self, channels: Channels, requests: Requests) -> None:
        self._channels = channels
        self._events = channels.events()
        self.requests = requests

    async def ask(self, request: Message, *, until_idle: bool = True) -> Heard:
        """Send a request, and wait for its reply and what comes with it.

        Args:
            request: on shell.
            until_idle: what is published counts: wait for the kernel's idle too.

        Raises:
            KernelDiedError: the kernel ended meanwhile.
            UnreachableError: the websocket broke.
        """
        await self._channels.send(request)
        reply: Message | None = None
        idle = not until_idle
        published: list[tuple[float, Message]] = []
        async for event in self._events:
            if isinstance(event, LinkLost):
                raise UnreachableError(
                    f"The websocket broke: {event.reason}.",
                    hint="A proxy on the way may cut long connections: see its time limits.",
                )
            if not isinstance(event, Message):
                continue
            if _state(event) in _DEAD:
                raise died()
            if event.parent_fields.get("msg_id") != request.header_fields["msg_id"]:
                continue
            if event.channel != "iopub":
                reply = event
            else:
                published.append((asyncio.get_running_loop().time(), event))
                idle = idle or _state(event) == "idle"
            if reply is not None and idle:
                return Heard(reply, published)
        raise UnreachableError("The websocket was closed.")


def died() -> KernelDiedError:
    """The error for a kernel that is gone while it is examined."""
    return KernelDiedError(
        "The kernel died at its start.",
        hint="Look into the server's log, and try another kernelspec: jrc run --kernel NAME",
    )


def _state(message: Message) -> str:
    if message.msg_type != "status":
        return ""
    return str(message.content_fields.get("execution_state", ""))
