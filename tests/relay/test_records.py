"""Sessions whose relay was killed, found and removed by the next jrc command."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.relay.kernel import RemoteKernel, session_path
from jrc.relay.records import LATEST_START, RecordFile, remove_orphans
from jrc.server.address import ServerAddress
from jrc.server.auth import TokenAuth
from jrc.server.client import ServerClient
from tests.support.jupyter import JupyterServer

pytestmark = pytest.mark.anyio

KILLED = """
import os, sys
from jrc.profile.paths import Paths
from jrc.relay.records import RecordFile
record = RecordFile(Paths.from_environment(), sys.argv[1], sys.argv[2])
if len(sys.argv) > 3:
    record.created(sys.argv[3])
os._exit(9)
"""


REMOVE_ORPHANS = """
import asyncio
from jrc.relay.records import remove_orphans
from jrc.server.open import open_server
async def main():
    async with open_server(None) as server:
        print(await remove_orphans(server))
asyncio.run(main())
"""


@pytest.fixture
def paths() -> Paths:
    return Paths.from_environment()


@pytest.fixture
async def server(jupyter: JupyterServer) -> AsyncIterator[ServerClient]:
    address, _ = ServerAddress.parse(jupyter.url)
    async with ServerClient(address, TokenAuth(Secret(jupyter.token))) as client:
        yield client


def killed_relay(*arguments: str) -> None:
    """Leave behind what a relay leaves that was killed."""
    subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)


def files(paths: Paths) -> list[Path]:
    folder = paths.state / "relays"
    return sorted(folder.iterdir()) if folder.exists() else []


def new_path() -> str:
    return session_path({}, Path("/home/ada/folder"))


async def session_paths(server: ServerClient) -> list[str]:
    return [session.path for session in await server.sessions()]


async def test_an_orphan_is_removed(server: ServerClient, paths: Paths) -> None:
    path = new_path()
    session = await server.create_session(path, "name", "notebook", None)
    killed_relay(server.address.base_url, path, session.id)
    assert await remove_orphans(server) == [path]
    assert path not in await session_paths(server)
    assert files(paths) == []


async def test_the_session_of_a_living_relay_stays(
    server: ServerClient, paths: Paths, remote: JupyterServer
) -> None:
    with RecordFile(paths, server.address.base_url, new_path()) as record:
        session = await server.create_session(record.session_path, "name", "notebook", None)
        record.created(session.id)
        command = [sys.executable, "-c", REMOVE_ORPHANS]
        another = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
        assert another.stdout == "[]\n", another.stderr
        assert await remove_orphans(server) == []
        assert record.session_path in await session_paths(server)
        await server.delete_session(session.id)
        record.remove()
    assert files(paths) == []


async def test_a_relay_killed_before_the_answer_came_is_found_by_its_path(
    server: ServerClient, paths: Paths
) -> None:
    path = new_path()
    await server.create_session(path, "name", "notebook", None)
    killed_relay(server.address.base_url, path)
    assert await remove_orphans(server) == [path]
    assert path not in await session_paths(server)


async def test_a_session_that_may_still_appear_is_waited_for(
    server: ServerClient, paths: Paths
) -> None:
    killed_relay(server.address.base_url, new_path())
    assert await remove_orphans(server) == []
    (record,) = [path for path in files(paths) if path.suffix == ".json"]
    fields: dict[str, Any] = json.loads(record.read_text())
    fields["created"] = time.time() - LATEST_START - 1
    record.write_text(json.dumps(fields))
    await remove_orphans(server)
    assert files(paths) == []


async def test_what_is_on_another_server_stays(server: ServerClient, paths: Paths) -> None:
    killed_relay("http://127.0.0.1:1/other/", new_path(), "id")
    assert await remove_orphans(server) == []
    assert len(files(paths)) == 2


async def test_a_session_that_is_gone_already_is_no_orphan(
    server: ServerClient, paths: Paths
) -> None:
    killed_relay(server.address.base_url, new_path(), "00000000-0000-0000-0000-000000000000")
    await remove_orphans(server)
    assert files(paths) == []


async def test_a_record_that_can_not_be_read_is_passed_over(
    server: ServerClient, paths: Paths
) -> None:
    killed_relay(server.address.base_url, new_path())
    (record,) = [path for path in files(paths) if path.suffix == ".json"]
    for junk in ("", "[]", '{"unknown": 1}'):
        record.write_text(junk)
        assert await remove_orphans(server) == []


async def test_records_are_private(server: ServerClient, paths: Paths) -> None:
    with RecordFile(paths, server.address.base_url, new_path()) as record:
        assert all(
            path.stat().st_mode & 0o077 == 0 for path in files(paths) if path.suffix != ".lock"
        )
        record.remove()


async def test_a_start_that_is_given_up_leaves_no_kernel(
    server: ServerClient, paths: Paths
) -> None:
    """A relay that is told to end while the server still starts its kernel."""
    with RecordFile(paths, server.address.base_url, new_path()) as record:
        kernel = RemoteKernel(server, record)
        starting = asyncio.create_task(kernel.start(None))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await kernel.delete()
        assert record.session_path not in await session_paths(server)
    assert files(paths) == []


@pytest.mark.parametrize(
    ("notebook", "folder", "start"),
    [
        ("/home/ada/project/plots.ipynb", "/tmp/x", "project/plots.ipynb-"),
        ("C:\\Users\\ada\\project\\plots.ipynb", "/tmp/x", "project/plots.ipynb-"),
        ("plots.ipynb", "/home/ada/project", "project/plots.ipynb-"),
        ("../../plots.ipynb", "/home/ada/project", "project/plots.ipynb-"),
        ("", "/home/ada/project", "project-"),
        ("", "/", "root-"),
    ],
)
async def test_the_session_path_tells_whose_kernel_it_is(
    notebook: str, folder: str, start: str
) -> None:
    path = session_path({"JPY_SESSION_NAME": notebook}, Path(folder))
    jrc, owner, rest = path.split("/", 2)
    assert jrc == "jrc"
    assert "@" in owner
    assert rest.startswith(start)
    assert path != session_path({"JPY_SESSION_NAME": notebook}, Path(folder))
