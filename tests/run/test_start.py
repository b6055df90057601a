"""Kernels that do not begin to live, and lines that break while one is asked for."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from jrc.errors import KernelDiedError, UnreachableError
from jrc.profile.paths import Paths
from jrc.run.events import RunFinished
from jrc.server.orphans import Orphans, orphans_removed
from tests.support.desk import Desk
from tests.support.jupyter import JupyterServer, StartJupyter
from tests.support.proxy import Proxy
from tests.support.running import Recorder, client_of, notebook, run_document, stdout_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def server(start_jupyter: StartJupyter) -> JupyterServer:
    """A server with a kernel that never answers, and one that ends at once."""
    server = start_jupyter(settings={"AsyncIOLoopKernelRestarter": {"restart_limit": 0}})
    for name, code in {"mute": "import time; time.sleep(600)", "ends": "exit(1)"}.items():
        spec = server.folder / "home" / "data" / "kernels" / name
        spec.mkdir(parents=True)
        argv = [sys.executable, "-c", code, "{connection_file}"]
        text = json.dumps({"argv": argv, "display_name": name, "language": "python"})
        (spec / "kernel.json").write_text(text)
    return server


@pytest.mark.parametrize(
    ("kernel", "sentence"),
    [
        ("mute", r"The kernel 'mute' did not answer within 3 s of its start\."),
        ("ends", r"The kernel 'ends' died at its start; the server's log says why\."),
    ],
)
async def test_a_kernel_that_does_not_begin_to_live(
    server: JupyterServer, tmp_path: Path, kernel: str, sentence: str
) -> None:
    path, listener = notebook(tmp_path, "1"), Recorder()
    with pytest.raises(KernelDiedError, match=sentence):
        async with asyncio.timeout(60):
            await run_document(
                server,
                path,
                tmp_path / "out.ipynb",
                listener=listener,
                kernel=kernel,
                start_timeout=3.0 if kernel == "mute" else 60.0,
            )
    (finished,) = listener.of(RunFinished)
    assert finished.exit_code == 8
    assert server.rest("GET", "api/kernels") == []


async def test_a_detached_run_on_a_kernel_that_never_answers(
    server: JupyterServer, tmp_path: Path
) -> None:
    laptop = Desk(server, tmp_path / "laptop")
    with pytest.raises(KernelDiedError, match=r"'mute' did not answer within 3 s of its start\."):
        async with asyncio.timeout(60):
            await laptop.begin(notebook(tmp_path, "1"), kernel="mute", start_timeout=3.0)
    assert server.rest("GET", "api/kernels") == []
    assert laptop.records.all() == []


class LosesAnswers(Proxy):
    """Breaks the connection in the place of the first answers that say that a session is there."""

    left = 2

    def _to_client(self, writer: asyncio.StreamWriter) -> "Losing":
        return Losing(self, writer)


class Losing:
    """Writes to the client, or breaks."""

    def __init__(self, proxy: LosesAnswers, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writer = writer

    def write(self, data: bytes) -> None:
        if self._proxy.left and b"201 Created" in data:
            self._proxy.left -= 1
            self._writer.transport.abort()
        else:
            self._writer.write(data)

    def write_eof(self) -> None:
        self._writer.write_eof()

    async def drain(self) -> None:
        await self._writer.drain()


async def test_a_line_that_breaks_while_a_kernel_is_asked_for(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path, output = notebook(tmp_path, "print('ran')"), tmp_path / "out.ipynb"
    with LosesAnswers(jupyter.url) as proxy:
        await run_document(jupyter, path, output, url=proxy.url)
        assert proxy.left == 0
    assert stdout_of(output) == "ran\n"


async def test_a_kernel_that_was_started_unheard_is_deleted_by_the_next_command(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    """The answer with its id never came."""
    path = notebook(tmp_path, "1")
    with LosesAnswers(jupyter.url) as proxy:
        proxy.left = 1000
        with pytest.raises(UnreachableError):
            await run_document(
                jupyter, path, tmp_path / "out.ipynb", url=proxy.url, patience=0, profile="lab"
            )
        (session,) = jupyter.rest("GET", "api/sessions")
        proxy.left = 0
        said: list[str] = []
        paths = Paths.from_environment()
        async with (
            client_of(jupyter, url=proxy.url) as client,
            orphans_removed(client, paths, Orphans.FIRST, said.append),
        ):
            pass
    why = "its run ended while the kernel was starting"
    assert said == [f"Deleted the kernel of {session['path']}: {why}."]
    assert jupyter.rest("GET", "api/sessions") == []


async def test_a_server_that_is_not_there_is_not_waited_for(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = notebook(tmp_path, "1")
    with Proxy(jupyter.url) as proxy:
        proxy.cut(refuse=True)
        with pytest.raises(UnreachableError, match="Nothing listens"):
            async with asyncio.timeout(30):
                await run_document(
                    jupyter, path, tmp_path / "out.ipynb", url=proxy.url, patience=600
                )
