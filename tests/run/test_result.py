"""What a result holds when a run does not go as planned: real cells on a real server."""

import asyncio
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from jrc.errors import DeadlineError, JrcError, KernelDiedError, RemoteError
from jrc.notebook.document import load
from jrc.notebook.parameters import parameterize
from jrc.run.events import CellStarted, Notice, RunFinished, RunStarted
from jrc.run.job import Job
from tests.support.jupyter import JupyterServer
from tests.support.running import Recorder, client_of, options_of, run_document, write_notebook

pytestmark = pytest.mark.anyio

STALE = {"output_type": "stream", "name": "stdout", "text": "of an earlier run"}
STALE_TIMES = {"iopub.status.busy": "2020-01-01T00:00:00.000000Z"}


def with_stale_outputs(path: Path) -> Path:
    """The notebook as an earlier run left it."""
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        cell.update(outputs=[STALE], execution_count=99, metadata={"execution": STALE_TIMES})
    path.write_text(json.dumps(notebook))
    return path


def cells_of(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return list(notebook.cells)


def text_of(cell: Any) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def wait_for(gate: Path) -> str:
    """Code that waits until a file is there."""
    return f"import os, time\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)"


class Watching(Recorder):
    """Calls a function at each event of a kind."""

    def __init__(self, kind: type[Any], act: Any) -> None:
        super().__init__()
        self._kind, self._act = kind, act

    def on_event(self, event: Any) -> None:
        super().on_event(event)
        if isinstance(event, self._kind):
            self._act(event)


# --- what an earlier run left


@pytest.mark.parametrize("pipeline", [True, False])
async def test_a_killed_cell_keeps_nothing_of_an_earlier_run(
    jupyter: JupyterServer, tmp_path: Path, pipeline: bool
) -> None:
    """It has its own count and times; the cells behind it are empty."""
    gate = tmp_path / "gate"
    sources = ["print('one')", f"{wait_for(gate)}\nos._exit(1)", "print('never')"]
    path = with_stale_outputs(write_notebook(tmp_path / "a.ipynb", sources))
    listener = Watching(CellStarted, lambda event: gate.touch() if event.number == 2 else None)
    with pytest.raises(KernelDiedError):
        await run_document(
            jupyter, path, tmp_path / "out.ipynb", listener=listener, pipeline=pipeline
        )
    one, killed, never = cells_of(tmp_path / "out.ipynb")
    assert (text_of(one), one.execution_count) == ("one\n", 1)
    assert (killed.outputs, killed.execution_count) == ([], 2)
    assert {"iopub.status.busy", "iopub.execute_input"} <= killed.metadata.execution.keys()
    assert STALE_TIMES.items() & killed.metadata.execution.items() == set()
    assert (never.outputs, never.execution_count, never.metadata) == ([], None, {})


async def test_a_cell_whose_time_is_up_keeps_nothing_of_an_earlier_run(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = write_notebook(tmp_path / "a.ipynb", ["while True:\n    pass", "print('never')"])
    with pytest.raises(DeadlineError):
        await run_document(
            jupyter, with_stale_outputs(path), tmp_path / "out.ipynb", cell_timeout=1
        )
    late, never = cells_of(tmp_path / "out.ipynb")
    assert [output.output_type for output in late.outputs] == ["error"]
    assert late.execution_count == 1
    assert (never.outputs, never.execution_count, never.metadata) == ([], None, {})


async def test_the_file_of_a_run_that_goes_on_shows_no_earlier_output(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    """As soon as the cell has begun, though it publishes nothing."""
    gate = tmp_path / "gate"
    path = with_stale_outputs(write_notebook(tmp_path / "a.ipynb", ["1", wait_for(gate)]))
    out = tmp_path / "out.ipynb"
    running = asyncio.create_task(run_document(jupyter, path, out))
    try:
        async with asyncio.timeout(60):
            while not out.exists() or text_of(cells_of(out)[1]):
                await asyncio.sleep(0.05)
        assert not gate.exists()
    finally:
        gate.touch()
        await running
    assert cells_of(out)[1].execution_count == 2


async def test_a_run_that_never_began_leaves_what_was_there(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = with_stale_outputs(write_notebook(tmp_path / "a.ipynb", ["1"]))
    with pytest.raises(JrcError):
        await run_document(jupyter, path, tmp_path / "out.ipynb", kernel="none")
    (cell,) = cells_of(tmp_path / "out.ipynb")
    assert (text_of(cell), cell.execution_count) == (STALE["text"], 99)


# --- odd tracebacks


@pytest.mark.parametrize("pipeline", [True, False])
@pytest.mark.parametrize("made", ["None", "'one line'", "[1, 2]", "5", "['a', None]", "['a', 'b']"])
async def test_a_failed_cell_stops_the_run_whatever_its_traceback_is(
    jupyter: JupyterServer, tmp_path: Path, made: str, pipeline: bool
) -> None:
    odd = f"class Stop(Exception):\n    def _render_traceback_(self):\n        return {made}\n"
    path = write_notebook(
        tmp_path / "a.ipynb", [odd + "print(1)\nraise Stop('enough')", "print(2)"]
    )
    listener = Recorder()
    with pytest.raises(RemoteError, match=r"Cell 1 .*Stop: enough"):
        await run_document(
            jupyter, path, tmp_path / "out.ipynb", listener=listener, pipeline=pipeline
        )
    failed, never = cells_of(tmp_path / "out.ipynb")
    assert text_of(failed) == "1\n"
    assert never.outputs == []
    assert len(listener.of(CellStarted)) == 1


# --- bugs of ours


class Bug(Exception):
    """Nobody expects it."""


async def test_what_arrived_is_saved_whatever_fails(
    jupyter: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in the middle of a run costs neither the outputs before it nor the end's event."""
    from jrc.run.progress import Account

    finished = Account.finished

    def failing(account: Account, event: Any, **how: Any) -> None:
        finished(account, event, **how)
        if event.key == 1:
            raise Bug

    monkeypatch.setattr(Account, "finished", failing)
    path = write_notebook(tmp_path / "a.ipynb", ["print('one')", "print('two')", "print('three')"])
    listener = Recorder()
    with pytest.raises(Bug):
        await run_document(jupyter, path, tmp_path / "out.ipynb", listener=listener)
    assert [text_of(cell) for cell in cells_of(tmp_path / "out.ipynb")] == ["one\n", "two\n", ""]
    (end,) = listener.of(RunFinished)
    assert (end.status, end.exit_code) == ("failed", 70)


# --- edits during a run


async def test_in_place_keeps_what_is_edited_during_the_run(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    sources = ["print('one')", f"{wait_for(gate)}\nprint('two')", "print('three')"]
    path = write_notebook(tmp_path / "a.ipynb", sources)

    def edit(event: CellStarted) -> None:
        if event.number == 2:
            notebook = nbformat.read(path, as_version=4)
            notebook.cells[2].source = "print('changed')"
            notebook.cells.append(nbformat.v4.new_markdown_cell("added", id="added"))
            path.write_text(nbformat.writes(notebook))
            gate.touch()

    listener = Watching(CellStarted, edit)
    assert await run_document(jupyter, path, path, listener=listener) == 0
    assert [cell.source for cell in cells_of(path)][2:] == ["print('changed')", "added"]
    assert [text_of(cell) for cell in cells_of(path)[:3]] == ["one\n", "two\n", ""]
    beside = tmp_path / "a.as-run.ipynb"
    assert [text_of(cell) for cell in cells_of(beside)] == ["one\n", "two\n", "three\n"]
    notices = [notice.text for notice in listener.of(Notice) if notice.kind == "saved"]
    assert [str(beside) in text for text in notices] == [True]


# --- numbers of cells


async def test_injected_parameters_count_as_no_cell(jupyter: JupyterServer, tmp_path: Path) -> None:
    """A number is the same with and without parameters, in events, errors and --from."""
    path = write_notebook(tmp_path / "a.ipynb", ["a = 1", "print(a)", "1 / 0", "4"])
    document = load(path, args=[])
    parameterize(document, {"a": 2})
    listener = Recorder()
    async with client_of(jupyter) as client:
        options = options_of(command=("a.ipynb",), keep_kernel_on_error=True)
        job = Job(document, client, options=options, listener=listener, output=None)
        with pytest.raises(RemoteError, match=r"Cell 3 of a\.ipynb") as caught:
            await job.run()
        started = [(event.number, event.total) for event in listener.of(CellStarted)]
        assert started == [(0, 4), (1, 4), (2, 4), (3, 4)]
        assert [event.cells for event in listener.of(RunStarted)] == [4]
        assert str(caught.value.hint).endswith("--from 3")
        kernel = listener.of(RunStarted)[0].kernel_id
        path.write_text(path.read_text().replace("1 / 0", "print(a * 10)"))
        document = load(path, args=[])
        parameterize(document, {"a": 2})
        options = options_of(kernel_id=kernel, first=document.position(3))
        again = Recorder()
        job = Job(document, client, options=options, listener=again, output=tmp_path / "o.ipynb")
        assert await job.run() == 0
        await client.delete_kernel(kernel)
    assert [event.number for event in again.of(CellStarted)] == [3, 4]
    assert [event.cells for event in again.of(RunStarted)] == [2]


async def test_a_failing_cell_of_parameters_is_named(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = write_notebook(tmp_path / "a.ipynb", ["1 / 0"])
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["metadata"] = {"tags": ["injected-parameters"]}
    path.write_text(json.dumps(notebook))
    with pytest.raises(RemoteError, match=r"^The cell with the parameters of a\.ipynb failed"):
        await run_document(jupyter, path, tmp_path / "out.ipynb")


async def test_a_notebook_without_code_says_what_the_kernel_is(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = tmp_path / "a.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("text")])
    notebook.metadata["language_info"] = {"name": "python", "version": "2.7"}
    nbformat.write(notebook, path)
    expected = NotebookClient(nbformat.read(path, as_version=4), kernel_name="python3").execute()
    assert await run_document(jupyter, path, tmp_path / "out.ipynb") == 0
    written = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert written.metadata["language_info"] == expected.metadata["language_info"]
