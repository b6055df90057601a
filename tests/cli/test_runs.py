"""``jrc run --detach``, ``runs``, ``attach`` and ``cancel`` as people type them."""

import json
import re
import time
from pathlib import Path

import pytest

from tests.cli.test_run import texts, write
from tests.support.command import run_jrc
from tests.support.dialog import Dialog
from tests.support.jupyter import JupyterServer, wait_until
from tests.support.running import profile_of

TICKS = "import time\nfor i in range(60):\n    print(i, flush=True)\n    time.sleep(0.1)"

ROW = {
    *("run", "state", "cell", "cells", "seconds", "document", "owner", "profile", "server"),
    *("kernel_id", "detached"),
}
"""The contract of ``jrc runs --json``, as docs/json.md states it."""


@pytest.fixture
def env(jupyter: JupyterServer) -> dict[str, str]:
    return profile_of(jupyter)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(env: dict[str, str]) -> dict[str, dict[str, object]]:
    rows = [json.loads(line) for line in run_jrc("runs", "--json", env=env).stdout.splitlines()]
    assert all(set(row) == ROW for row in rows)
    return {row["run"]: row for row in rows}


def test_a_run_from_its_beginning_to_its_end(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "print('one')", "print('two')")
    begun = run_jrc("run", "--detach", "a.ipynb", env=env)
    run = begun.stdout.strip()
    assert re.fullmatch("[0-9a-f]{8}", run)
    assert begun.stderr == f"jrc: the run goes on without you. See what it does: jrc attach {run}\n"
    assert begun.code == 0
    assert not (folder / "a.out.ipynb").exists()
    wait_until(lambda: listed(env)[run]["state"] == "finished", "the end of the run")
    assert listed(env)[run]["cell"] == listed(env)[run]["cells"] == 2
    table = run_jrc("runs", env=env).stdout.splitlines()
    assert table[0].split()[:4] == ["RUN", "STATE", "CELL", "ELAPSED"]
    assert any(line.startswith(f"{run}  finished  2/2") for line in table[1:])
    attached = run_jrc("attach", run[:6], env=env)
    assert (attached.code, attached.stdout) == (0, "one\ntwo\n")
    assert texts(folder / "a.out.ipynb") == ["one\n", "two\n"]
    gone = run_jrc("attach", run, env=env)
    assert (gone.code, gone.stderr) == (
        5,
        f"error: No run's id begins with '{run}'.\nhint: See your runs: jrc runs\n",
    )


def test_as_json(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "print('one')")
    begun = [
        json.loads(line)
        for line in run_jrc("run", "--detach", "a.ipynb", "--json", env=env).stdout.splitlines()
    ]
    assert [event["event"] for event in begun] == ["run-started", "run-detached"]
    run = begun[-1]["run"]
    assert begun[-1]["attach"] == f"jrc attach {run}"
    assert begun[-1]["journal"].endswith(f"jrc-runs/{run}.jrcjournal")
    attached = run_jrc("attach", run, "--json", env=env)
    events = [json.loads(line) for line in attached.stdout.splitlines()]
    assert [event["event"] for event in events] == [
        "run-started",
        "kernel-ready",
        "cell-started",
        "cell-output",
        "cell-finished",
        "run-finished",
    ]


