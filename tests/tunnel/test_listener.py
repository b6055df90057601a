"""Whose port it is: that of a child of ours, or by now somebody else's."""

import os
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from jrc.tunnel.listener import Listener
from jrc.tunnel.processes import Child
from tests.support.jupyter import wait_until
from tests.support.stranger import stranger_waits_for

pytestmark = pytest.mark.anyio

LISTENS = """
import os, signal, socket, time
listener = socket.create_server(("127.0.0.1", 0))
signal.signal(signal.SIGUSR1, lambda *_: (listener.close(), print("closed", flush=True)))
print(listener.getsockname()[1], os.getpid(), flush=True)
while True:
    time.sleep(600)
"""

Start = Callable[..., Coroutine[Any, Any, tuple[Child, int, int]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """A maker of children that listen: the child, its port, and the process that listens."""
    children: list[Child] = []

    async def start(*wrapper: str) -> tuple[Child, int, int]:
        argv = [sys.executable, "-c", LISTENS]
        child = await Child.start([*wrapper, shlex.join(argv)] if wrapper else argv, {})
        children.append(child)
        port, pid = map(int, (await child.stdout.readline()).split())
        return child, port, pid

    yield start
    for child in children:
        await child.end()


@pytest.mark.parametrize(
    "wrapper", [(), ("/bin/sh", "-c", 'eval "$0"; exit 1')], ids=["child", "wrapped"]
)
async def test_a_port_is_ours_until_the_child_ends(start: Start, wrapper: tuple[str, ...]) -> None:
    """Also where a wrapper script started it."""
    child, port, pid = await start(*wrapper)
    assert (pid == child.pid) == (not wrapper)
    listener = Listener(port, child)
    assert listener.is_ours
    await child.end()
    assert not listener.is_ours


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the child's life is known")
async def test_a_port_is_not_ours_when_the_child_lives_on_without_it(
    start: Start, tmp_path: Path
) -> None:
    child, port, pid = await start()
    listener = Listener(port, child)
    with stranger_waits_for(port, tmp_path) as stranger:
        os.kill(pid, signal.SIGUSR1)
        assert await child.stdout.readline() == b"closed\n"
        assert not listener.is_ours
        wait_until(lambda: stranger.listens, "another program listens")
        assert not listener.is_ours
        if os.geteuid() == 0:
            # kubectl named its port, and ended before anybody looked.
            assert not Listener(port, child).is_ours


async def test_where_the_system_does_not_say_who_listens_the_child_must_live(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    child, port, _ = await start()
    listener = Listener(port, child)
    assert listener.is_ours
    monkeypatch.undo()
    await child.end()
    assert not listener.is_ours


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the child's life is known")
async def test_a_port_on_which_nobody_listens_is_not_ours(start: Start) -> None:
    """kubectl named it and ended, and another program may take it next."""
    child, _, _ = await start()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert not Listener(unused.getsockname()[1], child).is_ours
