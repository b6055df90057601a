"""The life of a tunnel as a state machine. Pure: (state, event, time) in, (state, actions) out.

    resolving ──▶ forwarding ──▶ probing ──▶ ready
        ▲             │  ▲          │          │
        └── waiting ◀─┴──│──────────┴──────────┘        failed: from anywhere, on a fatal cause
               └─────────┘ to the same pod, where only the connection was lost

Every try has a number. Events of an earlier try (a kubectl that ends late) are ignored.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from jrc.tunnel.cause import Cause, Kind


class Waits(NamedTuple):
    """How long to wait between two tries, in seconds.

    Attributes:
        first: after the first failure; it doubles with every other one.
        longest: no wait is longer.
        starting: while a pod, or the server in it, starts.
        starting_slowly: the same after ``slow_after`` tries.
        slow_after: a number of tries.
        client: a waiting client shortens the wait, to this long after the last try began.
        client_refused: the same after a refusal: a try may start a login program.
    """

    first: float = 0.5
    longest: float = 30.0
    starting: float = 0.5
    starting_slowly: float = 5.0
    slow_after: int = 40
    client: float = 1.0
    client_refused: float = 5.0


class Timing(NamedTuple):
    """The thresholds of the machine, in seconds.

    Attributes:
        answer: how long kubectl may take to name a pod, or to set up the forward.
        login: the same while a login program talks to the person (a page in the browser).
        probe_every: between two probes of a ready tunnel.
        probe_again: until the next probe after one that failed.
        healthy: a tunnel that was ready for so long is retried without a wait when it is lost.
        refusal: how long a tunnel that worked is refused before the refusal is final. An API
            server that starts answers 403 or 401 until its caches are full; a kubeconfig, kubectl
            or a login program is replaced; a Service is made anew. All of that looks fatal, and
            passes.
        waits: between two tries.
    """

    answer: float = 30.0
    login: float = 180.0
    probe_every: float = 10.0
    probe_again: float = 1.0
    healthy: float = 5.0
    refusal: float = 300.0
    waits: Waits = Waits()


DEFAULT_TIMING = Timing()


class Phase(StrEnum):
    """Where the tunnel is; the value stands in the state file and in ``--json``."""

    RESOLVING = "resolving"
    FORWARDING = "forwarding"
    PROBING = "probing"
    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True)
class Destination:
    """Where a tunnel leads: a pod and one of its ports.

    Attributes:
        uid: tells the pod from another one of its name.
    """

    pod: str = ""
    port: int = 0
    uid: str = ""


@dataclass(frozen=True)
class Tries:
    """The tries that led to nothing.

    Attributes:
        failed: tries in a row that did not lead to a healthy tunnel; the length of the wait.
        not_started: tries in a row that found a pod, or the server in it, not started yet.
        refused_at: since when every try has ended with a fatal cause; None when the last did not.
    """

    failed: int = 0
    not_started: int = 0
    refused_at: float | None = None


@dataclass(frozen=True)
class Health:
    """What the probes of the present try say.

    Attributes:
        unanswered: probes in a row that went unanswered.
        doubted: one more unanswered probe is enough.
        probing: a probe is under way.
    """

    unanswered: int = 0
    doubted: bool = False
    probing: bool = False


@dataclass(frozen=True)
class Uptime:
    """When the tunnel worked.

    Attributes:
        ready_at: since when it is ready; None while it is not.
        restarts: how often a ready tunnel was lost.
        worked: it was ready before, in this process or in the one before it.
    """

    ready_at: float | None = None
    restarts: int = 0
    worked: bool = False


@dataclass(frozen=True)
class State:
    """All that the machine knows.

    Attributes:
        attempt: the number of the present try.
        wake_at: when something is due though nothing happens: a deadline, a probe or a retry.
        tried_at: when the present try began.
        destination: where it leads, or led last.
        same_pod: not the pod failed: go there again, without asking the cluster for one.
        cause: why it is down, or was last.
        note: what a login program says meanwhile.
    """

    phase: Phase = Phase.WAITING
    attempt: int = 0
    wake_at: float = 0.0
    tried_at: float = 0.0
    destination: Destination = Destination()
    same_pod: bool = False
    tries: Tries = Tries()
    health: Health = Health()
    uptime: Uptime = Uptime()
    cause: Cause | None = None
    note: str = ""


# What happens. ``attempt`` says which try it belongs to.


@dataclass(frozen=True)
class Resolved:
    """A pod was picked."""

    attempt: int
    destination: Destination


@dataclass(frozen=True)
class Forwarding:
    """kubectl listens: the tunnel is up, which does not yet mean that Jupyter is."""

    attempt: int


@dataclass(frozen=True)
class Broken:
    """The try is over: no pod, kubectl ended, or it said that it lost the pod."""

    attempt: int
    cause: Cause


@dataclass(frozen=True)
class Doubted:
    """Something went wrong with one connection."""

    attempt: int


@dataclass(frozen=True)
class LoginSaid:
    """A line that is not kubectl's: a login program talks."""

    attempt: int
    text: str


