"""One rule for a kernel that does not answer, and one for an idle that is missing."""

import pytest

from jrc.kernel.deadlines import SILENT_BYTES, IdleStep, MissingIdle, Unresponsive

POLLS = 4
WITHIN = 2.0
FENCES = 3


@pytest.fixture
def unresponsive() -> Unresponsive:
    return Unresponsive(POLLS)


@pytest.fixture
def missing_idle() -> MissingIdle:
    return MissingIdle(WITHIN, FENCES)


def test_a_kernel_that_was_silent_in_many_polls_is_unresponsive(unresponsive: Unresponsive) -> None:
    found = [unresponsive.polled(silent=True, received=10) for _ in range(2 * POLLS)]
    assert [n for n, each in enumerate(found, 1) if each] == [POLLS, 2 * POLLS]


@pytest.mark.parametrize("between", ["it works", "it speaks", "it sends"])
def test_what_says_that_it_works_counts_from_the_beginning(
    unresponsive: Unresponsive, between: str
) -> None:
    received = 0
    for n in range(3 * POLLS):
        if n % (POLLS - 1) == POLLS - 2:
            if between == "it speaks":
                unresponsive.heard()
            received += SILENT_BYTES if between == "it sends" else 0
        works = between == "it works" and n % 2 == 0
        assert not unresponsive.polled(silent=not works, received=received)


def test_a_few_bytes_are_a_ping(unresponsive: Unresponsive) -> None:
    found = [
        unresponsive.polled(silent=True, received=n * (SILENT_BYTES - 1)) for n in range(POLLS)
    ]
    assert found[-1]


def test_another_link_counts_its_bytes_from_zero(unresponsive: Unresponsive) -> None:
    unresponsive.polled(silent=True, received=10**6)
    assert not any(unresponsive.polled(silent=True, received=0) for _ in range(POLLS))
    assert unresponsive.polled(silent=True, received=0)


def steps(missing_idle: MissingIdle, first: int, last: int) -> list[IdleStep]:
    """What is done from one second to another about an idle that is missing."""
    due = (missing_idle.due(now, missing=True) for now in range(first, last))
    return [step for step in due if step is not None]


def test_an_idle_is_waited_for_then_fenced_then_assumed(missing_idle: MissingIdle) -> None:
    assert missing_idle.due(100, missing=True) is None
    assert missing_idle.due(100 + WITHIN / 2, missing=True) is None
    assert missing_idle.due(100 + WITHIN, missing=True) is IdleStep.FENCE
    assert steps(missing_idle, 200, 209) == [IdleStep.FENCE, IdleStep.FENCE, IdleStep.ASSUME]


def test_an_idle_that_comes_in_time_needs_no_fence(missing_idle: MissingIdle) -> None:
    for now in range(100):
        assert missing_idle.due(now, missing=now % int(WITHIN) == 0) is None


def test_each_missing_idle_gets_all_of_its_fences(missing_idle: MissingIdle) -> None:
    """Those for earlier ones do not count, however often one was lost."""
    for start in range(0, 1000, 100):
        assert steps(missing_idle, start, start + 3) == [IdleStep.FENCE]
        missing_idle.found()
