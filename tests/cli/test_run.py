"""``jrc run`` as people type it."""

import json
import os
import platform
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from jrc.cli.run import arrange, fold_parameters
from jrc.errors import ExitCode, UsageError
from tests.support.command import jrc_command, jrc_environment, run_jrc
from tests.support.dialog import Dialog
from tests.support.jupyter import JupyterServer
from tests.support.notebooks import texts, write
from tests.support.running import profile_of

EVENTS = {
    "run-started": {
        *("run", "document", "server", "kernel_id", "session", "cells"),
        *("kind", "profile", "kernel_name", "output"),
    },
    "kernel-ready": {"language", "language_version"},
    "cell-started": {"cell", "number", "total", "source", "title", "started"},
    "cell-output": {"cell", "output", "display_id", "widget"},
    "widget-changed": {"cell", "model_id", "text"},
    "cell-finished": {"cell", "number", "total", "status", "seconds", "execution_count"},
    "notice": {"kind", "text"},
    "run-finished": {"run", "status", "exit_code", "output", "lost"},
}
"""The contract of ``--json``, as docs/json.md states it."""


@pytest.fixture
def env(jupyter: JupyterServer) -> dict[str, str]:
    return profile_of(jupyter)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_notebook_runs_and_is_saved_beside_itself(folder: Path, env: dict[str, str]) -> None:
    notebook = write(folder / "a.ipynb", "x = 20", "print(x + 1)\nx * 2")
    before = notebook.read_bytes()
    done = run_jrc("run", "a.ipynb", env=env)
    assert (done.code, done.stdout) == (0, "21\n40\n")
    lines = done.stderr.splitlines()
    assert lines[0] == (
        f"jrc: a.ipynb on environment ({env['JRC_URL']}), kernel python3, "
        f"Python {platform.python_version()}"
    )
    assert re.fullmatch(r"\[1/2\] x = 20  \d+\.\d s", lines[1])
    assert lines[2] == "[2/2] print(x + 1)"
    assert re.fullmatch(r"jrc: done in [\d.]+ s, saved in a\.out\.ipynb", lines[-1])
    assert texts(folder / "a.out.ipynb") == ["", "21\n"]
    assert notebook.read_bytes() == before


def test_without_a_profile_an_embedded_server_is_used(folder: Path) -> None:
    (folder / "data.txt").write_text("beside the notebook")
    write(folder / "a.ipynb", "print(open('data.txt').read())")
    done = run_jrc("run", "a.ipynb")
    assert (done.code, done.stdout) == (0, "beside the notebook\n")
    assert "embedded server" in done.stderr.splitlines()[0]


def test_in_place(folder: Path, env: dict[str, str]) -> None:
    notebook = write(folder / "a.ipynb", "print(1)")
    assert run_jrc("run", "a.ipynb", "--in-place", env=env).code == 0
    assert texts(notebook) == ["1\n"]
    assert [p.name for p in folder.iterdir()] == ["a.ipynb"]


def test_parameters_from_file_and_command_line(folder: Path, env: dict[str, str]) -> None:
    cell = new_code_cell("alpha = 1\nname = 'x'\nl = None")
    cell.metadata.tags = ["parameters"]
    show = new_code_cell("print(alpha, name, l)")
    nbformat.write(new_notebook(cells=[new_markdown_cell("# T"), cell, show]), folder / "a.ipynb")
    (folder / "p.yaml").write_text("alpha: 2\nl: [1, two]\n")
    (folder / "q.json").write_text('{"l": false}')
    words = ["-f", "p.yaml", "-f", "q.json", "-y", "l: [1, two]", "-p", "alpha=0.6"]
    done = run_jrc("run", "a.ipynb", *words, "-r", "name", "007", "-p", "names", "1", env=env)
    assert (done.code, done.stdout) == (0, "0.6 007 [1, 'two']\n")
    unknown = (
        "jrc: The cell tagged 'parameters' of a.ipynb does not set 'names'. It sets alpha, l, name."
    )
    assert unknown in done.stderr.splitlines()
    injected = nbformat.read(folder / "a.out.ipynb", as_version=4).cells[2]
    assert injected.metadata.tags == ["injected-parameters"]


