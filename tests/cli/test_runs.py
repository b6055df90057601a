"""``jrc run --detach``, ``runs``, ``attach`` and ``cancel`` as people type them."""

import json
import os
import re
import subprocess
import time
from datetime import datetime
from itertools import groupby
from pathlib import Path

import pytest

from jrc.cli.complete import run_names
from jrc.notebook.document import load
from jrc.profile.paths import Paths
from jrc.runs.manifest import About
from jrc.runs.records import RunPlace, RunRecord, RunRecords
from tests.support.command import jrc_command, jrc_environment, run_jrc
from tests.support.dialog import Dialog
from tests.support.jupyter import JupyterServer, wait_until
from tests.support.notebooks import texts, write
from tests.support.running import profile_of

TICKS = "import time\nfor i in range(60):\n    print(i, flush=True)\n    time.sleep(0.1)"

CLEAR = "\x1b[2J"

ROW = {
    *("run", "state", "cell", "cells", "seconds", "document", "owner", "profile", "server"),
    *("kernel_id", "detached", "name", "seen"),
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


def kinds_of(events: list[dict[str, object]]) -> list[object]:
    """The kinds of events; a line that is printed may come in two pieces."""
    return [kind for kind, _ in groupby(event["event"] for event in events)]


def test_a_run_from_its_beginning_to_its_end(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "print('one')", "print('two')")
    begun = run_jrc("run", "--detach", "a.ipynb", env=env)
    run = begun.stdout.strip()
    assert re.fullmatch("[0-9a-f]{8}", run)
    where, left = begun.stderr.splitlines()
    assert re.fullmatch(
        r"jrc: a\.ipynb on \S+ \(http://\S+\), kernel python3, Python 3\.\S+", where
    )
    assert left == f"jrc: the run goes on without you. See what it does: jrc attach {run}"
    assert begun.code == 0
    assert not (folder / "a.out.ipynb").exists()
    wait_until(lambda: listed(env)[run]["state"] == "finished", "the end of the run")
    assert listed(env)[run]["cell"] == listed(env)[run]["cells"] == 2
    table = run_jrc("runs", env=env).stdout.splitlines()
    assert table[0].split()[:4] == ["RUN", "STATE", "CELL", "ELAPSED"]
    assert any(line.startswith(f"{run}  finished  2/2") for line in table[1:])
    attached = run_jrc("attach", run[:6], env=env)
    assert (attached.code, attached.stdout) == (0, "one\ntwo\n")
    assert attached.stderr.endswith(f"jrc: done, saved in {folder / 'a.out.ipynb'}\n")
    assert texts(folder / "a.out.ipynb") == ["one\n", "two\n"]
    gone = run_jrc("attach", run, env=env)
    assert (gone.code, gone.stderr) == (
        5,
        f"error: No run's id begins with '{run}'.\nhint: See your runs: jrc runs\n",
    )


def test_the_clock_of_a_cell_counts_from_its_start(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "import time\nprint('on', flush=True)\ntime.sleep(600)")
    run = run_jrc("run", "--detach", "a.ipynb", env=env).stdout.strip()
    wait_until(lambda: listed(env)[run]["state"] == "running", "the start of the cell")
    time.sleep(5)
    with Dialog("attach", run, env=env) as dialog:
        dialog.expect("  [1/1]")
        dialog.expect("on\n")
        dialog.expect("  [1/1]")
        minutes, seconds = re.findall(r"(\d\d):(\d\d)  \[1/1\]", dialog.shown)[0]
        assert 5 <= 60 * int(minutes) + int(seconds) < 120
        dialog.press("\x03")
        dialog.end()
    assert run_jrc("cancel", run, env=env).code == 0
    assert run_jrc("attach", run, env=env).code == 130


def test_as_json(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "print('one')")
    begun = [
        json.loads(line)
        for line in run_jrc("run", "--detach", "a.ipynb", "--json", env=env).stdout.splitlines()
    ]
    assert [event["event"] for event in begun] == ["run-started", "kernel-ready", "run-detached"]
    run = begun[-1]["run"]
    assert begun[-1]["attach"] == f"jrc attach {run}"
    assert begun[-1]["journal"].endswith(f"jrc-runs/{run}.jrcjournal")
    attached = run_jrc("attach", run, "--json", env=env)
    events = [json.loads(line) for line in attached.stdout.splitlines()]
    assert kinds_of(events) == [
        "run-started",
        "kernel-ready",
        "cell-started",
        "cell-output",
        "cell-finished",
        "run-finished",
    ]
    cell = json.loads((folder / "a.out.ipynb").read_text())["cells"][0]
    busy, idle = (
        datetime.fromisoformat(cell["metadata"]["execution"][f"iopub.status.{state}"])
        for state in ("busy", "idle")
    )
    assert events[-2]["seconds"] == (idle - busy).total_seconds()


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
    assert run_jrc("attach", run, env=env).code == 130


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
        (["run", "a.ipynb", "--kernel-id", ""], 2, "--kernel-id is empty. It takes the id"),
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


def test_a_tunnel_that_is_down_is_named_with_what_to_type(folder: Path, home: Path) -> None:
    config = home / "jrc" / "config"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(
        "".join(
            f'[profiles.{name}]\nurl = "http://127.0.0.1:1/"\nauth = "none"\n'
            f'[profiles.{name}.kubernetes]\ncontext = "c"\nnamespace = "n"\n'
            'target = "svc/x"\nport = 8888\n'
            for name in ("team", "two")
        )
    )
    (config / "secrets.toml").write_text("")
    down = "The tunnel of 'team' is down."
    assert run_jrc("runs").stderr.startswith(f"warning: team: {down} (jrc connect team)\n")
    for command in ("attach", "cancel", "logs"):
        missing = run_jrc(command, "ab")
        assert missing.code == 5
        assert missing.stderr == (
            "error: No run's id begins with 'ab' on this computer, and not all servers could be "
            f"asked: {down} {down.replace('team', 'two')}\n"
            "hint: jrc connect team — jrc connect two\n"
        )


def test_the_count_of_a_detached_run_that_begins_later(
    folder: Path, env: dict[str, str], jupyter: JupyterServer
) -> None:
    write(folder / "a.ipynb", "x = 1", "print(x)", "print(x + 1)")
    kernel = jupyter.rest("POST", "api/kernels", {"name": "python3"})["id"]
    words = ["run", "--detach", "--json", "a.ipynb", "--kernel-id", kernel, "--from"]
    try:
        assert run_jrc("run", "a.ipynb", "--kernel-id", kernel, env=env).stdout == "1\n2\n"
        begun = [json.loads(line) for line in run_jrc(*words, "2", env=env).stdout.splitlines()]
        assert begun[0]["cells"] == 2
        done = run_jrc("attach", begun[0]["run"], "--json", env=env)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        started = [each for each in events if each["event"] == "cell-started"]
        assert [(each["number"], each["total"]) for each in started] == [(2, 3), (3, 3)]
    finally:
        jupyter.rest("DELETE", f"api/kernels/{kernel}")


def test_a_question_that_nobody_can_answer_is_explained(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "input('name? ')")
    run = run_jrc("run", "--detach", "a.ipynb", env=env).stdout.strip()
    done = run_jrc("attach", run, env=env)
    assert done.code == 1
    assert "The code asks a question: begin the run at a terminal." in done.stderr


def test_whoever_only_looks_answers_no_question(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "print('asking')\nprint(input('name? '))")
    with Dialog("run", "--detach", "a.ipynb", env=env) as dialog:
        assert dialog.end() == 0
    found = re.search(r"jrc attach ([0-9a-f]{8})", dialog.shown)
    assert found is not None
    run = found[1]
    wait_until(lambda: listed(env)[run]["state"] == "waiting", "the question")
    command = jrc_command("attach", run)
    pipes = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=jrc_environment(env), **pipes) as looking:
        assert looking.stderr
        while b"The code waits for an answer" not in looking.stderr.readline():
            assert looking.poll() is None
        assert listed(env)[run]["state"] == "waiting"
        looking.terminate()
    with Dialog("attach", run, env=env) as dialog:
        dialog.answer("name? ", "ada")
        assert dialog.end() == 0
    assert texts(folder / "a.out.ipynb") == ["asking\nada\n"]


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


