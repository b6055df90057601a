"""The requests of local clients that the remote kernel has not finished. Pure.

``kernel.inflight`` knows when one is finished, and what a fence proves. This adds what only a relay
needs: whose they are, and which of them can be sent again.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from jrc.kernel.inflight import InFlight, Lane, Request
from jrc.wire.message import Message
from jrc.wire.zmq import Addressed

MOST_REQUESTS = 10_000
"""How many are remembered: a kernel that answers nothing must not fill the memory."""

MOST_FENCES = 10
"""Unanswered ones. They would pile up behind a long execution whose kernel a server takes for
idle."""

# They change nothing in the kernel. One that may not have arrived can be sent again.
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


class ClientRequest(Request):
    """A request of a local client.

    Args:
        addressed: as the client sent it.

    Attributes:
        client: identities of the client.
        message: as the client sent it; only the header where it will certainly not be sent again.
        sent: it may have reached the kernel.
        recorded: nothing that is published for it can be lost, nor its reply.
        idle: the client was told that the kernel is idle again.
        may_ask: code may ask the client questions.
        damaged: the client was told that a message was lost which can't be read.

    Raises:
        WireError: its header can't be understood.
    """

    def __init__(self, addressed: Addressed) -> None:
        message = addressed.message
        subshell = message.header_fields.get("subshell_id")
        lane = Lane(message.channel, subshell if isinstance(subshell, str) else None)
        super().__init__(message.msg_id, lane)
        self.client = addressed.identities
        self.message = message
        self.sent = False
        self.recorded = False
        self.idle = False
        # The protocol's default is true.
        self.may_ask = not self.executes or message.content_fields.get("allow_stdin") is not False
        self.damaged = False
        if not (self.repeatable or self.executes):
            self.message = Message(message.channel, message.header, b"{}", b"{}", b"{}")

    @property
    def repeatable(self) -> bool:
        """Sending it twice does no harm."""
        return self.message.msg_type in _REPEATABLE

    @property
    def executes(self) -> bool:
        """It executes code, so it must not be sent twice, unless it certainly never arrived."""
        return self.message.msg_type == "execute_request"


class Verdict(NamedTuple):
    """What an answer to a fence proves about the requests before it.

    Attributes:
        again: they have no reply, and can be sent again.
        doubtful: the recorder has their reply, or they never arrived.
        lost: their reply is lost.
        idle: they have their reply, and their idle is lost.
    """

    again: list[ClientRequest]
    doubtful: list[ClientRequest]
    lost: list[ClientRequest]
    idle: list[ClientRequest]


class ClientRequests(InFlight[ClientRequest]):
    """The unfinished requests, oldest first, at most ``MOST_REQUESTS``, and the fences."""

    def __init__(self) -> None:
        super().__init__(MOST_REQUESTS)

    def all_of(self, msg_ids: Iterable[str]) -> list[ClientRequest]:
        """Those of the requests that are not finished."""
        return [request for request in map(self.get, msg_ids) if request is not None]

    def sent_again(self, request: ClientRequest) -> None:
        """A request did not arrive and is sent again: no fence that is out tells of it."""
        request.sent = False
        request.iopub_over = request.idle
        super().sent_again(request)

    def nothing_recorded(self) -> None:
        """There is no recorder any more."""
        for request in self:
            request.recorded = False

    @property
    def unanswered(self) -> bool:
        """A client waits for a reply."""
        return any(not request.reply_over for request in self)

    @property
    def running(self) -> ClientRequest | None:
        """The execution that the kernel is working on, or will begin next."""
        return next((each for each in self if each.executes and not each.reply_over), None)

    @property
    def missing_idle(self) -> list[ClientRequest]:
        """Requests that have their reply but no idle, and no fence is out that would tell.

        Only those on shell: not every kernel publishes its status for control.
        """
        missing = super().missing_idle
        return [each for each in missing if each.lane.channel == "shell" and not each.recorded]

    @property
    def many_fences(self) -> bool:
        """Whether so many fences are unanswered that no more should be sent."""
        return self.fences_out >= MOST_FENCES

    def judged(self, message: Message) -> Verdict:
        """What a message proves that answers a request of the relay itself."""
        verdict = Verdict([], [], [], [])
        proof = self.proved(message)
        if proof is None:
            return verdict
        for request in proof.no_output:
            if not request.recorded:
                request.iopub_over = True
                if request.reply_over:
                    verdict.idle.append(request)
        for request in proof.no_reply:
            if request.repeatable:
                verdict.again.append(request)
            elif request.recorded:
                verdict.doubtful.append(request)
            else:
                verdict.lost.append(request)
        return verdict


def by_lane(requests: Iterable[ClientRequest]) -> dict[Lane, list[ClientRequest]]:
    """Group requests by lane: each lane needs a fence of its own."""
    lanes: dict[Lane, list[ClientRequest]] = defaultdict(list)
    for request in requests:
        lanes[request.lane].append(request)
    return lanes