@dataclass(frozen=True)
class Probed:
    """A probe ended.

    Attributes:
        cause: what was wrong; None when Jupyter answered.
        passes: bytes come through, so the tunnel works though Jupyter may not.
    """

    attempt: int
    cause: Cause | None = None
    passes: bool = False


@dataclass(frozen=True)
class ClientWaits:
    """A client waits for the tunnel."""


@dataclass(frozen=True)
class PodReady:
    """A pod that is waited for has become ready."""


@dataclass(frozen=True)
class Resumed:
    """The clock jumped: the machine slept, and every connection may be dead."""


@dataclass(frozen=True)
class Tick:
    """Time passed."""


Event = (
    Resolved
    | Forwarding
    | Broken
    | Doubted
    | LoginSaid
    | Probed
    | ClientWaits
    | PodReady
    | Resumed
    | Tick
)


# What to do about it.


@dataclass(frozen=True)
class Resolve:
    """Find a pod; ``had`` is the one that the tunnel led to, empty before the first."""

    attempt: int
    had: str = ""


@dataclass(frozen=True)
class Forward:
    """Start ``kubectl port-forward``."""

    attempt: int
    destination: Destination


@dataclass(frozen=True)
class Probe:
    """Ask Jupyter through the tunnel whether it is there."""

    attempt: int


@dataclass(frozen=True)
class Stop:
    """End what runs for this try."""

    attempt: int


Action = Resolve | Forward | Probe | Stop
Step = tuple[State, tuple[Action, ...]]


_AT_WORK = frozenset({Phase.RESOLVING, Phase.FORWARDING, Phase.PROBING, Phase.READY})
_WHEN: dict[type[Event], frozenset[Phase]] = {
    Resolved: frozenset({Phase.RESOLVING}),
    Forwarding: frozenset({Phase.FORWARDING}),
    Probed: frozenset({Phase.PROBING, Phase.READY}),
    Broken: _AT_WORK,
    Doubted: _AT_WORK,
    LoginSaid: frozenset({Phase.RESOLVING, Phase.FORWARDING}),
}
"""The phases in which an event can happen; in others it is out of date."""


