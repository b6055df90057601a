"""The thresholds of a run."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jrc.kernel.timing import LinkTiming


class DetachedTiming(NamedTuple):
    """How a detached run begins, in seconds.

    Attributes:
        begin: for the kernel to take the recorder and all cells.
        unanswered: a kernel that has not answered for so long gets another session.
        undo: for the server to delete what it has of a run that could not begin.
    """

    begin: float = 120.0
    unanswered: float = 25.0
    undo: float = 5.0


class EndTiming(NamedTuple):
    """How a kernel is asked whether it is ending.

    Attributes:
        answer: seconds for one answer.
        pause: seconds between two questions.
        looks: how many questions are asked.
    """

    answer: float = 2.0
    pause: float = 0.25
    looks: int = 6


class WatchTiming(NamedTuple):
    """When a run acts although nothing has arrived, in seconds where nothing else is said.

    Attributes:
        tick: between two looks at the deadlines of a run.
        quiet_before_poll: how long a kernel that has cells to execute may be silent before the
            server is asked about it. When a kernel is deleted, its websocket stays open and silent.
        missing_polls: how many times in a row the recorder of an idle kernel may report the same
            state before cells count as missing.
        unresponsive_polls: how many times in a row the server may call the kernel idle while its
            recorder answers nothing, before it counts as unresponsive.
        helps: how many times in a row an idle kernel gets its cells again, or another session, and
            begins none of them.
        idle_within: how long an idle may come after its reply. Usually it takes milliseconds.
        fences: how many fences are sent for a missing idle before it counts as lost.
        interrupt_grace: how long code may take to stop when its time is up and it was interrupted.
    """

    tick: float = 0.1
    quiet_before_poll: float = 5.0
    missing_polls: int = 2
    unresponsive_polls: int = 12
    helps: int = 10
    idle_within: float = 1.0
    fences: int = 10
    interrupt_grace: float = 15.0


class Timing(NamedTuple):
    """The thresholds of a run, in seconds where nothing else is said.

    Attributes:
        detached: for a detached run to begin.
        cancel: for the kernel to take in that no other cell may begin; it does so while a cell is
            executed.
        leave: for the kernel to open the journal of a run that its client leaves.
        language: for the kernel to say what its language is, where no cell is executed.
        look: between two looks at how far a run has been shown, where only its past is wanted.
        answer: for the kernel of a run to say how the run is; None for the usual time.
        end: for the kernel of a run that was interrupted, to find out whether it is ending.
        watch: when to act although nothing has arrived.
        link: when a link to the kernel is given up, and when the next one is opened; None for the
            usual thresholds, which are not loaded before there is a link.
        journal_at_once: how many messages of a journal are read before other tasks have their turn.
    """

    detached: DetachedTiming = DetachedTiming()
    cancel: float = 2.0
    leave: float = 10.0
    language: float = 10.0
    look: float = 0.05
    answer: float | None = None
    end: EndTiming = EndTiming()
    watch: WatchTiming = WatchTiming()
    link: "LinkTiming | None" = None
    journal_at_once: int = 200


DEFAULT_TIMING = Timing()
