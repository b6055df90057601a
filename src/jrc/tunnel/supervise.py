"""Runs the state machine: the thin edge between its actions and kubectl, the probe and the pump."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from jrc.profile.route import Route
from jrc.tasks import cancel_all
from jrc.tunnel import machine, probe
from jrc.tunnel.cause import Cause, CauseError, Kind
from jrc.tunnel.forward import Forwarder, pass_on_login
from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.listener import Listener
from jrc.tunnel.machine import (
    Action,
    Broken,
    ClientWaits,
    Doubted,
    Event,
    Forward,
    Machine,
    Phase,
    PodReady,
    Probe,
    Probed,
    Resolve,
    Resolved,
    Resumed,
    State,
    Stop,
    Tick,
)
from jrc.tunnel.pump import Pump
from jrc.tunnel.resolve import Resolver
from jrc.tunnel.target import Target


class Timing(NamedTuple):
    """The thresholds of a supervisor, in seconds.

    Attributes:
        tries: when to try, to probe and to give up.
        probes: how long a probe may take.
        tick: how often the clock is looked at, to notice a sleep.
        clock_jump: a tick that takes so much longer by the wall clock means that the machine slept.
        quiet: a tunnel that lives so long after a quiet connection was closed is not what closed
            it.
    """

    tries: machine.Timing = machine.DEFAULT_TIMING
    probes: probe.Timing = probe.DEFAULT_TIMING
    tick: float = 2.0
    clock_jump: float = 10.0
    quiet: float = 5.0


DEFAULT_TIMING = Timing()

_AWAITS = frozenset({Kind.NO_POD, Kind.POD_STUCK, Kind.SELECTS_NOTHING, Kind.POD_NOT_RUNNING})
"""Causes that end when a pod becomes ready."""

log = logging.getLogger("jrc.tunnel")


class Supervisor:
    """Keeps one tunnel up.

    Args:
        route: where it leads.
        path: the Jupyter Server's base path, with a slash at both ends.
        publish: called with each new state.
        before: how an earlier process left the tunnel.
        timing: the thresholds.

    Attributes:
        pump: the local port. The owner of the supervisor lets it listen.
        listens: whether a quiet connection is held, whose end says something about the pod.
    """

    def __init__(
        self,
        route: Route,
        path: str,
        publish: Callable[[State], None],
        before: State | None = None,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self._route = route
        self._path = path
        self._publish = publish
        self._timing = timing
        self._kubectl = Kubectl(route)
        self._resolver = Resolver(route, self._kubectl, self._on_pod_ready)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._forwarder = Forwarder(self._kubectl, self._events.put_nowait, self._explain)
        self._tasks: dict[asyncio.Task[None], int] = {}
        self.listens = True
        self.state = before or State()
        self.pump = Pump(self._on_client_waits, self._on_failure)

    async def run(self) -> Cause:
        """Keep the tunnel up until a fatal cause, which is returned, or until cancelled."""
        brain = Machine(
            self._kubectl.explain,
            lambda: random.uniform(0.8, 1.2),  # noqa: S311  jitter # nosec B311
            self._timing.tries,
        )
        try:
            while self.state.phase is not Phase.FAILED:
                event = await self._next()
                self._apply(*brain.step(self.state, event, time.monotonic()))
        finally:
            self.pump.shut()
            await cancel_all(list(self._tasks))
            await self._forwarder.drop()
            await self._resolver.rest()
        assert self.state.cause
        return self.state.cause

    async def _next(self) -> Event:
        """The next event: one that was posted, a due time, or a jump of the clock."""
        wait = min(self._timing.tick, max(0.0, self.state.wake_at - time.monotonic()))
        before = time.time()
        event: Event = Tick()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                event = await self._events.get()
        if time.time() - before > wait + self._timing.clock_jump:
            log.info("the clock jumped by %.0f s", time.time() - before)
            self._events.put_nowait(Resumed())
        return event

    def _apply(self, state: State, actions: tuple[Action, ...]) -> None:
        before = self.state
        if state == before and not actions:
            return
        self.state = state
        if state.phase is not before.phase:
            down = state.phase in (Phase.WAITING, Phase.FAILED) and state.cause
            log.info("%s%s", state.phase, f": {down.message}" if down else "")
            if state.phase is Phase.WAITING and self.pump.waiting:
                # They came before the tunnel was known to be down.
                self._on_client_waits()
        for action in actions:
            self._act(action)
        self._let_clients_through(state)
        if state.phase is Phase.READY is not before.phase:
            self._spawn(state.attempt, self._settle)
        self.pump.why = state.cause.message if state.cause else ""
        self._publish(state)

    def _let_clients_through(self, state: State) -> None:
        """Open the pump where the tunnel works, or is worth a try."""
        health = state.health
        if health.doubted or state.phase not in (Phase.PROBING, Phase.READY):
            self.pump.shut()
        elif state.phase is Phase.READY:
            self.pump.open(self._listener)
        elif health.probing and not health.unanswered:
            # Requests that may be sent again need not wait for the answer to the probe.
            self.pump.open(self._listener, proven=False)
        else:
            self.pump.shut()

    @property
    def _listener(self) -> Listener:
        """Where kubectl listens: it did before anything is sent there."""
        assert self._forwarder.listener
        return self._forwarder.listener

    def _act(self, action: Action) -> None:
        match action:
            case Resolve(attempt, had):
                self._spawn(attempt, lambda attempt: self._resolve(attempt, had))
            case Forward(attempt, destination):
                self._spawn(attempt, lambda attempt: self._forwarder.run(attempt, destination))
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

    async def _resolve(self, attempt: int, had: str) -> None:
        post = self._events.put_nowait
        guess = asyncio.create_task(self._guess(), name="guess")
        try:
            found = await self._resolver.find_first(
                lambda line: pass_on_login(attempt, line, post), had
            )
        except CauseError as error:
            await asyncio.wait({guess})
            await self._prepare_for(error.cause)
            raise
        finally:
            await asyncio.gather(guess, return_exceptions=True)
        post(Resolved(attempt, found.destination))

    async def _guess(self) -> None:
        """Start the next port-forward now, where it probably leads to the pod that is found."""
        if self._resolver.can_guess:
            await self._forwarder.guess(Target.parse(self._route.target), self._route.port)

    async def _prepare_for(self, cause: Cause) -> None:
        """There is no pod to forward to: get ready for the next one."""
        if cause.kind in _AWAITS:
            self._resolver.await_pod()
        if coming := self._resolver.coming:
            await self._forwarder.prepare(coming)
        else:
            await self._forwarder.drop()

    def _explain(self, lines: list[str]) -> Cause:
        """Why kubectl ended, of its recent lines and what is known of the pod."""
        cause = self._resolver.judged(self._kubectl.classify(lines), time.time())
        if cause.kind is Kind.RESET:
            # Perhaps of a quiet connection: from such a server, each one would cost the tunnel.
            self.listens = False
        return cause

    async def _settle(self, attempt: int) -> None:
        """What a tunnel does that is up: nothing but listen."""
        await self._resolver.rest()
        if self.listens:
            await self._listen(attempt)

    async def _listen(self, attempt: int) -> None:
        """Probe as soon as a quiet connection ends: an idle tunnel notices its pod's end."""
        while await probe.connection_ends(self._listener.port, self._timing.probes):
            self._events.put_nowait(Doubted(attempt))
        await asyncio.sleep(self._timing.quiet)
        # The tunnel still lives, so it is the server that closes quiet connections.
        self.listens = False

    async def _probe(self, attempt: int) -> None:
        received, listener = self.pump.moved.down, self._listener

        def report(answer: probe.Answer) -> None:
            if not listener.is_ours:
                answer = probe.Answer()
            passes = self.pump.moved.down > received or answer.status > 0
            self._events.put_nowait(Probed(attempt, self._fault(answer), passes))

        await probe.probe(listener.port, self._path, report, self._timing.probes)

    def _fault(self, answer: probe.Answer) -> Cause | None:
        if answer.silent:
            return self._kubectl.explain(Kind.STALLED)
        if answer.status == 0:
            return self._forwarder.cause()
        if answer.status >= 500:
            return self._kubectl.explain(Kind.APP_ERROR, quote=f"HTTP {answer.status}")
        return None

    def _on_pod_ready(self) -> None:
        self._events.put_nowait(PodReady())

    def _on_client_waits(self) -> None:
        self._events.put_nowait(ClientWaits())

    def _on_failure(self) -> None:
        self._events.put_nowait(Doubted(self.state.attempt))
