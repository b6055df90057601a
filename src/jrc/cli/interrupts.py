"""Ctrl-C while a job runs, on every platform."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType, TracebackType
from typing import Any, Protocol

from jrc.errors import InterruptedByUserError, JrcError

TWICE_WITHIN = 2.0
"""Seconds in which a second Ctrl-C means: leave."""


class Interruptible(Protocol):
    """A job that can stop its remote code, or be left."""

    async def run(self) -> int: ...

    async def interrupt(self) -> None: ...

    def how_to_come_back(self) -> str | None: ...


async def run_interruptibly(job: Interruptible) -> int:
    """Run a job. Ctrl-C interrupts its remote code; twice within two seconds leaves the job.

    Raises:
        InterruptedByUserError: the job was left.
    """
    running = asyncio.create_task(job.run(), name="job")
    presses = _Presses(job, running)
    with SignalsInLoop({signal.SIGINT: presses.pressed, signal.SIGTERM: running.cancel}):
        try:
            return await running
        except asyncio.CancelledError:
            raise InterruptedByUserError("Interrupted.", hint=job.how_to_come_back()) from None


@asynccontextmanager
async def interruptible() -> AsyncIterator[None]:
    """Ctrl-C and SIGTERM cancel the block, which cleans up after itself.

    Raises:
        InterruptedByUserError: they did.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("interruptible() is used outside of a task")
    with SignalsInLoop({signal.SIGINT: task.cancel, signal.SIGTERM: task.cancel}):
        try:
            yield
        except asyncio.CancelledError:
            raise InterruptedByUserError("Interrupted.") from None


class _Presses:
    def __init__(self, job: Interruptible, running: asyncio.Task[int]) -> None:
        self._job = job
        self._running = running
        self._last = float("-inf")
        self._interrupting: asyncio.Task[None] | None = None

    def pressed(self) -> None:
        now = time.monotonic()
        if now - self._last < TWICE_WITHIN:
            self._running.cancel()
        else:
            self._interrupting = asyncio.create_task(self._interrupt(), name="interrupt")
        self._last = now

    async def _interrupt(self) -> None:
        try:
            await self._job.interrupt()
        except JrcError:
            self._running.cancel()


class SignalsInLoop:
    """Signals call functions in the event loop while the block runs.

    ``loop.add_signal_handler`` does not exist on Windows; ``signal.signal`` with a thread-safe call
    into the loop works everywhere.
    """

    def __init__(self, actions: dict[signal.Signals, Callable[[], object]]) -> None:
        self._actions = actions
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()

        def handle(number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._actions[signal.Signals(number)])

        for number in self._actions:
            self._before[number] = signal.signal(number, handle)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
