"""What a router wants done: values without behaviour."""

from dataclasses import dataclass
from enum import Enum

from jrc.wire.message import Message
from jrc.wire.zmq import Addressed


@dataclass(frozen=True)
class Forward:
    """Send a message to the kernel.

    Attributes:
        first: before everything that waits already.
    """

    message: Message
    first: bool = False


@dataclass(frozen=True)
class Deliver:
    """Send a message to local clients on the socket that its channel names.

    Attributes:
        front: identities of one client; on iopub the topic.
    """

    message: Message
    front: tuple[bytes, ...]


@dataclass(frozen=True)
class Interrupt:
    """Interrupt the kernel through the server, then call ``Router.answer``."""

    request: Addressed


@dataclass(frozen=True)
class Shutdown:
    """End the kernel through the server.

    Attributes:
        restart: the client wants a new one in its place.
    """

    request: Addressed
    restart: bool


@dataclass(frozen=True)
class AskRecorder:
    """Ask the recorder which of these executions never arrived, then call ``Router.repeat``."""

    msg_ids: tuple[str, ...]


class News(Enum):
    """What the kernel, or the server in its name, says about the kernel as a whole."""

    ALIVE = "it said something"
    STARTED = "it said its first word"
    WORKING = "it has begun with what was sent to it"
    DIED = "it died, and the server starts it again"
    DEAD = "it died, and the server gave up"
    RESTARTED = "somebody restarted it"
    SHUT_DOWN = "somebody shut it down"


Action = Forward | Deliver | Interrupt | Shutdown | AskRecorder | News
