"""The life of a tunnel as a state machine. Pure: (state, event, time) in, (state, actions) out.

    resolving ──▶ forwarding ──▶ probing ──▶ ready
        ▲             │  ▲          │          │
        └── waiting ◀─┴──│──────────┴──────────┘        failed: from anywhere, on a fatal cause
               └─────────┘ to the pod that it had, where only the connection was lost

Every try has a number. What an earlier try still reports (a kubectl that ends late) is ignored.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from jrc.tunnel.cause import Cause, Kind

ANSWER_SECONDS = 30.0
"""How long kubectl may take to name a pod, or to set up the forward."""

LOGIN_SECONDS = 180.0
"""The same while a login program talks to the person (a page in the browser)."""

PROBE_EVERY_SECONDS = 10.0
SOON_SECONDS = 1.0
"""Until the next probe after one that failed."""

HEALTHY_SECONDS = 5.0
"""A tunnel that was ready for so long starts over without a wait when it is lost."""

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
START_WAIT_SECONDS = 0.5
"""How often to look for a pod, or a server in it, that is starting."""
SLOW_START_WAIT_SECONDS = 5.0
SLOW_AFTER_LOOKS = 40

REFUSAL_SECONDS = 300.0
"""How long a tunnel that worked is refused before the refusal is final.

