"""A stand-in cluster, the real kubectl programs, and tunnels between them."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from jrc.profile.route import Route
from jrc.tunnel.cause import Cause
from jrc.tunnel.machine import Phase, State
from jrc.tunnel.supervise import Supervisor
from tests.support.http import request
from tests.support.kube import Kube
from tests.support.kubectls import KubectlProgram, chosen_kubectls
from tests.support.webapp import WebApp

PATIENCE = 60.0
"""Seconds after which a test that waits for something fails: far more than anything takes."""


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


@dataclass
class Tunnel:
    """A supervisor under test, and all the states that it went through."""

    supervisor: Supervisor
    states: list[State]
    running: "asyncio.Task[Cause]" = field(repr=False)

    @property
    def port(self) -> int:
        return self.supervisor.pump.port

    @property
    def state(self) -> State:
        return self.supervisor.state

    async def get(self, path: str = "/api") -> tuple[int, bytes]:
        """One request through the tunnel: status and body."""
        return await request(self.port, path)

    async def until(self, condition: Callable[[State], object]) -> State:
        """Wait for a state."""
        async with asyncio.timeout(PATIENCE):
            while not condition(self.state):
                assert not self.running.done(), self.state
                await asyncio.sleep(0.01)
        return self.state

    async def until_ready(self) -> State:
        return await self.until(lambda state: state.phase is Phase.READY)

    async def until_failed(self) -> Cause:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(self.running)

    async def until_restarted(self, times: int = 1) -> State:
        return await self.until(
            lambda state: state.phase is Phase.READY and state.restarts >= times
        )


def forwarders_of(pid: int) -> list[psutil.Process]:
    """The port-forwards that a process runs."""
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        # It may end between the list and the look at it.
        with contextlib.suppress(psutil.Error):
            if "port-forward" in child.cmdline():
                found.append(child)
    return found


OpenTunnel = Callable[..., AbstractAsyncContextManager[Tunnel]]


@pytest.fixture
def open_tunnel(kube: Kube) -> OpenTunnel:
    """A maker of tunnels: ``async with open_tunnel(target="pod/x", port=8888) as tunnel``."""

    @asynccontextmanager
    async def make(
        target: str = "svc/jupyter", port: int = 80, *, context: str = "stub", path: str = "/"
    ) -> AsyncIterator[Tunnel]:
        route = Route(context, "default", target, port, str(kube.kubeconfig))
        states: list[State] = []
        supervisor = Supervisor(route, path, states.append)
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
