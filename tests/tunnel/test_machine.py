"""Every transition of the tunnel, without a process and without a clock."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.tunnel.cause import Cause, Kind, explain
from jrc.tunnel.machine import (
    Broken,
    ClientWaits,
    Destination,
    Doubted,
    Event,
    Forward,
    Forwarding,
    LoginSaid,
    Machine,
    Phase,
    Probe,
    Probed,
    Resolve,
    Resolved,
    Resumed,
    State,
    Stop,
    Tick,
    Timing,
    Uptime,
)

POD_A = Destination("pod-a", 8888)
TIMING = Timing()
BRAIN = Machine(lambda kind: cause(kind), jitter=lambda: 1.0, timing=TIMING)


def cause(kind: Kind) -> Cause:
    return explain(kind, "here", subject="x")


class Run:
    """Feeds events to the machine, with a clock that the test moves."""

    def __init__(self) -> None:
        self.state = State()
        self.now = 100.0

    def __call__(self, event: Event, *, after: float = 0.0) -> list[object]:
        self.now += after
        self.state, actions = BRAIN.step(self.state, event, self.now)
        return list(actions)

    @property
    def attempt(self) -> int:
        return self.state.attempt

    @property
    def wait(self) -> float:
        """Seconds until something is due."""
        return round(self.state.wake_at - self.now, 6)

    def to_forwarding(self) -> "Run":
        self(Tick(), after=max(0.0, self.wait))
        if self.state.phase is Phase.RESOLVING:
            self(Resolved(self.attempt, POD_A))
        return self

    def to_probing(self) -> "Run":
        self.to_forwarding()
        self(Forwarding(self.attempt))
        return self

    def to_ready(self) -> "Run":
        self.to_probing()
        self(Probed(self.attempt))
        assert self.state.phase is Phase.READY
        return self


def test_the_way_up() -> None:
    run = Run()
    assert run(Tick()) == [Resolve(1)]
    assert run.state.phase is Phase.RESOLVING
    assert run(Resolved(1, POD_A)) == [Forward(1, POD_A)]
    assert run.state.phase is Phase.FORWARDING
    assert run(Forwarding(1)) == [Probe(1)]
    assert run.state.phase is Phase.PROBING
    assert run(Probed(1)) == []
    assert run.state.phase is Phase.READY
    assert run.state.destination.pod == "pod-a"
    assert run.state.uptime.restarts == 0


def test_a_ready_tunnel_is_probed_again_and_again() -> None:
    run = Run().to_ready()
    for _ in range(3):
        assert run(Tick(), after=TIMING.probe_every - 1) == []
        assert run(Tick(), after=1) == [Probe(run.attempt)]
        assert run(Tick()) == []
        assert run(Probed(run.attempt)) == []
        assert run.state.phase is Phase.READY


def test_a_healthy_tunnel_that_is_lost_comes_back_without_a_wait() -> None:
    run = Run().to_ready()
    old = run.attempt
    lost = Broken(old, cause(Kind.LOST))
    assert run(lost, after=TIMING.healthy) == [Stop(old)]
    assert run.state.phase is Phase.WAITING
    assert run.wait == 0
    assert run.state.uptime.restarts == 1
    assert run(Tick()) == [Forward(run.attempt, POD_A)]
    assert run.attempt > old


@pytest.mark.parametrize("kind", [Kind.LOST, Kind.RESET, Kind.STALLED, Kind.API_UNREACHABLE])
def test_a_lost_way_leads_to_the_same_pod_again(kind: Kind) -> None:
    """Kernels live there; and the cluster need not be asked, which would cost time."""
    run = Run().to_ready()
    run(Broken(run.attempt, cause(kind)), after=TIMING.healthy)
    assert run(Tick()) == [Forward(run.attempt, POD_A)]
    run(Forwarding(run.attempt))
    run(Probed(run.attempt))
    assert run.state.phase is Phase.READY
    assert run.state.destination.pod == "pod-a"


def test_where_that_pod_is_gone_the_cluster_is_asked_at_once() -> None:
    run = Run().to_ready()
    run(Broken(run.attempt, cause(Kind.LOST)), after=TIMING.healthy)
    run(Tick())
    run(Broken(run.attempt, cause(Kind.NOT_FOUND)))
    assert run.state.cause == cause(Kind.POD_GONE)
    assert run.wait == 0
    assert run.state.tries.failed == 0
    assert run(Tick()) == [Resolve(run.attempt, "pod-a")]


@pytest.mark.parametrize("kind", [Kind.POD_GONE, Kind.NOT_LISTENING, Kind.POD_NOT_RUNNING])
def test_for_a_pod_that_is_gone_the_cluster_is_asked(kind: Kind) -> None:
    run = Run().to_ready()
    run(Broken(run.attempt, cause(kind)), after=TIMING.healthy)
    assert run(Tick()) == [Resolve(run.attempt, "pod-a")]


def test_the_pod_of_an_earlier_process_is_preferred() -> None:
    run = Run()
    run.state = State(destination=Destination("pod-b"))
    assert run(Tick()) == [Resolve(1, "pod-b")]


def test_a_tunnel_that_breaks_at_once_backs_off() -> None:
    """0, 1, 2 … 30 seconds: a tunnel that never holds does not keep the machine busy."""
    run = Run()
    waits = []
    for _ in range(9):
        run.to_ready()
        run(Broken(run.attempt, cause(Kind.LOST)))
        waits.append(run.wait)
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30, 30]


def test_the_back_off_starts_over_when_healthy() -> None:
    run = Run()
    for _ in range(5):
        run.to_ready()
        run(Broken(run.attempt, cause(Kind.LOST)))
    run.to_ready()
    run(Broken(run.attempt, cause(Kind.LOST)), after=TIMING.healthy)
    run.to_ready()
    run(Broken(run.attempt, cause(Kind.LOST)))
    assert run.wait == 0


def test_jitter_stretches_the_wait() -> None:
    stretched = Machine(cause, jitter=lambda: 1.2)
    state, _ = stretched.step(State(), Tick(), 0.0)
    state, _ = stretched.step(state, Broken(1, cause(Kind.DNS)), 0.0)
    assert state.wake_at == 0.6


def test_a_fatal_cause_ends_it() -> None:
    for kind in Kind:
        run = Run()
        run(Tick())
        attempt = run.attempt
        assert run(Broken(attempt, cause(kind))) == [Stop(attempt)]
        expected = Phase.FAILED if cause(kind).fatal else Phase.WAITING
        assert run.state.phase is expected, kind
        assert run.state.cause == cause(kind)


def test_after_the_end_nothing_happens() -> None:
    run = Run()
    run(Tick())
    run(Broken(run.attempt, cause(Kind.FORBIDDEN)))
    failed = run.state
    for event in (Tick(), ClientWaits(), Resumed(), Resolved(run.attempt, Destination("a", 1))):
        assert run(event, after=1000) == []
        assert run.state == failed


FATAL = [kind for kind in Kind if cause(kind).fatal]


@pytest.mark.parametrize("kind", FATAL)
def test_what_worked_a_moment_ago_is_not_final_at_its_first_refusal(kind: Kind) -> None:
    """The API server starts (403, 401), a file is being replaced, a pod or Service is made anew."""
    run = Run().to_ready()
    run(Broken(run.attempt, cause(Kind.POD_GONE)), after=TIMING.healthy)
    waits = []
    for _ in range(7):
        run(Tick(), after=run.wait)
        run(Broken(run.attempt, cause(kind)))
        assert run.state.phase is Phase.WAITING
        assert run.state.cause == cause(kind)
        waits.append(run.wait)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30]


@pytest.mark.parametrize("kind", FATAL)
def test_a_refusal_that_lasts_is_final(kind: Kind) -> None:
    run = Run().to_ready()
    run(Broken(run.attempt, cause(Kind.POD_GONE)))
    refused = 0.0
    while run.state.phase is not Phase.FAILED:
        run(Tick(), after=run.wait)
        refused = refused or run.now
        run(Broken(run.attempt, cause(kind)))
        assert run.now - refused < 2 * TIMING.refusal
    assert run.now - refused >= TIMING.refusal
    assert run.state.cause == cause(kind)


def test_a_refusal_is_counted_from_its_beginning_and_not_from_the_loss() -> None:
    """The API server was away for long, and refuses as it comes back."""
    run = Run().to_ready()
    run(Broken(run.attempt, cause(Kind.POD_GONE)))
    for _ in range(30):
        run(Tick(), after=run.wait)
        run(Broken(run.attempt, cause(Kind.API_UNREACHABLE)))
    run(Tick(), after=run.wait)
    run(Broken(run.attempt, cause(Kind.FORBIDDEN)))
    assert run.state.phase is Phase.WAITING


def test_other_causes_between_two_refusals_begin_a_new_patience() -> None:
    run = Run().to_ready()
    for kind in (Kind.POD_GONE, Kind.FORBIDDEN, Kind.NO_POD):
        run(Broken(run.attempt, cause(kind)))
        run(Tick(), after=run.wait)
    run(Broken(run.attempt, cause(Kind.FORBIDDEN)), after=TIMING.refusal)
    assert run.state.phase is Phase.WAITING


def test_a_refusal_at_the_forward_lasts_though_pods_can_be_listed() -> None:
    run = Run().to_ready()
    run(Broken(run.attempt, cause(Kind.POD_GONE)))
    began = run.now
    while run.state.phase is not Phase.FAILED:
        run.to_forwarding()
        run(Broken(run.attempt, cause(Kind.FORBIDDEN)))
        assert run.now - began < 2 * TIMING.refusal


def test_a_tunnel_that_worked_in_an_earlier_process_is_not_refused_at_once() -> None:
    run = Run()
    run.state = State(uptime=Uptime(worked=True))
    run(Tick())
    run(Broken(run.attempt, cause(Kind.UNAUTHORIZED)))
    assert run.state.phase is Phase.WAITING


def test_sleep_ends_a_refusal() -> None:
    run = Run().to_ready()
    for kind in (Kind.POD_GONE, Kind.UNAUTHORIZED):
        run(Broken(run.attempt, cause(kind)))
        run(Tick(), after=run.wait)
    run(Broken(run.attempt, cause(Kind.UNAUTHORIZED)))
    run(Resumed(), after=10 * TIMING.refusal)
    run(Tick())
    run(Broken(run.attempt, cause(Kind.UNAUTHORIZED)))
    assert run.state.phase is Phase.WAITING


def test_a_pod_that_goes_between_its_choice_and_the_forward_is_no_missing_target() -> None:
    """A tunnel that never worked has no excuse: a new keeper, started in the midst of a rollout."""
    run = Run().to_forwarding()
    run(Broken(run.attempt, cause(Kind.NOT_FOUND)))
    assert run.state.phase is Phase.WAITING
    assert run.state.cause == cause(Kind.POD_GONE)


def test_a_starting_pod_is_no_failure_and_is_looked_for_often() -> None:
    run = Run()
    for look in range(TIMING.waits.slow_after + 2):
        run(Tick(), after=max(0.0, run.wait))
        run(Broken(run.attempt, cause(Kind.NO_POD)))
        slow = look >= TIMING.waits.slow_after
        assert run.wait == (TIMING.waits.starting_slowly if slow else TIMING.waits.starting)
    assert run.state.tries.failed == 0


def test_a_server_that_still_starts_is_no_crash() -> None:
    """kubectl ≥ 1.27 ends when the probe finds nobody listening; that is not counted."""
    run = Run().to_probing()
    run(Broken(run.attempt, cause(Kind.NOT_LISTENING)))
    assert run.state.phase is Phase.WAITING
    assert (run.state.tries.failed, run.state.uptime.restarts) == (0, 0)
    assert run.wait == TIMING.waits.starting


def test_a_server_error_keeps_probing_without_a_new_kubectl() -> None:
    run = Run().to_probing()
    attempt = run.attempt
    for _ in range(5):
        assert run(Probed(attempt, cause(Kind.APP_ERROR), passes=True)) == []
        assert run.state.phase is Phase.PROBING
        assert run(Tick(), after=TIMING.probe_again) == [Probe(attempt)]
    run(Probed(attempt))
    assert run.state.phase is Phase.READY


def test_two_unanswered_probes_restart_it() -> None:
    run = Run().to_ready()
    attempt = run.attempt
    run(Tick(), after=TIMING.probe_every)
    assert run(Probed(attempt, cause(Kind.STALLED))) == []
    assert run.state.phase is Phase.READY
    assert run(Tick(), after=TIMING.probe_again) == [Probe(attempt)]
    assert run(Probed(attempt, cause(Kind.STALLED))) == [Stop(attempt)]
    assert run.state.phase is Phase.WAITING


def test_a_busy_server_is_no_dead_tunnel() -> None:
    """Probes time out while bytes of others pass: Jupyter is busy, the tunnel is fine."""
    run = Run().to_ready()
    for _ in range(5):
        run(Tick(), after=TIMING.probe_every)
        assert run(Probed(run.attempt, cause(Kind.STALLED), passes=True)) == []
        assert run.state.phase is Phase.READY
        assert run.state.health.unanswered == 0


def test_a_doubt_probes_at_once_and_one_silence_is_enough() -> None:
    run = Run().to_ready()
    attempt = run.attempt
    assert run(Doubted(attempt)) == [Probe(attempt)]
    assert run.state.health.doubted
    assert run(Doubted(attempt)) == []
    assert run(Probed(attempt, cause(Kind.STALLED))) == [Stop(attempt)]


def test_a_doubt_passes_when_the_probe_is_answered() -> None:
    run = Run().to_ready()
    run(Doubted(run.attempt))
    run(Probed(run.attempt))
    assert run.state.phase is Phase.READY
    assert not run.state.health.doubted


def test_waking_up_probes_at_once() -> None:
    run = Run().to_ready()
    assert run(Resumed()) == [Probe(run.attempt)]
    assert run.state.health.doubted


def test_waking_up_ends_a_wait() -> None:
    run = Run()
    run(Tick())
    for _ in range(6):
        run(Broken(run.attempt, cause(Kind.API_UNREACHABLE)))
        run(Tick(), after=run.wait)
    run(Broken(run.attempt, cause(Kind.API_UNREACHABLE)))
    assert run.wait > 10
    run(Resumed())
    assert run.wait == 0
    assert run.state.tries.failed == 0


def test_a_knock_shortens_the_wait_but_not_below_a_pace() -> None:
    run = Run()
    for _ in range(6):
        run(Tick(), after=max(0.0, run.wait))
        run(Broken(run.attempt, cause(Kind.DNS)))
    assert run.wait == 16
    run(ClientWaits())
    assert run.wait == TIMING.waits.client
    run(ClientWaits(), after=run.wait)
    assert run(Tick()) == [Resolve(run.attempt)]


def test_a_knock_after_a_refusal_starts_no_login_program_every_second() -> None:
    run = Run().to_ready()
    run(Broken(run.attempt, cause(Kind.POD_GONE)))
    for _ in range(6):
        run(Tick(), after=run.wait)
        run(Broken(run.attempt, cause(Kind.PLUGIN_FAILED)))
    assert run.wait == 30
    run(ClientWaits())
    assert run.wait == TIMING.waits.client_refused


def test_kubectl_that_says_nothing_is_given_up() -> None:
    for steps in (0, 1):
        run = Run()
        run(Tick())
        if steps:
            run(Resolved(run.attempt, Destination("a", 1)))
        attempt = run.attempt
        assert run(Tick(), after=TIMING.answer - 1) == []
        assert run(Tick(), after=1) == [Stop(attempt)]
        assert run.state.cause == cause(Kind.TIMEOUT)


def test_a_login_program_that_talks_gets_more_time() -> None:
    run = Run()
    run(Tick())
    run(LoginSaid(run.attempt, "open https://login.example"), after=5)
    assert run.state.note == "open https://login.example"
    assert run.wait == TIMING.login - 5
    run(Resolved(run.attempt, Destination("a", 1)))
    run(Forwarding(run.attempt))
    assert run.state.note == ""


def test_an_earlier_try_has_no_say() -> None:
    run = Run().to_ready()
    before = run.state
    late: list[Event] = [
        Broken(run.attempt - 1, cause(Kind.FORBIDDEN)),
        Resolved(run.attempt - 1, Destination("z", 1)),
        Forwarding(run.attempt - 1),
        Probed(run.attempt - 1, cause(Kind.STALLED)),
        Doubted(run.attempt - 1),
        LoginSaid(run.attempt - 1, "late"),
    ]
    for event in late:
        assert run(event) == []
        assert run.state == before


def test_a_stopped_try_has_no_say() -> None:
    """kubectl ends because it was stopped: that is not a second loss."""
    run = Run().to_ready()
    old = run.attempt
    run(Broken(old, cause(Kind.LOST)))
    waiting = run.state
    run(Broken(old, cause(Kind.FORBIDDEN)))
    assert run.state == waiting


causes = st.sampled_from(list(Kind)).map(cause)
attempts = st.integers(0, 6)
events = st.one_of(
    st.just(Tick()),
    st.just(ClientWaits()),
    st.just(Resumed()),
    st.builds(Resolved, attempts, st.just(POD_A)),
    st.builds(Forwarding, attempts),
    st.builds(Broken, attempts, causes),
    st.builds(Doubted, attempts),
    st.builds(LoginSaid, attempts, st.text(max_size=3)),
    st.builds(Probed, attempts, st.none() | causes, st.booleans()),
)


@given(st.lists(st.tuples(events, st.floats(0, 100)), max_size=60))
def test_whatever_happens_the_machine_stays_sound(story: list[tuple[Event, float]]) -> None:
    """It never sticks: something is always due. Tries only grow; one thing runs at a time."""
    run = Run()
    for event, after in story:
        before = run.state
        # The present try is the interesting one.
        if hasattr(event, "attempt"):
            event = replace(event, attempt=before.attempt - event.attempt // 4)
        actions = run(event, after=after)
        state = run.state
        assert state.attempt >= before.attempt
        assert state.uptime.restarts - before.uptime.restarts in (0, 1)
        assert len(actions) <= 1
        if state.phase is Phase.FAILED:
            assert state.cause
            assert state.cause.fatal
        else:
            assert state.wake_at - run.now <= TIMING.login
        assert (state.uptime.ready_at is not None) == (state.phase is Phase.READY)
        if state.health.probing:
            assert state.phase in (Phase.PROBING, Phase.READY)
