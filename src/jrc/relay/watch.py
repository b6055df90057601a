"""When a relay must act although nothing arrived: pure, the clock is an argument.

All times are seconds of one monotonic clock.
"""

from dataclasses import dataclass
from enum import Enum

from jrc.kernel.link import SILENT_BYTES

NOTICE_AFTER = 10.0
"""Of a link that is down: a shorter loss is bridged without a word."""

QUIET_BEFORE_POLL = 10.0
"""A kernel that was deleted leaves its websockets open and silent: ask the server then."""

MUTE_POLLS = 4
"""So often in a row an idle kernel that owes a reply says nothing, though it is asked meanwhile."""

SUSPICION = 15.0
"""After somebody shut the kernel down, a server may list it until its process has ended."""

_SUSPICIOUS_POLL = 0.5

IDLE_WITHIN = 2.0
"""After a reply its idle usually comes within milliseconds."""

FENCES_AT_MOST = 10


class Act(Enum):
    """What to do now."""

    TELL_LINK_IS_DOWN = "tell the person that the link is down"
    POLL_KERNEL = "ask the server whether the kernel is still there"
    SEEK_IDLE = "send fences for requests that have their reply but no idle"
    ASSUME_IDLE = "no fence helps: take the idle for lost"


@dataclass
class Watch:
    """The deadlines of one relay."""

    _link_lost_at: float | None = None
    _told: bool = False
    _heard_at: float = 0.0
    _suspicious_until: float = float("-inf")
    _idle_missing_since: float | None = None
    _fences: int = 0
    _mute_polls: int = 0
    _received: int = 0

    def heard(self, now: float) -> None:
        """Something arrived from the kernel."""
        self._heard_at = now
        self._mute_polls = 0

    def suspect(self, now: float) -> None:
        """The kernel said that it is shut down."""
        self._suspicious_until = now + SUSPICION

    def link_lost(self, now: float) -> None:
        if self._link_lost_at is None:
            self._link_lost_at = now

    def link_restored(self, now: float) -> float | None:
        """The link is up again.

        Returns:
            for how long it was down, where the person was told that it is; else None.
        """
        lost_at, told = self._link_lost_at, self._told
        self._link_lost_at, self._told = None, False
        self.heard(now)
        return now - lost_at if lost_at is not None and told else None

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
        """Whether the kernel is mute, now that ``POLL_KERNEL`` found that it is there.

        Args:
            idle: the server says that it does nothing, and nothing is on its way to it.
            received: how many bytes came over the link until now. A large message takes its time
                on a slow one.
        """
        silent = abs(received - self._received) < SILENT_BYTES
        self._received = received
        self._mute_polls = self._mute_polls + 1 if idle and silent else 0
        if self._mute_polls < MUTE_POLLS:
            return False
        self._mute_polls = 0
        return True

    def _notice(self, seconds: float) -> list[Act]:
        if self._told or seconds < NOTICE_AFTER:
            return []
        self._told = True
        return [Act.TELL_LINK_IS_DOWN]

    def _poll(self, now: float, unanswered: bool) -> list[Act]:
        suspicious = now < self._suspicious_until
        if not (suspicious or unanswered):
            self._heard_at = now
            return []
        if now - self._heard_at < (_SUSPICIOUS_POLL if suspicious else QUIET_BEFORE_POLL):
            return []
        self._heard_at = now
        return [Act.POLL_KERNEL]

    def _idle(self, now: float, idle_missing: bool) -> list[Act]:
        if not idle_missing:
            self._idle_missing_since = None
            return []
        if self._idle_missing_since is None:
            self._idle_missing_since = now
        if now - self._idle_missing_since < IDLE_WITHIN:
            return []
        self._idle_missing_since = None
        self._fences += 1
        if self._fences % (FENCES_AT_MOST + 1):
            return [Act.SEEK_IDLE]
        return [Act.ASSUME_IDLE]
