"""Lines between a run and its server, and the ways in which each kind of line breaks."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import psutil

from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.route import Route
from jrc.server.client import ServerClient
from jrc.tunnel.connect import keeper_status, spec_of, stop_keeper
from jrc.tunnel.use import in_use
from tests.support.jupyter import JupyterServer
from tests.support.kube import Kube
from tests.support.proxy import Proxy
from tests.support.running import client_of
from tests.support.servers import free_port
from tests.support.webapp import WebApp

PROFILE = "team"


class Line(Protocol):
    """The way from one run to its server."""

    def client(self) -> AbstractAsyncContextManager[ServerClient]:
        """A client at the near end."""
        ...

    async def fail(self, fault: str, seconds: float) -> None:
        """Break in this way, for about that long."""
        ...

    async def break_off(self) -> None:
        """Lead nowhere until ``mend``."""
        ...

    async def mend(self) -> None:
        """Be whole again."""
        ...


class DirectLine:
    """A TCP connection through a proxy that breaks it."""

    FAULTS = ("cut", "outage", "stall", "swallow", "silence")

    def __init__(self, server: JupyterServer, proxy: Proxy) -> None:
        self._server = server
        self._proxy = proxy

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ServerClient]:
        async with client_of(self._server, url=self._proxy.url) as client:
            yield client

    async def fail(self, fault: str, seconds: float) -> None:
        proxy = self._proxy
        match fault:
            case "cut":
                await asyncio.to_thread(proxy.cut)
            case "outage":
                await self.break_off()
                await asyncio.sleep(seconds)
            case "stall":
                await asyncio.to_thread(proxy.black_hole)
                await asyncio.sleep(seconds)
            case "swallow":
                await asyncio.to_thread(lambda: proxy.black_hole(swallow=True))
                await asyncio.sleep(seconds)
                await asyncio.to_thread(proxy.cut)
            case "silence":
                # Nobody is told that the line is dead but by the silence.
                await asyncio.to_thread(lambda: proxy.black_hole(swallow=True))
                await asyncio.sleep(seconds + 4)
            case _:
                raise ValueError(fault)

    async def break_off(self) -> None:
        await asyncio.to_thread(lambda: self._proxy.cut(refuse=True))

    async def mend(self) -> None:
        await asyncio.to_thread(self._proxy.restore)


class TunnelLine:
    """A tunnel of jrc's own: a keeper, the real kubectl, a stand-in cluster with a pod."""

    FAULTS = (
        "sessions",
        "rollout",
        "api",
        "api refuses",
        "kubectl beside a replica",
        "keeper",
        "keeper told to end",
        "keeper and sessions",
    )

    def __init__(self, server: JupyterServer, kube: Kube, paths: Paths) -> None:
        self._server = server
        self._kube = kube
        self._paths = paths
        self._pods = 0
        self._has_pod = False
        self._start_pod()
        route = Route("stub", "default", "svc/jupyter", 80, kubeconfig=str(kube.kubeconfig))
        url = f"http://127.0.0.1:{free_port()}/"
        self._spec = spec_of(Profile(PROFILE, url, kubernetes=route))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ServerClient]:
        async with (
            in_use(self._spec, self._paths) as status,
            client_of(self._server, url=status.url) as client,
        ):
            yield client

    async def fail(self, fault: str, seconds: float) -> None:
        match fault:
            case "sessions":
                await self._on_cluster(lambda stub: stub.drop_sessions())
            case "rollout":
                await self.break_off()
                await asyncio.sleep(seconds)
            case "api":
                await asyncio.to_thread(self._kube.stop)
                await asyncio.sleep(seconds)
                await asyncio.to_thread(self._kube.start)
            case "api refuses":
                await asyncio.to_thread(self._kube.restart, 403)
                await asyncio.sleep(seconds)
                await asyncio.to_thread(self._kube.started)
            case "kubectl beside a replica":
                await self._kill_kubectl_beside_a_replica(seconds)
            case "keeper":
                self._kill_keeper()
            case "keeper told to end":
                self._kill_keeper(signal.SIGTERM)
            case "keeper and sessions":
                self._kill_keeper()
                await self._on_cluster(lambda stub: stub.drop_sessions())
            case _:
                raise ValueError(fault)

    async def break_off(self) -> None:
        await self._on_cluster(lambda stub: stub.kill_pod(f"jupyter-{self._pods}"))
        self._has_pod = False

    async def mend(self) -> None:
        """A new pod, where there is none; the rest mends itself."""
        if not self._has_pod:
            await asyncio.to_thread(self._start_pod)

    def _start_pod(self) -> None:
        parts = urlsplit(self._server.url)
        assert parts.hostname
        assert parts.port
        self._pods += 1
        self._kube.jupyter((parts.hostname, parts.port), name=f"jupyter-{self._pods}")
        self._has_pod = True

    async def _on_cluster(self, act: Callable[[Any], object]) -> None:
        await asyncio.to_thread(self._kube.do, act)

    async def _kill_kubectl_beside_a_replica(self, seconds: float) -> None:
        """A newer pod of the same Service is Ready for a while. It knows none of our kernels."""
        pod = f"jupyter-{self._pods}"
        status = keeper_status(PROFILE, self._paths)
        if status is None or not status.runs() or status.phase != "ready" or status.pod != pod:
            # Where it does not lead there just now, the newer one is a fair choice.
            return
        with WebApp("replica") as replica:
            create = {"name": f"{pod}-replica", "created": "2099-01-01T00:00:00Z"}
            await asyncio.to_thread(lambda: self._kube.jupyter(replica.address, **create))
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(status.pid).children():
                    child.kill()
            await asyncio.sleep(seconds)
            await self._on_cluster(lambda stub: stub.kill_pod(create["name"]))

    def _kill_keeper(self, sign: signal.Signals = signal.SIGKILL) -> None:
        status = keeper_status(PROFILE, self._paths)
        if status is not None and status.runs():
            os.kill(status.pid, sign)


@contextmanager
def direct_line(server: JupyterServer) -> Iterator[Line]:
    """A line that a proxy breaks."""
    with Proxy(server.url) as proxy:
        yield DirectLine(server, proxy)


@contextmanager
def tunnel_line(server: JupyterServer, folder: Path) -> Iterator[Line]:
    """A line through a cluster of its own.

    Args:
        server: what runs in the pod.
        folder: an empty one, for the cluster's files and the keeper's.
    """
    paths = Paths(folder / "config", folder / "state", folder / "logs")
    with Kube(folder) as kube:
        try:
            yield TunnelLine(server, kube, paths)
        finally:
            stop_keeper(PROFILE, paths)


def end_stray_keepers() -> None:
    """End the keepers of runs that ended while theirs was being replaced.

    In life such a keeper ends itself, when nobody used it for a while.
    """
    keepers = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if "jrc.tunnel.keeper" in child.cmdline():
                child.terminate()
                keepers.append(child)
    psutil.wait_procs(keepers, timeout=30)
