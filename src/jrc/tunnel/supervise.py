"""Runs the state machine: the thin edge between its actions and kubectl, the probe and the pump."""

import asyncio
import contextlib
import logging
import random
import re
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from jrc.profile.route import Route
from jrc.tunnel.ahead import Ahead, Coming, connection_ends
from jrc.tunnel.cause import Cause, CauseError, Kind
from jrc.tunnel.classify import Alarm, alarm, is_noise
from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.machine import (
    Action,
    Broken,
    Doubted,
    Event,
    Forward,
    Forwarding,
    Knocked,
    Machine,
    Phase,
    Probe,
    Probed,
    Resolve,
    Resolved,
    Said,
    State,
    Stirred,
    Stop,
    Tick,
    Woke,
)
from jrc.tunnel.probe import Answer, ask
from jrc.tunnel.processes import lines
from jrc.tunnel.pump import Pump
from jrc.tunnel.resolve import Found, Resolver

TICK_SECONDS = 2.0
"""How often the clock is looked at, to notice a sleep."""

JUMP_SECONDS = 10.0
"""A tick that takes so much longer by the wall clock means that the machine slept."""

KEPT_LINES = 50

HABIT_SECONDS = 5.0
"""A tunnel that lives so long after a quiet connection was closed is not what closed it."""

_AWAITS = frozenset({Kind.NO_POD, Kind.POD_STUCK, Kind.SELECTS_NOTHING, Kind.POD_NOT_RUNNING})
"""Causes that end when a pod becomes ready."""

RECENT_SECONDS = 10.0
"""How old a line of kubectl may be to explain its end."""

_LISTENS = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")

log = logging.getLogger("jrc.tunnel")