class Machine:
    """The transitions.

    Args:
        explain: makes a cause of a kind.
        jitter: gives a factor around 1, so that many tunnels do not retry in step.
        timing: the thresholds.
    """

    def __init__(
        self,
        explain: Callable[[Kind], Cause],
        jitter: Callable[[], float],
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self._explain = explain
        self._jitter = jitter
        self._timing = timing

    def step(self, state: State, event: Event, now: float) -> Step:
        """What becomes of a state by an event.

        Args:
            state: before.
            event: what happened.
            now: a monotonic clock, in seconds.
        """
        if state.phase is Phase.FAILED:
            return state, ()
        match event:
            case Tick():
                return self._due(state, now) if now >= state.wake_at else (state, ())
            case ClientWaits():
                return self._client_waits(state, now)
            case PodReady():
                waits = state.phase is Phase.WAITING
                return (replace(state, wake_at=now) if waits else state), ()
            case Resumed():
                return self._resumed(state, now)
        if event.attempt != state.attempt or state.phase not in _WHEN[type(event)]:
            return state, ()
        match event:
            case Resolved():
                return self._forward(replace(state, destination=event.destination), now)
            case Forwarding():
                return self._probe(replace(state, phase=Phase.PROBING, note=""), now)
            case Broken():
                return self._lost(state, self._of_this_try(state, event.cause), now)
            case Doubted():
                return self._doubt(state, now)
            case LoginSaid():
                until = state.tried_at + self._timing.login
                return replace(state, note=event.text, wake_at=until), ()
            case Probed():
                return self._probed(state, event, now)

    def _begin(self, state: State, now: float) -> Step:
        attempt = state.attempt + 1
        state = replace(state, attempt=attempt, tried_at=now, health=Health())
        if state.same_pod:
            return self._forward(state, now)
        state = replace(state, phase=Phase.RESOLVING, wake_at=now + self._timing.answer)
        return state, (Resolve(attempt, state.destination.pod),)

    def _forward(self, state: State, now: float) -> Step:
        state = replace(state, phase=Phase.FORWARDING, wake_at=now + self._timing.answer)
        return state, (Forward(state.attempt, state.destination),)

    def _probe(self, state: State, now: float) -> Step:
        """Start a probe. It has its own deadline, so the next one is due when it has ended."""
        health = replace(state.health, probing=True)
        state = replace(state, health=health, wake_at=now + self._timing.answer)
        return state, (Probe(state.attempt),)

    def _doubt(self, state: State, now: float) -> Step:
        state = replace(state, health=replace(state.health, doubted=True))
        if state.phase is not Phase.READY or state.health.probing:
            return state, ()
        return self._probe(state, now)

    def _probed(self, state: State, event: Probed, now: float) -> Step:
        health = replace(state.health, probing=False)
        state = replace(state, health=health)
        ready = state.phase is Phase.READY
        if event.cause is None or (event.passes and ready):
            return self._answered(state, now), ()
        soon = now + self._timing.probe_again
        if event.passes:
            return replace(state, cause=event.cause, wake_at=soon), ()
        health = replace(health, unanswered=health.unanswered + 1)
        if health.unanswered >= 2 or (health.doubted and ready):
            return self._lost(state, event.cause, now)
        return replace(state, health=health, cause=event.cause, wake_at=soon), ()

    def _answered(self, state: State, now: float) -> State:
        uptime = state.uptime
        ready_at = now if uptime.ready_at is None else uptime.ready_at
        return replace(
            state,
            phase=Phase.READY,
            wake_at=now + self._timing.probe_every,
            same_pod=False,
            tries=replace(state.tries, not_started=0, refused_at=None),
            health=Health(),
            uptime=replace(uptime, ready_at=ready_at, worked=True),
            note="",
        )

    def _due(self, state: State, now: float) -> Step:
        """What the clock calls for."""
        if state.phase is Phase.WAITING:
            return self._begin(state, now)
        if state.phase in (Phase.PROBING, Phase.READY) and not state.health.probing:
            return self._probe(state, now)
        return self._lost(state, self._explain(Kind.TIMEOUT), now)

    def _client_waits(self, state: State, now: float) -> Step:
        if state.phase is not Phase.WAITING:
            return state, ()
        waits, refused = self._timing.waits, state.tries.refused_at is not None
        pace = waits.client_refused if refused else waits.client
        wake_at = min(state.wake_at, max(now, state.tried_at + pace))
        return replace(state, wake_at=wake_at), ()

    def _resumed(self, state: State, now: float) -> Step:
        if state.phase is Phase.READY:
            return self._doubt(state, now)
        if state.phase is Phase.WAITING:
            # Refusals from before the sleep prove nothing about now.
            tries = replace(state.tries, failed=0, refused_at=None)
            return replace(state, tries=tries, wake_at=now), ()
        return state, ()

    def _lost(self, state: State, cause: Cause, now: float) -> Step:
        """The try is over; wait for the next one, or give up."""
        stop = (Stop(state.attempt),)
        uptime, tries = state.uptime, state.tries
        was_ready = uptime.ready_at is not None
        was_healthy = uptime.ready_at is not None and now - uptime.ready_at >= self._timing.healthy
        at_once = was_healthy or state.same_pod or (was_ready and tries.failed == 0)
        uptime = replace(uptime, ready_at=None, restarts=uptime.restarts + was_ready)
        tries = _refused(tries, now) if cause.fatal else replace(tries, refused_at=None)
        health = replace(state.health, probing=False)
        state = replace(state, cause=cause, uptime=uptime, tries=tries, health=health, note="")
        if self._is_final(state, now):
            return replace(state, phase=Phase.FAILED), stop
        if not state.same_pod:
            tries = _counted(tries, cause, was_healthy)
        wait = 0.0 if at_once else self._jitter() * self._wait(tries, cause)
        state = replace(
            state,
            phase=Phase.WAITING,
            # A new number at once: nothing that this try still says may count for the next.
            attempt=state.attempt + 1,
            wake_at=now + wait,
            same_pod=was_ready and cause.kind in _OF_THE_CONNECTION,
            tries=tries,
        )
        return state, stop

    def _of_this_try(self, state: State, cause: Cause) -> Cause:
        """A pod that was found a moment ago, and is not there to forward to, was replaced."""
        replaced = state.phase is Phase.FORWARDING and cause.kind is Kind.NOT_FOUND
        return self._explain(Kind.POD_GONE) if replaced else cause

    def _is_final(self, state: State, now: float) -> bool:
        """Whether the tunnel is refused for good: at once, unless it worked before."""
        since = state.tries.refused_at
        if since is None:
            return False
        return not state.uptime.worked or now - since >= self._timing.refusal

    def _wait(self, tries: Tries, cause: Cause) -> float:
        """Seconds until the next try, before jitter."""
        waits = self._timing.waits
        if cause.kind in _STARTING:
            slow = tries.not_started > waits.slow_after
            return waits.starting_slowly if slow else waits.starting
        return float(min(waits.longest, waits.first * 2 ** (tries.failed - 1)))


_STARTING = frozenset(
    {Kind.NO_POD, Kind.SELECTS_NOTHING, Kind.POD_STUCK, Kind.POD_NOT_RUNNING}
    | {Kind.NOT_LISTENING, Kind.NOTHING_LISTENS}
)
"""The pod or the server in it is not there yet: the tunnel has not failed."""

_OF_THE_CONNECTION = frozenset({Kind.LOST, Kind.RESET, Kind.STALLED, Kind.API_UNREACHABLE})
"""The connection failed, and the pod may be fine."""


def _refused(tries: Tries, now: float) -> Tries:
    return tries if tries.refused_at is not None else replace(tries, refused_at=now)


def _counted(tries: Tries, cause: Cause, was_healthy: bool) -> Tries:
    if was_healthy:
        return replace(tries, failed=0)
    if cause.kind in _STARTING:
        return replace(tries, not_started=tries.not_started + 1)
    return replace(tries, failed=tries.failed + 1)
