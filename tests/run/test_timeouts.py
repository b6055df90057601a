"""Cells that run too long, and what they make of the interrupt."""

import asyncio
import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from jrc.errors import DeadlineError
from jrc.kernel.channels import Channels
from jrc.recorder.protocol import CANCEL_REQUEST
from jrc.run.events import CellFinished, RunFinished
from jrc.wire.message import Message
from tests.support.jupyter import JupyterServer
from tests.support.running import Recorder, notebook, run_document, stdout_of

pytestmark = pytest.mark.anyio

CATCHES = "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    "

LATE = {
    "outlives": "!sleep 60; echo outlived",
    "catches": CATCHES + "print('caught')",
    "fails": "import time\ntime.sleep(60)",
    "raises another": CATCHES + "raise ValueError",
}


@pytest.mark.parametrize(
    ("late", "last", "pipeline"),
    [
        *[(late, last, True) for late in LATE for last in (True, False)],
        ("catches", False, False),
    ],
)
async def test_a_cell_that_runs_too_long_ends_the_run(
    jupyter: JupyterServer, tmp_path: Path, late: str, last: bool, pipeline: bool
) -> None:
    path = notebook(tmp_path, "print('a')", LATE[late], *([] if last else ["print('next')"]))
    output, listener = tmp_path / "out.ipynb", Recorder()
    with pytest.raises(DeadlineError, match=r"Cell 2 of .* ran longer than 3 s"):
        await run_document(
            jupyter, path, output, listener=listener, cell_timeout=3, pipeline=pipeline
        )
    assert [event.status for event in listener.of(CellFinished)] == ["ok", "timeout"]
    (finished,) = listener.of(RunFinished)
    assert (finished.status, finished.exit_code) == ("timeout", 7)
    assert last or stdout_of(output, 2) == ""


async def test_no_cell_begins_before_the_kernel_knows_that_the_run_is_stopped(
    jupyter: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt goes another way than the cancellation, and could overtake it."""
    send, sending = Channels.send, set()

    async def slowly(self: Channels, message: Message, **options: bool) -> None:
        if message.msg_type != CANCEL_REQUEST:
            return await send(self, message, **options)

        async def later() -> None:
            await asyncio.sleep(1)
            await send(self, message, **options)

        sending.add(asyncio.create_task(later()))
        return None

    monkeypatch.setattr(Channels, "send", slowly)
    path = notebook(tmp_path, LATE["catches"], "print('next')")
    output = tmp_path / "out.ipynb"
    with pytest.raises(DeadlineError):
        await run_document(jupyter, path, output, cell_timeout=1)
    assert stdout_of(output, 1) == ""
    await asyncio.gather(*sending)


async def test_with_errors_allowed_the_next_cell_follows(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    """As nbclient does with ``interrupt_on_timeout``."""
    sources = [
        text for late in ("catches", "fails") for text in (LATE[late], f"print('behind {late}')")
    ]
    path, output, listener = notebook(tmp_path, *sources), tmp_path / "out.ipynb", Recorder()
    expected = nbformat.read(path, as_version=4)
    NotebookClient(expected, timeout=3, interrupt_on_timeout=True, allow_errors=True).execute()
    assert (
        await run_document(
            jupyter, path, output, listener=listener, cell_timeout=3, allow_errors=True
        )
        == 0
    )
    statuses = [event.status for event in listener.of(CellFinished)]
    assert statuses == ["timeout", "ok", "timeout", "ok"]
    assert shown(nbformat.read(output, as_version=4)) == shown(expected)


def shown(notebook: nbformat.NotebookNode) -> list[list[str]]:
    return [
        [output.get("text") or output.get("ename") for output in cell.outputs]
        for cell in notebook.cells
    ]


async def test_a_cell_that_runs_too_long_once_leaves_the_others_their_time(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = notebook(tmp_path, LATE["fails"], "import time\ntime.sleep(0.5)\nprint('in time')")
    output = tmp_path / "out.ipynb"
    await run_document(jupyter, path, output, cell_timeout=3, allow_errors=True)
    errors = [each["ename"] for each in json.loads(output.read_text())["cells"][0]["outputs"]]
    assert errors == ["KeyboardInterrupt"]
    assert stdout_of(output, 1) == "in time\n"
