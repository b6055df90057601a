"""What ``sys.exit`` means: the exit code of a script, the end of a notebook."""

import sqlite3
from pathlib import Path

import nbformat
import pytest

from jrc.errors import ExitCode, JrcError
from jrc.notebook.script import exit_code_of_cell, is_plain_exit
from jrc.run.events import CellOutput, RunFinished
from tests.support.jupyter import JupyterServer, StartJupyter, wait_until
from tests.support.running import Recorder, run_document, write_notebook

pytestmark = pytest.mark.anyio

EXITS = {
    "sys.exit(0)": 0,
    "sys.exit()": 0,
    "exit()": 0,
    "exit": 0,
    "quit(0)": 0,
    "raise SystemExit": 0,
    "(lambda: sys.exit(None))()": 0,
    "sys.exit(4)": 4,
    "quit(4)": 4,
    "sys.exit(-1)": -1,
    "sys.exit('no data')": 1,
    "sys.exit(True)": 1,
}


def printed(listener: Recorder) -> str:
    outputs = [event.output for event in listener.of(CellOutput)]
    return "".join(output["text"] for output in outputs if output.get("name") == "stdout")


@pytest.fixture
async def ended(jupyter: JupyterServer, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Runs a document that exits in its second cell; tells its exit code and what it printed."""

    async def run(path: Path, **options: object) -> tuple[int, str, str]:
        listener = Recorder()
        try:
            code = await run_document(
                jupyter, path, tmp_path / "out.ipynb", listener=listener, **options
            )
        except JrcError as error:
            code = error.exit_code
        (end,) = listener.of(RunFinished)
        assert end.exit_code == code
        return code, end.status, printed(listener)

    return run


@pytest.mark.parametrize(("statement", "code"), EXITS.items(), ids=EXITS)
async def test_a_script_with_cells_has_the_exit_code_that_it_wants(
    ended, tmp_path: Path, statement: str, code: int
) -> None:
    path = tmp_path / "s.py"
    path.write_text(f"# %%\nimport sys\nprint('a')\n# %%\n{statement}\n# %%\nprint('never')\n")
    assert await ended(path) == (code, "ok", "a\n")


@pytest.mark.parametrize(("statement", "code"), EXITS.items(), ids=EXITS)
async def test_a_notebook_may_end_early(ended, tmp_path: Path, statement: str, code: int) -> None:
    """As with papermill: 0 is success, anything else a failure. Nothing behind it is executed."""
    path = write_notebook(
        tmp_path / "a.ipynb", ["import sys\nprint('a')", statement, "print('never')"]
    )
    expected = (0, "ok") if code == 0 else (ExitCode.REMOTE_FAILED, "error")
    assert await ended(path) == (*expected, "a\n")


@pytest.mark.parametrize("options", [{"pipeline": False}, {"recorder": False}])
async def test_an_exit_without_a_volley(ended, tmp_path: Path, options: dict[str, bool]) -> None:
    path = write_notebook(tmp_path / "a.ipynb", ["import sys\nsys.exit(0)", "print('never')"])
    assert await ended(path, **options) == (0, "ok", "")


async def test_allowed_errors_include_exits(ended, tmp_path: Path) -> None:
    """As with nbclient."""
    path = write_notebook(tmp_path / "a.ipynb", ["import sys\nsys.exit(0)", "print('on')"])
    assert await ended(path, allow_errors=True) == (0, "ok", "on\n")


async def test_an_interrupt_that_a_script_raises(ended, tmp_path: Path) -> None:
    path = tmp_path / "s.py"
    path.write_text("# %%\nraise KeyboardInterrupt\n# %%\nprint('never')\n")
    assert await ended(path) == (ExitCode.INTERRUPTED, "error", "")
    notebook = write_notebook(tmp_path / "a.ipynb", ["raise KeyboardInterrupt"])
    assert await ended(notebook) == (ExitCode.REMOTE_FAILED, "error", "")


CLOSED = {
    "closed": "import sys\nsys.stdout.close()\nsys.stderr.close()",
    "with": "import sys\nwith sys.stdout as f, sys.stderr:\n    pass",
    "a closed file": "import sys\nwith open('x.txt', 'w') as sys.stdout:\n    print('x')",
    "nothing that can be flushed": "import sys\nsys.stdout = 1\nsys.stderr = 'x'",
}


@pytest.mark.parametrize("source", CLOSED.values(), ids=CLOSED)
async def test_a_cell_may_close_its_streams(ended, tmp_path: Path, source: str) -> None:
    path = write_notebook(
        tmp_path / "a.ipynb",
        [source, "print('on')", "import sys\nprint('err', file=sys.stderr)", "1 / 0"],
    )
    assert await ended(path) == (1, "error", "on\n")
    outputs = [
        o for c in nbformat.read(tmp_path / "out.ipynb", as_version=4).cells for o in c.outputs
    ]
    assert [o.get("text", o.get("ename")) for o in outputs] == [
        "on\n",
        "err\n",
        "ZeroDivisionError",
    ]


async def test_runs_leave_the_history_alone(start_jupyter: StartJupyter, tmp_path: Path) -> None:
    """As with nbclient; except in a kernel that somebody else started."""
    server = start_jupyter()
    path = write_notebook(tmp_path / "a.ipynb", ["secret = 1", "%history", "secret + 1"])
    listener = Recorder()
    assert await run_document(server, path, tmp_path / "out.ipynb", listener=listener) == 0
    assert "secret = 1" in printed(listener)
    (file,) = server.folder.rglob("history.sqlite")

    def count(table: str) -> int:
        with sqlite3.connect(file) as database:
            return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    wait_until(lambda: count("sessions") == 0, "the session is out of the history")
    assert count("history") == 0
    kernel = server.rest("POST", "api/kernels", {"name": "python3"})["id"]
    assert await run_document(server, path, tmp_path / "out.ipynb", kernel_id=kernel) == 0
    server.rest("DELETE", f"api/kernels/{kernel}")
    wait_until(lambda: count("history") == 3, "a kernel of the person's keeps its history")


@pytest.mark.parametrize(
    ("ename", "evalue", "code", "plain"),
    [
        ("SystemExit", "", 0, True),
        ("SystemExit", "0", 0, True),
        ("SystemExit", "17", 17, True),
        ("SystemExit", "-2", -2, True),
        ("SystemExit", "no data", 1, False),
        ("SystemExit", "False", 0, False),
        ("SystemExit", "9" * 5000, 1, True),
        ("ValueError", "0", None, False),
    ],
)
def test_exit_code_of_cell(ename: str, evalue: str, code: int | None, plain: bool) -> None:
    output = {"ename": ename, "evalue": evalue}
    assert (exit_code_of_cell(output), is_plain_exit(output)) == (code, plain)
