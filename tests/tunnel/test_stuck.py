"""Clusters in which a tunnel can't come up: what is said, as which error, and with what to type."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jrc.errors import ConfigError, DeadlineError, JrcError, NotFoundError, UnreachableError
from jrc.profile.paths import Paths
from jrc.profile.route import Route
from jrc.tunnel.connect import ensure_keeper, keeper_status, keepers, stop_keeper
from jrc.tunnel.status import KeeperStatus, Spec
from tests.support.jupyter import wait_until
from tests.support.kube import Kube
from tests.support.webapp import WebApp

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("newest")]

LONG_AGO = "2026-01-01T00:00:00Z"
GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
MISSING = 'MountVolume.SetUp failed for volume "token" : secret "jupyter-token" not found'
KUBECTL = "kubectl --context stub -n default"


@pytest.fixture
def paths() -> Iterator[Paths]:
    """jrc's folders; the keepers that a test leaves are ended."""
    paths = Paths.from_environment()
    yield paths
    for profile in keepers(paths):
        stop_keeper(profile, paths)


def stuck(**status: Any) -> Callable[[Kube], None]:
    """The only pod has this status."""
    return lambda kube: kube.do(lambda stub: stub.cluster.stick("jupyter-0", status))


def waiting(reason: str, message: str = "", **more: Any) -> Callable[[Kube], None]:
    """The only container of the only pod waits."""
    state = {"waiting": {"reason": reason, "message": message}}
    return stuck(phase="Pending", containerStatuses=[{"name": "main", "state": state, **more}])


def mounts_what_is_missing(kube: Kube) -> None:
    waiting("ContainerCreating")(kube)
    kube.do(lambda stub: stub.cluster.event("jupyter-0", "FailedMount", MISSING))


def no_pod(kube: Kube) -> None:
    kube.do(lambda stub: stub.kill_pod("jupyter-0"))


def scaled_to_nothing(kube: Kube) -> None:
    no_pod(kube)

    def scale(stub: Any) -> None:
        stub.cluster.workload("deployments", "lab", {"app": "lab"})["spec"]["replicas"] = 0

    kube.do(scale)


def refused(kube: Kube) -> None:
    kube.stop()


def unknown_host(kube: Kube) -> None:
    kube.write_kubeconfig(server="https://no-such-host.invalid")