@pytest.mark.parametrize(
    ("words", "folded"),
    [
        (["f", "-p", "a", "1", "-o", "x"], ["f", "-p", "a=1", "-o", "x"]),
        (["f", "--parameter", "a", "-p"], ["f", "-p", "a=-p"]),
        (["f", "--", "-p", "a"], ["f", "--", "-p", "a"]),
        (["f", "-p", "a=1", "-p", "b", "x=y"], ["f", "-p", "a=1", "-p", "b=x=y"]),
        (["f", "-r", "a", "007", "--raw", "b=1"], ["f", "-r", "a=007", "-r", "b=1"]),
        (["--parameters", "a", "1", "--parameters_raw", "b", "2"], ["-p", "a=1", "-r", "b=2"]),
        (["--parameters_file", "x", "-k", "y"], ["--parameter-file", "x", "--kernel", "y"]),
        (
            ["--execution-timeout=5", "--start_timeout", "9"],
            ["--timeout=5", "--start-timeout", "9"],
        ),
    ],
)
def test_parameters_are_folded(words: list[str], folded: list[str]) -> None:
    assert fold_parameters(words) == folded


@pytest.mark.parametrize("words", [["-p"], ["-p", "a"], ["-p", "=1"], ["-r", "", "1"]])
def test_half_a_parameter_is_an_error(words: list[str]) -> None:
    with pytest.raises(UsageError):
        fold_parameters(words)


VALUES = {"-o": 1, "--timeout": 1, "-P": 1, "--grid": 2}


@pytest.mark.parametrize(
    ("words", "arranged"),
    [
        ("s.py --lr 1 --timeout 5", "-- s.py --lr 1 --timeout 5"),
        ("s.py -- --lr 1", "-- s.py --lr 1"),
        ("s.py -- -- x", "-- s.py -- x"),
        ("s.py x -- --lr", "-- s.py x -- --lr"),
        ("-o r.ipynb --timeout 5 s.py -o x", "-o r.ipynb --timeout 5 -- s.py -o x"),
        ("--timeout=5 --json s.py --json", "--timeout=5 --json -- s.py --json"),
        ("-o s.py s.py -p a 1", "-o s.py -- s.py -p a 1"),
        ("--grid x s.py s.py --help", "--grid x s.py -- s.py --help"),
        ("-p a s.py s.py -p b", "-p a=s.py -- s.py -p b"),
        ("-- s.py -o x", "-- s.py -o x"),
        ("- --lr 1", "-- - --lr 1"),
        ("a.ipynb -o x --timeout 5", "a.ipynb -o x --timeout 5"),
        ("-P s a.ipynb -p a 1 --json", "-P s a.ipynb -p a=1 --json"),
        ("--json -o", "--json -o"),
        ("--help", "--help"),
        ("", ""),
    ],
)
def test_what_stands_behind_a_script_is_its_own(words: str, arranged: str) -> None:
    got = arrange(words.split(), VALUES, is_script=lambda path: path.name in ("s.py", "-"))
    assert got == arranged.split()


def test_options_of_jrc_behind_a_script_are_the_script_s(folder: Path, env: dict[str, str]) -> None:
    (folder / "s.py").write_text("import sys\nprint(sys.argv)\n")
    words = ["--lr", "0.1", "--timeout", "5", "-o", "x", "--help", "--json", "-v"]
    done = run_jrc("run", "--kernel", "python3", "s.py", *words, env=env)
    assert (done.code, done.stdout) == (0, f"{['s.py', *words]}\n")


def test_a_file_with_a_python_shebang_is_a_script(folder: Path, env: dict[str, str]) -> None:
    tool = folder / "tool"
    tool.write_text("#!/usr/bin/env -S jrc run\nimport sys\nprint(sys.argv, __file__)\n")
    done = run_jrc("run", "tool", "--lr", "1", env=env)
    assert (done.code, done.stdout) == (0, f"['tool', '--lr', '1'] {tool}\n")
    tool.write_text("#!/bin/sh\necho\n")
    done = run_jrc("run", "tool", env=env)
    assert (done.code, done.stdout) == (2, "")
    assert "neither a notebook nor a Python script" in done.stderr


def test_code_on_stdin(folder: Path, env: dict[str, str]) -> None:
    source = "import sys\nprint(sys.argv, __name__, '__file__' in globals())\n1 / 0\n"
    done = run_jrc("run", "-", "--lr", "1", input=source, env=env)
    assert (done.code, done.stdout) == (1, "['-', '--lr', '1'] __main__ False\n")
    assert 'File "<stdin>", line 3, in <module>' in done.stderr
    assert list(folder.iterdir()) == []


def test_a_script_has_arguments_streams_and_an_exit_code(folder: Path, env: dict[str, str]) -> None:
    (folder / "s.py").write_text(
        "import sys\nprint(sys.argv[1:], __name__)\nprint('bad', file=sys.stderr)\nsys.exit(3)\n"
    )
    done = run_jrc("run", "s.py", "--", "x", "--lr", "1", env=env)
    assert (done.code, done.stdout) == (3, "['x', '--lr', '1'] __main__\n")
    assert "bad\n" in done.stderr
    assert [p.name for p in folder.iterdir()] == ["s.py"]


