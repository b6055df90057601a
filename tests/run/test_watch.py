"""Deadlines of a run, with a clock that the tests turn."""

from typing import Any

import pytest

from jrc.recorder.protocol import RunState
from jrc.run.timing import WatchTiming
from jrc.run.watch import Act, Found, IdleKernel, Watch

TIMING = WatchTiming()


def test_nothing_is_due_while_nothing_is_pending() -> None:
    assert Watch(cell_timeout=1).due(1000, pending=False, idle_missing=False) == []


def test_a_cell_is_interrupted_after_its_timeout_counted_from_busy() -> None:
    watch = Watch(cell_timeout=10)
    watch.heard(100)
    assert watch.due(104, pending=True, idle_missing=False) == []
    watch.started(0, 104)
    watch.heard(113)
    assert watch.due(113, pending=True, idle_missing=False) == []
    watch.heard(114.5)
    assert watch.due(114.5, pending=True, idle_missing=False) == [Act.INTERRUPT]
    assert watch.due(114.6, pending=True, idle_missing=False) == []


def test_a_cell_that_ignores_the_interrupt_is_given_up() -> None:
    watch = Watch(cell_timeout=1)
    watch.started(0, 0)
    assert Act.INTERRUPT in watch.due(2, pending=True, idle_missing=False)
    assert Act.GIVE_UP in watch.due(
        2 + TIMING.interrupt_grace + 1, pending=True, idle_missing=False
    )


def test_a_finished_cell_has_no_deadline() -> None:
    watch = Watch(cell_timeout=1)
    watch.started(0, 0)
    watch.finished(0)
    watch.heard(50)
    assert watch.due(50, pending=True, idle_missing=False) == []


def test_a_missing_idle_is_fenced_after_a_moment() -> None:
    watch = Watch()
    watch.heard(10)
    assert watch.due(10, pending=True, idle_missing=True) == []
    assert watch.due(10 + TIMING.idle_within, pending=True, idle_missing=True) == [Act.FENCE]


def test_fences_come_to_an_end() -> None:
    watch = Watch()
    acts = []
    for second in range(5 * TIMING.fences):
        watch.heard(second)
        acts += watch.due(second, pending=True, idle_missing=True)
    assert acts.count(Act.FENCE) >= TIMING.fences
    assert Act.ASSUME_IDLE in acts


def test_silence_makes_it_ask_the_server_once_in_a_while() -> None:
    watch = Watch()
    watch.heard(0)
    later = TIMING.quiet_before_poll + 0.1
    assert watch.due(later, pending=True, idle_missing=False) == [Act.POLL_KERNEL]
    assert watch.due(later + 1, pending=True, idle_missing=False) == []
    assert watch.due(2 * later, pending=True, idle_missing=False) == [Act.POLL_KERNEL]


def test_elapsed_counts_from_the_start_of_the_cell() -> None:
    watch = Watch()
    watch.started(3, 10)
    assert watch.elapsed(3, 12.5) == 2.5
    assert watch.elapsed(4, 12.5) == 0


def test_a_finished_cell_gives_the_next_one_all_of_its_fences() -> None:
    watch, acts = Watch(), list[Act]()
    for key in range(3 * TIMING.fences):
        for half in range(4):
            now = 100.0 * key + half / 2
            watch.heard(now)
            acts += watch.due(now, pending=True, idle_missing=half < 3)
        watch.finished(key)
    assert set(acts) == {Act.FENCE}


class Polls:
    """Polls of one kernel; what is not said of one is as in the poll before."""

    def __init__(self) -> None:
        self._kernel = IdleKernel(TIMING)
        self._answers = 0

    def found(
        self,
        state: RunState | None = None,
        *,
        answered: bool = True,
        idle: bool = True,
        nothing_runs: bool = True,
        received: int = 0,
    ) -> Found:
        self._answers += answered
        return self._kernel.polled(
            idle=idle,
            answers=self._answers,
            state=state,
            nothing_runs=nothing_runs,
            received=received,
        )


@pytest.fixture
def polls() -> Polls:
    return Polls()


def state(count: int = 3) -> RunState:
    """What a recorder says of a run that has published so many messages."""
    return RunState("run", "recorder", 0.0, count, 0, 0, 0, None, "", 0, None, "")


def test_an_idle_kernel_whose_recorder_says_the_same_again_did_not_get_its_cells(
    polls: Polls,
) -> None:
    found = [polls.found(state()) for _ in range(TIMING.missing_polls + 1)]
    assert found == [Found.NOTHING] * TIMING.missing_polls + [Found.CELLS_MISSING]


@pytest.mark.parametrize(
    "between", [{"state": state(4)}, {"idle": False}, {"nothing_runs": False}], ids=str
)
def test_what_says_that_it_works_counts_from_the_beginning(
    polls: Polls, between: dict[str, Any]
) -> None:
    same = {"state": state()}
    for each in [same] * TIMING.missing_polls + [same | between] + [same]:
        assert polls.found(**each) is Found.NOTHING


def test_a_poll_without_an_answer_says_nothing_of_the_cells(polls: Polls) -> None:
    found = [polls.found(state(), answered=n % 2 == 0) for n in range(2 * TIMING.missing_polls + 1)]
    assert found == [Found.NOTHING] * 2 * TIMING.missing_polls + [Found.CELLS_MISSING]


@pytest.mark.parametrize("answers", [0, 1])
def test_an_idle_kernel_whose_recorder_does_not_answer_is_unresponsive(
    polls: Polls, answers: int
) -> None:
    """It has answered before, or never."""
    for _ in range(answers):
        polls.found(state())
    last = state() if answers else None
    found = [polls.found(last, answered=False) for _ in range(TIMING.unresponsive_polls)]
    assert found == [Found.NOTHING] * (TIMING.unresponsive_polls - 1) + [Found.UNRESPONSIVE]
    busy = [polls.found(last, answered=False, idle=False) for _ in range(20)]
    assert set(busy) == {Found.NOTHING}


def test_a_large_message_on_a_slow_link_is_no_silence(polls: Polls) -> None:
    for poll in range(3 * TIMING.unresponsive_polls):
        assert polls.found(answered=False, received=poll * 10_000) is Found.NOTHING
