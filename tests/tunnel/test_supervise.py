"""The supervisor with the real kubectl: each failure that kubectl is known for, made to happen."""

import asyncio
import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from jrc.profile.route import Route
from jrc.tunnel import machine, probe
from jrc.tunnel.cause import Kind
from jrc.tunnel.machine import Phase, Resumed
from jrc.tunnel.supervise import Supervisor, Timing
from tests.support.http import request
from tests.support.kube import Kube
from tests.support.kube.api import KubeStub
from tests.support.kube.cluster import Object
from tests.support.tunnels import OpenTunnel, forwarders_of
from tests.support.webapp import WebApp

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("kubectl")]

LoginProgram = Callable[[str], str]


QUICK_PROBES = Timing(
    tries=machine.Timing(probe_every=0.2, probe_again=0.05), probes=probe.Timing(answer=1.0)
)
"""The clocks of the product, faster: the tests wait for events, not for minutes."""


def replace_pod(kube: Kube, old: str, new: str, app: WebApp) -> None:
    """What a roll-out does in the end."""
    kube.do(lambda stub: stub.kill_pod(old))
    kube.jupyter(app.address, name=new)


async def test_the_way_up_and_a_request(open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    kube.jupyter(app.address)
    async with open_tunnel() as tunnel:
        state = await tunnel.until_ready()
        assert state.destination.pod == "jupyter-0"
        assert (await tunnel.get())[0] == 200
        phases = [state.phase for state in tunnel.states]
        assert sorted(set(phases), key=phases.index) == [
            Phase.RESOLVING,
            Phase.FORWARDING,
            Phase.PROBING,
            Phase.READY,
        ]


async def test_pod_replaced_while_idle(open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    """kubectl says nothing until the next connection: the probe finds it."""
    kube.jupyter(app.address)
    with WebApp("second") as second:
        async with open_tunnel(timing=QUICK_PROBES) as tunnel:
            await tunnel.until_ready()
            replace_pod(kube, "jupyter-0", "jupyter-1", second)
            assert (await tunnel.until_restarted()).destination.pod == "jupyter-1"
            assert b"second" in (await tunnel.get())[1]


async def test_the_end_of_a_pod_is_noticed_though_nobody_asks(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    """Neither a probe is due nor does a client come: a quiet connection ends with the pod."""
    timing = Timing(tries=machine.Timing(probe_every=3600.0), probes=probe.Timing(brief=0.0))
    kube.jupyter(app.address)
    with WebApp("second") as second:
        async with open_tunnel(timing=timing) as tunnel:
            await tunnel.until_ready()
            await until(lambda: kube.do(lambda stub: any(stub.connections.values())))
            replace_pod(kube, "jupyter-0", "jupyter-1", second)
            assert (await tunnel.until_restarted()).destination.pod == "jupyter-1"


@pytest.mark.parametrize("target", ["svc/jupyter", "deploy/jupyter"])
async def test_kubectl_chooses_the_next_pod_while_it_is_looked_for(
    target: str, open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    """The forward that listens first is used: no third kubectl starts after the second one."""
    kube.jupyter(app.address)
    kube.do(lambda stub: stub.cluster.workload("deployments", "jupyter", {"app": "jupyter"}))
    with WebApp("second") as second:
        async with open_tunnel(target, 80 if target.startswith("svc") else 8888) as tunnel:
            await tunnel.until_ready()
            kube.jupyter(second.address, name="jupyter-1")
            kube.do(lambda stub: stub.kill_pod("jupyter-0"))
            assert b"second" in (await tunnel.get())[1]
            assert (await tunnel.until_restarted()).destination.pod == "jupyter-1"
            assert kube.do(lambda stub: stub.forwards) == 2
            assert ["-v=6" in words_of(each) for each in forwarders()] == [True]


@pytest.mark.parametrize("newest", ["jupyter-1", "jupyter-2"])
async def test_where_kubectl_chooses_another_pod_than_we_do_ours_counts(
    newest: str, open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    kube.jupyter(app.address)
    with WebApp("jupyter-1") as one, WebApp("jupyter-2") as two:
        async with open_tunnel() as tunnel:
            await tunnel.until_ready()
            for name, each in (("jupyter-1", one), ("jupyter-2", two)):
                year = 2001 if name == newest else 2000
                kube.jupyter(each.address, name=name, created=f"{year}-01-01T00:00:00Z")
            kube.do(lambda stub: stub.kill_pod("jupyter-0"))
            assert newest.encode() in (await tunnel.get())[1]
            assert (await tunnel.until_restarted()).destination.pod == newest
            assert len(forwarders()) == 1


async def test_where_no_pod_is_left_no_kubectl_goes_on_choosing_one(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    kube.jupyter(app.address)
    timing = Timing(tries=machine.Timing(probe_every=0.2))
    async with open_tunnel(timing=timing) as tunnel:
        await tunnel.until_ready()
        kube.do(lambda stub: stub.kill_pod("jupyter-0"))
        await tunnel.until(lambda state: state.cause and state.cause.kind is Kind.SELECTS_NOTHING)
        await until(lambda: not forwarders())
        kube.jupyter(app.address, name="jupyter-1")
        assert (await tunnel.until_restarted()).destination.pod == "jupyter-1"


async def test_a_server_that_closes_quiet_connections_is_left_in_peace(
    open_tunnel: OpenTunnel, kube: Kube
) -> None:
    timing = Timing(quiet=0.0)
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                if await reader.readline():
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        kube.jupyter(server.sockets[0].getsockname())
        async with open_tunnel(timing=timing) as tunnel:
            await tunnel.until_ready()
            await until(lambda: not tunnel.supervisor.listens)
            assert connections <= 3
            assert tunnel.state.uptime.restarts == 0
            assert (await tunnel.get())[0] == 200


async def test_a_pod_that_becomes_ready_is_heard_of(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    """The cluster tells it; nobody looks again for an hour. kubectl listens already by then."""
    timing = Timing(tries=machine.Timing(waits=machine.Waits(starting=3600.0)))
    kube.jupyter(app.address, ready=False)
    async with open_tunnel(timing=timing) as tunnel:
        await tunnel.until(lambda state: state.cause and state.cause.kind is Kind.NO_POD)
        await until(lambda: kube.do(lambda stub: "watch pods" in stub.watched))
        await until(lambda: kube.do(lambda stub: stub.forwards) == 1)
        kube.do(lambda stub: stub.cluster.make_ready("jupyter-0"))
        await tunnel.until_ready()
        assert kube.do(lambda stub: stub.forwards) == 1
        assert (await tunnel.get())[0] == 200
        await until(lambda: not watches())


async def test_without_the_right_to_watch_pods_are_looked_for(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    kube.do(lambda stub: stub.faults.deny.add("watch pods"))
    kube.jupyter(app.address, ready=False)
    async with open_tunnel() as tunnel:
        await tunnel.until(lambda state: state.cause and state.cause.kind is Kind.NO_POD)
        kube.do(lambda stub: stub.cluster.make_ready("jupyter-0"))
        await tunnel.until_ready()


async def test_the_next_client_after_a_roll_out_sees_only_a_pause(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    kube.jupyter(app.address)
    with WebApp("second") as second:
        async with open_tunnel() as tunnel:
            await tunnel.until_ready()
            port = tunnel.port
            replace_pod(kube, "jupyter-0", "jupyter-1", second)
            status, body = await tunnel.get()
            assert (status, tunnel.port) == (200, port)
            assert b"second" in body


async def test_pod_replaced_in_mid_transfer(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    """The transfer ends as a cut, never as a whole answer; the next one works."""
    kube.jupyter(app.address)
    with WebApp("second") as second:
        async with open_tunnel() as tunnel:
            await tunnel.until_ready()
            reader, writer = await asyncio.open_connection("127.0.0.1", tunnel.port)
            writer.write(b"GET /half HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"\r\n\r\nhalf")
            replace_pod(kube, "jupyter-0", "jupyter-1", second)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(4)
            writer.close()
            assert b"second" in (await tunnel.get())[1]


async def test_a_terminating_pod_is_left_for_its_successor(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    """``kubectl port-forward svc/…`` itself may pick the terminating one."""
    kube.jupyter(app.address, created="2026-01-01T00:00:00Z")
    with WebApp("leaving") as leaving:
        kube.jupyter(leaving.address, name="jupyter-9", created="2026-01-02T00:00:00Z")

        def begin_deletion(stub: object) -> None:
            pod = stub.cluster.get("pods", "default", "jupyter-9")  # type: ignore[attr-defined]
            pod["metadata"]["deletionTimestamp"] = "2026-01-02T00:01:00Z"

        kube.do(begin_deletion)
        async with open_tunnel() as tunnel:
            assert (await tunnel.until_ready()).destination.pod == "jupyter-0"


async def test_app_not_listening_yet(open_tunnel: OpenTunnel, kube: Kube) -> None:
    """A Ready pod whose server still starts: kubectl ends, or not; no crash is counted."""
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
        kube.jupyter(("127.0.0.1", port))
        async with open_tunnel() as tunnel:
            await tunnel.until(lambda state: state.cause and state.cause.kind is Kind.NOT_LISTENING)
            placeholder.close()
            with WebApp(port=port):
                state = await tunnel.until_ready()
                assert state.uptime.restarts == 0
                assert (await tunnel.get())[0] == 200


async def test_app_that_answers_with_an_error_is_waited_for(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    app.status = 503
    kube.jupyter(app.address)
    async with open_tunnel(timing=QUICK_PROBES) as tunnel:
        await tunnel.until(lambda state: state.cause and state.cause.kind is Kind.APP_ERROR)
        assert tunnel.state.phase is Phase.PROBING
        app.status = 200
        await tunnel.until_ready()
        assert kube.do(lambda stub: stub.forwards) == 1


async def test_a_reset_connection_does_not_end_the_tunnel(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    """kubectl ≥ 1.27 ends when the app resets one connection; the tunnel comes back."""
    kube.jupyter(app.address)
    async with open_tunnel() as tunnel:
        await tunnel.until_ready()
        status, _ = await request(tunnel.port, "/reset", method="GET")
        assert status in (0, 503)
        assert (await tunnel.get())[0] == 200


async def test_api_connection_dropped(open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    """kubectl says so and ends: with 1, or with 0 when it is 1.20."""
    kube.jupyter(app.address)
    async with open_tunnel() as tunnel:
        await tunnel.until_ready()
        kube.do(lambda stub: stub.drop_sessions())
        await tunnel.until_restarted()
        assert (await tunnel.get())[0] == 200


async def test_api_server_gone_and_back(open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    kube.jupyter(app.address)
    async with open_tunnel() as tunnel:
        await tunnel.until_ready()
        kube.stop()
        state = await tunnel.until(
            lambda state: state.cause and state.cause.kind is Kind.API_UNREACHABLE
        )
        assert state.cause
        assert "memcache" not in state.cause.message
        kube.start()
        await tunnel.until_restarted()
        assert (await tunnel.get())[0] == 200


@pytest.mark.parametrize("answer", [401, 403])
async def test_api_server_restarts_and_refuses_while_it_starts(
    answer: int, open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    """It answers 403 until its RBAC caches are full. That is no verdict."""
    kube.jupyter(app.address)
    refused = Kind.UNAUTHORIZED if answer == 401 else Kind.FORBIDDEN
    async with open_tunnel() as tunnel:
        await tunnel.until_ready()
        kube.restart(starting=answer)
        state = await tunnel.until(lambda state: state.cause and state.cause.kind is refused)
        assert state.phase is not Phase.FAILED
        kube.started()
        await tunnel.until_restarted()
        assert (await tunnel.get())[0] == 200


async def test_a_refusal_that_lasts_is_final_with_its_words(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    timing = Timing(tries=machine.Timing(refusal=1.0))
    kube.jupyter(app.address)
    async with open_tunnel(timing=timing) as tunnel:
        await tunnel.until_ready()
        kube.do(lambda stub: stub.faults.deny.add("create pods/portforward"))
        kube.do(lambda stub: stub.drop_sessions())
        cause = await tunnel.until_failed()
        assert cause.kind is Kind.FORBIDDEN
        assert 'cannot create resource "pods/portforward"' in cause.message


async def test_a_second_replica_does_not_take_the_place_of_a_living_pod(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    """The kernels live in the first pod: the newest one does not know them."""
    kube.jupyter(app.address, created="2026-01-01T00:00:00Z")
    with WebApp("second") as second:
        async with open_tunnel() as tunnel:
            await tunnel.until_ready()
            kube.jupyter(second.address, name="jupyter-1", created="2026-01-02T00:00:00Z")
            for process in forwarders():
                process.kill()
            assert (await tunnel.until_restarted()).destination.pod == "jupyter-0"
            kube.stop()
            await tunnel.until(lambda state: state.phase is Phase.RESOLVING)
            kube.start()
            assert (await tunnel.until_restarted(2)).destination.pod == "jupyter-0"
            assert b"second" not in (await tunnel.get())[1]
            kube.do(lambda stub: stub.kill_pod("jupyter-0"))
            assert b"second" in (await tunnel.get())[1]
            assert (await tunnel.until_restarted(3)).destination.pod == "jupyter-1"


async def test_black_hole(open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    """Everything is open and nothing passes: only the probe can tell."""
    kube.jupyter(app.address)
    async with open_tunnel(timing=QUICK_PROBES) as tunnel:
        await tunnel.until_ready()
        kube.do(lambda stub: setattr(stub.faults, "black_hole", True))
        await tunnel.until(lambda state: state.cause and state.cause.kind is Kind.STALLED)
        await tunnel.until(lambda state: state.phase is not Phase.READY)
        kube.do(lambda stub: setattr(stub.faults, "black_hole", False))
        await tunnel.until_restarted()
        assert (await tunnel.get())[0] == 200


async def test_kubectl_hangs_at_the_upgrade(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    timing = Timing(tries=machine.Timing(answer=4.0))
    kube.jupyter(app.address)
    kube.do(lambda stub: setattr(stub.faults, "upgrade", "hang"))
    async with open_tunnel(timing=timing) as tunnel:
        await tunnel.until(lambda state: state.cause and state.cause.kind is Kind.TIMEOUT)
        kube.do(lambda stub: setattr(stub.faults, "upgrade", "ok"))
        await tunnel.until_ready()


async def test_node_unreachable_at_start(open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    kube.jupyter(app.address)
    kube.do(lambda stub: setattr(stub.faults, "upgrade", "500"))
    async with open_tunnel() as tunnel:
        await tunnel.until(lambda state: state.cause and state.cause.kind is Kind.KUBELET)
        kube.do(lambda stub: setattr(stub.faults, "upgrade", "ok"))
        await tunnel.until_ready()


async def test_websocket_tunnel_refused_by_the_api(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    """An older API server: kubectl ≥ 1.31 falls back to SPDY by itself."""
    kube.jupyter(app.address)
    kube.do(lambda stub: setattr(stub.faults, "websocket", False))
    async with open_tunnel() as tunnel:
        await tunnel.until_ready()
        assert (await tunnel.get("/big/3000000"))[0] == 200


async def test_no_pods_and_then_one(open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    kube.do(lambda stub: stub.cluster.service("jupyter", {"app": "jupyter"}, {80: 8888}))
    async with open_tunnel() as tunnel:
        state = await tunnel.until(lambda state: state.cause)
        assert state.cause
        assert state.cause.kind is Kind.SELECTS_NOTHING
        assert state.cause.message == "No pod belongs to svc/jupyter (selector app=jupyter)."
        kube.jupyter(app.address)
        await tunnel.until_ready()


async def test_pending_pod_and_then_ready(open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    kube.jupyter(app.address, phase="Pending", ready=False)
    async with open_tunnel() as tunnel:
        state = await tunnel.until(lambda state: state.cause)
        assert state.cause
        assert state.cause.message == "Pod jupyter-0 is pending."
        kube.jupyter(app.address)
        await tunnel.until_ready()


@pytest.mark.parametrize(
    "target", ["deploy/jupyter", "sts/jupyter", "app=jupyter", "pod/jupyter-0"]
)
async def test_other_targets(target: str, open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    kube.jupyter(app.address)
    for plural in ("deployments", "statefulsets"):
        kube.do(lambda stub, p=plural: stub.cluster.workload(p, "jupyter", {"app": "jupyter"}))  # type: ignore[misc]
    async with open_tunnel(target, 8888) as tunnel:
        await tunnel.until_ready()
        assert (await tunnel.get())[0] == 200


async def test_a_pod_target_that_is_made_anew(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    """A stateful pod comes back under its name: its absence is no missing target."""
    kube.jupyter(app.address)
    async with open_tunnel("pod/jupyter-0", 8888) as tunnel:
        await tunnel.until_ready()
        kube.do(lambda stub: (stub.kill_pod("jupyter-0"), stub.drop_sessions()))
        await tunnel.until(lambda state: state.cause and state.cause.kind is Kind.NOT_FOUND)
        kube.jupyter(app.address)
        await tunnel.until_restarted()


async def test_a_pod_that_goes_between_its_choice_and_the_forward(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    kube.jupyter(app.address)

    def lose_the_pod_once_it_is_chosen(stub: KubeStub) -> None:
        select = stub.cluster.select

        def select_once(*words: str) -> list[Object]:
            stub.cluster.select = select  # type: ignore[method-assign]
            found = select(*words)
            stub.kill_pod("jupyter-0")
            return found

        stub.cluster.select = select_once  # type: ignore[method-assign]

    kube.do(lose_the_pod_once_it_is_chosen)
    async with open_tunnel() as tunnel:
        await tunnel.until(lambda state: state.cause and state.cause.kind is Kind.POD_GONE)
        kube.jupyter(app.address, name="jupyter-1")
        await tunnel.until_ready()


async def test_missing_target(open_tunnel: OpenTunnel) -> None:
    async with open_tunnel("svc/nowhere") as tunnel:
        cause = await tunnel.until_failed()
        assert cause.kind is Kind.NOT_FOUND
        assert 'services "nowhere" not found' in cause.message


async def test_bad_service_port(open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    kube.jupyter(app.address)
    async with open_tunnel(port=8888) as tunnel:
        cause = await tunnel.until_failed()
        assert cause.kind is Kind.BAD_PORT
        assert cause.message == "Service jupyter has no port 8888; it has 80."


async def test_bad_context(open_tunnel: OpenTunnel) -> None:
    async with open_tunnel(context="nope") as tunnel:
        cause = await tunnel.until_failed()
        assert cause.kind is Kind.BAD_CONTEXT
        assert "'nope'" in cause.message


@pytest.mark.parametrize("right", ["get services", "list pods", "create pods/portforward"])
async def test_rbac(right: str, open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    kube.jupyter(app.address)
    kube.do(lambda stub: stub.faults.deny.add(right))
    async with open_tunnel() as tunnel:
        cause = await tunnel.until_failed()
        verb, resource = right.split()
        assert cause.kind is Kind.FORBIDDEN
        assert f'cannot {verb} resource "{resource}"' in cause.message
        assert "role" in cause.hint


async def test_the_documented_rights_are_enough(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    """Get services, get and list pods, create pods/portforward: nothing else is asked for."""
    kube.jupyter(app.address)
    async with open_tunnel() as tunnel:
        await tunnel.until_ready()
    resources = {
        re.sub(r"/jupyter(-0)?(?=/|$)", "", call.partition("/namespaces/default/")[2])
        for call in kube.do(lambda stub: stub.seen)
        if "/namespaces/default/" in call
    }
    assert resources == {"services", "pods", "pods/portforward"}


async def test_bad_token(open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    kube.jupyter(app.address)
    kube.do(lambda stub: setattr(stub.faults, "tokens", {"another"}))
    async with open_tunnel() as tunnel:
        cause = await tunnel.until_failed()
        assert cause.kind is Kind.UNAUTHORIZED
        assert "Log in to the cluster again" in cause.hint


async def test_a_token_that_expires_while_forwarding_is_found_at_the_next_try(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    timing = Timing(tries=machine.Timing(refusal=1.0))
    kube.jupyter(app.address)
    async with open_tunnel(timing=timing) as tunnel:
        await tunnel.until_ready()
        kube.do(lambda stub: setattr(stub.faults, "tokens", {"another"}))
        assert (await tunnel.get())[0] == 200
        kube.do(lambda stub: stub.drop_sessions())
        assert (await tunnel.until_failed()).kind is Kind.UNAUTHORIZED


def exec_user(program: str) -> dict[str, object]:
    version = "client.authentication.k8s.io/v1beta1"
    return {"exec": {"apiVersion": version, "command": program, "interactiveMode": "Never"}}


async def test_login_program_fails(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp, login_program: LoginProgram
) -> None:
    kube.jupyter(app.address)
    program = login_program("import sys; sys.exit('The SSO session has expired')")
    kube.write_kubeconfig(user=exec_user(program))
    async with open_tunnel() as tunnel:
        cause = await tunnel.until_failed()
        assert cause.kind is Kind.PLUGIN_FAILED
        assert program in cause.message
        assert "The SSO session has expired" in cause.message


async def test_login_program_missing(open_tunnel: OpenTunnel, kube: Kube) -> None:
    kube.write_kubeconfig(user=exec_user("no-such-login"))
    async with open_tunnel() as tunnel:
        cause = await tunnel.until_failed()
        assert cause.kind is Kind.PLUGIN_MISSING
        assert "no-such-login" in cause.message


async def test_login_program_talks_and_then_works(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp, login_program: LoginProgram
) -> None:
    """What it says is shown while kubectl waits for it."""
    kube.jupyter(app.address)
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "kind": "ExecCredential",
        "status": {"token": "good", "expirationTimestamp": "2099-01-01T00:00:00Z"},
    }
    gate = kube.folder / "gate"
    program = login_program(
        "import pathlib, sys, time\n"
        "print('Open https://login.example', file=sys.stderr, flush=True)\n"
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)\n"
        f"print({json.dumps(credential)!r})"
    )
    kube.write_kubeconfig(user=exec_user(program))
    async with open_tunnel() as tunnel:
        await tunnel.until(lambda state: "https://login.example" in state.note)
        gate.touch()
        state = await tunnel.until_ready()
        assert state.note == ""


async def test_no_credentials(open_tunnel: OpenTunnel, kube: Kube) -> None:
    """kubectl asks for a user name; nobody can answer, and it must not wait."""
    kube.do(lambda stub: setattr(stub.faults, "tokens", {"good"}))
    kube.write_kubeconfig(user={})
    async with open_tunnel() as tunnel:
        assert (await tunnel.until_failed()).kind is Kind.NO_CREDENTIALS


async def test_untrusted_certificate(open_tunnel: OpenTunnel, kube: Kube) -> None:
    kube.write_kubeconfig(trusted=False)
    async with open_tunnel() as tunnel:
        assert (await tunnel.until_failed()).kind is Kind.TLS


async def test_unknown_host(open_tunnel: OpenTunnel, kube: Kube) -> None:
    kube.write_kubeconfig(server="https://no-such-host.invalid")
    async with open_tunnel() as tunnel:
        state = await tunnel.until(lambda state: state.cause)
        assert state.cause
        assert state.cause.kind is Kind.DNS
        assert state.phase is Phase.WAITING


async def test_no_kubeconfig(open_tunnel: OpenTunnel, kube: Kube) -> None:
    kube.kubeconfig.unlink()
    async with open_tunnel() as tunnel:
        cause = await tunnel.until_failed()
        assert cause.kind in (Kind.BAD_CONTEXT, Kind.NO_KUBECONFIG)


async def test_broken_kubeconfig(open_tunnel: OpenTunnel, kube: Kube) -> None:
    kube.kubeconfig.write_text("{:")
    async with open_tunnel() as tunnel:
        assert (await tunnel.until_failed()).kind is Kind.BAD_KUBECONFIG


async def test_no_kubectl(open_tunnel: OpenTunnel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JRC_KUBECTL", "no-such-kubectl")
    async with open_tunnel() as tunnel:
        cause = await tunnel.until_failed()
        assert cause.kind is Kind.NO_KUBECTL
        assert "no-such-kubectl" in cause.message


async def test_no_target_of_that_form(open_tunnel: OpenTunnel) -> None:
    async with open_tunnel("jupyter") as tunnel:
        assert (await tunnel.until_failed()).kind is Kind.BAD_TARGET


async def test_killed_kubectl_is_replaced(open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    kube.jupyter(app.address)
    async with open_tunnel() as tunnel:
        await tunnel.until_ready()
        for process in forwarders():
            process.kill()
        await tunnel.until_restarted()
        assert (await tunnel.get())[0] == 200


async def test_stopped_kubectl_is_noticed(open_tunnel: OpenTunnel, kube: Kube, app: WebApp) -> None:
    """kubectl hangs: the port accepts, and nothing answers."""
    kube.jupyter(app.address)
    async with open_tunnel(timing=QUICK_PROBES) as tunnel:
        await tunnel.until_ready()
        for process in forwarders():
            process.suspend()
        await tunnel.until_restarted()
        assert (await tunnel.get())[0] == 200


async def test_after_sleep_the_tunnel_is_probed_at_once(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wall clock jumped while the loop waited: the next probe does not wait for its turn."""
    timing = Timing(tries=machine.Timing(probe_every=3600.0), tick=0.05)
    kube.jupyter(app.address)
    async with open_tunnel(timing=timing) as tunnel:
        await tunnel.until_ready()
        probes = app.seen.count("GET /api")
        wall_clock = time.time
        monkeypatch.setattr(time, "time", lambda: wall_clock() + 3600)
        async with asyncio.timeout(30):
            while app.seen.count("GET /api") == probes:
                await asyncio.sleep(0.01)


async def test_waking_with_a_dead_link_restarts(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    timing = Timing(probes=probe.Timing(answer=1.0))
    kube.jupyter(app.address)
    async with open_tunnel(timing=timing) as tunnel:
        await tunnel.until_ready()
        kube.do(lambda stub: setattr(stub.faults, "black_hole", True))
        tunnel.supervisor._events.put_nowait(Resumed())
        await tunnel.until(lambda state: state.phase is not Phase.READY)
        kube.do(lambda stub: setattr(stub.faults, "black_hole", False))
        await tunnel.until_restarted()


async def test_nothing_is_left_of_a_stopped_tunnel(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp
) -> None:
    kube.jupyter(app.address)
    async with open_tunnel() as tunnel:
        await tunnel.until_ready()
        assert forwarders()
    assert not forwarders()


async def test_kubectl_never_waits_for_a_key(kube: Kube, app: WebApp) -> None:
    """stdin is closed, whatever stdin this process has."""
    kube.jupyter(app.address)
    supervisor = Supervisor(
        Route("stub", "default", "svc/jupyter", 80, str(kube.kubeconfig)), "/", lambda _: None
    )
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(60):
        while not forwarders():
            await asyncio.sleep(0.01)
    stdin = Path(f"/proc/{forwarders()[0].pid}/fd/0")
    assert not stdin.parent.exists() or stdin.readlink() == Path("/dev/null")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def watches() -> list[psutil.Process]:
    """The watches of pods that this process runs."""
    return [child for child in psutil.Process().children() if "--watch" in words_of(child)]


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def forwarders() -> list[psutil.Process]:
    """The port-forwards that this process runs."""
    return forwarders_of(os.getpid())
