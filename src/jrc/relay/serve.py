"""Runs one relay from its bound ports to its end."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jrc.kernel.channels import Channels
from jrc.kernel.messages import Messages
from jrc.profile.paths import Paths
from jrc.relay.machine import Machine
from jrc.relay.relay import Relay
from jrc.relay.relayed_kernel import RelayedKernel, session_path
from jrc.relay.sockets import Sockets
from jrc.relay.watch import Timing
from jrc.server.open import open_server
from jrc.server.orphans import RecordFile
from jrc.tasks import first_of, in_daemon_thread
from jrc.visible import log_to_stderr

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.relay")

PATIENCE = 12 * 3600.0
"""Seconds to wait for a lost link: a laptop may sleep overnight and find its kernel again."""

_PARENT_POLL = 1.0


async def serve(
    sockets: Sockets, environment: Mapping[str, str], timing: Timing | None = None
) -> None:
    """Relay until a signal, a client or the end of the editor stops it.

    Args:
        sockets: bound, not started.
        environment: ``JRC_PROFILE``, ``JRC_KERNEL``, ``JPY_SESSION_NAME``, ``JPY_PARENT_PID``.
        timing: thresholds of the relay; the defaults if None.

    Raises:
        JrcError: it can't start, or the remote kernel is gone.
    """
    log_to_stderr("jrc-kernel: %(message)s")
    messages = Messages(username="jrc")
    # jupyter_client restarts a kernel by starting a new process when the old one has ended; a
    # process that stays would only make it wait. Without such a parent nobody starts a new one.
    managed = "JPY_PARENT_PID" in environment
    timing = timing or Timing()
    relay = Relay(sockets, Machine(messages, restarts_in_place=not managed, timing=timing))
    relay.start()
    with _signals(relay):
        await first_of(
            _connect_and_relay(relay, messages.session, environment, timing),
            relay.stopped.wait(),
            _parent_exit(environment),
        )
    relay.check()


async def _connect_and_relay(
    relay: Relay, session_id: str, environment: Mapping[str, str], timing: Timing
) -> None:
    async with open_server(environment.get("JRC_PROFILE")) as server:
        path = session_path(environment, Path.cwd())
        with RecordFile(Paths.from_environment(), server.address.base_url, path) as record:
            kernel = RelayedKernel(server, record)
            try:
                await kernel.start(environment.get("JRC_KERNEL"))
                async with _channels(server, kernel, session_id, timing) as channels:
                    await relay.run(kernel, channels)
            finally:
                await kernel.delete()


@asynccontextmanager
async def _channels(
    server: "ServerClient", kernel: RelayedKernel, session_id: str, timing: Timing
) -> AsyncIterator[Channels]:
    channels = Channels(
        server,
        kernel.id,
        session_id=session_id,
        patience=PATIENCE,
        stubborn=True,
        timing=timing.link,
    )
    await kernel.open(channels)
    try:
        yield channels
    finally:
        channels.abort()


async def _parent_exit(environment: Mapping[str, str]) -> None:
    """Return when the editor that started the relay has ended: nobody needs the relay then.

    Source: jupyter_client ``launcher.py``: on Windows ``JPY_PARENT_PID`` is a handle of it.
    """
    if sys.platform == "win32":
        import ctypes

        handle = int(environment.get("JPY_PARENT_PID", 0))
        if handle:
            wait = ctypes.windll.kernel32.WaitForSingleObject
            await in_daemon_thread(wait, handle, 0xFFFFFFFF, name="relay-parent")
            return
    else:
        parent = os.getppid()
        while parent != 1:  # the system itself does not end
            await asyncio.sleep(_PARENT_POLL)
            if os.getppid() != parent:
                return
    await asyncio.Event().wait()


@contextmanager
def _signals(relay: Relay) -> Iterator[None]:
    """SIGTERM and the like end the relay, SIGINT interrupts the remote kernel.

    ``signal.signal`` and not the loop's own: Windows has only this.
    """
    loop = asyncio.get_running_loop()

    def soon(act: Callable[[], None]) -> Callable[[int, object], None]:
        return lambda _number, _frame: (loop.call_soon_threadsafe(act), None)[1]

    handlers = {"SIGINT": soon(relay.interrupt_soon)}
    handlers |= dict.fromkeys(("SIGTERM", "SIGHUP", "SIGBREAK"), soon(relay.stopped.set))
    for name, handler in handlers.items():
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, handler)
    try:
        yield
    finally:
        # Nothing waits any more: a second signal ends the process at once.
        for name in handlers:
            number = getattr(signal, name, None)
            if number is not None:
                signal.signal(number, signal.SIG_IGN if name == "SIGINT" else signal.SIG_DFL)
