"""When the editor that started a relay is gone, nobody needs the relay any more."""

import asyncio
import os
import sys

_POLL = 1.0


async def parent_exit() -> None:
    """Return when the process that started this one has ended.

    Source: jupyter_client ``launcher.py``: on Windows ``JPY_PARENT_PID`` is a handle of it.
    """
    if sys.platform == "win32":
        await _handle_signaled(int(os.environ.get("JPY_PARENT_PID", 0)))
        return
    parent = os.getppid()
    if parent == 1:  # started by the system itself, which does not end
        await asyncio.Event().wait()
    while True:
        await asyncio.sleep(_POLL)
        if os.getppid() != parent:
            return


if sys.platform == "win32":

    async def _handle_signaled(handle: int) -> None:
        import ctypes
        import threading

        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wait() -> None:
            ctypes.windll.kernel32.WaitForSingleObject(handle, 0xFFFFFFFF)
            loop.call_soon_threadsafe(ended.set)

        if handle:
            # Not an executor's thread: those are waited for at the end.
            threading.Thread(target=wait, name="relay-parent", daemon=True).start()
        await ended.wait()
