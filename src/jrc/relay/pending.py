"""The requests of local clients that the remote kernel has not finished. Pure.

A request is finished when its reply (on its own channel) and its ``status: idle`` (on iopub) have
both arrived, in either order; then nothing more can come that must find its way to the client.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jrc.wire.message import Message
from jrc.wire.zmq import Addressed

MOST_REQUESTS = 10_000
"""Requests that are remembered. A kernel that answers none must not fill the memory."""

# They change nothing in the kernel, so one that may not have arrived can simply be sent again.
_REPEATABLE = frozenset(
    {
        "comm_info_request",
        "complete_request",
        "history_request",
        "inspect_request",
        "is_complete_request",
        "kernel_info_request",
    }
)


@dataclass(frozen=True)
class Lane:
    """Requests that a kernel answers in order: those of one channel, or of one subshell.

    Attributes:
        channel: ``shell`` or ``control``.
        subshell: id of the subshell; None for the kernel's main shell.
    """

    channel: str
    subshell: str | None


@dataclass
class Request:
    """A request of a local client.

    Attributes:
        client: identities of the client.
        message: as the client sent it; only the header where it will certainly not be sent again.
        lane: where the kernel answers it.
        sent: it may have reached the kernel.
        replied: the client has its reply.
        idle: the client was told that the kernel is idle again.
        iopub_over: nothing more comes on iopub, the kernel's idle included.
    """

    client: tuple[bytes, ...]
    message: Message
    lane: Lane
    sent: bool = False
    replied: bool = False
    idle: bool = False
    iopub_over: bool = False

    @property
    def repeatable(self) -> bool:
        """Sending it twice does no harm."""
        return self.message.msg_type in _REPEATABLE

    @property
    def executes(self) -> bool:
        """It executes code, so it must not be sent twice, unless it certainly never arrived."""
        return self.message.msg_type == "execute_request"

    @property
    def finished(self) -> bool:
        return self.replied and self.idle


class Pending:
    """The unfinished requests, oldest first, at most ``MOST_REQUESTS``."""

    def __init__(self) -> None:
        self._requests: OrderedDict[str, Request] = OrderedDict()

    def __iter__(self) -> Iterator[Request]:
        return iter(list(self._requests.values()))

    def add(self, addressed: Addressed) -> None:
        """Note a request of a client that goes to the kernel.

        Raises:
            WireError: its header can't be understood.
        """
        message = addressed.message
        subshell = message.header_fields.get("subshell_id")
        lane = Lane(message.channel, subshell if isinstance(subshell, str) else None)
        request = Request(addressed.identities, message, lane)
        if not (request.repeatable or request.executes):
            request.message = Message(message.channel, message.header, b"{}", b"{}", b"{}")
        self._requests[message.msg_id] = request
        if len(self._requests) > MOST_REQUESTS:
            self._requests.popitem(last=False)

    def get(self, msg_id: str) -> Request | None:
        return self._requests.get(msg_id)

    def all_of(self, msg_ids: Iterable[str]) -> list[Request]:
        """Those of the requests that are not finished."""
        return [self._requests[msg_id] for msg_id in msg_ids if msg_id in self._requests]

    def forget_finished(self, request: Request) -> None:
        """Drop a request of which nothing more will come."""
        if request.finished:
            self._requests.pop(request.message.msg_id, None)

    @property
    def unanswered(self) -> bool:
        """A client waits for a reply."""
        return any(not request.replied for request in self._requests.values())

    @property
    def running(self) -> Request | None:
        """The execution that the kernel works on, or will work on next."""
        for request in self._requests.values():
            if not request.replied and request.executes:
                return request
        return None
