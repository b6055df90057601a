"""The requests that a kernel has not finished, and what proves their end. Pure.

A request is finished when its reply (on its own channel) and its ``status: idle`` (on iopub) have
both arrived, in either order. Both can get lost: idle when the queue between kernel and server
overflows, the reply when a link dies and the server buffered for another client. So a client may
send a *fence*: any later request, in practice a ``kernel_info_request``. A kernel answers the
requests of one lane in order and publishes on iopub in order. Hence:

- What is published for a later request proves that nothing more comes on iopub for earlier ones.
- The reply to a later request proves that no more replies come for earlier ones.

Source: jupyter_client "Messaging in Jupyter", sections "Kernel status" and "Execution results".
"""

from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from jrc.wire.message import Message


class Lane(NamedTuple):
    """Requests that a kernel answers in order: those of one channel, or of one subshell.

    Attributes:
        channel: ``shell`` or ``control``.
        subshell: id of the subshell; None for the kernel's main shell.
    """

    channel: str = "shell"
    subshell: str | None = None


MAIN_SHELL = Lane()


class Request:
    """What became of a request.

    Attributes:
        msg_id: of the request.
        lane: where the kernel answers it.
        reply_over: its reply is here, or none will come.
        iopub_over: its idle is here, or nothing more will come on iopub.
    """

    def __init__(self, msg_id: str, lane: Lane = MAIN_SHELL) -> None:
        self.msg_id = msg_id
        self.lane = lane
        self.reply_over = False
        self.iopub_over = False

    @property
    def finished(self) -> bool:
        """Nothing more comes for it, except from threads that it left behind."""
        return self.reply_over and self.iopub_over


R = TypeVar("R", bound=Request)


class Proof(NamedTuple, Generic[R]):
    """What a message proves about the requests before the one that it answers.

    Attributes:
        no_reply: requests for which no reply comes any more.
        no_output: requests for which nothing more comes on iopub.
    """

    no_reply: list[R]
    no_output: list[R]


class _Fence(NamedTuple, Generic[R]):
    lane: Lane
    suspects: list[R]


class InFlight(Generic[R]):
    """The unfinished requests of one client or many on one kernel, oldest first, and the fences.

    Args:
        most: how many are remembered; None for no limit. A kernel that answers none of them must
            not fill the memory.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._requests: dict[str, R] = {}
        self._fences: dict[str, _Fence[R]] = {}
        self._answered_fences: dict[str, _Fence[R]] = {}

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._requests.values()))

    def __len__(self) -> int:
        return len(self._requests)

    def add(self, request: R) -> None:
        """Note a request that goes to the kernel."""
        self._requests[request.msg_id] = request
        if self._most is not None and len(self._requests) > self._most:
            del self._requests[next(iter(self._requests))]

    def get(self, msg_id: str) -> R | None:
        """The request with this id, if it is not finished."""
        return self._requests.get(msg_id)

    def forget(self, msg_id: str) -> None:
        """Drop a request, finished or not."""
        self._requests.pop(msg_id, None)

    def drop_finished(self, request: R) -> bool:
        """Drop a request if it is finished. Returns whether it was dropped."""
        return request.finished and self._requests.pop(request.msg_id, None) is not None

    def before(self, request: R) -> list[R]:
        """The unfinished requests that were sent before an unfinished one."""
        if request.msg_id not in self._requests:
            return []
        found = []
        for each in self._requests.values():
            if each is request:
                break
            found.append(each)
        return found

    @property
    def missing_idle(self) -> list[R]:
        """Requests that have a reply but no idle, and no fence is out that would explain it."""
        examined = {id(each) for fence in self._fences.values() for each in fence.suspects}
        return [
            request
            for request in self._requests.values()
            if request.reply_over and not request.iopub_over and id(request) not in examined
        ]

    @property
    def fences_out(self) -> int:
        """How many fences have no reply yet."""
        return len(self._fences)

    def fence_sent(self, msg_id: str, suspects: Iterable[R], lane: Lane = MAIN_SHELL) -> None:
        """Note that a fence goes out.

        Args:
            msg_id: of the fence.
            suspects: requests of its lane that were sent before it.
            lane: of the fence.
        """
        # What the kernel publishes for a fence may come after its reply. So an answered fence is
        # kept until the next one goes out, which proves the same.
        self._answered_fences.clear()
        self._fences[msg_id] = _Fence(lane, list(suspects))

    def fences_lost(self) -> None:
        """Drop the fences: their answers were lost with the link, or do not matter any more."""
        self._fences.clear()
        self._answered_fences.clear()

    def sent_again(self, request: R) -> None:
        """A request goes out again: the fences that are out prove nothing about it."""
        for fence in (*self._fences.values(), *self._answered_fences.values()):
            if request in fence.suspects:
                fence.suspects.remove(request)

    def proved(self, message: Message) -> Proof[R] | None:
        """What the answer to a fence proves; None for any other message."""
        msg_id = message.parent_id
        fence = self._fences.get(msg_id) or self._answered_fences.get(msg_id)
        if fence is None:
            return None
        suspects = [each for each in fence.suspects if self.get(each.msg_id) is each]
        if message.channel == "iopub":
            return Proof([], [each for each in suspects if not each.iopub_over])
        if message.channel != fence.lane.channel:
            return Proof([], [])
        if self._fences.pop(msg_id, None) is not None:
            self._answered_fences[msg_id] = fence
        return Proof([each for each in suspects if not each.reply_over], [])
