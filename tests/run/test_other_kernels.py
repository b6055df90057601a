"""Kernels that can't have a recorder: the run goes on cell by cell, and says so once."""

import json
import sys
from pathlib import Path

import pytest

from jrc.errors import ConfigError, OutputLostError
from jrc.notebook.document import load
from jrc.profile.paths import Paths
from jrc.run.detached import begin_detached
from jrc.run.events import CellFinished, Notice
from jrc.runs.records import RunRecords
from tests.support.jupyter import JupyterServer, StartJupyter
from tests.support.running import Recorder, client_of, notebook, options_of, run_document, stdout_of

pytestmark = pytest.mark.anyio

ECHO = """
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel


class Echo(Kernel):
    implementation = "echo"
    implementation_version = "1"
    language_info = {"name": "text", "mimetype": "text/plain", "file_extension": ".txt"}
    banner = "echo"

    def do_execute(self, code, silent, *_, **__):
        if code and not silent:
            text = {"name": "stdout", "text": code + "\\n"}
            self.send_response(self.iopub_socket, "stream", text)
        return {"status": "ok", "execution_count": 1, "payload": [], "user_expressions": {}}


IPKernelApp.launch_instance(kernel_class=Echo)
"""


@pytest.fixture
def with_echo(start_jupyter: StartJupyter) -> JupyterServer:
    """A server with a kernel that only says what it was told."""
    server = start_jupyter()
    spec = server.folder / "home" / "data" / "kernels" / "echo"
    spec.mkdir(parents=True)
    (spec / "echo.py").write_text(ECHO)
    argv = [sys.executable, str(spec / "echo.py"), "-f", "{connection_file}"]
    described = {"argv": argv, "display_name": "Echo", "language": "text"}
    (spec / "kernel.json").write_text(json.dumps(described))
    return server


async def test_another_kernel_is_sent_cell_after_cell(
    with_echo: JupyterServer, tmp_path: Path
) -> None:
    path, output = notebook(tmp_path, "one", "two"), tmp_path / "out.ipynb"
    listener = Recorder()
    assert await run_document(with_echo, path, output, listener=listener, kernel="echo") == 0
    assert [stdout_of(output, cell) for cell in (0, 1)] == ["one\n", "two\n"]
    (said,) = listener.of(Notice)
    assert said.kind == "unrecorded"
    assert "no recorder in this kernel (it is no ipykernel 6 or later)" in said.text
    assert [event.status for event in listener.of(CellFinished)] == ["ok", "ok"]


async def test_a_document_of_another_language_does_not_even_try(
    with_echo: JupyterServer, tmp_path: Path
) -> None:
    path, output = notebook(tmp_path, "one"), tmp_path / "out.ipynb"
    content = json.loads(path.read_text())
    content["metadata"]["kernelspec"] = {"name": "echo", "display_name": "E", "language": "text"}
    path.write_text(json.dumps(content))
    listener = Recorder()
    assert await run_document(with_echo, path, output, listener=listener) == 0
    (said,) = listener.of(Notice)
    assert "(it is for text)" in said.text


async def test_it_can_not_run_detached(with_echo: JupyterServer, tmp_path: Path) -> None:
    paths = Paths(tmp_path / "c", tmp_path / "s", tmp_path / "l")
    async with client_of(with_echo) as client:
        with pytest.raises(ConfigError, match="can't run detached: it is no ipykernel 6 or later"):
            await begin_detached(
                load(notebook(tmp_path, "one"), args=[]),
                client,
                options=options_of(kernel="echo", profile="team"),
                listener=Recorder(),
                output=None,
                records=RunRecords(paths),
            )
    assert with_echo.rest("GET", "api/sessions") == []


async def test_a_cell_that_lacks_output_is_marked(jupyter: JupyterServer, tmp_path: Path) -> None:
    path = notebook(tmp_path, "print('x' * 70_000_000)", "print('next')")
    output = tmp_path / "out.ipynb"
    with pytest.raises(OutputLostError):
        await run_document(jupyter, path, output, recorder=False)
    first, second = json.loads(output.read_text())["cells"]
    assert "came too fast" in first["metadata"]["jrc_incomplete"][0]
    assert "jrc_incomplete" not in second["metadata"]
    path.write_text(output.read_text().replace("70_000_000", "7"))
    assert await run_document(jupyter, path, output) == 0
    assert "jrc_incomplete" not in output.read_text()
