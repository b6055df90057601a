"""What remote code reads is the stdin of ``jrc run``."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.support.command import jrc_command, jrc_environment, run_jrc
from tests.support.dialog import Dialog
from tests.support.jupyter import JupyterServer, StartJupyter
from tests.support.running import profile_of


@pytest.fixture
def env(jupyter: JupyterServer) -> dict[str, str]:
    return profile_of(jupyter)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_notebook(path: Path, *sources: str) -> None:
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)


def test_a_long_pipe_arrives_byte_for_byte(folder: Path, env: dict[str, str]) -> None:
    (folder / "s.py").write_text(
        "import sys, hashlib\nprint(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())\n"
    )
    data = os.urandom(5 << 20)
    done = subprocess.run(
        jrc_command("run", "s.py"), input=data, capture_output=True, env=jrc_environment(env)
    )
    assert (done.returncode, done.stdout.decode()) == (0, hashlib.sha256(data).hexdigest() + "\n")


ENDLESS = """
import os, sys
read, write = os.pipe()
os.set_inheritable(write, True)
os.dup2(read, 0)
os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher", "-f", sys.argv[1]])
"""
"""Starts a kernel whose own stdin is a pipe that nobody writes to."""

CAT = "import subprocess\nprint(subprocess.run(['cat'], capture_output=True, timeout=20).stdout)\n"


def test_a_subprocess_of_a_script_finds_stdin_empty_however_its_kernel_was_started(
    folder: Path, start_jupyter: StartJupyter
) -> None:
    place = folder / "jupyter" / "kernels" / "endless"
    place.mkdir(parents=True)
    argv = [sys.executable, "-c", ENDLESS, "{connection_file}"]
    spec = {"argv": argv, "display_name": "Endless", "language": "python"}
    (place / "kernel.json").write_text(json.dumps(spec))
    server = start_jupyter(env={"JUPYTER_PATH": str(folder / "jupyter")})
    (folder / "s.py").write_text(f"{CAT}print(input())\n")
    done = run_jrc(
        "run", "--kernel", "endless", "s.py", input="for the script\n", env=profile_of(server)
    )
    assert (done.code, done.stdout) == (0, "b''\nfor the script\n"), done.stderr


@pytest.mark.parametrize("embedded", [True, False])
def test_a_subprocess_of_a_cell_finds_stdin_empty(
    folder: Path, env: dict[str, str], embedded: bool
) -> None:
    write_notebook(folder / "a.ipynb", CAT)
    done = run_jrc("run", "a.ipynb", input="for nobody\n", env={} if embedded else env)
    assert (done.code, done.stdout) == (0, "b''\n"), done.stderr


def test_what_a_script_does_not_read_stays_in_the_pipe(folder: Path, env: dict[str, str]) -> None:
    (folder / "s.py").write_text("print(1)\n")
    read, write = os.pipe()
    os.write(write, b"left")
    os.close(write)
    done = subprocess.run(
        jrc_command("run", "s.py"), stdin=read, capture_output=True, env=jrc_environment(env)
    )
    assert done.returncode == 0
    assert os.read(read, 10) == b"left"
    os.close(read)


def test_an_endless_pipe_is_read_as_far_as_it_is_wanted(folder: Path, env: dict[str, str]) -> None:
    (folder / "s.py").write_text("print(input(), input())\n")
    with subprocess.Popen(["yes", "on and on"], stdout=subprocess.PIPE) as endless:
        done = subprocess.run(
            jrc_command("run", "s.py"),
            stdin=endless.stdout,
            capture_output=True,
            env=jrc_environment(env),
        )
        endless.kill()
    assert (done.returncode, done.stdout) == (0, b"on and on on and on\n")


def test_a_pipe_answers_the_questions_of_a_notebook(folder: Path, env: dict[str, str]) -> None:
    write_notebook(folder / "a.ipynb", "a = input('a? ')", "print(a, input(), input('last? '))")
    done = run_jrc("run", "a.ipynb", env=env, input="one\r\n\nzwei ☃")
    assert (done.code, done.stdout) == (0, "one  zwei ☃\n")
    assert "[1/2] a = input('a? ')\na? \n" in done.stderr


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_notebook_that_asks_nobody_says_so(
    folder: Path, env: dict[str, str], words: list[str]
) -> None:
    write_notebook(folder / "a.ipynb", "name = input('name? ')")
    done = run_jrc("run", "a.ipynb", *words, env=env)
    assert done.code == 1
    assert "EOFError: the code asked for input, and there is none on stdin" in done.stderr


def test_a_program_that_reads_events_can_feed_a_script(folder: Path, env: dict[str, str]) -> None:
    (folder / "s.py").write_text("import sys\nprint(len(sys.stdin.read()))\n")
    done = run_jrc("run", "--json", "s.py", env=env, input="abc")
    assert done.code == 0
    assert '"3\\n"' in done.stdout


def test_a_script_reads_lines_at_a_terminal(folder: Path, env: dict[str, str]) -> None:
    (folder / "s.py").write_text(
        "import sys\nprint('first', sys.stdin.readline())\n"
        "name = input('name? ')\nprint('all', [name, *sys.stdin])\n"
        "try:\n    input('more? ')\nexcept EOFError as error:\n    print(error)\n"
    )
    with Dialog("run", "s.py", env=env) as dialog:
        dialog.press("one\n")
        dialog.expect("first one")
        dialog.answer("name? ", "ada")
        dialog.press("two\n")
        dialog.press("three\n")
        dialog.press("\x04")
        dialog.expect("all ['ada', 'two\\n', 'three\\n']")
        dialog.expect("more? ")
        dialog.press("\x04")
        dialog.expect("EOF when reading a line")
        assert dialog.end() == 0


@pytest.mark.parametrize("head", ["", "# %%\n"])
@pytest.mark.parametrize(
    ("stdin", "code", "shown"), [("abc", 1, "a detached run has no stdin"), (None, 0, "read ''")]
)
def test_a_detached_script_finds_no_stdin_that_was_there(
    folder: Path, env: dict[str, str], stdin: str | None, code: int, shown: str, head: str
) -> None:
    (folder / "s.py").write_text(f"{head}import sys\nprint('read', repr(sys.stdin.read()))\n")
    begun = run_jrc("run", "--detach", "s.py", env=env, input=stdin)
    assert begun.code == 0
    done = run_jrc("attach", begun.stdout.strip(), env=env)
    assert done.code == code
    assert shown in done.stdout + done.stderr


def test_the_cells_of_a_script_read_one_pipe(folder: Path, env: dict[str, str]) -> None:
    (folder / "s.py").write_text(
        "# %%\nimport sys\nprint(repr(sys.stdin.readline()))\n# %%\nprint(repr(input()))\n"
        "# %%\nprint(repr(sys.stdin.read()))\n# %%\ninput()\n"
    )
    done = run_jrc("run", "s.py", env=env, input="one\ntwo\nthree\nfour\n")
    assert (done.code, done.stdout) == (1, "'one\\n'\n'two'\n'three\\nfour\\n'\n")
    assert "EOFError: EOF when reading a line" in done.stderr


@pytest.mark.parametrize("name", ["0", "'/dev/stdin'"])
def test_a_cell_of_a_script_opens_stdin(folder: Path, env: dict[str, str], name: str) -> None:
    (folder / "s.py").write_text(f"# %%\nprint(repr(open({name}).read()))\n")
    done = run_jrc("run", "s.py", env=env, input="abc")
    assert (done.code, done.stdout) == (0, "'abc'\n")


def test_the_stdin_of_cells_is_not_that_of_the_next_run(
    folder: Path, env: dict[str, str], jupyter: JupyterServer
) -> None:
    (folder / "s.py").write_text("# %%\nimport sys\nprint(sys.stdin.readline())\n")
    kernel = jupyter.rest("POST", "api/kernels", {"name": "python3"})["id"]
    try:
        for text in ("one\ntwo\n", "three\nfour\n"):
            done = run_jrc("run", "--kernel-id", kernel, "s.py", env=env, input=text)
            assert (done.code, done.stdout) == (0, text.partition("\n")[0] + "\n\n")
        write_notebook(
            folder / "a.ipynb", "print(repr(sys.stdin.read()), input(), open.__code__.co_name)"
        )
        done = run_jrc("run", "--kernel-id", kernel, "a.ipynb", env=env, input="five\n")
    finally:
        jupyter.rest("DELETE", f"api/kernels/{kernel}")
    assert (done.code, done.stdout) == (0, "'' five _modified_open\n")


def test_the_cells_of_a_script_read_lines_at_a_terminal(folder: Path, env: dict[str, str]) -> None:
    (folder / "s.py").write_text(
        "# %%\nimport sys\nprint('first', sys.stdin.readline())\n"
        "# %%\nname = input('name? ')\nprint('all', [name, *sys.stdin])\n"
    )
    with Dialog("run", "s.py", env=env) as dialog:
        dialog.press("one\n")
        dialog.expect("first one")
        dialog.answer("name? ", "ada")
        dialog.press("two\n")
        dialog.press("\x04")
        dialog.expect("all ['ada', 'two\\n']")
        assert dialog.end() == 0


@pytest.mark.parametrize(
    ("file", "words", "code"),
    [
        ("s.py", [], 6),
        ("s.py", ["--timeout", "60", "--kernel", "nope"], 105),
        ("none.py", [], 105),
        ("a.ipynb", [], 1),
    ],
)
def test_failures_of_jrc_are_told_from_those_of_the_code(
    folder: Path, env: dict[str, str], file: str, words: list[str], code: int
) -> None:
    (folder / "s.py").write_text("import sys\nsys.exit(6)\n")
    write_notebook(folder / "a.ipynb", "1 / 0")
    done = run_jrc("run", "--exit-code-base", "100", "--json", *words, file, env=env)
    assert done.code == code
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(event["exit_code"] == code for event in events if event["event"] == "run-finished")


def test_a_question_that_fails_has_no_line_of_the_recorder(
    folder: Path, env: dict[str, str]
) -> None:
    notebook = new_notebook(cells=[new_code_cell("input('name? ')")])
    nbformat.write(notebook, folder / "a.ipynb")
    done = run_jrc("run", "a.ipynb", input="", env=env)
    assert done.code == 1
    assert "EOFError" in done.stderr
    assert "recorder" not in done.stderr
