"""What must work on every kind of server. docs/servers.md shows the results as a table."""

import json
from pathlib import Path

import pytest

from tests.support.command import run_jrc
from tests.support.servers import KINDS

pytestmark = [
    pytest.mark.parametrize("kind", KINDS),
    pytest.mark.usefixtures("logged_in"),
]

NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "cells": [
        {
            "id": "one",
            "cell_type": "code",
            "metadata": {},
            "source": "import sys\nfor i in range(3):\n    print('line', i)",
            "outputs": [],
            "execution_count": None,
        },
        {
            "id": "two",
            "cell_type": "code",
            "metadata": {},
            "source": "print('to stderr', file=sys.stderr)\n{'answer': 6 * 7}",
            "outputs": [],
            "execution_count": None,
        },
    ],
}

FLOOD_LINES = 6_000


def test_run_a_notebook(tmp_path: Path) -> None:
    """Cells in order, with their outputs, into a saved notebook; the kernel is deleted."""
    path, out = tmp_path / "a.ipynb", tmp_path / "out.ipynb"
    path.write_text(json.dumps(NOTEBOOK))
    done = run_jrc("run", path, "-o", out)
    assert done.code == 0, done.stderr
    assert done.stdout.splitlines() == ["line 0", "line 1", "line 2", "{'answer': 42}"]
    first, second = json.loads(out.read_text())["cells"]
    assert "".join(first["outputs"][0]["text"]) == "line 0\nline 1\nline 2\n"
    assert [output["output_type"] for output in second["outputs"]] == ["stream", "execute_result"]
    assert "a.ipynb" not in run_jrc("kernel", "list", "--json").stdout


def test_run_a_script(tmp_path: Path) -> None:
    """Arguments arrive, and the exit code comes back."""
    path = tmp_path / "a.py"
    path.write_text("import sys\nprint(sys.argv[1:])\nsys.exit(3)\n")
    done = run_jrc("run", path, "--", "x", "y")
    assert (done.code, done.stdout) == (3, "['x', 'y']\n"), done.stderr


def test_failing_cells(tmp_path: Path, kind: str) -> None:
    """The exit code says that the code failed, and the message where."""
    path = tmp_path / "a.py"
    path.write_text("# %%\nx = 1\n# %%\nraise ValueError('no good')\n")
    done = run_jrc("run", path)
    assert done.code == 1, done.stderr
    if kind != "no-tracebacks":
        assert "ValueError: no good" in done.stderr


def test_kernels(tmp_path: Path) -> None:
    """Start, list, use, interrupt, restart, stop."""
    path = tmp_path / "a.py"
    path.write_text("# %%\ntry:\n    n += 1\nexcept NameError:\n    n = 1\nprint(n)\n")
    started = run_jrc("kernel", "start")
    assert started.code == 0, started.stderr
    kernel = started.stdout.strip()
    listed = run_jrc("kernel", "list", "--json")
    rows = {row["id"]: row for row in map(json.loads, listed.stdout.splitlines())}
    assert kernel in rows, listed.stderr
    assert rows[kernel]["session_path"].startswith("jrc/")
    assert run_jrc("run", path, "--kernel-id", kernel).stdout == "1\n"
    assert run_jrc("kernel", "interrupt", kernel).code == 0
    assert run_jrc("kernel", "restart", kernel).code == 0
    assert run_jrc("run", path, "--kernel-id", kernel).stdout == "1\n"
    assert run_jrc("kernel", "stop", kernel[:8]).code == 0
    assert kernel not in run_jrc("kernel", "list", "--json").stdout


def test_no_output_is_lost(tmp_path: Path) -> None:
    """The recorder brings back what a server drops, and what overflows on the way to it."""
    path = tmp_path / "a.py"
    path.write_text(
        f"# %%\nfor i in range({FLOOD_LINES}):\n    print('flood', i, flush=True)\nprint('end')\n"
    )
    done = run_jrc("run", path, timeout=120)
    assert done.code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "end"
    assert len(lines) == FLOOD_LINES + 1
