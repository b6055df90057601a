"""Which pod and which port: decided on the JSON that kubectl prints."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import UsageError
from jrc.tunnel.objects import (
    Pod,
    PodPort,
    Service,
    ServicePort,
    items,
    read_pod,
    read_service,
    read_workload_selector,
)
from jrc.tunnel.target import BadPort, NoPod, Target, TargetKind, container_port, pick_pod
from jrc.tunnel.trouble import Trouble

SVC = Target(TargetKind.SERVICE, "jupyter")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["metadata", "spec", "status", "items", "ports", "labels", "name"]),
            inner,
            max_size=4,
        )
    ),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("svc/jupyter", SVC),
        ("service/jupyter", SVC),
        ("Services/jupyter", SVC),
        ("deploy/a", Target(TargetKind.DEPLOYMENT, "a")),
        ("sts/a", Target(TargetKind.STATEFULSET, "a")),
        ("po/a-0", Target(TargetKind.POD, "a-0")),
        ("app=jupyter", Target(TargetKind.SELECTOR, "app=jupyter")),
        (
            "app.kubernetes.io/name=jupyter,user!=x",
            Target(TargetKind.SELECTOR, "app.kubernetes.io/name=jupyter,user!=x"),
        ),
        ("app in (a, b)", Target(TargetKind.SELECTOR, "app in (a, b)")),
    ],
)
def test_targets_are_read(text: str, expected: Target) -> None:
    assert Target.parse(text) == expected
    assert Target.parse(str(expected)) == expected


@pytest.mark.parametrize("text", ["", "jupyter", "svc/", "/x", "node/x", "svc/a/b", "svc/-A"])
def test_what_is_no_target_says_the_forms(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Target.parse(text)
    assert "svc/NAME" in (caught.value.hint or "")


def test_the_newest_ready_pod_that_stays_is_picked() -> None:
    pods = [
        Pod("old", created="2026-11-22T10:00:00Z"),
        Pod("new", created="2026-11-22T11:00:00Z"),
        Pod("leaving", created="2026-11-22T12:00:00Z", terminating=True),
        Pod("starting", created="2026-11-22T13:00:00Z", ready=False),
        Pod("failed", created="2026-11-22T14:00:00Z", phase="Failed"),
    ]
    picked = pick_pod(pods, SVC)
    assert isinstance(picked, Pod)
    assert picked.name == "new"


@pytest.mark.parametrize(
    ("pods", "reason"),
    [
        ([], "No pod belongs to svc/jupyter."),
        (
            [Pod("a", terminating=True)],
            "Pod a is being deleted, and no other belongs to svc/jupyter.",
        ),
        (
            [Pod("a", ready=False, trouble=Trouble("container main runs"))],
            "Pod a is not ready yet: container main runs.",
        ),
        (
            [Pod("a", ready=False, trouble=Trouble("container main keeps ending", stuck=True))],
            "Pod a is not ready: container main keeps ending.",
        ),
        (
            [Pod("a", phase="Pending", ready=False, trouble=Trouble("0/3 nodes are available."))],
            "Pod a is pending: 0/3 nodes are available.",
        ),
        (
            [Pod("old", phase="Succeeded", ready=False), Pod("a", phase="Pending", ready=False)],
            "Pod a is pending.",
        ),
        (
            [Pod("a", phase="Failed", ready=False, trouble=Trouble("Evicted: low on memory"))],
            "Pod a has ended (Failed): Evicted: low on memory.",
        ),
    ],
)
def test_why_there_is_no_pod(pods: list[Pod], reason: str) -> None:
    found = pick_pod(pods, SVC)
    assert isinstance(found, NoPod)
    assert found.reason == reason


def test_ports_of_services_lead_to_those_of_containers() -> None:
    pod = Pod("a", ports=(PodPort(8888, "http", "main"),))
    service = Service("jupyter", "app=j", (ServicePort(80, "http"), ServicePort(81, 9999)))
    assert container_port(80, pod, service) == 8888
    assert container_port(81, pod, service) == 9999
    assert container_port(4321, pod, None) == 4321
    assert container_port(82, pod, service) == BadPort(
        "Service jupyter has no port 82; it has 80, 81."
    )
    unnamed = Service("jupyter", "app=j", (ServicePort(80, "web"),))
    bad = container_port(80, pod, unnamed)
    assert isinstance(bad, BadPort)
    assert "'web'" in bad.reason


def test_pods_are_read_from_json() -> None:
    obj: dict[str, Any] = {
        "metadata": {
            "name": "a",
            "creationTimestamp": "2026-11-22T10:00:00Z",
            "deletionTimestamp": "2026-11-22T11:00:00Z",
            "labels": {"app": "j"},
        },
        "spec": {
            "containers": [
                {"name": "side"},
                {"name": "main", "ports": [{"containerPort": 8888, "name": "http"}]},
            ]
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "False", "message": "not yet"}],
            "containerStatuses": [
                {"name": "side", "state": {"running": {"startedAt": "2026-11-22T10:00:05Z"}}},
                {"name": "main", "state": {"running": {"startedAt": "2026-11-22T10:00:07Z"}}},
            ],
        },
    }
    assert read_pod(obj) == Pod(
        name="a",
        phase="Running",
        ready=False,
        terminating=True,
        created="2026-11-22T10:00:00Z",
        ports=(PodPort(8888, "http", "main"),),
        labels=(("app", "j"),),
        trouble=Trouble("container side runs and does not pass its readiness check"),
        started="2026-11-22T10:00:07Z",
        containers=("side", "main"),
    )


def test_services_and_selectors_are_read_from_json() -> None:
    spec = {
        "selector": {"a": "b", "c": "d"},
        "ports": [{"port": 80}, {"port": 1, "targetPort": "x"}],
    }
    service = read_service({"metadata": {"name": "s"}, "spec": spec})
    assert service.selector == "a=b,c=d"
    assert service.ports == (ServicePort(80, 80), ServicePort(1, "x"))
    expressions = [
        {"key": "tier", "operator": "In", "values": ["x", "y"]},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    selector = {"matchLabels": {"app": "j"}, "matchExpressions": expressions}
    assert read_workload_selector({"spec": {"selector": selector}}) == "app=j,tier in (x,y),!old"


@given(json_values)
def test_any_json_is_read(value: object) -> None:
    """Foreign data of any shape gives an object or nothing, never a crash."""
    read_pod(value)
    read_service(value)
    read_workload_selector(value)
    items(value)


pods = st.builds(
    Pod,
    name=st.text("ab", min_size=1, max_size=3),
    phase=st.sampled_from(["Running", "Pending", "Failed", ""]),
    ready=st.booleans(),
    terminating=st.booleans(),
    created=st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
)


@given(st.lists(pods, max_size=6))
def test_a_picked_pod_is_always_usable(found: list[Pod]) -> None:
    """Never a pod that is leaving or not ready; a reason exactly when there is none."""
    picked = pick_pod(found, SVC)
    usable = [p for p in found if p.ready and not p.terminating and p.phase == "Running"]
    if usable:
        assert picked in usable
        assert isinstance(picked, Pod)
        assert picked.created == max(p.created for p in usable)
    else:
        assert isinstance(picked, NoPod)
        assert picked.reason


def test_the_pod_that_the_tunnel_had_is_preferred_while_it_is_fit() -> None:
    old, new = Pod("a", created="2026-01-01"), Pod("b", created="2026-01-02")
    assert pick_pod([old, new], SVC, "a") == old
    assert pick_pod([old, new], SVC, "gone") == new
    for unfit in (
        replace(old, ready=False),
        replace(old, terminating=True),
        replace(old, phase="Failed"),
    ):
        assert pick_pod([unfit, new], SVC, "a") == new
