"""The keeper: the background process that holds one profile's tunnel.

``connect`` starts it as ``python -m jrc.tunnel.keeper``, with its orders on stdin and its log as
stderr.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import sys
import time
from dataclasses import replace

from jrc.errors import ConfigError
from jrc.tasks import first_of
from jrc.tunnel.cause import Cause
from jrc.tunnel.machine import DEFAULT_TIMING, Destination, Phase, State, Uptime
from jrc.tunnel.processes import start_time
from jrc.tunnel.pump import Pump
from jrc.tunnel.status import (
    LOCKED_OUT,
    KeeperFiles,
    KeeperStatus,
    LedTo,
    Spec,
    Traffic,
    decode_orders,
    way_of,
)
from jrc.tunnel.supervise import Supervisor
from jrc.visible import log_to_stderr

LOOK_SECONDS = 2.0
"""How often traffic and idleness are looked at."""

MINUTE = 60.0

REMEMBER_SECONDS = 60.0
"""How often it is noted that the tunnel still works."""

# Below the ranges from which Linux, macOS and Windows take ports for outgoing connections.
_PORTS = range(20_000, 30_000)
_CANDIDATES = 50

log = logging.getLogger("jrc.tunnel")


def preferred_ports(profile: str) -> list[int]:
    """Local ports for a profile, always the same ones, the first choice first."""
    seed = int.from_bytes(hashlib.sha256(profile.encode()).digest()[:8], "big")
    return [_PORTS[(seed + step * 101) % len(_PORTS)] for step in range(_CANDIDATES)]


class Keeper:
    """One tunnel, its state file, and the reasons to end.

    Args:
        spec: what to keep.
        files: where to write the status.
    """

    def __init__(self, spec: Spec, files: KeeperFiles) -> None:
        self._spec = spec
        self._files = files
        self._led_to = files.remembered(spec.route)
        self._supervisor = Supervisor(
            spec.route, spec.path, self._publish, _state_before(self._led_to)
        )
        self._changed = asyncio.Event()
        self._ending = False
        self._used_at = time.monotonic()
        pid = os.getpid()
        self.status = KeeperStatus(
            spec=spec, pid=pid, started=start_time(pid), phase=Phase.WAITING, since=time.time()
        )

    async def run(self) -> Cause | None:
        """Keep the tunnel until it fails, until it is no longer used (None), or until cancelled."""
        await self._listen(self._supervisor.pump)
        writing = asyncio.create_task(self._write(), name="state file")
        try:
            # The shield: a write that still goes on in its thread would come after the last one.
            return await first_of(self._supervisor.run(), self._idle(), asyncio.shield(writing))
        finally:
            self._ending = True
            self._changed.set()
            await asyncio.gather(writing, return_exceptions=True)
            await self._supervisor.pump.close()

    async def _listen(self, pump: Pump) -> None:
        """Listen on the wanted port, or on another one when another program has it."""
        key = self._files.prepare_key()
        for port in [self._spec.port, *preferred_ports(self._spec.profile), 0]:
            try:
                await pump.listen(port, key)
            except OSError as error:
                log.warning("port %d can't be used: %s", port, error)
            else:
                break
        self.status = replace(self.status, port=pump.port)
        self._changed.set()

    def _publish(self, state: State) -> None:
        status = self.status
        since = status.since if state.phase is status.phase else time.time()
        self.status = replace(
            status,
            phase=state.phase,
            since=since,
            pod=state.destination.pod,
            uid=state.destination.uid,
            restarts=state.uptime.restarts,
            cause=state.cause,
            note=state.note,
        )
        self._changed.set()

    async def _write(self) -> None:
        """Bring the state file up to date: at once after a change, else when there was traffic."""
        while not self._ending:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            await self._save()

    async def _save(self) -> None:
        self.status = replace(self.status, traffic=self._traffic())
        try:
            # In a thread: the pump does not wait for the disk.
            await asyncio.to_thread(self._files.write, self.status)
            await self._remember()
        except ConfigError as error:
            log.warning("%s", error.message)

    async def _remember(self) -> None:
        """Note the pod: kernels live there, and the next keeper must find them."""
        status, before = self.status, self._led_to
        if status.phase is not Phase.READY:
            return
        now = LedTo(way_of(self._spec.route), status.pod, status.uid, time.time())
        if before and before.uid == now.uid and now.at - before.at < REMEMBER_SECONDS:
            return
        await asyncio.to_thread(self._files.remember, now)
        self._led_to = now

    def _traffic(self) -> Traffic:
        pump = self._supervisor.pump
        return Traffic(pump.moved.up, pump.moved.down, pump.moved.connections, len(pump.clients))

    async def _idle(self) -> None:
        """Return when the tunnel was not used for long, and is not held."""
        limit = self._spec.route.idle_minutes * MINUTE
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._supervisor.pump.clients or self._files.held or not limit:
                self._used_at = time.monotonic()
            elif time.monotonic() - self._used_at > limit:
                log.info("the tunnel was not used for %d minutes", self._spec.route.idle_minutes)
                return


def _state_before(led_to: LedTo | None) -> State | None:
    """How an earlier keeper left the tunnel, as the beginning of this one."""
    if led_to is None:
        return None
    recent = time.time() - led_to.at < DEFAULT_TIMING.refusal
    return State(destination=Destination(led_to.pod, uid=led_to.uid), uptime=Uptime(worked=recent))


def keep(spec: Spec, files: KeeperFiles) -> int:
    """Run a keeper in this process until it ends.

    Returns:
        the exit code.
    """
    from filelock import FileLock, Timeout

    files.prepare()
    lock = FileLock(files.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return LOCKED_OUT
    try:
        return asyncio.run(_keep(spec, files))
    finally:
        lock.release()


async def _keep(spec: Spec, files: KeeperFiles) -> int:
    keeper = Keeper(spec, files)
    running = asyncio.create_task(keeper.run(), name="keeper")
    if sys.platform != "win32":
        # Windows has no such signal: there a keeper is stopped by ending its process.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        cause = await running
    except asyncio.CancelledError:
        cause = None
    if cause is None:
        log.info("ended")
        files.forget()
        return 0
    log.error("gave up: %s", cause.message)
    files.write(keeper.status)
    return 1


def main() -> int:
    """Read from stdin what to keep, and keep it."""
    spec, files = decode_orders(sys.stdin.readline())
    log_to_stderr("%(asctime)s %(levelname)s %(message)s", verbose=1)
    return keep(spec, files)


if __name__ == "__main__":
    sys.exit(main())
