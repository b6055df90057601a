"""What must work on every kind of server. docs/servers.md shows the results as a table."""

import json
from pathlib import Path

import pytest

from tests.support.command import run_jrc
from tests.support.jupyter import wait_until
from tests.support.relay import Kernel, ask_control, write_kernelspec
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

FLOOD_LINES, FLOOD_WIDTH = 100, 1 << 16
"""More than twice the bytes that a server lets through in its window of three seconds."""

WAITS = """
import pathlib, sys, time
print("begun", flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
print("ended")
"""


def listed_kernels() -> dict[str, dict[str, object]]:
    """What ``jrc kernel list`` knows, by id."""
    done = run_jrc("kernel", "list", "--json")
    assert done.code == 0, done.stderr
    return {row["id"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_run_a_notebook(tmp_path: Path) -> None:
    """Cells in order, with their outputs, into a saved notebook."""
    path, out = tmp_path / "a.ipynb", tmp_path / "out.ipynb"
    path.write_text(json.dumps(NOTEBOOK))
    done = run_jrc("run", "-o", out, path)
    assert done.code == 0, done.stderr
    assert done.stdout.splitlines() == ["line 0", "line 1", "line 2", "{'answer': 42}"]
    first, second = json.loads(out.read_text())["cells"]
    assert "".join(first["outputs"][0]["text"]) == "line 0\nline 1\nline 2\n"
    assert [output["output_type"] for output in second["outputs"]] == ["stream", "execute_result"]


def test_run_a_script(tmp_path: Path) -> None:
    """Arguments arrive, and the exit code comes back."""
    path = tmp_path / "a.py"
    path.write_text("import sys\nprint(sys.argv[1:])\nsys.exit(3)\n")
    done = run_jrc("run", path, "x", "y")
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
    assert str(listed_kernels()[kernel]["session_path"]).startswith("jrc/")
    assert run_jrc("run", "--kernel-id", kernel, path).stdout == "1\n"
    assert run_jrc("kernel", "interrupt", kernel).code == 0
    assert run_jrc("kernel", "restart", kernel).code == 0
    assert run_jrc("run", "--kernel-id", kernel, path).stdout == "1\n"
    assert run_jrc("kernel", "stop", kernel[:8]).code == 0


def test_no_output_is_lost(tmp_path: Path) -> None:
    """The recorder brings back what a server drops, and what overflows on the way to it."""
    path = tmp_path / "a.py"
    path.write_text(
        "# %%\n"
        f"for i in range({FLOOD_LINES}):\n"
        f"    print(str(i).zfill({FLOOD_WIDTH}), flush=True)\n"
        "print('end')\n"
    )
    done = run_jrc("run", path, timeout=120)
    assert done.code == 0, done.stderr
    *lines, end = done.stdout.splitlines()
    assert [int(line[-9:]) for line in lines] == list(range(FLOOD_LINES))
    assert {len(line) for line in lines} == {FLOOD_WIDTH}
    assert end == "end"


def test_detach(tmp_path: Path) -> None:
    """A run goes on while nobody listens; it is found, attached to and cleaned up."""
    path, stop, out = tmp_path / "a.py", tmp_path / "stop", tmp_path / "out.ipynb"
    path.write_text(f"# %%\n{WAITS}\n# %%\n6 * 7\n")
    begun = run_jrc("run", "--detach", "-o", out, "--json", path, str(stop))
    assert begun.code == 0, begun.stderr
    (run,) = [json.loads(line) for line in run_jrc("runs", "--json").stdout.splitlines()]
    assert run["state"] == "running"
    stop.write_text("")
    attached = run_jrc("attach", run["run"])
    assert attached.code == 0, attached.stderr
    assert attached.stdout.splitlines() == ["begun", "ended", "42"]
    assert "ended" in out.read_text()
    assert listed_kernels() == {}


def test_relay(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor's kernel: it runs, it is interrupted, and nothing of it stays on the server."""
    folder = home / "jupyter"
    write_kernelspec(folder, JRC_PROFILE="it")
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    with Kernel() as kernel:
        kernel.ready()
        assert kernel.run("print('relayed', 6 * 7)").text == "relayed 42\n"
        sleeping = kernel.client.execute("import time; print('asleep'); time.sleep(600)")
        kernel.published("stream", name="stdout", text="asleep\n")
        ask_control(kernel.client, "interrupt_request", {})
        assert kernel.finish(sleeping).reply["status"] == "error"
        assert len(listed_kernels()) == 1
    wait_until(lambda: listed_kernels() == {}, "the end of the remote kernel")


def test_doctor() -> None:
    """Every check is made, and none fails."""
    done = run_jrc("doctor", "--json", timeout=170)
    checks = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
    bad = [each for each in checks.values() if each["verdict"] in ("failed", "skipped")]
    assert (done.code, bad) == (0, [])
    for name in ("websocket", "execution", "recorder", "throughput", "clean-up"):
        assert checks[name]["verdict"] == "ok", checks[name]