def test_a_failing_script_shows_its_own_lines(folder: Path, env: dict[str, str]) -> None:
    script = folder / "s.py"
    script.write_text("def f(x):\n    return 1 / x\n\n\nf(0)\n")
    done = run_jrc("run", "s.py", env=env)
    assert done.code == 1
    assert f'File "{script}", line 2, in f' in done.stderr
    assert done.stderr.endswith("error: s.py failed: ZeroDivisionError: division by zero\n")


def test_a_percent_script_runs_cell_by_cell_and_becomes_a_notebook(
    folder: Path, env: dict[str, str]
) -> None:
    (folder / "s.py").write_text("# %% [markdown]\n# Hi\n\n# %%\nx = 1\n\n# %%\nprint(x)\n1 / 0\n")
    done = run_jrc("run", "-o", "s.ipynb", "s.py", env=env)
    assert done.code == 1
    assert "Cell 2 of s.py failed at line 9 (1 / 0): ZeroDivisionError" in done.stderr
    assert "What arrived is saved in s.ipynb." in done.stderr
    assert [c.cell_type for c in nbformat.read(folder / "s.ipynb", as_version=4).cells] == [
        "markdown",
        "code",
        "code",
    ]


def test_json_lines_are_the_contract(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "print(1)", "1 / 0")
    done = run_jrc("run", "a.ipynb", "--json", env=env)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    for event in events:
        assert set(event) == {"event", *EVENTS[event["event"]]}
    assert events[0]["event"] == "run-started"
    assert events[-1] == {
        "event": "run-finished",
        "run": events[0]["run"],
        "status": "error",
        "exit_code": 1,
        "output": "a.out.ipynb",
        "lost": [],
    }
    statuses = [event["status"] for event in events if event["event"] == "cell-finished"]
    assert statuses == ["ok", "error"]
    assert done.code == 1


def test_a_running_kernel_is_used_and_kept(
    folder: Path, env: dict[str, str], jupyter: JupyterServer
) -> None:
    kernel = jupyter.rest("POST", "api/kernels", {"name": "python3"})["id"]
    try:
        write(folder / "a.ipynb", "x = 5")
        write(folder / "b.ipynb", "print(x)")
        assert run_jrc("run", "a.ipynb", "--kernel-id", kernel, env=env).code == 0
        shown = run_jrc("kernel", "list", env=env).stdout
        assert kernel not in shown
        assert kernel[:8] in shown
        assert run_jrc("run", "b.ipynb", "--kernel-id", kernel[:8], env=env).stdout == "5\n"
        unknown = run_jrc("run", "b.ipynb", "--kernel-id", "nope", env=env)
        assert unknown.code == ExitCode.NOT_FOUND
        assert "No kernel's id begins with 'nope'" in unknown.stderr
    finally:
        jupyter.rest("DELETE", f"api/kernels/{kernel}")


def test_a_running_kernel_of_a_server_that_is_not_there(folder: Path) -> None:
    write(folder / "a.ipynb", "1")
    env = {"JRC_URL": "http://127.0.0.1:1/", "JRC_TOKEN": "t"}
    for words in ([], ["--detach"]):
        done = run_jrc("run", "a.ipynb", "--kernel-id", "abc", *words, env=env)
        assert done.code == ExitCode.UNREACHABLE
        assert "Nothing listens at 127.0.0.1:1" in done.stderr


def test_a_kernel_can_be_kept(folder: Path, env: dict[str, str], jupyter: JupyterServer) -> None:
    """Its run is over: by its name in the list of kernels, and in that of runs."""
    write(folder / "kept.ipynb", "1")
    done = run_jrc("run", "kept.ipynb", "--keep-kernel", env=env)
    assert done.code == 0
    (session,) = [s for s in jupyter.rest("GET", "api/sessions") if "kept.ipynb" in s["path"]]
    try:
        assert re.fullmatch(r"jrc/[^/]+@[^/]+/kept\.ipynb-kept-[0-9a-f]{8}", session["path"])
        kernel = session["kernel"]["id"]
        assert f"The kernel is kept: jrc run --kernel-id {kernel} FILE" in done.stderr
        assert "kept.ipynb" not in run_jrc("runs", env=env).stdout
    finally:
        jupyter.rest("DELETE", f"api/sessions/{session['id']}")


