"""When modules are imported: the policy of jrc, and the few tricks that it needs.

A command should begin to work in the time that Python itself takes to start. So:

1. Help and shell completion import no library and no room. The commands are a table of names
   (``cli.lazy``).
2. A heavy library (httpx, websockets, nbformat, jupytext, keyring, tomlkit, yaml, zmq, asyncio) is
   imported inside the function that uses it, and so is a room that brings one, and
   ``server.http_errors``, which only a request that fails needs. All other imports stand at the
   top of the module: inside a function they would save nothing.
3. ``jrc run`` imports first what asks the server for a kernel. Everything else is imported while
   the kernel starts (``WHILE_A_KERNEL_STARTS``), and the websocket library while TCP connects
   (``kernel.link``): both in threads, because the network does not need Python meanwhile.
4. Parts of a library that jrc never uses, and that take long, are hidden from it (``hidden``).
5. The garbage collector looks less often (``collect_less_garbage``).

``tests/test_house.py`` looks at ``sys.modules`` to keep the first three. The lists of what is
imported when are here; rooms only call the functions.
"""

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from types import ModuleType

WHILE_A_KERNEL_STARTS = (
    "jrc.run.outcome",
    "jrc.run.cell_requests",
    "jrc.run.runner",
    "jrc.runs.manifest",
)
"""What executes cells. It would hold up the request for the kernel."""

COMMAND_LINE_OF_HTTPX = ("httpx._main",)
"""It brings click, rich and pygments where somebody installed click: 60 ms and 5 MiB, which an
editor would hold once for each notebook. httpx does without."""

LARGE_PARTS_OF_NBFORMAT = ("rfc3987_syntax", "jupyter_server")
"""Where the extras of jupyter_server are installed, jsonschema builds a grammar for URIs (two
seconds) for a check that no notebook schema asks for, and jupytext loads its server extension. Both
do without."""

_hiding = RLock()


def collect_less_garbage() -> None:
    """Let the garbage collector look less often.

    Imports make many objects and hardly any garbage: to look for it is a tenth of the start. What
    is left at the end goes with the process, so nobody searches that either.
    """
    gc.set_threshold(20_000, 50, 50)
    atexit.register(gc.freeze)


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Import a library without some modules: they seem not to be installed within the block.

    Args:
        names: what is hidden. A module that is imported already stays visible.
    """
    with _hiding:
        missing = [name for name in names if name not in sys.modules]
        modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
        modules.update(dict.fromkeys(missing))
        try:
            yield
        finally:
            for name in missing:
                modules.pop(name, None)


async def load(*names: str) -> None:
    """Import modules in a thread, in their order, while the event loop waits for the network."""
    import asyncio
    from importlib import import_module

    def work() -> None:
        for name in names:
            import_module(name)

    await asyncio.to_thread(work)
