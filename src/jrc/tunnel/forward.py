"""Runs ``kubectl port-forward``, also ahead of time, so that a lost tunnel comes back sooner."""

import asyncio
import contextlib
import logging
import re
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from jrc.tasks import to_the_end
from jrc.tunnel.cause import Cause, CauseError
from jrc.tunnel.classify import Alarm, alarm, is_noise, is_request
from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.listener import Listener
from jrc.tunnel.machine import Broken, Destination, Doubted, Event, Forwarding, LoginSaid
from jrc.tunnel.processes import Child, lines
from jrc.tunnel.target import Target

KEPT_LINES = 50

RECENT_SECONDS = 10.0
"""How old a line of kubectl may be to explain its end."""

GUESS_SECONDS = 2.0
"""How long to wait for the choice of a kubectl that was started to choose the pod itself."""

_LISTENS = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")

_POD = re.compile(r"/pods/([a-z0-9.-]+)")
"""The pod in a request that kubectl logs."""

log = logging.getLogger("jrc.tunnel")


class Forwarder:
    """One port-forward at a time, and perhaps another one that is ready to take its place.

    Args:
        kubectl: how to start it.
        post: called with what happens.
        explain: makes a cause of kubectl's recent lines on stderr.

    Attributes:
        listener: where kubectl listens on this machine; None before it did.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        post: Callable[[Event], None],
        explain: Callable[[list[str]], Cause],
    ) -> None:
        self.listener: Listener | None = None
        self._kubectl = kubectl
        self._post = post
        self._explain = explain
        self._lines: deque[tuple[float, str]] = deque()
        self._standby: _Running | None = None

    async def run(self, attempt: int, destination: Destination) -> None:
        """Forward to a pod until kubectl ends.

        Raises:
            CauseError: it ended; always.
        """
        # A new one each time: an earlier kubectl may still write while it ends.
        said = self._lines = deque(maxlen=KEPT_LINES)
        running = await self._take(destination)
        if running is None:
            running = _Running(await self._kubectl.forward(destination.pod, destination.port))
        try:
            while line := await running.next_line():
                if line.is_error:
                    log.info("kubectl: %s", line.text)
                    said.append((time.monotonic(), line.text))
                    self._on_error_line(attempt, line.text)
                elif found := _LISTENS.search(line.text):
                    self.listener = running.listens(int(found[1]))
                    self._post(Forwarding(attempt))
            raise CauseError(self.cause())
        finally:
            await running.stop()

    def cause(self) -> Cause:
        """Why kubectl ended, or a connection through it did: what its recent lines say."""
        since = time.monotonic() - RECENT_SECONDS
        return self._explain([line for when, line in self._lines if when >= since])

    async def prepare(self, destination: Destination) -> None:
        """Start a port-forward to a pod that is not ready yet, so that it listens when the pod is.

        Until then no client may connect through it: kubectl ends when nothing listens in the pod.
        """
        if self._standby and self._standby.destination == destination and not self._standby.ended:
            return
        await self.drop()
        child = await self._kubectl.forward(destination.pod, destination.port)
        await self._stand_by(_Running(child, destination))

    async def guess(self, target: Target, port: int) -> None:
        """Let kubectl choose a pod while we look for one: in the end it is probably the same.

        Args:
            target: not a selector.
            port: of the target.
        """
        await self.drop()
        await self._stand_by(_Running(await self._kubectl.forward_to_target(target, port)))

    async def drop(self) -> None:
        """End what was started ahead of time."""
        await self._stand_by(None)

    async def _stand_by(self, running: "_Running | None") -> None:
        """Have this one ready instead of another, which ends: an earlier try may be late."""
        former, self._standby = self._standby, running
        if former:
            await former.end()

    async def _take(self, destination: Destination) -> "_Running | None":
        """What was started ahead of time, if it leads there; otherwise it is ended."""
        running, self._standby = self._standby, None
        if running is None:
            return None
        leads_there = False
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GUESS_SECONDS):
                    leads_there = await running.leads_to(destination)
        finally:
            if not leads_there:
                await running.end()
        return running if leads_there else None

    def _on_error_line(self, attempt: int, line: str) -> None:
        match alarm(line):
            case Alarm.LOST:
                # kubectl 1.20 runs on after this, without a tunnel.
                self._post(Broken(attempt, self.cause()))
            case Alarm.DOUBT:
                self._post(Doubted(attempt))
            case None:
                pass_on_login(attempt, line, self._post)


def pass_on_login(attempt: int, line: str, post: Callable[[Event], None]) -> None:
    """Post a line on kubectl's stderr that a login program wrote for the person."""
    if line.strip() and not is_noise(line):
        post(LoginSaid(attempt, line.strip()))


class _Line(NamedTuple):
    text: str
    is_error: bool


class _Running:
    """A kubectl whose output is read from its start, whether it is in use yet or not.

    Args:
        child: the process.
        destination: where it leads; None where kubectl chooses the pod, and logs its requests.
    """

    def __init__(self, child: Child, destination: Destination | None = None) -> None:
        self.destination = destination
        self._child = child
        self._lines: asyncio.Queue[_Line | None] = asyncio.Queue()
        self._chosen: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(), name="output of kubectl")

    @property
    def ended(self) -> bool:
        """It is known to have ended."""
        return self._child.ended

    async def leads_to(self, destination: Destination) -> bool:
        """Whether it runs and leads there. Waits until kubectl has chosen, if it chooses itself."""
        if self.destination is None:
            return await asyncio.shield(self._chosen) == destination.pod and not self.ended
        return self.destination == destination and not self.ended

    def listens(self, port: int) -> Listener:
        """It says that it listens on this port."""
        return Listener(port, self._child)

    async def next_line(self) -> _Line | None:
        """The next line of its output; None when it has ended."""
        return await self._lines.get()

    async def stop(self) -> None:
        """End it, with the time to clean up."""
        try:
            await self._child.stop()
        finally:
            await self._until_read()

    async def end(self) -> None:
        """End it at once."""
        try:
            await self._child.end()
        finally:
            await self._until_read()

    async def _until_read(self) -> None:
        """Wait until all its output is read: the streams of a child that is reaped have ended."""
        await to_the_end(asyncio.wait({self._reading}))

    async def _read(self) -> None:
        try:
            await asyncio.gather(self._read_output(), self._read_errors())
            log.info("kubectl ended with %d", await self._child.wait())
        finally:
            self._lines.put_nowait(None)
            self._choose("")

    async def _read_output(self) -> None:
        async for line in lines(self._child.stdout):
            self._lines.put_nowait(_Line(line, is_error=False))

    async def _read_errors(self) -> None:
        async for line in lines(self._child.stderr):
            if self.destination is None and is_request(line):
                if pod := _POD.search(line):
                    self._choose(pod[1])
            else:
                self._lines.put_nowait(_Line(line, is_error=True))

    def _choose(self, pod: str) -> None:
        if not self._chosen.done():
            self._chosen.set_result(pod)
