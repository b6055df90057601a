"""When a relay must act although nothing has arrived. Pure: the clock is an argument.

All times are in seconds, of one monotonic clock.
"""

from enum import Enum
from typing import NamedTuple

from jrc.kernel.deadlines import IdleStep, MissingIdle, Unresponsive
from jrc.kernel.timing import LinkTiming


class Timing(NamedTuple):
    """The thresholds of a relay, in seconds unless they are counts.

    Attributes:
        link_notice: how long the link must be down before the person is told; shorter losses pass
            silently.
        quiet_before_poll: how long a kernel that owes a reply may be silent before the server is
            asked about it. When a kernel is deleted, its websocket stays open and silent.
        unresponsive_polls: how many times in a row the server may call the kernel idle while it
            answers nothing, before it counts as unresponsive.
        suspicion: how long the server is asked about a kernel that somebody shut down. It may list
            the kernel until its process has ended.
        suspicious_poll: how long to wait between two such questions.
        idle_within: how long an idle may come after its reply. Usually it takes milliseconds.
        fences: how many fences are sent for a missing idle before it counts as lost.
        link: when a link to the kernel is given up, and when the next one is opened.
    """

    link_notice: float = 10.0
    quiet_before_poll: float = 10.0
    unresponsive_polls: int = 4
    suspicion: float = 15.0
    suspicious_poll: float = 0.5
    idle_within: float = 2.0
    fences: int = 10
    link: LinkTiming = LinkTiming()


class Act(Enum):
    """What to do now."""

    ANNOUNCE_LOSS = "tell the person that the link is down"
    POLL_KERNEL = "ask the server whether the kernel is still there"
    SEEK_IDLE = "send fences for requests that have a reply but no idle"
    ASSUME_IDLE = "fences did not help: the idle counts as lost"


class Watch:
    """The deadlines of one relay."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._link_lost_at: float | None = None
        self._announced = False
        self._heard_at = 0.0
        self._suspicious_until = float("-inf")
        self._missing_idle = MissingIdle(timing.idle_within, timing.fences)
        self._unresponsive = Unresponsive(timing.unresponsive_polls)

    def heard(self, now: float) -> None:
        """Something arrived from the kernel."""
        self._heard_at = now
        self._unresponsive.heard()

    def no_idle_missing(self) -> None:
        """Every reply has its idle, and no fence is out."""
        self._missing_idle.found()

    def suspect(self, now: float) -> None:
        """The kernel said that it is shut down."""
        self._suspicious_until = now + self._timing.suspicion

    def link_lost(self, now: float) -> None:
        if self._link_lost_at is None:
            self._link_lost_at = now

    def link_restored(self, now: float) -> float | None:
        """The link is up again.

        Returns:
            how long it was down, if the person was told; otherwise None.
        """
        lost_at, announced = self._link_lost_at, self._announced
        self._link_lost_at, self._announced = None, False
        self.heard(now)
        return now - lost_at if lost_at is not None and announced else None

    def due(self, now: float, *, unanswered: bool, idle_missing: bool) -> list[Act]:
        """What to do now.

        Args:
            now: the clock.
            unanswered: a client waits for a reply.
            idle_missing: a request has its reply without its idle, and no fence is out.
        """
        if self._link_lost_at is not None:
            return self._notice(now - self._link_lost_at)
        return [*self._poll(now, unanswered), *self._idle(now, idle_missing)]

    def polled(self, *, idle: bool, received: int) -> bool:
        """Whether the kernel is unresponsive, now that ``POLL_KERNEL`` found that it is there.

        Args:
            idle: the server says that it does nothing, and nothing is on its way to it.
            received: how many bytes have arrived over the link so far. On a slow one, a large
                message takes its time.
        """
        return self._unresponsive.polled(silent=idle, received=received)

    def _notice(self, seconds: float) -> list[Act]:
        if self._announced or seconds < self._timing.link_notice:
            return []
        self._announced = True
        return [Act.ANNOUNCE_LOSS]

    def _poll(self, now: float, unanswered: bool) -> list[Act]:
        suspicious = now < self._suspicious_until
        if not (suspicious or unanswered):
            self._heard_at = now
            return []
        timing = self._timing
        if now - self._heard_at < (
            timing.suspicious_poll if suspicious else timing.quiet_before_poll
        ):
            return []
        self._heard_at = now
        return [Act.POLL_KERNEL]

    def _idle(self, now: float, missing: bool) -> list[Act]:
        match self._missing_idle.due(now, missing=missing):
            case IdleStep.FENCE:
                return [Act.SEEK_IDLE]
            case IdleStep.ASSUME:
                return [Act.ASSUME_IDLE]
        return []
