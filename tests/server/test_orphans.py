"""Sessions whose relay was killed, found and removed by the next jrc command."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.relay.relayed_kernel import RelayedKernel, session_path
from jrc.server import orphans
from jrc.server.address import ServerAddress
from jrc.server.auth import TokenAuth
from jrc.server.client import ServerClient
from jrc.server.orphans import (
    LATEST_START,
    Orphans,
    RecordFile,
    orphans_removed,
    remove_orphans,
)
from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer
from tests.support.running import profile_of
from tests.support.web import Reply, Web

pytestmark = pytest.mark.anyio

KILLED = """
import os, sys
from jrc.profile.paths import Paths
from jrc.server.orphans import RecordFile
record = RecordFile(Paths.from_environment(), sys.argv[1], sys.argv[2])
if len(sys.argv) > 3:
    record.created(sys.argv[3])
os._exit(9)
"""


REMOVE_ORPHANS = """
import asyncio
from jrc.server.orphans import remove_orphans
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
    server: ServerClient, paths: Paths, jupyter: JupyterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in profile_of(jupyter).items():
        monkeypatch.setenv(name, value)
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


def age(record: Path) -> None:
    written = time.time() - LATEST_START - 1
    os.utime(record, (written, written))


async def test_a_relay_killed_before_the_answer_came_is_found_by_its_path(
    server: ServerClient, paths: Paths
) -> None:
    path = new_path()
    await server.create_session(path, "name", "notebook", None)
    killed_relay(server.address.base_url, path)
    assert await remove_orphans(server) == [path]
    assert path not in await session_paths(server)


