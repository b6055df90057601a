"""A tunnel under test, and the port-forwards of a process."""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import psutil

from jrc.tunnel.cause import Cause
from jrc.tunnel.machine import Phase, State
from jrc.tunnel.supervise import Supervisor
from tests.support.http import request

PATIENCE = 60.0
"""Seconds after which a test that waits for something fails: far more than anything takes."""


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
            lambda state: state.phase is Phase.READY and state.uptime.restarts >= times
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