def test_a_kernel_of_the_same_language_stands_in(folder: Path, env: dict[str, str]) -> None:
    notebook = new_notebook(cells=[new_code_cell("print(1)")])
    notebook.metadata.kernelspec = {"name": "my-env", "display_name": "m", "language": "python"}
    nbformat.write(notebook, folder / "a.ipynb")
    done = run_jrc("run", "a.ipynb", env=env)
    assert (done.code, done.stdout) == (0, "1\n")
    assert "The server has no kernel 'my-env': using 'python3'." in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["nope.ipynb"], 5, "nope.ipynb does not exist"),
        (["broken.ipynb"], 2, "broken.ipynb is not a notebook"),
        (["a.txt"], 2, "a.txt is neither a notebook nor"),
        (["b.txt"], 5, "b.txt does not exist"),
        (["a"], 5, "Did you mean a.ipynb?"),
        (["a.ipynb", "--kernel", "nope"], 5, "no kernel 'nope'. It has: python3."),
        (["a.ipynb", "-o", "x.html"], 2, "does not end in .ipynb"),
        (["a.ipynb", "-o", "x.ipynb", "--in-place"], 2, "exclude each other"),
        (["a.ipynb", "-o", "missing/x.ipynb"], 2, "Can't write missing/x.ipynb"),
        (["--in-place", "s.py"], 2, "is for notebook files"),
        (["a.ipynb", "x"], 2, "takes no arguments"),
        (["a.ipynb", "-p", "x"], 2, "-p takes a name and a value"),
        (["a.ipynb", "-P", "nope"], 5, "nope"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    folder: Path, env: dict[str, str], words: list[str], code: int, text: str
) -> None:
    write(folder / "a.ipynb", "1")
    (folder / "s.py").write_text("pass\n")
    (folder / "a.txt").write_text("x")
    (folder / "broken.ipynb").write_text("{")
    done = run_jrc("run", *words, env=env)
    assert done.code == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_most_verbose_log_holds_no_token(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "print(1)")
    done = run_jrc("-vv", "run", "a.ipynb", env=env)
    assert done.code == 0
    assert "jrc.server" in done.stderr
    assert env["JRC_TOKEN"] not in done.stderr


def test_a_wrong_token_and_a_dead_server(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "1")
    wrong = run_jrc("run", "a.ipynb", env={**env, "JRC_TOKEN": "wrong"})
    assert wrong.code == 4
    assert "refused" in wrong.stderr
    dead = run_jrc("run", "a.ipynb", env={**env, "JRC_URL": "http://127.0.0.1:1/"})
    assert dead.code == 6
    assert "127.0.0.1:1" in dead.stderr


def test_a_read_only_folder_is_told_before_anything_runs(
    folder: Path, env: dict[str, str], read_only: Path
) -> None:
    write(folder / "a.ipynb", "print('ran')")
    done = run_jrc("run", "a.ipynb", "-o", read_only / "out.ipynb", env=env)
    assert (done.code, done.stdout) == (2, "")
    assert f"Can't write {read_only / 'out.ipynb'}" in done.stderr


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that this person can't write to; for root, who can, one of the kernel's."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield Path("/sys")
        return
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o500)
    yield folder
    folder.chmod(0o700)


def test_sigint_interrupts_the_remote_cell_and_saves(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "import time\nprint('on', flush=True)\ntime.sleep(60)", "print(2)")
    process = subprocess.Popen(
        jrc_command("run", "a.ipynb"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=jrc_environment(env),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "KeyboardInterrupt" in err
    outputs = nbformat.read(folder / "a.out.ipynb", as_version=4).cells[0].outputs
    assert [o.output_type for o in outputs] == ["stream", "error"]


def test_questions_are_answered_at_the_terminal(folder: Path, env: dict[str, str]) -> None:
    write(
        folder / "a.ipynb", "from getpass import getpass\nprint(input('name? '), getpass('pw? '))"
    )
    with Dialog("run", "a.ipynb", env=env) as dialog:
        dialog.answer("name? ", "ada")
        dialog.answer("pw? ", "secret")
        dialog.expect("ada secret")
        assert dialog.end() == 0


def test_the_live_line_shows_what_runs(folder: Path, env: dict[str, str]) -> None:
    write(folder / "a.ipynb", "x = 1", "# first\nimport time; time.sleep(1)")
    with Dialog("run", "a.ipynb", env=env) as dialog:
        dialog.expect("[2/2] import time; time.sleep(1)")
        assert dialog.end() == 0


def test_that_the_kernel_died_is_said_once(folder: Path, env: dict[str, str]) -> None:
    (folder / "a.py").write_text("# %%\nimport os\nos._exit(3)\n", encoding="utf-8")
    done = run_jrc("run", "a.py", env=env)
    assert done.code == ExitCode.KERNEL_DIED
    assert done.stderr.count("The kernel died") == 1
    assert "error: Cell 1 of a.py: The kernel died" in done.stderr
