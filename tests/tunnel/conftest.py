"""A stand-in cluster, the real kubectl programs, and tunnels between them."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jrc.profile.route import Route
from jrc.tunnel.machine import State
from jrc.tunnel.supervise import DEFAULT_TIMING, Supervisor, Timing
from tests.support.kube import Kube
from tests.support.kubectls import KubectlProgram, chosen_kubectls
from tests.support.tunnels import OpenTunnel, Tunnel
from tests.support.webapp import WebApp


@pytest.fixture(params=chosen_kubectls(), ids=str)
def kubectl(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> KubectlProgram:
    """Each kind of kubectl in turn is the one that jrc uses."""
    program: KubectlProgram = request.param
    monkeypatch.setenv("JRC_KUBECTL", program.path)
    return program


@pytest.fixture
def newest(monkeypatch: pytest.MonkeyPatch) -> KubectlProgram:
    """One kubectl, for what does not depend on its version."""
    program = chosen_kubectls()[-1]
    monkeypatch.setenv("JRC_KUBECTL", program.path)
    return program


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[Kube]:
    """An empty cluster."""
    with Kube(tmp_path) as kube:
        yield kube


@pytest.fixture
def app() -> Iterator[WebApp]:
    """A server that stands for Jupyter."""
    with WebApp() as app:
        yield app


@pytest.fixture
def open_tunnel(kube: Kube) -> OpenTunnel:
    """A maker of tunnels: ``async with open_tunnel(target="pod/x", port=8888) as tunnel``."""

    @asynccontextmanager
    async def make(
        target: str = "svc/jupyter",
        port: int = 80,
        *,
        context: str = "stub",
        path: str = "/",
        timing: Timing = DEFAULT_TIMING,
    ) -> AsyncIterator[Tunnel]:
        route = Route(context, "default", target, port, str(kube.kubeconfig))
        states: list[State] = []
        supervisor = Supervisor(route, path, states.append, timing=timing)
        await supervisor.pump.listen(0)
        tunnel = Tunnel(supervisor, states, asyncio.create_task(supervisor.run()))
        try:
            yield tunnel
        finally:
            tunnel.running.cancel()
            await asyncio.gather(tunnel.running, return_exceptions=True)
            await supervisor.pump.close()

    return make


@pytest.fixture
def login_program(tmp_path: Path) -> Callable[[str], str]:
    """A maker of login programs (exec plugins) that run a line of Python."""

    def make(code: str) -> str:
        program = tmp_path / "example-login"
        program.write_text(f"#!{sys.executable}\n{code}\n")
        program.chmod(0o755)
        return str(program)

    return make
