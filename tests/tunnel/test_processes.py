"""Children end with their parent, however that ends."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import psutil
import pytest

from jrc.tunnel import processes
from jrc.tunnel.processes import Child, lines

pytestmark = pytest.mark.anyio

PARENT = """
import asyncio, sys
from jrc.tunnel import processes

async def main():
    if {guarded}:
        processes._needs_guard = lambda: True
        processes._options = lambda: {{"process_group": 0}}
    argv = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = await processes.Child.start(argv, {{}})
    print(child.pid, flush=True)
    await child.wait()

asyncio.run(main())
"""


async def gone(process: psutil.Process) -> None:
    async with asyncio.timeout(30):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("guarded", [False, True], ids=["as here", "by the shell's guard"])
async def test_kill_9_of_the_parent_ends_the_child(guarded: bool) -> None:
    """By the system's own means, and by the guard that systems without such means get."""
    code = PARENT.format(guarded=guarded)
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=subprocess.PIPE
    )
    assert parent.stdout
    child = psutil.Process(int(await parent.stdout.readline()))
    family = [child, *child.children(recursive=True)]
    parent.kill()
    await parent.wait()
    for process in family:
        await gone(process)


async def guarded_child(monkeypatch: pytest.MonkeyPatch, *argv: str) -> Child:
    monkeypatch.setattr(processes, "_needs_guard", lambda: True)
    monkeypatch.setattr(processes, "_options", lambda: {"process_group": 0})
    return await Child.start(argv, {})


async def test_the_guard_is_transparent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output, exit code, and an empty stdin are those of the program."""
    code = "import sys; print(sys.stdin.read() + 'out'); print('err', file=sys.stderr); sys.exit(7)"
    child = await guarded_child(monkeypatch, sys.executable, "-c", code)
    output, said, status = await asyncio.gather(
        child.stdout.read(), child.stderr.read(), child.wait()
    )
    assert (output, said, status) == (b"out\n", b"err\n", 7)


async def test_stop_ends_the_whole_group(monkeypatch: pytest.MonkeyPatch) -> None:
    child = await guarded_child(monkeypatch, sys.executable, "-c", "import time; time.sleep(600)")
    family = psutil.Process(child.pid).children(recursive=True)
    await child.stop()
    await child.stop()
    for process in family:
        await gone(process)


async def test_stop_ends_what_ignores_it() -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True);"
        "time.sleep(600)"
    )
    child = await Child.start([sys.executable, "-c", code], {})
    await child.stdout.readline()
    await child.stop(patience=0.1)
    assert await child.wait() == -9


@pytest.mark.parametrize("end", [Child.stop, Child.end], ids=["stop", "end"])
@pytest.mark.parametrize("turns", range(4))
async def test_a_child_is_reaped_by_an_end_that_is_cancelled(
    turns: int, end: Callable[[Child], Coroutine[Any, Any, None]]
) -> None:
    """Wherever the end is when it is cancelled, and cancelled again."""
    child = await Child.start([sys.executable, "-c", "import time; time.sleep(600)"], {})
    ending = asyncio.create_task(end(child))
    for _ in range(turns):
        await asyncio.sleep(0)
    ending.cancel()
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    if turns:
        assert child.ended
        assert not psutil.pid_exists(child.pid)
        assert child.stdout.at_eof()
    await child.end()


@pytest.mark.parametrize("turns", range(1, 12))
async def test_a_child_whose_start_is_cancelled_is_reaped(turns: int) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(600)"]
    others = psutil.Process().children(recursive=True)
    starting = asyncio.create_task(Child.start(argv, {}))
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    with suppress(asyncio.CancelledError):
        await (await starting).end()
    assert set(psutil.Process().children(recursive=True)) <= set(others)


async def test_the_end_of_a_child_does_not_wait_for_one_that_left_its_group() -> None:
    """A login program's daemon may hold kubectl's pipes for as long as it likes."""
    code = (
        "import subprocess, sys;"
        "daemon = [sys.executable, '-c', 'import time; time.sleep(600)'];"
        "print(subprocess.Popen(daemon, start_new_session=True).pid, flush=True);"
        "import time; time.sleep(600)"
    )
    child = await Child.start([sys.executable, "-c", code], {})
    daemon = psutil.Process(int(await child.stdout.readline()))
    try:
        await child.end()
        assert daemon.is_running()
        assert await child.stdout.read() == await child.stderr.read() == b""
    finally:
        daemon.kill()
    assert not psutil.pid_exists(child.pid)


async def test_lines_of_any_length_and_bytes() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"one\r\ntwo\n\xff\n" + b"x" * 50_000 + b"\nlast")
    reader.feed_eof()
    got = [line async for line in lines(reader)]
    assert got[:3] == ["one", "two", "\ufffd"]
    assert got[-1] == "last"
    assert "".join(got[3:-1]) == "x" * 50_000
