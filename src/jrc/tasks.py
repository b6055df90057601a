"""Tasks, pauses and threads: how jrc waits for the first of several, tries again, and blocks.

A command that only reads a file uses some of this, too. So the functions import asyncio, which by
then is loaded where it is needed.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from functools import partial
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Never, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


async def first_of(*works: Awaitable[T]) -> T:
    """Run all until one ends, cancel the others, and wait until they have ended, too.

    What must not be cancelled is passed in an ``asyncio.shield``.

    Returns:
        the result of the first that ended. Where several end at once, the order of the arguments
        counts.

    Raises:
        Exception: what one of them raised, also one that was cancelled.
    """
    import asyncio

    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = next(task for task in tasks if task.done())
    finally:
        outcomes = await cancel_all(tasks)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return first.result()


async def cancel_all(tasks: "Sequence[asyncio.Future[T]]") -> list[T | BaseException]:
    """Cancel all and wait for their end.

    Returns:
        what each of them returned or raised; ``CancelledError`` for one that was still at work.
    """
    import asyncio

    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def to_the_end(work: "Coroutine[Any, Any, T]") -> T:
    """Run something that must not be left half done. A cancellation is raised when it has ended.

    Returns:
        its result.

    Raises:
        Exception: what it raised.
    """
    import asyncio

    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        await asyncio.gather(task, return_exceptions=True)
        raise cancelled
    return task.result()


def backoff(
    first: float = 0.1, factor: float = 2.0, last: float = 5.0, within: float | None = None
) -> Iterator[float]:
    """Pauses between tries: growing, with jitter so that clients do not come at once.

    Args:
        first: seconds; the shortest pause.
        factor: by which each pause is longer than the one before.
        last: seconds; the longest pause.
        within: seconds from the first pause on after which no try begins any more. Without it
            there is no end.
    """
    import random

    end = None if within is None else monotonic() + within
    pause = first
    while True:
        shortened = pause * random.uniform(0.5, 1.0)  # noqa: S311  jitter # nosec B311
        if end is not None and monotonic() + shortened > end:
            return
        yield shortened
        pause = min(pause * factor, last)


async def in_daemon_thread(function: Callable[..., T], *args: Any, name: str) -> T:
    """Call a function that blocks, in a thread that does not keep the process alive.

    A thread of the event loop's pool would: a person who presses Ctrl-C at a prompt would have to
    press Enter as well, and a name server that never answers would be waited for at the end.

    Args:
        function: what to call.
        args: its arguments.
        name: of the thread.

    Raises:
        Exception: what the function raised.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    returned: asyncio.Future[Callable[[], T]] = loop.create_future()

    def settle(outcome: Callable[[], T]) -> None:
        if not returned.done():
            returned.set_result(outcome)

    def report(outcome: Callable[[], T]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, outcome)

    _start(report, function, args, name)
    return (await returned)()


def in_daemon_thread_within(seconds: float, function: Callable[..., T], *args: Any, name: str) -> T:
    """As ``in_daemon_thread``, without an event loop and with a deadline.

    Raises:
        TimeoutError: it did not return in time. The thread is left behind.
        Exception: what the function raised.
    """
    from queue import Empty, SimpleQueue

    outcomes: SimpleQueue[Callable[[], T]] = SimpleQueue()
    _start(outcomes.put, function, args, name)
    try:
        outcome = outcomes.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    return outcome()


def _start(
    report: Callable[[Callable[[], T]], None],
    function: Callable[..., T],
    args: tuple[Any, ...],
    name: str,
) -> None:
    """Call a function in a daemon thread, and report what returns its value or raises its error."""

    def work() -> None:
        try:
            value = function(*args)
        except Exception as error:  # noqa: BLE001  it is raised again where it is waited for
            report(partial(_raise, error))
        else:
            report(lambda: value)

    Thread(target=work, name=name, daemon=True).start()


def _raise(error: Exception) -> Never:
    raise error