def nothing_listens(kube: Kube) -> None:
    """The container has been running for long, and its port is another one."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()

    def change(stub: Any) -> None:
        pod = stub.cluster.get("pods", "default", "jupyter-0")
        stub.cluster.backends[pod["metadata"]["uid"]] = {8888: port, 9999: port}
        pod["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": LONG_AGO}}

    kube.do(change)


TABLE: list[tuple[Callable[[Kube], None], str, type[JrcError], str, str]] = [
    (
        waiting(
            "CrashLoopBackOff",
            restartCount=4,
            lastState={"terminated": {"exitCode": 2, "reason": "Error"}},
        ),
        "svc/jupyter",
        UnreachableError,
        "Pod jupyter-0 is pending: container main keeps ending (CrashLoopBackOff), restarted 4 "
        "times, last with exit code 2.",
        f"See its events: {KUBECTL} describe pod/jupyter-0",
    ),
    (
        waiting("ErrImagePull", "not found", image="quay.io/team/lab:typo"),
        "svc/jupyter",
        UnreachableError,
        "the image quay.io/team/lab:typo of container main can't be pulled",
        f"See its events: {KUBECTL} describe pod/jupyter-0",
    ),
    (
        waiting("CreateContainerConfigError", 'configmap "settings" not found'),
        "svc/jupyter",
        UnreachableError,
        'container main can\'t start (CreateContainerConfigError): configmap "settings" not found.',
        f"See its events: {KUBECTL} describe pod/jupyter-0",
    ),
    (
        mounts_what_is_missing,
        "svc/jupyter",
        UnreachableError,
        'secret "jupyter-token" not found',
        f"See its events: {KUBECTL} describe pod/jupyter-0",
    ),
    (
        stuck(phase="Succeeded"),
        "pod/jupyter-0",
        UnreachableError,
        "Pod jupyter-0 has ended (Succeeded).",
        f"See its events: {KUBECTL} describe pod/jupyter-0",
    ),
    (
        no_pod,
        "svc/jupyter",
        NotFoundError,
        "No pod belongs to svc/jupyter (selector app=jupyter).",
        f"See what is there: {KUBECTL} get pods --show-labels",
    ),
    (
        no_pod,
        "app=jupyter",
        NotFoundError,
        "No pod belongs to app=jupyter.",
        f"See what is there: {KUBECTL} get pods --show-labels",
    ),
    (
        scaled_to_nothing,
        "deploy/lab",
        NotFoundError,
        "No pod belongs to deploy/lab: it is scaled to 0.",
        f"See what is there: {KUBECTL} get deploy/lab",
    ),
    (
        lambda kube: None,
        "app in (jupyter",
        ConfigError,
        "The cluster does not understand the label selector",
        "Name another target: jrc login --profile lab --context stub --namespace default "
        "--target app=NAME",
    ),
    (
        refused,
        "svc/jupyter",
        UnreachableError,
        "The API server of context 'stub', namespace 'default' can't be reached",
        f"Check the network and the VPN, then try: {KUBECTL} get pods",
    ),
    (
        unknown_host,
        "svc/jupyter",
        UnreachableError,
        "The name of the API server of context 'stub', namespace 'default' is not known here",
        f"Check the network and the VPN, then try: {KUBECTL} get pods",
    ),
    (
        nothing_listens,
        "pod/jupyter-0",
        UnreachableError,
        "Nothing listens on port 80 of pod jupyter-0, which is not just starting; it declares "
        "port 8888.",
        "Name the port of Jupyter: jrc login --profile lab --context stub --namespace default "
        "--target pod/jupyter-0 --port 8888",
    ),
]


@pytest.mark.parametrize(("fault", "target", "error", "message", "hint"), TABLE)
async def test_what_does_not_heal_ends_with_its_reason(
    fault: Callable[[Kube], None],
    target: str,
    error: type[JrcError],
    message: str,
    hint: str,
    kube: Kube,
    app: WebApp,
    paths: Paths,
) -> None:
    kube.jupyter(app.address)
    fault(kube)
    spec = Spec("lab", Route("stub", "default", target, 80, str(kube.kubeconfig)), 0)
    with pytest.raises(JrcError) as caught:
        await ensure_keeper(spec, paths, patience=0)
    if fault is refused:
        kube.start()
    assert type(caught.value) is error
    assert message in caught.value.message
    assert caught.value.hint == hint
    # No keeper stays that nobody asked for.
    wait_until(lambda: not ((status := keeper_status("lab", paths)) and status.runs()), "its end")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            stuck(
                phase="Pending",
                conditions=[{"type": "PodScheduled", "status": "False", "message": GPU}],
            ),
            "3 Insufficient nvidia.com/gpu",
        ),
        (
            stuck(
                phase="Pending",
                initContainerStatuses=[
                    {"name": "fetch", "state": {"running": {"startedAt": LONG_AGO}}}
                ],
            ),
            "init container fetch is still running",
        ),
    ],
)
async def test_what_may_heal_is_waited_for(
    fault: Callable[[Kube], None], message: str, kube: Kube, app: WebApp, paths: Paths
) -> None:
    """And comes up when it has healed."""
    kube.jupyter(app.address)
    fault(kube)
    spec = Spec("lab", Route("stub", "default", "svc/jupyter", 80, str(kube.kubeconfig)), 0)
    seen: list[KeeperStatus] = []

    def heal(status: KeeperStatus) -> None:
        seen.append(status)
        if status.cause and message in status.cause.message:
            kube.jupyter(app.address)

    status = await ensure_keeper(spec, paths, patience=0, on_progress=heal)
    assert status.pod == "jupyter-0"
    assert any(each.cause and message in each.cause.message for each in seen)


async def test_a_server_that_is_just_starting_is_waited_for(
    kube: Kube, app: WebApp, paths: Paths
) -> None:
    kube.jupyter(app.address)
    nothing_listens(kube)
    just_now = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()

    def start(stub: Any) -> None:
        pod = stub.cluster.get("pods", "default", "jupyter-0")
        pod["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": just_now}}

    kube.do(start)
    spec = Spec("lab", Route("stub", "default", "svc/jupyter", 80, str(kube.kubeconfig)), 0)

    def heal(status: KeeperStatus) -> None:
        if status.cause and "Nothing listens on the pod's port yet" in status.cause.message:
            kube.jupyter(app.address)

    assert (await ensure_keeper(spec, paths, patience=0, on_progress=heal)).pod == "jupyter-0"


async def test_a_deadline_without_a_cluster_is_not_a_deadline(
    kube: Kube, app: WebApp, paths: Paths
) -> None:
    kube.jupyter(app.address)
    spec = Spec("lab", Route("stub", "default", "svc/jupyter", 80, str(kube.kubeconfig)), 0)
    kube.stop()
    with pytest.raises(UnreachableError, match="can't be reached"):
        await ensure_keeper(spec, paths, deadline=3)
    kube.start()
    kube.do(lambda stub: stub.cluster.stick("jupyter-0", {"phase": "Pending"}))
    with pytest.raises(DeadlineError, match=r"within 3 s\. Pod jupyter-0 is pending\."):
        await ensure_keeper(spec, paths, deadline=3)
