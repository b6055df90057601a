"""A tunnel in use: a keeper that dies is replaced, and what is final is said at once."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jrc.errors import AuthError, JrcError, KernelDiedError, UnreachableError
from jrc.profile.paths import Paths
from jrc.profile.route import Route
from jrc.tunnel import use
from jrc.tunnel.cause import Kind, explain
from jrc.tunnel.connect import ensure_keeper, keeper_status, stop_keeper
from jrc.tunnel.machine import Phase
from jrc.tunnel.status import KeeperFiles, KeeperStatus, Spec
from jrc.tunnel.use import explained, final_failure, in_use
from tests.support.http import request
from tests.support.kube import Kube
from tests.support.kube.api import KubeStub
from tests.support.webapp import WebApp

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("newest")]


@pytest.fixture
def paths() -> Paths:
    return Paths.from_environment()


@pytest.fixture
def spec(kube: Kube, app: WebApp, paths: Paths) -> Iterator[Spec]:
    """A tunnel that can be kept; its keeper is stopped at the end."""
    kube.jupyter(app.address)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    yield Spec("lab", Route("stub", "default", "svc/jupyter", 80, str(kube.kubeconfig)), port)
    stop_keeper("lab", paths)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
async def test_a_keeper_that_ends_unasked_is_replaced(
    spec: Spec, paths: Paths, sign: signal.Signals
) -> None:
    """Whoever sent it a SIGTERM, it was not jrc disconnect."""

    def is_replaced() -> bool:
        status = keeper_status("lab", paths)
        return bool(status and status.pid != first.pid and status.phase is Phase.READY)

    async with in_use(spec, paths) as first:
        os.kill(first.pid, sign)
        await until(is_replaced)
        assert (await request(first.port, "/api"))[0] == 200
        assert final_failure("lab", paths) is None


async def outcome(
    spec: Spec, paths: Paths, error: JrcError, meanwhile: Callable[[KeeperStatus], Awaitable[None]]
) -> JrcError:
    """What the user of a tunnel sees where ``error`` is what it found."""
    try:
        async with in_use(spec, paths) as status:
            await meanwhile(status)
            raise error
    except JrcError as seen:
        return seen


async def test_an_end_on_purpose_is_said_at_once_and_nothing_brings_it_up_again(
    spec: Spec, paths: Paths
) -> None:
    async def disconnect(_: KeeperStatus) -> None:
        assert final_failure("lab", paths) is None
        await asyncio.to_thread(stop_keeper, "lab", paths)
        assert final_failure("lab", paths)
        # The watch looks several times.
        await asyncio.sleep(4 * use.WATCH_SECONDS)
        assert KeeperFiles.of(paths, "lab").read() is None

    found = UnreachableError("Nothing listens.", hint="Later: jrc attach x")
    seen = await outcome(spec, paths, found, disconnect)
    assert isinstance(seen, UnreachableError)
    assert seen.message == "The tunnel of 'lab' was ended (jrc disconnect)."
    assert seen.hint == "To bring it up again, type: jrc connect lab — Later: jrc attach x"


async def test_a_command_after_a_disconnect_brings_the_tunnel_up(spec: Spec, paths: Paths) -> None:
    """Also for those who used it: they see it come back."""
    async with in_use(spec, paths):
        await asyncio.to_thread(stop_keeper, "lab", paths)
        again = await ensure_keeper(spec, paths)
        assert again.phase is Phase.READY
        assert final_failure("lab", paths) is None


async def test_a_final_refusal_is_the_error_of_those_who_use_the_tunnel(
    spec: Spec, paths: Paths
) -> None:
    cause = explain(Kind.FORBIDDEN, "here", quote="cannot create")

    async def give_up(now: KeeperStatus) -> None:
        os.kill(now.pid, signal.SIGKILL)
        failed = KeeperStatus(spec, now.pid, now.started, Phase.FAILED, 0, cause=cause)
        KeeperFiles.of(paths, "lab").write(failed)
        assert isinstance(final_failure("lab", paths), AuthError)

    found = UnreachableError("Nothing listens.", hint="Later: jrc attach x")
    seen = await outcome(spec, paths, found, give_up)
    assert isinstance(seen, AuthError)
    assert "cannot create" in seen.message
    assert "jrc attach x" in (seen.hint or "")


def kill_pod(stub: KubeStub) -> None:
    stub.kill_pod("jupyter-0")


def begin_deletion(stub: KubeStub) -> None:
    pod = stub.cluster.get("pods", "default", "jupyter-0")
    assert pod
    pod["metadata"]["deletionTimestamp"] = "2026-01-02T00:01:00Z"


def make_anew(stub: KubeStub) -> None:
    stub.kill_pod("jupyter-0")
    stub.cluster.pod("jupyter-0", {})


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (kill_pod, "Pod jupyter-0 was deleted: all its kernels are gone."),
        (begin_deletion, "Pod jupyter-0 is being deleted: all its kernels are gone."),
        (make_anew, "Pod jupyter-0 was deleted and made anew: all its kernels are gone."),
    ],
)
async def test_a_kernel_that_went_with_its_pod(
    event: Callable[[KubeStub], None], words: str, spec: Spec, paths: Paths, kube: Kube
) -> None:
    async def lose(_: KeeperStatus) -> None:
        kube.do(event)

    found = KernelDiedError("Cell 1: Somebody shut the kernel down.", hint="It is saved.")
    seen = await outcome(spec, paths, found, lose)
    assert isinstance(seen, KernelDiedError)
    assert (seen.message, seen.hint) == (words, "It is saved.")


def restart_container(*, seconds_ago: float, name: str = "main") -> Callable[[KubeStub], None]:
    """A container of the pod was killed for its memory, and runs again."""

    def restart(stub: KubeStub) -> None:
        pod = stub.cluster.get("pods", "default", "jupyter-0")
        assert pod
        at = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
        end = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": at}
        (main,) = pod["status"]["containerStatuses"]
        begun = {
            "restartCount": 1,
            "lastState": {"terminated": end},
            "state": {"running": {"startedAt": at}},
        }
        others = [] if name == main["name"] else [main]
        pod["status"]["containerStatuses"] = [*others, {**main, "name": name, **begun}]

    return restart


async def test_a_kernel_that_went_with_its_container(spec: Spec, paths: Paths, kube: Kube) -> None:
    async def lose(_: KeeperStatus) -> None:
        kube.do(restart_container(seconds_ago=0))

    seen = await outcome(spec, paths, KernelDiedError("Cell 1: The kernel is gone."), lose)
    assert isinstance(seen, KernelDiedError)
    assert seen.message == (
        "The container main of the pod jupyter-0 was restarted after it had ended with exit code "
        "137 (OOMKilled): all its kernels are gone."
    )


async def test_a_container_that_was_restarted_before_took_no_kernel_along(
    spec: Spec, paths: Paths, kube: Kube
) -> None:
    async def lose(_: KeeperStatus) -> None:
        kube.do(restart_container(seconds_ago=3600))

    found = KernelDiedError("Cell 1: The kernel is gone.")
    assert await outcome(spec, paths, found, lose) is found


async def test_a_container_beside_the_server_took_no_kernel_along(
    spec: Spec, paths: Paths, kube: Kube
) -> None:
    """The tunnel leads to the container that declares its port."""
    port = next(
        port["containerPort"]
        for each in kube.do(lambda stub: stub.cluster.get("pods", "default", "jupyter-0"))["spec"][
            "containers"
        ]
        for port in each["ports"]
    )
    direct = replace(spec, route=replace(spec.route, target="pod/jupyter-0", port=port))

    async def lose(_: KeeperStatus) -> None:
        kube.do(restart_container(seconds_ago=0, name="proxy"))

    found = KernelDiedError("Cell 1: The kernel is gone.")
    assert await outcome(direct, paths, found, lose) is found


async def test_a_kernel_that_went_with_a_pod_that_was_replaced(
    spec: Spec, paths: Paths, kube: Kube, app: WebApp
) -> None:
    async def roll(status: KeeperStatus) -> None:
        kube.do(kill_pod)
        kube.jupyter(app.address, name="jupyter-1")
        assert (await request(status.port, "/api"))[0] == 200
        await until(lambda: (now := keeper_status("lab", paths)) and now.pod == "jupyter-1")

    seen = await outcome(spec, paths, KernelDiedError("Cell 1: The kernel is gone."), roll)
    assert seen.message == "Pod jupyter-0 was replaced by jupyter-1: all its kernels are gone."


@pytest.mark.parametrize("reachable", [True, False])
async def test_a_kernel_that_died_alone(
    reachable: bool, spec: Spec, paths: Paths, kube: Kube
) -> None:
    async def cut(_: KeeperStatus) -> None:
        if not reachable:
            kube.stop()

    found = KernelDiedError("Cell 1: The kernel died.")
    assert await outcome(spec, paths, found, cut) is found


LOST = UnreachableError("The link did not come back within 60 s.", hint="Later: jrc attach x")


def status(phase: Phase, kind: Kind) -> KeeperStatus:
    route = Route("stub", "default", "svc/jupyter", 80)
    cause = explain(kind, "here")
    return KeeperStatus(Spec("lab", route, 1), 1, "", phase, 0, cause=cause)


def test_the_cause_of_a_tunnel_that_is_down_is_told_with_the_lost_link() -> None:
    error = explained(LOST, status(Phase.WAITING, Kind.API_UNREACHABLE), None)
    assert error.message == (
        "The link did not come back within 60 s. The tunnel is down: "
        "The API server of here can't be reached."
    )
    assert error.hint == LOST.hint
    assert isinstance(error, UnreachableError)


def test_a_tunnel_that_is_up_has_nothing_to_add() -> None:
    assert explained(LOST, status(Phase.READY, Kind.LOST), None) is LOST
    assert explained(LOST, None, None) is LOST


def test_a_cause_that_was_told_is_not_told_twice() -> None:
    now = status(Phase.WAITING, Kind.DNS)
    assert now.cause
    known = UnreachableError(f"The tunnel is down. {now.cause.message}")
    assert explained(known, now, None) is known
