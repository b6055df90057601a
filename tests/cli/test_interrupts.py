"""Ctrl-C, a closed terminal and SIGTERM, at every moment of a run."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from jrc.cli.interrupts import run_interruptibly
from jrc.errors import InterruptedByUserError
from tests.support.command import jrc_command, jrc_environment, run_jrc
from tests.support.dialog import Dialog
from tests.support.jupyter import JupyterServer, wait_until
from tests.support.running import profile_of, write_notebook

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")

STUBBORN = """
import time
print('on', flush=True)
while True:
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        print('caught', flush=True)
"""

WAITS = "import time\nprint('on', flush=True)\ntime.sleep(600)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def env(jupyter: JupyterServer) -> dict[str, str]:
    return profile_of(jupyter)


@pytest.fixture
def tidy(jupyter: JupyterServer) -> Iterator[None]:
    """Takes away the sessions of runs that were left."""
    before = {each["id"] for each in jupyter.rest("GET", "api/sessions")}
    yield
    for session in jupyter.rest("GET", "api/sessions"):
        if session["id"] not in before:
            jupyter.rest("DELETE", f"api/sessions/{session['id']}")


def began(env: dict[str, str]) -> subprocess.Popen[str]:
    """``jrc run a.ipynb`` without a terminal, when its cell runs."""
    process = subprocess.Popen(
        jrc_command("run", "a.ipynb"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=jrc_environment(env),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    return process


def sessions(jupyter: JupyterServer) -> list[str]:
    return [
        each["path"] for each in jupyter.rest("GET", "api/sessions") if "a.ipynb" in each["path"]
    ]


@pytest.mark.usefixtures("tidy")
def test_two_presses_leave_a_cell_that_caught_an_earlier_one(
    folder: Path, env: dict[str, str], jupyter: JupyterServer
) -> None:
    write_notebook(folder / "a.ipynb", [STUBBORN])
    with Dialog("run", "a.ipynb", env=env) as dialog:
        dialog.expect("on")
        dialog.press("\x03")
        dialog.expect("\njrc: interrupting in 2 s")
        dialog.expect("caught")
        dialog.press("\x03")
        dialog.expect("press Ctrl-C again to leave")
        dialog.press("\x03")
        dialog.expect("goes on without you. Come back: jrc attach ")
        dialog.expect("(end it: jrc cancel ")
        assert dialog.end() == 130
    assert len(sessions(jupyter)) == 1


@pytest.mark.usefixtures("tidy")
def test_a_closed_terminal_leaves_the_run(
    folder: Path, env: dict[str, str], jupyter: JupyterServer
) -> None:
    write_notebook(folder / "a.ipynb", [WAITS])
    process = began(env)
    process.send_signal(signal.SIGHUP)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    run = said.split("jrc attach ")[1][:8]
    assert len(sessions(jupyter)) == 1
    listed = [json.loads(line) for line in run_jrc("runs", "--json", env=env).stdout.splitlines()]
    assert [each["detached"] for each in listed if each["run"] == run] == [True]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_what_can_not_be_left_is_ended_and_saved(
    folder: Path, env: dict[str, str], jupyter: JupyterServer, number: signal.Signals
) -> None:
    """Without a recorder nobody could come back to it; SIGTERM ends every run."""
    write_notebook(folder / "a.ipynb", [WAITS])
    options = ["--no-recorder"] if number is signal.SIGHUP else []
    process = subprocess.Popen(
        jrc_command("run", *options, "a.ipynb"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=jrc_environment(env),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    for _ in range(3):
        process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "error: Interrupted." in said
    assert sessions(jupyter) == []
    outputs = nbformat.read(folder / "a.out.ipynb", as_version=4).cells[0].outputs
    assert [each.text for each in outputs] == ["on\n"]


def test_a_run_under_nohup_does_not_end_with_its_terminal(
    folder: Path, env: dict[str, str], jupyter: JupyterServer
) -> None:
    mark = folder / "go on"
    waits = f"import os, time\nprint('on', flush=True)\nwhile not os.path.exists({str(mark)!r}): "
    write_notebook(folder / "a.ipynb", [f"{waits}time.sleep(0.05)\nprint('end')"])
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = began(env)
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    mark.touch()
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "end\n")
    wait_until(lambda: sessions(jupyter) == [], "the kernel's end")


PRESSES = """
import os, signal, sys

class Pressing:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Pressing())
"""


@pytest.mark.parametrize("module", ["jrc.cli.app", "typer", "jrc.cli.run", "jrc.run.job"])
def test_a_press_during_an_import_is_no_traceback(
    folder: Path, env: dict[str, str], module: str
) -> None:
    write_notebook(folder / "a.ipynb", ["1"])
    hooks = folder / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(PRESSES.format(module=module))
    ended = subprocess.run(
        jrc_command("run", "a.ipynb"),
        capture_output=True,
        text=True,
        env=jrc_environment({**env, "PYTHONPATH": os.pathsep.join([str(hooks), *sys.path])}),
        timeout=60,
        check=False,
    )
    assert ended.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in ended.stderr


class StartingJob:
    """A job whose kernel has not been given yet."""

    can_be_left = only_follows = False

    async def run(self) -> int:
        await asyncio.sleep(3600)
        return 0

    async def interrupt(self) -> None:
        raise InterruptedByUserError("Interrupted before the first cell.")

    async def leave(self) -> None:
        raise AssertionError("it can't be left")

    def how_to_come_back(self) -> str | None:
        return None


@pytest.mark.anyio
async def test_a_press_before_the_first_cell_is_answered_at_once() -> None:
    """To end what was begun on the server may take seconds."""
    said: list[str] = []
    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
    with pytest.raises(InterruptedByUserError):
        await run_interruptibly(StartingJob(), say=said.append)
    assert said == ["jrc: interrupted; ending what was begun on the server"]