def test_two_presses_leave_a_run(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", TICKS, "print('next')")
    with Dialog("run", "a.ipynb", env=env) as dialog:
        dialog.expect("3\n")
        dialog.press("\x03")
        dialog.expect("press Ctrl-C again to leave")
        dialog.press("\x03")
        dialog.expect("goes on without you. Come back: jrc attach ")
        assert dialog.end() == 130
    run = dialog.shown.split("jrc attach ")[1][:8]
    assert "KeyboardInterrupt" not in dialog.shown
    assert listed(env)[run]["detached"] is True
    attached = run_jrc("attach", run, env=env)
    assert attached.code == 0
    assert attached.stdout.endswith("58\n59\nnext\n")
    assert not attached.stdout.startswith("0\n1\n")
    assert texts(folder / "a.out.ipynb") == ["".join(f"{i}\n" for i in range(60)), "next\n"]


def test_one_press_interrupts(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", TICKS, "print('never')")
    with Dialog("run", "a.ipynb", env=env) as dialog:
        dialog.expect("3\n")
        dialog.press("\x03")
        dialog.expect("Interrupting the remote cell")
        assert dialog.end() == 130
    assert "KeyboardInterrupt" in dialog.shown
    assert "never" not in texts(folder / "a.out.ipynb")[1]
    assert listed(env) == {}


def test_a_press_leaves_what_is_only_followed(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", TICKS.replace("60", "900"))
    run = run_jrc("run", "--detach", "a.ipynb", env=env).stdout.strip()
    with Dialog("attach", run, env=env) as dialog:
        dialog.expect("3\n")
        dialog.press("\x03")
        dialog.expect(f"the run {run} goes on")
        assert dialog.end() == 130
    cancelled = run_jrc("cancel", run, env=env)
    assert cancelled.code == 0
    assert "Cell 1 of 1 was interrupted" in cancelled.stderr
    assert run_jrc("attach", run, env=env).code == 1


def test_a_server_that_does_not_answer_is_one_line(
    folder: Path, jupyter: JupyterServer, home: Path
) -> None:
    config = home / "jrc" / "config"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(
        f'[profiles.team]\nurl = "{jupyter.url}"\n\n'
        '[profiles.gone]\nurl = "http://127.0.0.1:1/"\nauth = "none"\n'
    )
    (config / "secrets.toml").write_text("")
    started = time.monotonic()
    done = run_jrc("runs")
    assert done.code == 0
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning:")]
    assert [line.split()[1] for line in warnings] == ["team:", "gone:"]
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["run", "--detach", "nope.ipynb"], 5, "nope.ipynb does not exist"),
        (["run", "--detach", "a.ipynb", "--timeout", "3"], 2, "--detach and --timeout exclude"),
        (["run", "--detach", "a.ipynb", "--no-recorder"], 2, "--detach and --no-recorder"),
        (["run", "a.ipynb", "--from", "2"], 2, "needs the kernel that executed"),
        (["run", "a.ipynb", "--from", "9", "--kernel-id", "x"], 2, "has only 2 to execute"),
        (["attach", "zz"], 5, "No run's id begins with 'zz'"),
        (["attach", ""], 5, "No run's id begins with ''"),
        (["attach", "zz", "-o", "x.html"], 2, "does not end in .ipynb"),
        (["cancel", "zz"], 5, "No run's id begins with 'zz'"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    folder: Path, env: dict[str, str], words: list[str], code: int, text: str
) -> None:
    write(folder / "a.ipynb", "1", "2")
    done = run_jrc(*words, env=env)
    assert (done.code, done.stdout) == (code, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_the_embedded_server_can_not_be_left(folder: Path) -> None:
    write(folder / "a.ipynb", "1")
    done = run_jrc("run", "--detach", "a.ipynb")
    assert done.code == 2
    assert "--detach needs a server that stays" in done.stderr


def test_on_the_kept_kernel_from_the_failed_cell(
    folder: Path, env: dict[str, str], jupyter: JupyterServer
) -> None:
    write(folder / "a.ipynb", "x = 1\nprint('once')", "print(y)", "print('last', x)")
    failed = run_jrc("run", "a.ipynb", "--keep-kernel-on-error", env=env)
    assert failed.code == 1
    found = re.search(r"go on with: jrc (run .*)", failed.stderr)
    assert found is not None
    words = found[1].split()
    assert words[:3] == ["run", "a.ipynb", "--kernel-id"]
    assert words[-2:] == ["--from", "2"]
    try:
        write(folder / "a.ipynb", "x = 1\nprint('once')", "print(x + 1)", "print('last', x)")
        done = run_jrc(*words, env=env)
        assert (done.code, done.stdout) == (0, "2\nlast 1\n")
        assert texts(folder / "a.out.ipynb") == ["once\n", "2\n", "last 1\n"]
    finally:
        jupyter.rest("DELETE", f"api/kernels/{words[3]}")


def test_a_kernel_is_kept_on_error_only(
    folder: Path, env: dict[str, str], jupyter: JupyterServer
) -> None:
    write(folder / "kept.ipynb", "1")
    assert run_jrc("run", "kept.ipynb", "--keep-kernel-on-error", env=env).code == 0
    assert not [s for s in jupyter.rest("GET", "api/sessions") if "kept.ipynb" in s["path"]]
