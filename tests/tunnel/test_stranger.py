"""Another local user takes a port that a keeper or kubectl left: no credentials go there."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jrc.errors import UnreachableError
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.profile.store import ProfileStore
from jrc.server.address import ServerAddress
from jrc.server.auth import TokenAuth
from jrc.server.client import ServerClient
from jrc.server.open import way_to
from jrc.tunnel.connect import keeper_status, keepers, stop_keeper
from jrc.tunnel.proof import PROTOCOL
from tests.support.command import run_jrc
from tests.support.http import request
from tests.support.jupyter import JupyterServer, wait_until
from tests.support.kube import Kube
from tests.support.mid_run import ALL, log_in, running, texts
from tests.support.stranger import Stranger, stranger_waits_for
from tests.support.tunnels import OpenTunnel, forwarders_of
from tests.support.webapp import WebApp

pytestmark = [pytest.mark.attacks, pytest.mark.usefixtures("newest")]


@pytest.fixture
def paths(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig))
    paths = Paths.from_environment()
    yield paths
    for profile in keepers(paths):
        stop_keeper(profile, paths)


def keeper_dies(stranger: Stranger, paths: Paths) -> None:
    status = keeper_status("lab", paths)
    assert status
    os.kill(status.pid, signal.SIGKILL)
    wait_until(lambda: stranger.listens, "the other program has the port")


def test_a_run_whose_keeper_dies_goes_on_and_tells_nothing_to_who_takes_the_port(
    kube: Kube, jupyter: JupyterServer, paths: Paths, tmp_path: Path
) -> None:
    log_in(kube, jupyter)
    before = keeper_status("lab", paths)
    assert before
    with stranger_waits_for(before.port, tmp_path) as stranger:
        with running(tmp_path) as (process, go_on):
            keeper_dies(stranger, paths)
            wait_until(lambda: stranger.heard, "the run comes to the other program")
            wait_until(
                lambda: (now := keeper_status("lab", paths)) and now.runs() and now.moved,
                "another keeper at another port",
            )
            go_on()
            output, _ = process.communicate(timeout=90)
        assert process.returncode == 0, output
        for command in (["kernel", "list", "-P", "lab"], ["doctor", "lab"], ["status"]):
            done = run_jrc(*command)
            assert done.code == 0, done.stderr
        asked = stranger.heard.splitlines()
    assert texts(tmp_path / "out.ipynb") == ALL
    assert {line.partition(b" ")[0] for line in asked} == {PROTOCOL.encode()}
    assert jupyter.token.encode() not in stranger.heard


NOTES = """
import os, socket, weakref

seen = weakref.WeakSet()

def note(sock, data):
    if sock in seen or sock.family != socket.AF_INET:
        return
    seen.add(sock)
    with open(os.environ["JRC_TEST_NOTES"], "ab") as notes:
        notes.write(b"%d %s\\n" % (sock.getpeername()[1], bytes(data[:12]).hex().encode()))

send, sendmsg = socket.socket.send, socket.socket.sendmsg

def noted_send(sock, data, *flags):
    note(sock, data)
    return send(sock, data, *flags)

def noted_sendmsg(sock, parts, *more):
    parts = list(parts)
    note(sock, b"".join(parts))
    return sendmsg(sock, parts, *more)

socket.socket.send, socket.socket.sendmsg = noted_send, noted_sendmsg
"""
"""Notes what each connection of a process begins with."""


def test_whatever_a_command_sends_to_a_tunnel_begins_with_the_question(
    kube: Kube,
    jupyter: JupyterServer,
    paths: Paths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the login on, where nothing is saved yet: REST and websockets."""
    notes, folder = tmp_path / "notes", tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NOTES)
    script = tmp_path / "script.py"
    script.write_text("print(1)")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("JRC_TEST_NOTES", str(notes))
    log_in(kube, jupyter)
    status = keeper_status("lab", paths)
    assert status

    def begun() -> set[bytes]:
        rows = [line.split() for line in notes.read_bytes().splitlines()]
        notes.write_bytes(b"")
        return {bytes.fromhex(text.decode()) for port, text in rows if int(port) == status.port}

    question = {PROTOCOL.encode()}
    assert begun() == question
    for command in (["kernel", "list"], ["run", "-P", "lab", script], ["doctor", "lab"]):
        done = run_jrc(*command)
        assert done.code == 0, done.stderr
        assert begun() == question, command


@pytest.mark.anyio
async def test_a_connection_that_stands_is_made_again_only_with_the_keeper(
    kube: Kube, jupyter: JupyterServer, paths: Paths, tmp_path: Path
) -> None:
    """REST, by a client that had a connection to the keeper; with a keeper of another port too."""
    log_in(kube, jupyter)
    profile = ProfileStore(paths).get("lab")
    way, address = way_to(profile, paths), ServerAddress(profile.url)
    before = keeper_status("lab", paths)
    assert before
    auth = TokenAuth(Secret(jupyter.token))
    with stranger_waits_for(before.port, tmp_path) as stranger:
        async with ServerClient(address, auth, way) as server:
            await server.verify()
            keeper_dies(stranger, paths)
            with pytest.raises(UnreachableError, match="does not lead to the tunnel of 'lab' now"):
                await server.verify()
            assert run_jrc("connect", "lab").code == 0
            await server.verify()
        assert stranger.heard
    assert b"uthorization" not in stranger.heard


@pytest.mark.anyio
async def test_what_takes_the_port_of_a_kubectl_gets_no_request(
    open_tunnel: OpenTunnel, kube: Kube, app: WebApp, tmp_path: Path
) -> None:
    kube.jupyter(app.address)
    async with open_tunnel() as tunnel:
        await tunnel.until_ready()
        (kubectl,) = forwarders_of(os.getpid())
        (port,) = [
            each.laddr.port
            for each in kubectl.net_connections()
            if each.status == psutil.CONN_LISTEN
        ]
        with stranger_waits_for(port, tmp_path) as stranger:
            secret = "Authorization: token s3cret\r\n"
            asking = [
                asyncio.create_task(request(tunnel.port, "/api", headers=secret)) for _ in range(20)
            ]
            kubectl.kill()
            async with asyncio.timeout(30):
                while not stranger.listens:
                    await asyncio.sleep(0)
                    with contextlib.suppress(AssertionError):
                        await request(tunnel.port, "/api", headers=secret)
            await asyncio.gather(*asking, return_exceptions=True)
            await tunnel.until_restarted()
        assert b"s3cret" not in stranger.heard