def test_logs_take_nothing_away(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "print('one')", "print('two')\n1 / 0")
    run = run_jrc("run", "--detach", "a.ipynb", env=env).stdout.strip()
    wait_until(lambda: listed(env)[run]["state"] == "failed", "the end of the run")
    for words in (["logs", run], ["logs", "-f", run[:7]], ["logs", run]):
        shown = run_jrc(*words, env=env)
        assert (shown.code, shown.stdout) == (0, "one\ntwo\n"), words
        assert "ZeroDivisionError" in shown.stderr
        assert "died" not in shown.stderr
    events = [
        json.loads(line) for line in run_jrc("logs", "--json", run, env=env).stdout.splitlines()
    ]
    assert kinds_of(events) == [
        *("cell-started", "cell-output", "cell-finished"),
        *("cell-started", "cell-output", "cell-finished"),
    ]
    assert not list(folder.glob("*.out.ipynb"))
    assert run_jrc("attach", run, env=env).code == 1
    assert run_jrc("logs", run, env=env).code == 5


def test_logs_of_a_run_that_goes_on(folder: Path, env: dict[str, str], home: Path) -> None:
    """They show what there is; with -f the rest, too, beside an attach that takes it away."""
    go = folder / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)"
    write(folder / "a.ipynb", f"print('first', flush=True)\n{wait}\n{TICKS}")
    run = run_jrc("run", "--detach", "a.ipynb", env=env).stdout.strip()
    wait_until(lambda: run_jrc("logs", run, env=env).stdout == "first\n", "the first line")
    command = jrc_command("logs", "-f", run)
    with subprocess.Popen(command, env=jrc_environment(env), stdout=subprocess.PIPE) as following:
        assert following.stdout
        assert following.stdout.readline() == b"first\n"
        go.touch()
        assert run_jrc("attach", run, env=env).code == 0
        shown = following.stdout.read().decode()
    assert following.returncode == 0
    assert shown == "".join(f"{i}\n" for i in range(60))
    assert run not in listed(env)


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_logs_end_with_their_reader(folder: Path, env: dict[str, str], words: list[str]) -> None:
    """At once, and not when the run prints the next time, or ends."""
    go = folder / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)"
    write(folder / "a.ipynb", f"print('first', flush=True)\n{wait}")
    run = run_jrc("run", "--detach", "a.ipynb", env=env).stdout.strip()
    command = jrc_command("logs", "-f", *words, run)
    with subprocess.Popen(
        command, env=jrc_environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as following:
        assert following.stdout
        assert following.stderr
        assert following.stdout.readline()
        following.stdout.close()
        assert (following.wait(timeout=120), following.stderr.read()) == (0, b"")
    assert listed(env)[run]["state"] == "running"
    go.touch()
    assert run_jrc("attach", run, env=env).code == 0


@pytest.mark.parametrize("command", ["runs", "status"])
def test_a_watch_ends_with_its_reader(command: str) -> None:
    words = jrc_command(command, "--watch")
    with subprocess.Popen(words, env=jrc_environment({}), stdout=subprocess.PIPE) as watching:
        assert watching.stdout
        watching.stdout.close()
        assert watching.wait(timeout=120) == 0


def test_runs_are_removed(folder: Path, env: dict[str, str], jupyter: JupyterServer) -> None:
    write(folder / "a.ipynb", "print('one')")
    write(folder / "slow.ipynb", TICKS.replace("60", "900"))
    done = run_jrc("run", "--detach", "a.ipynb", env=env).stdout.strip()
    slow = run_jrc("run", "--detach", "slow.ipynb", env=env).stdout.strip()
    wait_until(lambda: listed(env)[done]["state"] == "finished", "the end of the run")
    refused = run_jrc("runs", "rm", done, slow, env=env)
    assert refused.code == 2
    assert f"The run {done} (finished) is not removed without a question" in refused.stderr
    assert (
        f"hint: To fetch it: jrc attach {done} (to remove it all the same: jrc runs rm --yes"
        in (refused.stderr)
    )
    assert {done, slow} <= set(listed(env))
    with Dialog("runs", "rm", slow, env=env) as dialog:
        dialog.answer("Remove it? [y/N]:", "n")
        assert dialog.end() == 0
    with Dialog("runs", "rm", slow, env=env | {"COLUMNS": "40"}) as dialog:
        dialog.expect("Remove it? [y/N]: ")
        dialog.press("\x03")
        assert dialog.end() == 130
    *question, last = dialog.shown.splitlines()
    assert (max(map(len, [*question, last])) <= 40, dialog.shown[-1]) == (True, "\n")
    assert listed(env)[slow]["state"] == "running"
    with Dialog("runs", "rm", slow[:7], done, env=env) as dialog:
        dialog.answer("It still runs", "y")
        dialog.answer("was not fetched yet", "y")
        assert dialog.end() == 0
    assert "\n\n" not in dialog.shown
    assert not {done, slow} & set(listed(env))
    assert not [s for s in jupyter.rest("GET", "api/sessions") if slow in s["path"]]
    assert not [path for path in jupyter.root.rglob("*") if slow in path.name]
    assert run_jrc("runs", "rm", done, env=env).code == 5
    assert run_jrc("runs", "rm", env=env).code == 2


@pytest.mark.parametrize(
    ("command", "shown"), [("runs", "There are no runs."), ("status", "No server is saved yet.")]
)
def test_ctrl_c_ends_a_watch_on_a_line_of_its_own(command: str, shown: str) -> None:
    with Dialog(command, "--watch") as dialog:
        dialog.expect(f"{shown} ")
        dialog.expect("\n")
        dialog.press("\x03")
        assert dialog.end() == 0
    assert dialog.shown.endswith("^C\n")
    assert "Traceback" not in dialog.shown


def test_what_is_gone_is_removed_when_asked_for(
    folder: Path, env: dict[str, str], home: Path
) -> None:
    """To list and to complete takes nothing away, however old it is."""
    records = RunRecords(Paths.from_environment())
    write(folder / "a.ipynb", "1")
    about = About("ada@desk", load(folder / "a.ipynb", args=[]), ["x"]).to_json()
    for run, started in (("aaaaaaaa", time.time()), ("bbbbbbbb", 0.0)):
        record = RunRecord(run, RunPlace("environment", env["JRC_URL"], "k", "s"), started, about)
        records.save(record._replace(detached=True))
    old = home / "jrc" / "state" / "runs" / "bbbbbbbb.json"
    os.utime(old, (0, 0))
    # Nor does it to begin another run: the clock may be wrong.
    records.save(records.all()[0]._replace(run="cccccccc"))
    records.remove("cccccccc")
    assert listed(env)["aaaaaaaa"]["state"] == "gone"
    assert "bbbbbbbb" not in listed(env)
    assert [word for word, _ in run_names("")] == ["aaaaaaaa", "bbbbbbbb"]
    assert old.exists()
    gone = run_jrc("attach", "aaaa", env=env)
    assert gone.code == 5
    assert "hint: To forget it: jrc runs rm aaaaaaaa\n" in gone.stderr
    assert run_jrc("runs", "rm", "aaaa", env=env).stderr == "Run aaaaaaaa removed.\n"
    assert run_jrc("runs", "rm", "--gone", env=env).stderr == "Run bbbbbbbb removed.\n"
    assert records.all() == []


def test_a_server_that_is_away_shows_what_was_seen_last(
    folder: Path, env: dict[str, str], home: Path
) -> None:
    write(folder / "a.ipynb", "print('one')")
    run = run_jrc("run", "--detach", "a.ipynb", env=env).stdout.strip()
    wait_until(lambda: listed(env)[run]["state"] == "finished", "the end of the run")
    away = {"JRC_URL": "http://127.0.0.1:1/", "JRC_TOKEN": "t"}
    row = listed(away)[run]
    assert row["state"] == "unknown"
    assert row["seen"]["state"] == "finished"
    table = run_jrc("runs", env=away).stdout
    assert re.search(rf"{run}  unknown \(finished \d+s ago\)  1/1 ", table)
    refused = run_jrc("runs", "rm", run, env=away)
    assert refused.code == 6
    assert run_jrc("runs", "rm", "--yes", run, env=away).code == 0
    assert run_jrc("logs", run, env=env).stdout == "one\n"
    assert run_jrc("runs", "rm", "--yes", run, env=env).code == 0
    assert run not in listed(env)


def test_the_list_is_watched(folder: Path, env: dict[str, str]) -> None:
    """It is shown again when something changes, on a screen of its own, until Ctrl-C."""
    gate = folder / "gate"
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.05)"
    write(folder / "a.ipynb", wait)
    run = run_jrc("run", "--detach", "a.ipynb", env=env).stdout.strip()
    wait_until(lambda: listed(env)[run]["state"] == "running", "the cell begins")
    with Dialog("runs", "--watch", env=env, timeout=180) as dialog:
        dialog.expect(f"{run}  running  1/1")
        gate.touch()
        dialog.expect(f"{run}  finished  1/1")
        dialog.press("\x03")
        assert dialog.end() == 0
    first, last = dialog.shown.split(f"{run}  running")[1].split(f"{run}  finished")
    assert CLEAR in first
    assert CLEAR not in last
    assert "Traceback" not in dialog.shown
    assert run_jrc("attach", run, env=env).code == 0


def test_a_name_stands_for_a_run(folder: Path, env: dict[str, str], tmp_path: Path) -> None:
    write(folder / "a.ipynb", "print('one')")
    run = run_jrc("run", "--detach", "--name", "lr-0.1", "a.ipynb", env=env).stdout.strip()
    wait_until(lambda: listed(env)[run]["state"] == "finished", "the end of the run")
    assert run_jrc("runs", env=env).stdout.splitlines()[1].split()[:3] == [
        *(run, "lr-0.1", "finished")
    ]
    elsewhere = {**env, "JRC_HOME": str(tmp_path / "elsewhere")}
    for where in (env, elsewhere):
        assert run_jrc("logs", "lr-0.1", env=where).stdout == "one\n"
    taken = run_jrc("run", "--detach", "--name", "lr-0.1", "a.ipynb", env=env)
    assert (taken.code, taken.stdout) == (2, "")
    assert f"The run {run} has the name 'lr-0.1' already" in taken.stderr
    wrong = run_jrc("run", "--detach", "--name", "$(x)", "a.ipynb", env=env)
    assert (wrong.code, wrong.stdout) == (2, "")
    assert run_jrc("attach", "lr-0.1", env=env).code == 0
    assert run not in listed(env)
