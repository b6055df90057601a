"""When a run must act although nothing has arrived. Pure: the clock is an argument.

All times are in seconds, of one monotonic clock.
"""

from enum import Enum

from jrc.kernel.deadlines import IdleStep, MissingIdle, Unresponsive
from jrc.recorder.protocol import RunState
from jrc.run.timing import DEFAULT_TIMING, WatchTiming


class Act(Enum):
    """What to do now."""

    FENCE = "send a fence"
    ASSUME_IDLE = "fences did not help: the idle counts as lost"
    POLL_KERNEL = "ask the server whether the kernel is still there"
    INTERRUPT = "the cell's time is up"
    GIVE_UP_START = "the new kernel does not answer"
    GIVE_UP = "the cell does not stop"


class Found(Enum):
    """What is wrong with a kernel that was polled."""

    NOTHING = "nothing"
    CELLS_MISSING = "it is idle, and has not got all cells"
    UNRESPONSIVE = "it is idle, and does not answer"


class IdleKernel:
    """Finds out what is wrong with a kernel that is idle although it has cells to execute.

    Args:
        timing: how many polls each finding takes.
    """

    def __init__(self, timing: WatchTiming) -> None:
        self._unresponsive = Unresponsive(timing.unresponsive_polls)
        self._missing_polls = timing.missing_polls
        self._same = 0
        self._answers = 0
        self._state: RunState | None = None

    def polled(
        self,
        *,
        idle: bool,
        answers: int,
        state: RunState | None,
        nothing_runs: bool,
        received: int,
    ) -> Found:
        """What one poll of the server shows.

        Args:
            idle: the server says that the kernel is idle; it should have a recorder, and nothing
                is on its way to it.
            answers: how many answers the recorder has given so far.
            state: the state of the run in the last of them.
            nothing_runs: by that state nothing is executed, and all that was published is here.
            received: how many bytes have arrived over the link so far.
        """
        answered, self._answers = answers != self._answers, answers
        same, self._state = state == self._state, state
        if not idle or (answered and not (same and nothing_runs)):
            self._same = 0
        elif answered:
            self._same += 1
        unresponsive = self._unresponsive.polled(silent=idle and not answered, received=received)
        if self._same >= self._missing_polls:
            self._same = 0
            return Found.CELLS_MISSING
        return Found.UNRESPONSIVE if unresponsive else Found.NOTHING


class Watch:
    """The deadlines of one run.

    Args:
        cell_timeout: seconds for one cell, from the kernel's busy; None for no limit.
        start_timeout: seconds for the kernel's first answer; None for no limit.
        timing: the other deadlines.

    Attributes:
        overdue: the cell whose time was up last.
        idle_kernel: what polls of the server show.
    """

    def __init__(
        self,
        cell_timeout: float | None = None,
        start_timeout: float | None = None,
        timing: WatchTiming = DEFAULT_TIMING.watch,
    ) -> None:
        self.overdue = -1
        self.idle_kernel = IdleKernel(timing)
        self._timing = timing
        self._cell_timeout = cell_timeout
        self._start_timeout = start_timeout
        self._began: float | None = None
        self._started: dict[int, float] = {}
        self._interrupted_at: float | None = None
        self._heard_at = 0.0
        self._missing_idle = MissingIdle(timing.idle_within, timing.fences)

    def heard(self, now: float) -> None:
        """Something has arrived from the kernel."""
        self._heard_at = now

    def answered(self) -> None:
        """The kernel lives."""
        self._start_timeout = None

    def started(self, key: int, now: float) -> None:
        """The kernel has begun to execute a cell."""
        self._started[key] = now

    def finished(self, key: int) -> None:
        """A cell is finished."""
        self._started.pop(key, None)
        self._interrupted_at = None
        self._missing_idle.found()

    def elapsed(self, key: int, now: float) -> float:
        """Seconds since the kernel began to execute a cell; 0 if it has not."""
        return now - self._started.get(key, now)

    def due(self, now: float, *, pending: bool, idle_missing: bool) -> list[Act]:
        """What to do now.

        Args:
            now: the clock.
            pending: a request is not finished.
            idle_missing: a request has its reply without its idle, and no fence is out.
        """
        if not pending:
            self._heard_at = now
            return []
        return [
            *self._start(now),
            *self._timeout(now),
            *self._idle(now, idle_missing),
            *self._poll(now),
        ]

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
            late = now - self._interrupted_at > self._timing.interrupt_grace
            return [Act.GIVE_UP] if late else []
        for key, since in self._started.items():
            if now - since > self._cell_timeout:
                self.overdue = key
                self._interrupted_at = now
                return [Act.INTERRUPT]
        return []

    def _idle(self, now: float, missing: bool) -> list[Act]:
        match self._missing_idle.due(now, missing=missing):
            case IdleStep.FENCE:
                return [Act.FENCE]
            case IdleStep.ASSUME:
                return [Act.ASSUME_IDLE]
        return []

    def _poll(self, now: float) -> list[Act]:
        if now - self._heard_at < self._timing.quiet_before_poll:
            return []
        self._heard_at = now
        return [Act.POLL_KERNEL]
