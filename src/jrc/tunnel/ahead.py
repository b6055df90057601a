"""What is started before it is needed, and what listens while nobody talks: for short pauses."""

import asyncio
from typing import NamedTuple

from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.processes import Child

BRIEF_SECONDS = 2.0
"""A server that closes a quiet connection sooner than that does so on principle."""


class Coming(NamedTuple):
    """A pod that runs and is not ready yet."""

    pod: str
    uid: str
    port: int


class Ahead:
    """A port-forward to the pod that is waited for, so that it listens when the pod is ready.

    Until then nobody may connect through it: kubectl ends when nothing listens in the pod.
    """

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._child: Child | None = None
        self._leads_to: Coming | None = None

    async def prepare(self, coming: Coming) -> None:
        """Start it, unless it runs."""
        if self._leads_to == coming and self._child and not self._child.ended:
            return
        await self.drop()
        self._child = await self._kubectl.forward(coming.pod, coming.port)
        self._leads_to = coming

    async def take(self, pod: Coming) -> Child | None:
        """The one that leads to this pod; another one is ended."""
        child, leads_to = self._child, self._leads_to
        if child and leads_to == pod and not child.ended:
            self._child = None
            return child
        await self.drop()
        return None

    async def drop(self) -> None:
        """End it."""
        if self._child:
            self._child.kill()
            await self._child.wait()
            self._child = None


async def connection_ends(port: int) -> bool:
    """Hold a quiet connection through a tunnel until it ends: a pod takes its connections with it.

    Returns:
        whether that says anything. Not where the server closes quiet connections at once.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while await reader.read(4096):
            pass
    except OSError:
        pass
    finally:
        if writer:
            writer.close()
    return loop.time() - began >= BRIEF_SECONDS
