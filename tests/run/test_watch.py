"""Deadlines of a run, with a clock that the tests turn."""

from typing import Any

import pytest

from jrc.run.watch import (
    FENCE_AFTER,
    FENCES_AT_MOST,
    IDLE_POLLS,
    INTERRUPT_GRACE,
    MUTE_POLLS,
    QUIET_BEFORE_POLL,
    Act,
    Found,
    Watch,
)


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
    assert Act.GIVE_UP in watch.due(2 + INTERRUPT_GRACE + 1, pending=True, idle_missing=False)


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
    assert watch.due(10 + FENCE_AFTER, pending=True, idle_missing=True) == [Act.FENCE]


def test_fences_come_to_an_end() -> None:
    watch = Watch()
    acts = []
    for second in range(5 * FENCES_AT_MOST):
        watch.heard(second)
        acts += watch.due(second, pending=True, idle_missing=True)
    assert acts.count(Act.FENCE) >= FENCES_AT_MOST
    assert Act.STOP_WAITING_FOR_IDLE in acts


def test_silence_makes_it_ask_the_server_once_in_a_while() -> None:
    watch = Watch()
    watch.heard(0)
    later = QUIET_BEFORE_POLL + 0.1
    assert watch.due(later, pending=True, idle_missing=False) == [Act.POLL_KERNEL]
    assert watch.due(later + 1, pending=True, idle_missing=False) == []
    assert watch.due(2 * later, pending=True, idle_missing=False) == [Act.POLL_KERNEL]


def test_elapsed_counts_from_the_start_of_the_cell() -> None:
    watch = Watch()
    watch.started(3, 10)
    assert watch.elapsed(3, 12.5) == 2.5
    assert watch.elapsed(4, 12.5) == 0


def polled(
    word: object, *, idle: bool = True, received: int = 0, nothing_runs: bool = True
) -> dict[str, Any]:
    return {"word": word, "idle": idle, "received": received, "nothing_runs": nothing_runs}


def test_an_idle_kernel_whose_recorder_says_the_same_again_did_not_get_its_cells() -> None:
    watch = Watch()
    words = [["same"] for _ in range(IDLE_POLLS + 1)]
    found = [watch.polled(**polled(word)) for word in words]
    assert found == [Found.NOTHING] * IDLE_POLLS + [Found.CELLS_MISSING]


@pytest.mark.parametrize(
    "between",
    [polled(["news"]), polled(["same"], idle=False), polled(["same"], nothing_runs=False)],
)
def test_what_says_that_it_works_counts_from_the_beginning(between: dict[str, Any]) -> None:
    watch = Watch()
    same = [polled(["same"]) for _ in range(IDLE_POLLS)]
    for each in (*same, between, *same[1:]):
        assert watch.polled(**each) is Found.NOTHING


def test_an_idle_kernel_whose_recorder_says_nothing_new_is_mute() -> None:
    watch, word = Watch(), ["old"]
    found = [watch.polled(**polled(word)) for _ in range(MUTE_POLLS + 1)]
    assert found == [Found.NOTHING] * MUTE_POLLS + [Found.MUTE]
    assert not any(watch.polled(**polled(word, idle=False)) is Found.MUTE for _ in range(20))


def test_a_large_message_on_a_slow_link_is_no_silence() -> None:
    watch, word = Watch(), ["old"]
    for poll in range(3 * MUTE_POLLS):
        assert watch.polled(**polled(word, received=poll * 10_000)) is Found.NOTHING
