"""The requests of local clients that the remote kernel has not finished. Pure.

A request is finished when its reply (on its own channel) and its ``status: idle`` (on iopub) have
both arrived, in either order; then nothing more can come that must find its way to the client.

When the link was down, replies may be lost. A *fence*, a harmless request sent behind the requests
in doubt, tells: a kernel answers the requests of one lane in order and publishes in order, hence
the fence's ``busy`` proves that nothing more comes on iopub for the earlier ones, and its reply
that no reply comes for them any more.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from jrc.wire.message import Message
from jrc.wire.zmq import Addressed

MOST_REQUESTS = 10_000
"""Requests that are remembered. A kernel that answers none must not fill the memory."""

MOST_FENCES = 10
"""Unanswered ones. They would pile up behind a long execution whose kernel a server takes for
idle."""

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
    subshell: str | None = None


@dataclass
class Request:
    """A request of a local client.

    Attributes:
        client: identities of the client.
        message: as the client sent it; only the header where it will certainly not be sent again.
        lane: where the kernel answers it.
        sent: it may have reached the kernel.
        recorded: nothing that is published for it can be lost, nor its reply.
        replied: the client has its reply.
        idle: the client was told that the kernel is idle again.
        iopub_over: nothing more comes on iopub, the kernel's idle included.
    """

    client: tuple[bytes, ...]
    message: Message
    lane: Lane
    sent: bool = False
    recorded: bool = False
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


class Verdict(NamedTuple):
    """What the reply to a fence says of the requests in front of it that have no reply.

    Attributes:
        again: they can be sent again.
        doubtful: the recorder has their reply, or they never arrived.
        lost: their reply is lost.
    """

    again: list[Request]
    doubtful: list[Request]
    lost: list[Request]


@dataclass
class _Fence:
    lane: Lane
    suspects: list[str]
    replied: bool = False


class InFlight:
    """The unfinished requests, oldest first, at most ``MOST_REQUESTS``, and the fences."""

    def __init__(self) -> None:
        self._requests: OrderedDict[str, Request] = OrderedDict()
        self._fences: dict[str, _Fence] = {}

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

    def not_sent(self, request: Request) -> None:
        """A request did not arrive and is sent again: no fence that is out tells of it."""
        request.sent = request.iopub_over = False
        msg_id = request.message.msg_id
        for fence in self._fences.values():
            fence.suspects = [each for each in fence.suspects if each != msg_id]

    def nothing_recorded(self) -> None:
        """There is no recorder any more."""
        for request in self._requests.values():
            request.recorded = False

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

    @property
    def missing_idle(self) -> list[Request]:
        """Requests that have their reply but no idle, and no fence is out that would tell.

        Only those on shell: not every kernel publishes its status for control.
        """
        examined = {id for f in self._fences.values() if not f.replied for id in f.suspects}
        return [
            request
            for request in self._requests.values()
            if request.replied
            and request.lane.channel == "shell"
            and not request.recorded
            and request.message.msg_id not in examined
        ]

    @property
    def many_fences(self) -> bool:
        """So many fences are unanswered that no other one shall be sent."""
        return sum(not fence.replied for fence in self._fences.values()) >= MOST_FENCES

    def fence_sent(self, msg_id: str, lane: Lane, suspects: list[str]) -> None:
        """Note that a fence goes out behind some requests of its lane."""
        self._fences[msg_id] = _Fence(lane, suspects)

    def clear_fences(self) -> None:
        """Drop the fences: their answers are lost, or no longer of interest."""
        self._fences.clear()

    def forget_answered_fences(self) -> None:
        """Drop the fences whose reply is here."""
        self._fences = {id: fence for id, fence in self._fences.items() if not fence.replied}

    def fence_published(self, msg_id: str) -> list[Request]:
        """The kernel began with a fence.

        Returns:
            the requests that have their reply, and whose idle is lost.
        """
        fence = self._fences.get(msg_id)
        suspects = [] if fence is None else self.all_of(fence.suspects)
        over = [request for request in suspects if not request.recorded]
        for request in over:
            request.iopub_over = True
        return [request for request in over if request.replied]

    def fence_replied(self, message: Message) -> Verdict:
        """The kernel answered a fence. It is kept: what it publishes may come behind its reply."""
        verdict = Verdict([], [], [])
        fence = self._fences.get(message.parent_id)
        if fence is None or message.channel != fence.lane.channel:
            return verdict
        fence.replied = True
        for request in self.all_of(fence.suspects):
            if request.replied:
                continue
            if request.repeatable:
                verdict.again.append(request)
            elif request.recorded:
                verdict.doubtful.append(request)
            else:
                verdict.lost.append(request)
        return verdict


def by_lane(requests: Iterable[Request]) -> dict[Lane, list[str]]:
    """The ids of requests, by the lane that a fence must take to tell of them."""
    lanes: dict[Lane, list[str]] = defaultdict(list)
    for request in requests:
        lanes[request.lane].append(request.message.msg_id)
    return lanes