An API server that starts answers 403 or 401 until its caches are full; a kubeconfig, kubectl or a
login program is replaced; a Service is made anew. All of that looks fatal, and passes.
"""

KNOCK_SECONDS = 1.0
"""A waiting client shortens the wait, down to this much after the last try."""
REFUSED_KNOCK_SECONDS = 5.0
"""The same after a refusal: a try may start a login program."""


class Phase(StrEnum):
    """Where the tunnel is; the value stands in the state file and in ``--json``."""

    RESOLVING = "resolving"
    FORWARDING = "forwarding"
    PROBING = "probing"
    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True)
class State:
    """All that the machine knows.

    Attributes:
        attempt: the number of the present try.
        wake_at: when something is due though nothing happens: a deadline, a probe or a retry.
        tried_at: when the present try began.
        pod, uid, port: where it leads, or led last.
        again: the pod was not what failed: go there again, without asking the cluster for one.
        failures: tries in a row that did not lead to a healthy tunnel; the length of the wait.
        looks: tries in a row that found a pod, or the server in it, not started yet.
        strikes: probes in a row that went unanswered.
        doubted: one more unanswered probe is enough.
        probing: a probe is under way.
        restarts: how often a ready tunnel was lost.
        ready_at: since when it is ready.
        worked: it was ready before, in this process or in the one before it.
        refused_at: since when every try has ended with a fatal cause; None when the last did not.
        cause: why it is down, or was last.
        note: what a login program says meanwhile.
    """

    phase: Phase = Phase.WAITING
    attempt: int = 0
    wake_at: float = 0.0
    tried_at: float = 0.0
    pod: str = ""
    uid: str = ""
    port: int = 0
    again: bool = False
    failures: int = 0
    looks: int = 0
    strikes: int = 0
    doubted: bool = False
    probing: bool = False
    restarts: int = 0
    ready_at: float | None = None
    worked: bool = False
    refused_at: float | None = None
    cause: Cause | None = None
    note: str = ""


# What happens. ``attempt`` says which try it belongs to.


@dataclass(frozen=True)
class Resolved:
    """A pod was picked; ``uid`` tells it from another one of its name."""

    attempt: int
    pod: str
    port: int
    uid: str = ""


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
    """kubectl complained about one connection."""

    attempt: int


@dataclass(frozen=True)
class Said:
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
class Knocked:
    """A client waits for the tunnel."""


@dataclass(frozen=True)
class Stirred:
    """A pod that is waited for has become ready."""


@dataclass(frozen=True)
class Woke:
    """The clock jumped: the machine slept, and every connection may be dead."""


@dataclass(frozen=True)
class Tick:
    """Time passed."""


Event = Resolved | Forwarding | Broken | Doubted | Said | Probed | Knocked | Stirred | Woke | Tick


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
    pod: str
    port: int


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
    Said: frozenset({Phase.RESOLVING, Phase.FORWARDING}),
}
"""The phases in which an event can happen; in others it is out of date."""


class Machine:
    """The transitions.

    Args:
        explain: makes a cause of a kind.
        jitter: gives a factor around 1, so that many tunnels do not retry in step.
    """

    def __init__(self, explain: Callable[[Kind], Cause], jitter: Callable[[], float]) -> None:
        self._explain = explain
        self._jitter = jitter

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
            case Knocked():
                return self._knocked(state, now)
            case Stirred():
                waits = state.phase is Phase.WAITING
                return (replace(state, wake_at=now) if waits else state), ()
            case Woke():
                return self._woke(state, now)
        if event.attempt != state.attempt or state.phase not in _WHEN[type(event)]:
            return state, ()
        match event:
            case Resolved():
                return self._resolved(state, event, now)
            case Forwarding():
                return self._probe(replace(state, phase=Phase.PROBING, note=""), now)
            case Broken():
                return self._lost(state, self._of_this_try(state, event.cause), now)
            case Doubted():
                return self._doubt(state, now)
            case Said():
                until = state.tried_at + LOGIN_SECONDS
                return replace(state, note=event.text, wake_at=until), ()
            case Probed():
                return self._probed(state, event, now)

    def _begin(self, state: State, now: float) -> Step:
        state = replace(
            state,
            phase=Phase.FORWARDING if state.again else Phase.RESOLVING,
            attempt=state.attempt + 1,
            tried_at=now,
            wake_at=now + ANSWER_SECONDS,
            strikes=0,
            doubted=False,
            probing=False,
        )
        if state.again:
            return state, (Forward(state.attempt, state.pod, state.port),)
        return state, (Resolve(state.attempt, state.pod),)

    def _resolved(self, state: State, event: Resolved, now: float) -> Step:
        state = replace(
            state,
            phase=Phase.FORWARDING,
            pod=event.pod,
            uid=event.uid,
            port=event.port,
            wake_at=now + ANSWER_SECONDS,
        )
        return state, (Forward(state.attempt, event.pod, event.port),)

    def _probe(self, state: State, now: float) -> Step:
        """Start a probe. It has its own deadline, so the next one is due when it has ended."""
        state = replace(state, probing=True, wake_at=now + ANSWER_SECONDS)
        return state, (Probe(state.attempt),)

    def _doubt(self, state: State, now: float) -> Step:
        state = replace(state, doubted=True)
        if state.phase is not Phase.READY or state.probing:
            return state, ()
        return self._probe(state, now)

    def _probed(self, state: State, event: Probed, now: float) -> Step:
        state = replace(state, probing=False)
        if event.cause is None or (event.passes and state.phase is Phase.READY):
            return self._answered(state, now), ()
        if event.passes:
            return replace(state, cause=event.cause, wake_at=now + SOON_SECONDS), ()
        strikes = state.strikes + 1
        if strikes >= 2 or (state.doubted and state.phase is Phase.READY):
            return self._lost(state, event.cause, now)
        soon = now + SOON_SECONDS
        return replace(state, strikes=strikes, cause=event.cause, wake_at=soon), ()

    def _answered(self, state: State, now: float) -> State:
        return replace(
            state,
            phase=Phase.READY,
            ready_at=now if state.ready_at is None else state.ready_at,
            worked=True,
            again=False,
            refused_at=None,
            wake_at=now + PROBE_EVERY_SECONDS,
            looks=0,
            strikes=0,
            doubted=False,
            note="",
        )

    def _due(self, state: State, now: float) -> Step:
        """What the clock calls for."""
        if state.phase is Phase.WAITING:
            return self._begin(state, now)
        if state.phase in (Phase.PROBING, Phase.READY) and not state.probing:
            return self._probe(state, now)
        return self._lost(state, self._explain(Kind.TIMEOUT), now)

    def _knocked(self, state: State, now: float) -> Step:
        if state.phase is not Phase.WAITING:
            return state, ()
        pace = KNOCK_SECONDS if state.refused_at is None else REFUSED_KNOCK_SECONDS
        wake_at = min(state.wake_at, max(now, state.tried_at + pace))
        return replace(state, wake_at=wake_at), ()

    def _woke(self, state: State, now: float) -> Step:
        if state.phase is Phase.READY:
            return self._doubt(state, now)
        if state.phase is Phase.WAITING:
            # Refusals from before the sleep prove nothing about now.
            return replace(state, failures=0, refused_at=None, wake_at=now), ()
        return state, ()

    def _lost(self, state: State, cause: Cause, now: float) -> Step:
        """The try is over; wait for the next one, or give up."""
        stop = (Stop(state.attempt),)
        was_ready = state.ready_at is not None
        was_healthy = state.ready_at is not None and now - state.ready_at >= HEALTHY_SECONDS
        at_once = was_healthy or state.again or (was_ready and state.failures == 0)
        if was_ready:
            state = replace(state, restarts=state.restarts + 1)
        state = replace(state, cause=cause, ready_at=None, probing=False, note="")
        state = _refused(state, now) if cause.fatal else replace(state, refused_at=None)
        if _is_final(state, now):
            return replace(state, phase=Phase.FAILED), stop
        if not state.again:
            state = _counted(state, cause, was_healthy)
        state = replace(state, again=was_ready and cause.kind in _OF_THE_WAY)
        wait = 0.0 if at_once else self._jitter() * _wait(state, cause)
        # A new number at once: nothing that this try still says may count for the next.
        state = replace(state, phase=Phase.WAITING, attempt=state.attempt + 1, wake_at=now + wait)
        return state, stop

    def _of_this_try(self, state: State, cause: Cause) -> Cause:
        """A pod that was found a moment ago, and is not there to forward to, was replaced."""
        replaced = state.phase is Phase.FORWARDING and cause.kind is Kind.NOT_FOUND
        return self._explain(Kind.POD_GONE) if replaced else cause


def _refused(state: State, now: float) -> State:
    return state if state.refused_at is not None else replace(state, refused_at=now)


def _is_final(state: State, now: float) -> bool:
    """Whether the tunnel is refused for good: at once, unless it worked before."""
    if state.refused_at is None:
        return False
    return not state.worked or now - state.refused_at >= REFUSAL_SECONDS


_STARTING = frozenset(
    {Kind.NO_POD, Kind.SELECTS_NOTHING, Kind.POD_STUCK, Kind.POD_NOT_RUNNING}
    | {Kind.NOT_LISTENING, Kind.NOTHING_LISTENS}
)
"""The pod or the server in it is not there yet: that is no failure of the tunnel."""

_OF_THE_WAY = frozenset({Kind.LOST, Kind.RESET, Kind.STALLED, Kind.API_UNREACHABLE})
"""What happens to a tunnel whose pod may be as well as ever."""


def _counted(state: State, cause: Cause, was_healthy: bool) -> State:
    if was_healthy:
        return replace(state, failures=0)
    if cause.kind in _STARTING:
        return replace(state, looks=state.looks + 1)
    return replace(state, failures=state.failures + 1)


def _wait(state: State, cause: Cause) -> float:
    """Seconds until the next try, before jitter."""
    if cause.kind in _STARTING:
        slow = state.looks > SLOW_AFTER_LOOKS
        return SLOW_START_WAIT_SECONDS if slow else START_WAIT_SECONDS
    return float(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (state.failures - 1)))
