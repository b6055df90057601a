"""When a silent kernel must be helped, one rule each for all clients. Pure: no clock.

Source: jupyter_client "Messaging in Jupyter", sections "Kernel status" and "Execution results".
"""

from enum import Enum

SILENT_BYTES = 1024
"""More bytes than the pings of a link with nothing to say, and fewer than a part of a large message
on a slow link."""


class Unresponsive:
    """Finds a kernel that is idle, was asked something, and does not answer.

    The server is asked now and then what the kernel does: these are the polls.

    Args:
        polls: how many in a row must find it so.
    """

    def __init__(self, polls: int) -> None:
        self._polls = polls
        self._silent_polls = 0
        self._received = 0

    def heard(self) -> None:
        """The kernel has said something: count from the beginning."""
        self._silent_polls = 0

    def polled(self, *, silent: bool, received: int) -> bool:
        """Count one poll.

        Args:
            silent: the kernel is idle, nothing is on its way to it, and it has said nothing since
                the poll before.
            received: how many bytes have arrived over the link so far. A large message takes its
                time on a slow one.

        Returns:
            whether the kernel is unresponsive. The count begins anew then.
        """
        silent = silent and abs(received - self._received) < SILENT_BYTES
        self._received = received
        self._silent_polls = self._silent_polls + 1 if silent else 0
        if self._silent_polls < self._polls:
            return False
        self._silent_polls = 0
        return True


class IdleStep(Enum):
    """What to do about an idle that is missing."""

    FENCE = "send a fence"
    ASSUME = "no fence has helped: take the idle for lost"


class MissingIdle:
    """Counts the fences for an idle that does not follow its reply.

    Args:
        within: seconds in which an idle may follow its reply, and a fence the one before.
        fences: how many to send before the idle counts as lost.
    """

    def __init__(self, within: float, fences: int) -> None:
        self._within = within
        self._fences = fences
        self._since: float | None = None
        self._sent = 0

    def found(self) -> None:
        """No idle is missing any more: the next one gets all of its fences."""
        self._since = None
        self._sent = 0

    def due(self, now: float, *, missing: bool) -> IdleStep | None:
        """What to do now.

        Args:
            now: seconds of a monotonic clock.
            missing: a request has its reply without its idle, and no fence is out.
        """
        if not missing:
            self._since = None
            return None
        if self._since is None:
            self._since = now
        if now - self._since < self._within:
            return None
        self._since = None
        if self._sent == self._fences:
            self._sent = 0
            return IdleStep.ASSUME
        self._sent += 1
        return IdleStep.FENCE
