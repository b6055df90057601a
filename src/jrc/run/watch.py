"""When a run must act although nothing arrived: pure, the clock is an argument.

All times are seconds of one monotonic clock.
"""

from enum import Enum

from jrc.kernel.link import SILENT_BYTES

FENCE_AFTER = 1.0
"""After a reply without its idle: idle usually comes within milliseconds."""

FENCES_AT_MOST = 10
QUIET_BEFORE_POLL = 5.0
"""A kernel that was deleted leaves its websockets open and silent: ask the server then."""

IDLE_POLLS = 2
"""So often in a row an idle kernel's recorder repeats its word, before cells count as missing."""

MUTE_POLLS = 12
"""So often in a row an idle kernel's recorder says nothing new, though it is asked meanwhile."""

INTERRUPT_GRACE = 15.0
"""For code to stop after a timeout's interrupt, before the run gives up on the kernel."""


class Act(Enum):
    """What to do now."""

    FENCE = "send a fence"
    STOP_WAITING_FOR_IDLE = "no fence helps: take the idle for lost"
    POLL_KERNEL = "ask the server whether the kernel is still there"
    INTERRUPT = "the cell's time is up"
    GIVE_UP_START = "the new kernel does not answer"
    GIVE_UP = "the cell does not stop"


class Found(Enum):
    """What polling a kernel told."""

    NOTHING = "nothing to do"
    CELLS_MISSING = "it waits for work, and did not get all cells"
    MUTE = "it has nothing to do, and does not answer"


class Watch:
    """The deadlines of one run.

    Args:
        cell_timeout: seconds for one cell, from the kernel's busy; None for no limit.
        start_timeout: seconds for the kernel's first answer; None for no limit.

    Attributes:
        overdue: the cell whose time was up last.
    """

    def __init__(
        self, cell_timeout: float | None = None, start_timeout: float | None = None
    ) -> None:
        self.overdue = -1
        self._cell_timeout = cell_timeout
        self._start_timeout = start_timeout
        self._began: float | None = None
        self._started: dict[int, float] = {}
        self._interrupted_at: float | None = None
        self._heard_at = 0.0
        self._idle_missing_since: float | None = None
        self._fences = 0
        self._idle_polls = self._mute_polls = 0
        self._word: object = None
        self._received = 0

    def heard(self, now: float) -> None:
        """Something arrived from the kernel."""
        self._heard_at = now

    def answered(self) -> None:
        """The kernel lives."""
        self._start_timeout = None

    def started(self, key: int, now: float) -> None:
        self._started[key] = now

    def finished(self, key: int) -> None:
        self._started.pop(key, None)
        self._interrupted_at = None
        self._idle_missing_since = None
        self._fences = 0

    def elapsed(self, key: int, now: float) -> float:
        """Seconds since the kernel began with a cell; 0 when it did not."""
        return now - self._started.get(key, now)

    def due(self, now: float, *, pending: bool, idle_missing: bool) -> list[Act]:
        """What to do now.

        Args:
            now: the clock.
            pending: a request is not finished.
            idle_missing: a reply came without its idle, and no fence is out.
        """
        if not pending:
            self._heard_at = now
            return []
        return [
            *self._start(now),
            *self._timeout(now),
            *self._fence(now, idle_missing),
            *self._poll(now),
        ]

    def polled(self, *, idle: bool, word: object, received: int, nothing_runs: bool) -> Found:
        """What ``POLL_KERNEL`` found.

        Args:
            idle: the server says that the kernel does nothing; there should be a recorder in it,
                and nothing is on its way to it.
            word: what that said last.
            received: how many bytes came over the link until now. A large message takes its time
                on a slow one.
            nothing_runs: it said that it executes nothing, and all that it published is here.
        """
        silent = abs(received - self._received) < SILENT_BYTES
        self._received = received
        if not idle:
            self._idle_polls = self._mute_polls = 0
        elif word is self._word:
            self._mute_polls = self._mute_polls + 1 if silent else 0
        else:
            self._mute_polls = 0
            self._idle_polls = self._idle_polls + 1 if nothing_runs and word == self._word else 0
        self._word = word
        if self._idle_polls >= IDLE_POLLS:
            self._idle_polls = 0
            return Found.CELLS_MISSING
        if self._mute_polls >= MUTE_POLLS:
            self._mute_polls = 0
            return Found.MUTE
        return Found.NOTHING

    def _start(self, now: float) -> list[Act]:
        if self._start_timeout is None:
            return []
        if self._began is None:
            self._began = now
        return [Act.GIVE_UP_START] if now - self._began > self._start_timeout else []

    def _timeout(self, now: float) -> list[Act]:
        if self._cell_timeout is None:
            return []
        if self._interrupted_at is not None:
            return [Act.GIVE_UP] if now - self._interrupted_at > INTERRUPT_GRACE else []
        for key, since in self._started.items():
            if now - since > self._cell_timeout:
                self.overdue = key
                self._interrupted_at = now
                return [Act.INTERRUPT]
        return []

    def _fence(self, now: float, idle_missing: bool) -> list[Act]:
        if not idle_missing:
            self._idle_missing_since = None
            return []
        if self._idle_missing_since is None:
            self._idle_missing_since = now
        if now - self._idle_missing_since < FENCE_AFTER:
            return []
        self._idle_missing_since = None
        self._fences += 1
        return [Act.STOP_WAITING_FOR_IDLE if self._fences > FENCES_AT_MOST else Act.FENCE]

    def _poll(self, now: float) -> list[Act]:
        if now - self._heard_at < QUIET_BEFORE_POLL:
            return []
        self._heard_at = now
        return [Act.POLL_KERNEL]
