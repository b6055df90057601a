"""The way into a tunnel: only the keeper gets more than a question, and not for ever."""

import asyncio
import os
import re
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from jrc.profile.paths import Paths
from jrc.profile.route import Route
from jrc.server.http_errors import classify
from jrc.server.tunnelled import TunnelTransport
from jrc.tunnel.entrance import Entrance, NoKeeperError
from jrc.tunnel.machine import Phase
from jrc.tunnel.pump import Pump
from jrc.tunnel.status import KeeperFiles, KeeperStatus, Spec
from tests.support.stranger import stranger_passes_on

pytestmark = [pytest.mark.anyio, pytest.mark.attacks]

ANSWER = b"0" * 64 + b"\n"
"""What looks like the keeper's."""

Use = Callable[[Entrance], Coroutine[Any, Any, None]]


async def by_http(entrance: Entrance) -> None:
    async with httpx.AsyncClient(transport=TunnelTransport(entrance)) as client:
        await client.get("http://127.0.0.1:1/", headers={"Authorization": "token s3cret"})


async def by_socket(entrance: Entrance) -> None:
    with await entrance.connect() as sock:
        await asyncio.get_running_loop().sock_sendall(sock, b"Authorization: token s3cret\r\n")


def keeper_at(port: int) -> Paths:
    """The files of a keeper that listened on a port."""
    paths = Paths.from_environment()
    files = KeeperFiles.of(paths, "lab")
    files.prepare()
    files.prepare_key()
    spec = Spec("lab", Route("stub", "default", "svc/jupyter", 80), port)
    files.write(KeeperStatus(spec, os.getpid(), "once", Phase.READY, 0.0, port=port))
    return paths


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("use", [by_http, by_socket])
async def test_a_tunnel_without_a_keeper_may_have_one_a_moment_later(use: Use) -> None:
    """As a port on which nobody listens: who may ask again does."""
    with pytest.raises(NoKeeperError, match="The tunnel of 'lab' is down") as raised:
        await use(Entrance(Paths.from_environment(), "lab"))
    assert classify(raised.value).may_pass


@pytest.mark.parametrize("use", [by_http, by_socket])
async def test_digits_that_drip_hold_no_connection(use: Use) -> None:
    dripped = 0
    done = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dripped
        await reader.read(200)
        with suppress(OSError):
            while dripped < len(ANSWER):
                writer.write(ANSWER[dripped : dripped + 1])
                dripped += 1
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        done.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        entrance = Entrance(keeper_at(server.sockets[0].getsockname()[1]), "lab", patience=0.2)
        with pytest.raises(NoKeeperError, match="another program listens there"):
            await use(entrance)
        await done.wait()
    assert dripped < len(ANSWER)


@pytest.mark.parametrize("use", [by_http, by_socket])
@pytest.mark.parametrize("host", ["", "127.0.0.2", "127.0.0.1"])
async def test_a_proof_that_is_passed_on_is_none(use: Use, host: str, tmp_path: Path) -> None:
    """By one who kept a connection to the port, until the next keeper has it.

    He has it answered for a connection of his own, from the client's port too: where the system
    lets him, which is at another address than the client's.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = keeper_at(port)
    key = KeeperFiles.of(paths, "lab").key()
    assert key
    keeper = Pump(lambda: None, lambda: None)
    with stranger_passes_on(port, tmp_path, host) as stranger:
        await until(lambda: stranger.listens)
        using = asyncio.create_task(use(Entrance(paths, "lab", patience=20)))
        await until(lambda: stranger.heard)
        await keeper.listen(port, key)
        with pytest.raises(NoKeeperError, match=f"Port {port} does not lead to the tunnel"):
            await using
        await keeper.close()
        question, said = stranger.heard.split(b"\n", 1)
    assert question.startswith(b"JRC-TUNNEL")
    if host == "127.0.0.1" or (host and sys.platform != "linux"):
        assert said.startswith(b"FAILED ")
    else:
        assert re.fullmatch(rb"ANSWER [0-9a-f]{64}\n", said)
