"""Ctrl-C while a job runs, on every platform."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType, TracebackType
from typing import Any, Protocol

from jrc.errors import ExitCode, InterruptedByUserError, JrcError

_LOOK_SECONDS = 0.2

TWICE_WITHIN = 2.0
"""Seconds in which a second Ctrl-C means: leave."""


class Interruptible(Protocol):
    """A job that can stop its remote code, or be left."""

    @property
    def can_be_left(self) -> bool:
        """The remote code can go on without the job."""
        ...

    @property
    def only_follows(self) -> bool:
        """The remote code is on its own already: Ctrl-C is not for it."""
        ...

    async def run(self) -> int: ...

    async def interrupt(self) -> None: ...

    async def leave(self) -> None: ...

    def how_to_come_back(self) -> str | None: ...


async def run_interruptibly(
    job: Interruptible,
    *,
    say: Callable[[str], None] | None = None,
    pressed: Callable[[], None] = lambda: None,
    is_read: Callable[[], bool] | None = None,
) -> int:
    """Run a job. Ctrl-C interrupts its remote code; twice within two seconds leaves the job.

    Where the remote code can go on without the job, it does when the job is left. So the first
    Ctrl-C waits these two seconds for a second one before it interrupts anything.

    Args:
        job: what to run. When it is left, it says itself what becomes of the remote code.
        say: shows the person a line; None where nobody sits at a terminal. Then nobody presses
            twice, and a first signal interrupts at once.
        pressed: called at each Ctrl-C.
        is_read: for a job whose only purpose is to show something: whether somebody still reads it.
            When nobody does, the job ends with 0.

    A terminal that is closed (SIGHUP) leaves the job where it can be left, and stops it else;
    ``nohup`` is respected. SIGTERM stops it. To stop a job is to interrupt its code, to save what
    arrived, and to delete what it began on the server.

    Raises:
        InterruptedByUserError: the job was stopped by a second Ctrl-C, or by another signal.
    """
    running = asyncio.create_task(job.run(), name="job")
    presses = _Presses(job, running, say, pressed)
    actions: dict[signal.Signals, Callable[[], object]] = {
        signal.SIGINT: presses.pressed,
        signal.SIGTERM: presses.stop_job,
    }
    hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
    if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
        actions[hang_up] = presses.hung_up
    reading = None
    if is_read is not None:
        reading = asyncio.create_task(_until_unread(is_read, running), name="reading")
    with SignalsInLoop(actions):
        try:
            return await running
        except asyncio.CancelledError:
            if reading is not None and reading.done():
                return ExitCode.OK
            if presses.left:
                return ExitCode.INTERRUPTED
            raise InterruptedByUserError("Interrupted.", hint=job.how_to_come_back()) from None
        finally:
            presses.stop()
            if reading is not None:
                reading.cancel()


async def _until_unread(is_read: Callable[[], bool], running: asyncio.Task[int]) -> None:
    while True:
        if not is_read():
            running.cancel()
            return
        await asyncio.sleep(_LOOK_SECONDS)


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
    def __init__(
        self,
        job: Interruptible,
        running: asyncio.Task[int],
        say: Callable[[str], None] | None,
        seen: Callable[[], None],
    ) -> None:
        self.left = False
        self._seen = seen
        self._ending = False
        self._job = job
        self._running = running
        self._say = say
        self._last = float("-inf")
        self._acting: asyncio.Task[None] | None = None
        self._waiting: asyncio.TimerHandle | None = None

    def pressed(self) -> None:
        self._seen()
        now = time.monotonic()
        if self._ending:
            return
        if self._waiting is not None or self._job.only_follows:
            self._leave_now()
        elif now - self._last < TWICE_WITHIN:
            self.stop_job()
        elif self._say is not None and self._job.can_be_left:
            self._say(
                f"jrc: interrupting in {TWICE_WITHIN:.0f} s; "
                "press Ctrl-C again to leave, and let the run go on"
            )
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(TWICE_WITHIN, self._time_is_up)
        else:
            self._act(self._interrupt())
        self._last = now

    def hung_up(self) -> None:
        """The terminal is gone."""
        if self._ending:
            return
        if self._job.can_be_left:
            self._leave_now()
        else:
            self.stop_job()

    def stop_job(self) -> None:
        """End the job, once: what cleans up behind it is not disturbed."""
        if not self._ending:
            self._ending = True
            self.stop()
            self._running.cancel()

    def stop(self) -> None:
        """Interrupt nothing any more."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _time_is_up(self) -> None:
        self._waiting = None
        self._act(self._interrupt())

    def _act(self, action: Any) -> None:
        self._acting = asyncio.create_task(action, name="interrupt")

    def _leave_now(self) -> None:
        self._ending = True
        self.stop()
        self._act(self._leave())

    async def _interrupt(self) -> None:
        try:
            await self._job.interrupt()
        except JrcError:
            if self._say is not None and not self._ending:
                self._say("jrc: interrupted; ending what was begun on the server")
            self.stop_job()

    async def _leave(self) -> None:
        try:
            await self._job.leave()
            self.left = True
        finally:
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
