"""What the machine of a relay asks for: values without behaviour."""

from dataclasses import dataclass

from jrc.wire.message import Message
from jrc.wire.zmq import Addressed


@dataclass(frozen=True)
class Send:
    """Queue a message for the kernel; call ``Machine.sending`` just before it is sent.

    Attributes:
        first: ahead of everything that is queued already.
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
class Beat:
    """Start or stop echoing heartbeats."""

    alive: bool


@dataclass(frozen=True)
class Interrupt:
    """Interrupt the kernel through the server, then call ``Machine.interrupted``."""

    request: Addressed


@dataclass(frozen=True)
class Restart:
    """Restart the kernel through the server, then call ``Machine.restarted``."""

    request: Addressed


@dataclass(frozen=True)
class AskServer:
    """Ask the server what the kernel does, then call ``Machine.server_answered``."""


@dataclass(frozen=True)
class StartOver:
    """Connect to the kernel as another session."""


@dataclass(frozen=True)
class End:
    """The kernel is gone for good: end with an error."""

    reason: str


@dataclass(frozen=True)
class Stop:
    """A client shut the kernel down: end."""


@dataclass(frozen=True)
class Log:
    """Write a line to the log."""

    text: str
    warning: bool = False


Action = Send | Deliver | Beat | Interrupt | Restart | AskServer | StartOver | End | Stop | Log
