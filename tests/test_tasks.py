"""Waiting for the first of several tasks, pauses between tries, and daemon threads."""

import asyncio
import threading
import time
from itertools import islice

import pytest

from jrc.tasks import backoff, first_of, in_daemon_thread, in_daemon_thread_within, to_the_end


class Work:
    """A coroutine to run beside others.

    Args:
        seconds: before it returns; for ever by default.
        error: what it raises instead of returning.
        last_words: what it raises when it is cancelled.
    """

    def __init__(
        self,
        seconds: float = 60.0,
        error: Exception | None = None,
        last_words: Exception | None = None,
    ) -> None:
        self.ended = False
        self._seconds = seconds
        self._error = error
        self._last_words = last_words

    async def run(self) -> "Work":
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            if self._last_words:
                raise self._last_words from None
            raise
        finally:
            self.ended = True
        if self._error:
            raise self._error
        return self


@pytest.mark.anyio
async def test_the_first_that_ends_is_the_result_and_the_others_are_ended() -> None:
    short, long = Work(0.0), Work()
    assert await first_of(long.run(), short.run()) is short
    assert long.ended


@pytest.mark.anyio
async def test_of_two_that_end_at_once_the_first_argument_counts() -> None:
    first, second = Work(0.0), Work(0.0)
    assert await first_of(first.run(), second.run()) is first


@pytest.mark.anyio
async def test_what_the_first_raised_is_raised() -> None:
    with pytest.raises(ValueError, match="broken"):
        await first_of(Work().run(), Work(0.0, error=ValueError("broken")).run())


@pytest.mark.anyio
async def test_what_a_cancelled_one_raised_is_raised() -> None:
    with pytest.raises(ValueError, match="not saved"):
        await first_of(Work(0.0).run(), Work(last_words=ValueError("not saved")).run())


@pytest.mark.anyio
async def test_a_shielded_task_is_waited_for_but_not_cancelled() -> None:
    writing = asyncio.ensure_future(Work(0.01).run())
    await first_of(Work(0.0).run(), asyncio.shield(writing))
    assert not writing.done()
    assert (await writing).ended


@pytest.mark.anyio
async def test_cancelling_the_wait_cancels_all() -> None:
    works = Work(), Work()
    waiting = asyncio.ensure_future(first_of(*(work.run() for work in works)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert all(work.ended for work in works)


def test_pauses_grow_and_stay_bounded() -> None:
    pauses = list(islice(backoff(first=0.1, last=5.0), 20))
    assert pauses[0] <= 0.1
    assert max(pauses) <= 5.0
    assert min(pauses[10:]) >= 2.5


def test_pauses_end_when_the_time_is_up() -> None:
    began, used = time.monotonic(), 0.0
    for pause in backoff(first=0.01, last=0.02, within=0.1):
        time.sleep(pause)
        used += pause
    assert 0.05 < used <= 0.1
    assert list(backoff(within=0.0)) == []
    assert time.monotonic() - began >= used


@pytest.mark.anyio
async def test_a_thread_returns_and_raises_to_who_waits() -> None:
    assert await in_daemon_thread(divmod, 7, 2, name="test") == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await in_daemon_thread(divmod, 7, 0, name="test")


def test_a_thread_that_hangs_keeps_nobody() -> None:
    """Neither the loop, whose end does not wait for it, nor who waits with a deadline."""
    released = threading.Event()
    started = threading.Event()

    def hang() -> None:
        started.set()
        released.wait()

    async def give_up() -> None:
        async with asyncio.timeout(0.05):
            await in_daemon_thread(hang, name="hangs")

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    with pytest.raises(TimeoutError):
        in_daemon_thread_within(0.05, hang, name="hangs")
    hanging = [thread for thread in threading.enumerate() if thread.name == "hangs"]
    assert len(hanging) == 2
    assert all(thread.daemon for thread in hanging)
    released.set()  # the first one reports to a loop that is closed
    for thread in hanging:
        thread.join(10)


def test_a_deadline_that_is_kept_returns_and_raises() -> None:
    assert in_daemon_thread_within(10, divmod, 7, 2, name="test") == (3, 1)
    with pytest.raises(ZeroDivisionError):
        in_daemon_thread_within(10, divmod, 7, 0, name="test")


@pytest.mark.anyio
async def test_what_must_be_done_whole_ends_before_the_cancellation_is_raised() -> None:
    work = Work(0.05)
    waiting = asyncio.create_task(to_the_end(work.run()))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.ended
    assert await to_the_end(work.run()) is work
    with pytest.raises(ZeroDivisionError):
        await to_the_end(Work(0.0, ZeroDivisionError()).run())