async def test_a_session_that_may_still_appear_is_waited_for(
    server: ServerClient, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever time the computer believes that it is."""
    killed_relay(server.address.base_url, new_path())
    with monkeypatch.context() as wrong:
        wrong.setattr("time.time", lambda: 4e9)
        assert await remove_orphans(server) == []
    (record,) = [path for path in files(paths) if path.suffix == ".json"]
    fields: dict[str, Any] = json.loads(record.read_text())
    fields["created"] = time.monotonic() - LATEST_START - 1
    record.write_text(json.dumps(fields))
    age(record)
    assert await remove_orphans(server) == []
    assert files(paths) == []


@pytest.mark.parametrize("host", [socket.gethostname(), "another"])
async def test_the_age_of_a_record_of_another_start_is_that_of_its_file(
    server: ServerClient, paths: Paths, host: str
) -> None:
    """The computer that shares the folder counts from then; it may have this one's name, too."""
    killed_relay(server.address.base_url, new_path())
    (record,) = [path for path in files(paths) if path.suffix == ".json"]
    fields: dict[str, Any] = json.loads(record.read_text())
    fields |= {"created": time.monotonic() - LATEST_START - 1, "boot": "x", "host": host}
    record.write_text(json.dumps(fields))
    assert await remove_orphans(server) == []
    assert record in files(paths)
    age(record)
    assert await remove_orphans(server) == []
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
        kernel = RelayedKernel(server, record)
        starting = asyncio.create_task(kernel.start(None))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await kernel.delete()
        assert record.session_path not in await session_paths(server)
    assert files(paths) == []


# Beside a command


async def test_orphans_are_gone_before_the_block_begins(server: ServerClient, paths: Paths) -> None:
    path, told = new_path(), list[str]()
    session = await server.create_session(path, "name", "notebook", None)
    killed_relay(server.address.base_url, path, session.id)
    async with orphans_removed(server, paths, Orphans.FIRST, told.append):
        assert path not in await session_paths(server)
    assert told == [f"Deleted the kernel of {path}: its editor was killed."]


async def test_a_quick_command_waits_for_the_end_of_the_orphans(
    server: ServerClient, paths: Paths
) -> None:
    path = new_path()
    session = await server.create_session(path, "name", "notebook", None)
    killed_relay(server.address.base_url, path, session.id)
    async with orphans_removed(server, paths):
        pass
    assert files(paths) == []


async def test_a_server_that_does_not_answer_keeps_no_command(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "LEAVE_DEADLINE", 0.05)
    monkeypatch.setattr(orphans, "SEARCH_DEADLINE", 0.2)
    arrived, over = asyncio.Event(), asyncio.Event()

    async def hear_and_say_nothing(_: object, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        arrived.set()
        await over.wait()

    connections: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(hear_and_say_nothing, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/"
    killed_relay(url, new_path(), "00000000-0000-0000-0000-000000000000")
    async with ServerClient(ServerAddress(url), TokenAuth(Secret("t"))) as client:
        async with orphans_removed(client, paths):
            await arrived.wait()
        async with orphans_removed(client, paths, Orphans.FIRST):
            pass
    over.set()
    silent.close()
    for writer in connections:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    assert len(files(paths)) == 2, "the record stays for the next command"


async def test_a_command_that_fails_or_is_interrupted_does_not_wait(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "LEAVE_DEADLINE", None)
    killed_relay("http://127.0.0.1:1/", new_path(), "00000000-0000-0000-0000-000000000000")

    async def hang(*_: object, **__: object) -> list[str]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(orphans, "remove_orphans", hang)
    async with ServerClient(ServerAddress("http://127.0.0.1:1/"), TokenAuth(Secret("t"))) as client:
        with pytest.raises(ValueError, match="of the command"):
            async with orphans_removed(client, paths):
                raise ValueError("of the command")


async def test_a_fault_of_the_search_is_not_the_commands(
    server: ServerClient, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_relay(server.address.base_url, new_path())
    monkeypatch.setattr(orphans, "remove_orphans", lambda *_, **__: 1 // 0)
    async with orphans_removed(server, paths):
        pass


async def test_a_command_removes_the_orphans_on_its_server(paths: Paths) -> None:
    """Without a record it asks for nothing more; a server that fails is passed over."""
    kernel = '{"id": "3f2a", "name": "python3", "last_activity": null, "execution_state": "idle"}'
    replies: dict[str, Reply | list[Reply]] = {
        "/api/kernels": Reply(body=f"[{kernel}]".encode()),
        "/api/kernels/3f2a/interrupt": Reply(status=204),
        "/api/sessions": Reply(body=b"[]"),
        "/api/sessions/orphan": [Reply(status=400), Reply(status=204)],
    }
    with Web(replies) as web:
        env = {"JRC_URL": web.url, "JRC_TOKEN": "t"}

        def asked() -> list[str]:
            before = len(web.requests)
            run_jrc("kernel", "interrupt", "3f2a", env=env)
            return sorted(f"{each.method} {each.path}" for each in web.requests[before:])

        usual = await asyncio.to_thread(asked)
        assert not any("orphan" in line for line in usual)
        killed_relay(web.url, new_path(), "orphan")
        for _ in range(2):
            assert await asyncio.to_thread(asked) == sorted([*usual, "DELETE /api/sessions/orphan"])
        assert await asyncio.to_thread(asked) == usual
    assert files(paths) == []


async def test_a_question_leaves_the_orphans(jupyter: JupyterServer, paths: Paths) -> None:
    killed_relay(jupyter.url, new_path(), "00000000-0000-0000-0000-000000000000")
    assert (await asyncio.to_thread(run_jrc, "runs", env=profile_of(jupyter))).code == 0
    assert len(files(paths)) == 2


async def test_a_completion_leaves_the_orphans(jupyter: JupyterServer, paths: Paths) -> None:
    killed_relay(jupyter.url, new_path(), "00000000-0000-0000-0000-000000000000")
    env = {
        **profile_of(jupyter),
        "_JRC_COMPLETE": "complete_bash",
        "COMP_WORDS": "jrc kernel stop ",
        "COMP_CWORD": "3",
    }
    await asyncio.to_thread(run_jrc, env=env)
    assert len(files(paths)) == 2


# Session paths


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
