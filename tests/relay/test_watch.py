"""When the relay acts unasked. The clock is an argument: no test here waits."""

import pytest

from jrc.relay.watch import Act, Timing, Watch

TIMING = Timing()
POLLS = TIMING.unresponsive_polls


@pytest.fixture
def watch() -> Watch:
    return Watch(TIMING)


def due(
    watch: Watch, now: float, *, unanswered: bool = False, idle_missing: bool = False
) -> list[Act]:
    return watch.due(now, unanswered=unanswered, idle_missing=idle_missing)


def test_a_quiet_kernel_with_nothing_to_do_is_left_alone(watch: Watch) -> None:
    assert [act for now in range(1000) for act in due(watch, now)] == []


def test_a_short_loss_of_the_link_passes_without_a_word(watch: Watch) -> None:
    watch.link_lost(100)
    assert due(watch, 100 + TIMING.link_notice - 1) == []
    assert watch.link_restored(100 + TIMING.link_notice - 1) is None


def test_a_long_loss_is_told_once_and_its_end_too(watch: Watch) -> None:
    watch.link_lost(100)
    watch.link_lost(105)
    assert due(watch, 100 + TIMING.link_notice) == [Act.ANNOUNCE_LOSS]
    assert due(watch, 200) == []
    assert watch.link_restored(300) == 200
    assert watch.link_restored(301) is None


def test_nobody_is_asked_while_the_link_is_down(watch: Watch) -> None:
    watch.link_lost(0)
    assert due(watch, 5, unanswered=True, idle_missing=True) == []


def test_a_silent_kernel_that_owes_a_reply_is_asked_for(watch: Watch) -> None:
    watch.heard(100)
    assert due(watch, 100 + TIMING.quiet_before_poll - 1, unanswered=True) == []
    assert due(watch, 100 + TIMING.quiet_before_poll, unanswered=True) == [Act.POLL_KERNEL]
    assert due(watch, 101 + TIMING.quiet_before_poll, unanswered=True) == []


def test_the_silence_before_a_request_does_not_count(watch: Watch) -> None:
    due(watch, 1000)
    assert due(watch, 1001, unanswered=True) == []


def test_a_kernel_that_was_shut_down_is_asked_for_often_for_a_while(watch: Watch) -> None:
    watch.suspect(100)
    polls = [now for now in range(100, 200) if due(watch, now)]
    assert polls[0] == 100
    assert 100 + TIMING.suspicion - 2 <= polls[-1] < 100 + TIMING.suspicion


def test_an_idle_kernel_that_says_nothing_though_it_is_asked_is_unresponsive(watch: Watch) -> None:
    watch.polled(idle=True, received=5000)
    polls = [watch.polled(idle=True, received=5000 + 10 * n) for n in range(2 * POLLS)]
    assert [n for n, found in enumerate(polls, 1) if found] == [
        POLLS,
        2 * POLLS,
    ]


@pytest.mark.parametrize("kind", ["busy", "speaks", "sends", "is back"])
def test_a_kernel_that_works_or_a_slow_link_is_not_unresponsive(watch: Watch, kind: str) -> None:
    for n in range(5 * POLLS):
        received = 100_000 * n if kind == "sends" else 0
        assert not watch.polled(idle=kind != "busy" or n % 2 == 0, received=received)
        if kind == "speaks":
            watch.heard(n)
        elif kind == "is back":
            watch.link_restored(n)


def test_a_missing_idle_is_sought_and_then_assumed(watch: Watch) -> None:
    acts = [act for now in range(100) for act in due(watch, now, idle_missing=True)]
    assert acts[: TIMING.fences + 1] == [Act.SEEK_IDLE] * TIMING.fences + [Act.ASSUME_IDLE]


def test_each_missing_idle_is_sought_before_it_is_assumed(watch: Watch) -> None:
    """However many were found before."""
    for start in range(0, 100 * TIMING.fences * 2, 100):
        acts = [
            act for now in range(start, start + 3) for act in due(watch, now, idle_missing=True)
        ]
        assert acts == [Act.SEEK_IDLE]
        watch.no_idle_missing()


def test_an_idle_that_comes_in_time_is_not_sought(watch: Watch) -> None:
    for now in range(100):
        assert due(watch, now, idle_missing=now % TIMING.idle_within == 0) == []