class Supervisor:
    """Keeps one tunnel up.

    Args:
        route: where it leads.
        path: the Jupyter Server's base path, with a slash at both ends.
        publish: called with each new state.
        before: how an earlier process left the tunnel.

    Attributes:
        pump: the local port. Whoever runs the supervisor lets it listen.
    """

    def __init__(
        self,
        route: Route,
        path: str,
        publish: Callable[[State], None],
        before: State | None = None,
    ) -> None:
        self._kubectl = Kubectl(route)
        self._stirred = asyncio.Event()
        self._resolver = Resolver(route, self._kubectl, self._on_ready)
        self._path = path
        self._publish = publish
        self._machine = Machine(self._kubectl.explain, lambda: random.uniform(0.8, 1.2))  # noqa: S311
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._lines: deque[tuple[float, str]] = deque()
        self._ahead = Ahead(self._kubectl)
        self._listens = True
        self._upstream = 0
        self.state = before or State()
        self.pump = Pump(self._on_knock, self._on_failure)

    async def run(self) -> Cause:
        """Keep the tunnel up until a fatal cause, which is returned, or until cancelled."""
        try:
            while self.state.phase is not Phase.FAILED:
                self._step(await self._next())
        finally:
            self.pump.shut()
            await self._stop_tasks(list(self._tasks))
            await self._ahead.drop()
            await self._resolver.rest()
        assert self.state.cause
        return self.state.cause

    async def _next(self) -> Event:
        """The next event: one that was posted, a due time, or a jump of the clock."""
        wait = min(TICK_SECONDS, max(0.0, self.state.wake_at - time.monotonic()))
        before = time.time()
        event: Event = Tick()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                event = await self._events.get()
        if time.time() - before > wait + JUMP_SECONDS:
            log.info("the clock jumped by %.0f s", time.time() - before)
            self._events.put_nowait(Woke())
        return event

    def _step(self, event: Event) -> None:
        state, actions = self._machine.step(self.state, event, time.monotonic())
        if state == self.state and not actions:
            return
        became_ready = state.phase is Phase.READY is not self.state.phase
        if state.phase is not self.state.phase:
            down = state.phase in (Phase.WAITING, Phase.FAILED) and state.cause
            log.info("%s%s", state.phase, f": {down.message}" if down else "")
            if state.phase is Phase.WAITING and self.pump.waiting:
                # They knocked before the door was known to be shut.
                self._on_knock()
        self.state = state
        for action in actions:
            self._act(action)
        if state.phase is Phase.READY and not state.doubted:
            self.pump.open(self._upstream)
        else:
            self.pump.shut()
        if became_ready:
            self._spawn(state.attempt, self._settle)
        self.pump.why = state.cause.message if state.cause else ""
        self._publish(state)

    def _act(self, action: Action) -> None:
        match action:
            case Resolve(attempt, had):
                self._spawn(attempt, lambda attempt: self._resolve(attempt, had))
            case Forward(attempt, pod, port):
                self._spawn(attempt, lambda attempt: self._forward(attempt, pod, port))
            case Probe(attempt):
                self._spawn(attempt, self._probe)
            case Stop(attempt):
                for task in [task for task, number in self._tasks.items() if number == attempt]:
                    task.cancel()

    def _spawn(self, attempt: int, work: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        async def guarded() -> None:
            try:
                await work(attempt)
            except CauseError as error:
                self._events.put_nowait(Broken(attempt, error.cause))
            except Exception:
                log.exception("a task of the tunnel failed")
                cause = self._kubectl.explain(Kind.LOST, quote="an error of jrc's own; see the log")
                self._events.put_nowait(Broken(attempt, cause))

        task = asyncio.create_task(guarded(), name=f"tunnel try {attempt}")
        self._tasks[task] = attempt
        task.add_done_callback(self._tasks.pop)

    async def _stop_tasks(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            if not task.cancelling():
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _resolve(self, attempt: int, had: str) -> None:
        found = await self._first_found(attempt, had)
        self._events.put_nowait(Resolved(attempt, found.pod, found.port, found.uid))

    async def _first_found(self, attempt: int, had: str) -> Found:
        """Look for a pod, or hear of one from the cluster, whichever comes first."""
        look = asyncio.create_task(
            self._resolver.find(lambda line: self._talk(attempt, line), had=had), name="look"
        )
        try:
            while not look.done():
                if found := self._resolver.heard(had):
                    return found
                await self._until_stirred(look)
            return look.result()
        except CauseError as error:
            if error.cause.kind in _AWAITS:
                self._resolver.await_pod()
            if coming := self._resolver.coming:
                await self._ahead.prepare(coming)
            raise
        finally:
            look.cancel()

    async def _until_stirred(self, look: asyncio.Task[Found]) -> None:
        """Wait for the end of a look, or for news from the cluster."""
        self._stirred.clear()
        hear = asyncio.create_task(self._stirred.wait(), name="hear")
        try:
            await asyncio.wait({look, hear}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hear.cancel()

    async def _forward(self, attempt: int, pod: str, port: int) -> None:
        # A new one each time: an earlier kubectl may still be talking while it ends.
        said = self._lines = deque(maxlen=KEPT_LINES)
        child = await self._ahead.take(Coming(pod, self.state.uid, port))
        child = child or await self._kubectl.forward(pod, port)

        async def listen() -> None:
            async for line in lines(child.stdout):
                if found := _LISTENS.search(line):
                    self._upstream = int(found[1])
                    self._events.put_nowait(Forwarding(attempt))

        async def heed() -> None:
            async for line in lines(child.stderr):
                log.info("kubectl: %s", line)
                said.append((time.monotonic(), line))
                self._heed(attempt, line)

        try:
            _, _, code = await asyncio.gather(listen(), heed(), child.wait())
            log.info("kubectl ended with %d", code)
            raise CauseError(self._cause())
        finally:
            await child.stop()

    def _heed(self, attempt: int, line: str) -> None:
        match alarm(line):
            case Alarm.LOST:
                # kubectl 1.20 runs on after this, without a tunnel.
                self._events.put_nowait(Broken(attempt, self._cause()))
            case Alarm.DOUBT:
                self._events.put_nowait(Doubted(attempt))
            case None:
                self._talk(attempt, line)

    def _talk(self, attempt: int, line: str) -> None:
        if line.strip() and not is_noise(line):
            self._events.put_nowait(Said(attempt, line.strip()))

    def _cause(self) -> Cause:
        """What kubectl's recent lines say."""
        since = time.monotonic() - RECENT_SECONDS
        recent = [line for when, line in self._lines if when >= since]
        cause = self._resolver.judged(self._kubectl.classify(recent), time.time())
        if cause.kind is Kind.RESET:
            # Perhaps of a quiet connection: from such a server, each one would cost the tunnel.
            self._listens = False
        return cause

    async def _settle(self, attempt: int) -> None:
        """What a tunnel does that is up: nothing but listen."""
        await self._resolver.rest()
        if self._listens:
            await self._listen(attempt)

    async def _listen(self, attempt: int) -> None:
        """Probe as soon as a quiet connection ends: an idle tunnel hears of its pod's end."""
        while await connection_ends(self._upstream):
            self._events.put_nowait(Doubted(attempt))
        await asyncio.sleep(HABIT_SECONDS)
        # The tunnel still lives, so it is the server that closes quiet connections.
        self._listens = False

    async def _probe(self, attempt: int) -> None:
        received = self.pump.bytes_down

        def tell(answer: Answer) -> None:
            passes = self.pump.bytes_down > received or answer.status > 0
            self._events.put_nowait(Probed(attempt, self._fault(answer), passes))

        await ask(self._upstream, self._path, tell)

    def _fault(self, answer: Answer) -> Cause | None:
        if answer.silent:
            return self._kubectl.explain(Kind.STALLED)
        if answer.status == 0:
            return self._cause()
        if answer.status >= 500:
            return self._kubectl.explain(Kind.APP_ERROR, quote=f"HTTP {answer.status}")
        return None

    def _on_ready(self) -> None:
        self._stirred.set()
        self._events.put_nowait(Stirred())

    def _on_knock(self) -> None:
        self._events.put_nowait(Knocked())

    def _on_failure(self) -> None:
        self._events.put_nowait(Doubted(self.state.attempt))
