"""The keeper as a process: started once, found again, gone without a trace."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from jrc.errors import AuthError, DeadlineError, JrcError, NotFoundError
from jrc.profile.paths import Paths
from jrc.profile.route import Route
from jrc.tunnel.cause import Kind
from jrc.tunnel.connect import ensure_keeper, keeper_status, stop_keeper
from jrc.tunnel.entrance import Entrance, NoKeeperError
from jrc.tunnel.keeper import preferred_ports
from jrc.tunnel.machine import Phase
from jrc.tunnel.processes import start_time
from jrc.tunnel.status import LOCKED_OUT, KeeperFiles, KeeperStatus, Spec, encode_orders
from tests.support.http import request
from tests.support.kube import Kube
from tests.support.kubectls import KubectlProgram
from tests.support.webapp import WebApp

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("newest")]

ENSURE = """
import asyncio, sys
from jrc.profile.paths import Paths
from jrc.tunnel.connect import ensure_keeper
from jrc.tunnel.status import decode_orders
spec, _ = decode_orders(sys.stdin.readline())
print(asyncio.run(ensure_keeper(spec, Paths.from_environment())).pid)
"""


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


async def kill(keeper: KeeperStatus) -> None:
    """Kill a keeper and wait for its end: on a busy machine it outlives the signal by a moment."""
    os.kill(keeper.pid, signal.SIGKILL)
    await until(lambda: not keeper.runs())


def kubectls_of(status: KeeperStatus) -> list[psutil.Process]:
    return psutil.Process(status.pid).children(recursive=True)


async def test_a_keeper_is_started_once_and_shared(spec: Spec, paths: Paths) -> None:
    progress: list[Phase] = []
    first = await ensure_keeper(spec, paths, on_progress=lambda s: progress.append(s.phase))
    assert first.phase is Phase.READY
    assert first.url == f"http://127.0.0.1:{spec.port}/"
    assert Phase.FORWARDING in progress
    assert (await request(first.port, "/api"))[0] == 200
    second = await ensure_keeper(spec, paths)
    assert second.pid == first.pid
    assert not second.moved


async def test_its_files_are_for_their_owner_only(spec: Spec, paths: Paths) -> None:
    await ensure_keeper(spec, paths)
    files = KeeperFiles.of(paths, "lab")
    assert files.state.stat().st_mode & 0o777 == 0o600
    assert files.log.stat().st_mode & 0o777 == 0o600
    assert files.folder.stat().st_mode & 0o777 == 0o700
    assert (files.folder / "key").stat().st_mode & 0o777 == 0o600
    assert "good" not in files.state.read_text() + files.log.read_text()


async def test_it_and_what_it_starts_do_not_have_the_token(
    spec: Spec, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JRC_TOKEN", "s3cret")
    status = await ensure_keeper(spec, paths)
    for process in (psutil.Process(status.pid), *kubectls_of(status)):
        assert "JRC_KUBECTL" in process.environ()
        assert "s3cret" not in process.environ().values()


@pytest.mark.attacks
@pytest.mark.parametrize("key", [None, bytes(32).hex()], ids=["none", "of the first protocol"])
async def test_a_keeper_that_can_not_prove_itself_is_replaced(
    spec: Spec, paths: Paths, key: str | None
) -> None:
    """jrc was updated while it ran."""
    files = KeeperFiles.of(paths, "lab")
    files.prepare()
    if key is not None:
        (files.folder / "key").write_text(key)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as old:
        began = start_time(old.pid)
        files.write(KeeperStatus(spec, old.pid, began, Phase.READY, 0.0, port=spec.port))
        status = await ensure_keeper(spec, paths)
    assert status.pid != old.pid
    assert files.key()
    (await Entrance(paths, "lab").connect()).close()


async def test_a_damaged_key_is_made_anew(spec: Spec, paths: Paths) -> None:
    files = KeeperFiles.of(paths, "lab")
    files.prepare()
    (files.folder / "key").write_text("zz")
    assert files.key() is None
    status = await ensure_keeper(spec, paths)
    assert files.key()
    (await Entrance(paths, "lab").connect()).close()
    stop_keeper("lab", paths)
    with pytest.raises(NoKeeperError, match="The tunnel of 'lab' is down"):
        await Entrance(paths, "lab").connect()
    assert not status.runs()


async def test_stop_ends_everything_and_keeps_the_port_for_the_next(
    spec: Spec, paths: Paths
) -> None:
    first = await ensure_keeper(spec, paths)
    family = [psutil.Process(first.pid), *kubectls_of(first)]
    assert len(family) == 2
    assert stop_keeper("lab", paths)
    assert not [process for process in family if process.is_running()]
    assert keeper_status("lab", paths) is None
    assert not stop_keeper("lab", paths)
    second = await ensure_keeper(spec, paths)
    assert second.pid != first.pid
    assert second.port == first.port


async def test_kill_9_leaves_no_kubectl_and_the_next_one_takes_over(
    spec: Spec, paths: Paths
) -> None:
    first = await ensure_keeper(spec, paths)
    (kubectl,) = kubectls_of(first)
    await kill(first)
    await until(lambda: not kubectl.is_running())
    status = keeper_status("lab", paths)
    assert status
    assert status.phase is Phase.FAILED
    second = await ensure_keeper(spec, paths)
    assert second.pid != first.pid
    assert second.port == first.port
    assert (await request(second.port, "/api"))[0] == 200


async def test_the_next_keeper_leads_to_the_same_pod_though_there_is_a_newer_one(
    spec: Spec, paths: Paths, kube: Kube
) -> None:
    """However the one before ended: the kernels live in that pod."""
    await ensure_keeper(spec, paths)
    with WebApp("second") as second:
        kube.jupyter(second.address, name="jupyter-1", created="2099-01-01T00:00:00Z")
        assert stop_keeper("lab", paths)
        after_stop = await ensure_keeper(spec, paths)
        assert after_stop.pod == "jupyter-0"
        await kill(after_stop)
        assert (await ensure_keeper(spec, paths)).pod == "jupyter-0"
        elsewhere = replace(spec, route=replace(spec.route, target="pod/jupyter-1", port=8888))
        assert (await ensure_keeper(elsewhere, paths)).pod == "jupyter-1"


async def test_a_keeper_that_is_killed_while_the_api_server_starts_is_replaced(
    spec: Spec, paths: Paths, kube: Kube
) -> None:
    first = await ensure_keeper(spec, paths)
    kube.restart(starting=403)
    await kill(first)
    again = asyncio.create_task(ensure_keeper(spec, paths, patience=60))

    def is_refused() -> bool:
        assert not again.done()
        status = KeeperFiles.of(paths, "lab").read()
        return bool(status and status.cause and status.cause.kind is Kind.FORBIDDEN)

    await until(is_refused)
    kube.started()
    assert (await again).phase is Phase.READY


async def test_a_command_does_not_wait_for_the_end_of_a_refusal(
    spec: Spec, paths: Paths, kube: Kube
) -> None:
    """The keeper of a tunnel that worked is patient; who types a command hears it soon."""
    await ensure_keeper(spec, paths)
    kube.do(lambda stub: setattr(stub.faults, "tokens", {"another"}))
    kube.do(lambda stub: stub.drop_sessions())

    def is_refused() -> bool:
        status = KeeperFiles.of(paths, "lab").read()
        return bool(status and status.cause and status.cause.fatal)

    await until(is_refused)
    with pytest.raises(AuthError, match="does not accept your credentials"):
        await ensure_keeper(spec, paths, patience=1)
    kube.do(lambda stub: setattr(stub.faults, "tokens", None))
    assert (await ensure_keeper(spec, paths)).phase is Phase.READY


async def test_ten_processes_at_once_get_one_keeper(spec: Spec, paths: Paths) -> None:
    orders = encode_orders(spec, KeeperFiles.of(paths, "lab")).encode() + b"\n"
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", ENSURE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(10)
    ]
    answers = await asyncio.gather(*(process.communicate(orders) for process in processes))
    assert len({answer for answer, _ in answers}) == 1
    status = keeper_status("lab", paths)
    assert status
    assert answers[0][0].decode().strip() == str(status.pid)


async def test_a_second_keeper_is_locked_out(spec: Spec, paths: Paths) -> None:
    first = await ensure_keeper(spec, paths)
    second = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "jrc.tunnel.keeper", stdin=subprocess.PIPE
    )
    orders = encode_orders(spec, KeeperFiles.of(paths, "lab"))
    await second.communicate(orders.encode() + b"\n")
    assert second.returncode == LOCKED_OUT
    status = keeper_status("lab", paths)
    assert status
    assert status.pid == first.pid


async def test_a_state_file_of_a_reused_process_number_is_stale(spec: Spec, paths: Paths) -> None:
    """The number belongs to another process now: it is neither taken for a keeper nor killed."""
    stranger = await asyncio.create_subprocess_exec("sleep", "600")
    files = KeeperFiles.of(paths, "lab")
    files.prepare()
    stale = KeeperStatus(spec, stranger.pid, "another-boot.1", Phase.READY, 1.0, port=1)
    files.write(stale)
    told = keeper_status("lab", paths)
    assert told
    assert told.phase is Phase.FAILED
    assert not stop_keeper("lab", paths)
    assert stranger.returncode is None
    files.write(stale)
    assert (await ensure_keeper(spec, paths)).pid != stranger.pid
    stranger.kill()
    await stranger.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 99}', '{"format": 1}'])
async def test_a_broken_state_file_is_as_none(text: str, spec: Spec, paths: Paths) -> None:
    files = KeeperFiles.of(paths, "lab")
    files.prepare()
    files.state.write_text(text)
    assert keeper_status("lab", paths) is None


async def test_status_survives_the_way_through_the_file(spec: Spec, paths: Paths) -> None:
    status = await ensure_keeper(spec, paths)
    stop_keeper("lab", paths)
    files = KeeperFiles.of(paths, "lab")
    files.write(status)
    assert files.read() == status


async def test_a_stale_lock_file_does_not_matter(spec: Spec, paths: Paths) -> None:
    """A file is no lock: the system frees it with the process that held it."""
    files = KeeperFiles.of(paths, "lab")
    files.prepare()
    files.lock.write_text("4711")
    files.start_lock.write_text("4711")
    assert (await ensure_keeper(spec, paths)).phase is Phase.READY


async def test_a_changed_profile_gets_a_new_keeper(
    spec: Spec, paths: Paths, kube: Kube, app: WebApp
) -> None:
    first = await ensure_keeper(spec, paths)
    changed = replace(spec, route=replace(spec.route, target="pod/jupyter-0", port=8888))
    second = await ensure_keeper(changed, paths)
    assert second.pid != first.pid
    assert second.spec == changed
    assert not psutil.pid_exists(first.pid) or start_time(first.pid) == ""


async def test_a_taken_port_moves_the_tunnel(spec: Spec, paths: Paths) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", spec.port))
        other.listen()
        status = await ensure_keeper(spec, paths)
        assert status.moved
        assert status.port in preferred_ports("lab")
        assert (await request(status.port, "/api"))[0] == 200


async def test_a_fatal_cause_is_the_error_of_the_command(
    spec: Spec, paths: Paths, kube: Kube
) -> None:
    kube.do(lambda stub: stub.faults.deny.add("create pods/portforward"))
    with pytest.raises(AuthError, match="pods/portforward"):
        await ensure_keeper(spec, paths)
    status = keeper_status("lab", paths)
    assert status
    assert status.phase is Phase.FAILED
    await until(lambda: not status.runs())
    kube.do(lambda stub: stub.faults.deny.clear())
    assert (await ensure_keeper(spec, paths)).phase is Phase.READY


async def test_ten_callers_hear_the_same_fatal_cause(spec: Spec, paths: Paths) -> None:
    missing = replace(spec, route=replace(spec.route, target="svc/nowhere"))
    calls = [ensure_keeper(missing, paths) for _ in range(10)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {NotFoundError}


async def test_the_deadline_says_what_stood_in_the_way(
    spec: Spec, paths: Paths, kube: Kube
) -> None:
    """A keeper that was started for this call is not left behind."""
    kube.do(lambda stub: stub.kill_pod("jupyter-0"))
    with pytest.raises(DeadlineError, match=r"No pod belongs to svc/jupyter") as caught:
        await ensure_keeper(spec, paths, deadline=3)
    assert "3 s" in caught.value.message
    assert keeper_status("lab", paths) is None


async def test_an_unused_keeper_ends_itself_unless_it_is_held(
    spec: Spec, paths: Paths, tmp_path: Path
) -> None:
    """Idle time is given in minutes; here the unit is made a millisecond by a patched keeper."""
    files = KeeperFiles.of(paths, "lab")
    files.prepare()
    files.hold(True)
    code = (
        "import sys, jrc.tunnel.keeper as k; k.LOOK_SECONDS = 0.02; k.MINUTE = 0.001;"
        "sys.exit(k.main())"
    )
    keeper = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert keeper.stdin
    keeper.stdin.write(encode_orders(spec, files).encode() + b"\n")
    keeper.stdin.close()
    await until(lambda: (status := files.read()) and status.phase is Phase.READY)
    assert keeper.returncode is None
    reader, writer = await asyncio.open_connection("127.0.0.1", spec.port)
    files.hold(False)
    await asyncio.sleep(0.2)
    assert keeper.returncode is None
    writer.close()
    _, said = await keeper.communicate()
    assert keeper.returncode == 0
    assert b"the tunnel was not used" in said
    assert files.read() is None
    assert reader


async def test_traffic_and_restarts_are_told(spec: Spec, paths: Paths, kube: Kube) -> None:
    first = await ensure_keeper(spec, paths)
    await request(first.port, "/big/100000")
    kube.do(lambda stub: stub.drop_sessions())

    def told() -> bool:
        status = keeper_status("lab", paths)
        return bool(status and status.restarts == 1 and status.traffic.down > 100_000)

    await until(told)


async def test_a_missing_kubectl_is_told(
    spec: Spec, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JRC_KUBECTL", "no-such-kubectl")
    with pytest.raises(JrcError, match="no-such-kubectl") as caught:
        await ensure_keeper(spec, paths)
    assert "Install kubectl" in (caught.value.hint or "")


def test_preferred_ports_are_stable_and_outside_the_ephemeral_ranges() -> None:
    ports = preferred_ports("lab")
    assert ports == preferred_ports("lab")
    assert ports != preferred_ports("other")
    assert len(set(ports)) == len(ports)
    assert all(20_000 <= port < 30_000 for port in ports)


def test_start_times(newest: KubectlProgram) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        mine, other = start_time(os.getpid()), start_time(process.pid)
        assert mine
        assert other
        assert start_time(process.pid) == other
        process.kill()
        # A zombie runs no more, though its number is still taken.
        psutil.Process(process.pid)
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            pass
        assert start_time(process.pid) == ""
    assert start_time(2**22 + 1) == ""
