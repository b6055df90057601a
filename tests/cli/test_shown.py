"""What people see of a run: on a terminal, in a pipe, in a log."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.support.command import jrc_command, jrc_environment, run_jrc
from tests.support.dialog import Dialog
from tests.support.jupyter import JupyterServer
from tests.support.running import profile_of, write_notebook
from tests.support.screen import Screen

TRAINER = """
import time
from IPython.display import HTML, display

def table(step):
    return HTML(
        f"<div><progress value='{step}' max='3'></progress> [{step}/3]</div>"
        f"<table><tr><th>Step<th>손실<tr><td>{step}<td>{1 / (step + 1):.3f}</table>"
    )

shown = display(table(0), display_id=True)
for step in range(1, 4):
    shown.update(table(step))
    WAIT
print('between')
"""

WIDGET = """
from comm import create_comm

def model(name, **state):
    data = {'state': {'_model_name': name, **state}, 'buffer_paths': []}
    return create_comm(target_name='jupyter.widget', data=data, metadata={'version': '2.1.0'})

def update(widget, **state):
    widget.send({'method': 'update', 'state': state, 'buffer_paths': []})

def show(widget):
    view = {'version_major': 2, 'version_minor': 0, 'model_id': widget.comm_id}
    bundle = {'text/plain': '  0%| | 0/4', 'application/vnd.jupyter.widget-view+json': view}
    display(bundle, raw=True)

left, bar = model('HTMLModel', value='훈련:   0%'), model('FloatProgressModel', min=0.0, max=4.0)
right = model('HTMLModel', value=' 0/4')
layout = model('LayoutModel')
parts = ['IPY_MODEL_' + each.comm_id for each in (left, bar, right)]
box = model('HBoxModel', children=parts, layout='IPY_MODEL_' + layout.comm_id)
show(box)
for i in range(1, 5):
    update(bar, value=float(i))
    update(left, value=f'훈련: {i * 25:3}%')
    update(right, value=f' {i}/4 [00:0{i}&lt;00:00]')
"""

OUTPUT_WIDGET = """
from IPython import get_ipython
from IPython.display import clear_output, display

out = model('OutputModel', _model_module='@jupyter-widgets/output', outputs=[])
show(out)
update(out, msg_id=get_ipython().kernel.get_parent()['header']['msg_id'])
for i in range(3):
    clear_output(wait=True)
    display({'text/plain': f'Working... {i + 1}/3'}, raw=True)
update(out, msg_id='')
print('after')
"""


@pytest.fixture
def env(jupyter: JupyterServer) -> dict[str, str]:
    return profile_of(jupyter)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stdout_of(folder: Path, env: dict[str, str], *sources: str) -> str:
    write_notebook(folder / "a.ipynb", sources)
    done = run_jrc("run", "a.ipynb", "-q", env=env)
    assert (done.code, done.stderr) == (0, "")
    return done.stdout


def test_cells_and_kinds_of_output_begin_on_a_line_of_their_own(
    folder: Path, env: dict[str, str]
) -> None:
    shown = stdout_of(
        folder,
        env,
        "print('loss: 0.1', end='')",
        "42",
        "print('a', end=''); display({'text/plain': 'b'}, raw=True); print('c', end='')",
        "print('d'); print('e')",
        "print('\\x1b[31mf\\x1b[0m\\n\\x1b[0m', end='')",
        "print('g', end='\\r'); print('h', end='\\r')",
        "7",
    )
    assert shown == "loss: 0.1\n42\na\nb\nc\nd\ne\nf\ng\nh\n7\n"


def test_a_log_tells_cells_and_streams_apart(folder: Path, env: dict[str, str]) -> None:
    sources = [
        "import sys\nprint('out', end='', flush=True)\nprint('err', end='', file=sys.stderr)",
        "print('next')",
    ]
    path = write_notebook(folder / "a.ipynb", sources)
    done = subprocess.run(
        [sys.executable, "-m", "jrc", "run", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=jrc_environment(env),
        timeout=90,
    )
    lines = done.stdout.splitlines()
    assert lines[1:6] == ["[1/2] import sys", "out", "err", "[2/2] print('next')", "next"]


@pytest.mark.parametrize(
    "source",
    [
        "print('a', end='')\nprint('b\\r', end='')\nimport sys; sys.stdout.write('\\n\\n c')",
        "print('한글 \\x1b[1mbold\\x1b[0m')",
    ],
)
def test_a_scripts_stdout_is_its_own_byte_for_byte(
    folder: Path, env: dict[str, str], source: str
) -> None:
    (folder / "s.py").write_text(source, "utf-8")
    here = subprocess.run([sys.executable, "s.py"], stdout=subprocess.PIPE, timeout=90)
    there = subprocess.run(
        [sys.executable, "-m", "jrc", "run", "s.py"],
        capture_output=True,
        env=jrc_environment(env),
        timeout=90,
    )
    assert there.stdout == here.stdout


def test_what_replaces_itself_is_written_once_in_a_pipe(folder: Path, env: dict[str, str]) -> None:
    shown = stdout_of(
        folder,
        env,
        TRAINER.replace("WAIT", "pass"),
        "from IPython.display import clear_output\n"
        "for i in range(3):\n    clear_output(wait=True)\n    print('epoch', i)\n    i * 2",
        WIDGET,
        OUTPUT_WIDGET,
        "update(bar, value=1.0)\n_ = display({'text/plain': 'new'}, raw=True, display_id='d')",
    )
    assert shown == (
        "between\n100%|████████████████████| [3/3]\n\nStep   손실\n   3  0.250\n"
        "epoch 2\n"
        "훈련: 100%|██████████| 4/4 [00:04<00:00]\n"
        "after\nWorking... 3/3\n"
        "new\n"
    )


def test_a_frame_keeps_its_order_and_its_images(folder: Path, env: dict[str, str]) -> None:
    code = (
        "from IPython.display import clear_output, display\n"
        "for i in range(3):\n    clear_output(wait=True)\n    print('before', i)\n"
        "    display({'text/plain': f'<Figure {i}>', 'image/png': ''}, raw=True)\n"
        "    print('after', i)"
    )
    write_notebook(folder / "a.ipynb", [code])
    done = run_jrc("run", "-q", "a.ipynb", env=env)
    assert done.stdout == "before 2\n<Figure 2>\nafter 2\n"
    assert done.stderr == "[image/png: saved in a.out.ipynb]\n"


def test_of_very_many_displays_the_oldest_are_written(folder: Path, env: dict[str, str]) -> None:
    code = "for i in range(300): _ = display({'text/plain': str(i)}, raw=True, display_id=True)"
    assert stdout_of(folder, env, code).split() == [str(i) for i in range(300)]


def test_a_widget_that_hides_or_closes_leaves_nothing(folder: Path, env: dict[str, str]) -> None:
    hidden = f"{WIDGET}\nupdate(layout, display='none')"
    closed = f"{WIDGET}\nbox.close()"
    assert stdout_of(folder, env, hidden, closed, "1") == "1\n"


def test_a_widget_without_text_shows_what_stands_for_it(folder: Path, env: dict[str, str]) -> None:
    code = f"{WIDGET.partition('left,')[0]}\nshow(model('ButtonModel', description='Go'))"
    assert stdout_of(folder, env, code) == "  0%| | 0/4\n"


def test_progress_is_drawn_in_place_on_a_terminal(folder: Path, env: dict[str, str]) -> None:
    write_notebook(folder / "a.ipynb", [TRAINER.replace("WAIT", "time.sleep(0.4)")])
    with Dialog("run", "a.ipynb", env=env) as dialog:
        assert dialog.end() == 0
    painted = [found.end() for found in re.finditer(r"\x1b\[0m", dialog.shown)]
    assert len(painted) > 10
    for end in painted:
        lines = Screen().feed(dialog.shown[:end]).lines
        assert sum("/3]" in line for line in lines) <= 1
    lines = Screen().feed(dialog.shown).lines
    begin = lines.index("[1/1] import time")
    assert lines[begin + 1 : begin + 6] == [
        "between",
        "100%|████████████████████| [3/3]",
        "",
        "Step   손실",
        "   3  0.250",
    ]
    assert lines[-1].startswith("jrc: done in")


def test_clear_output_takes_back_what_the_terminal_shows(folder: Path, env: dict[str, str]) -> None:
    code = (
        "from IPython.display import clear_output\nprint('kept')",
        "for i in range(4):\n    print('epoch', i)\n    print('x' * 200)\n"
        "    clear_output(wait=True)\nprint('last')",
    )
    write_notebook(folder / "a.ipynb", code)
    with Dialog("run", "a.ipynb", env=env) as dialog:
        assert dialog.end() == 0
    lines = Screen().feed(dialog.shown).lines
    begin = lines.index("[1/2] from IPython.display import clear_output")
    assert lines[begin + 1 : begin + 4] == ["kept", "[2/2] for i in range(4):", "last"]


def test_the_prompt_stays_until_the_answer_is_given(folder: Path, env: dict[str, str]) -> None:
    code = (
        "import threading, time, sys\n"
        "def late():\n    time.sleep(1.5)\n    print('later', flush=True)\n"
        "print('Before: ', end='')\n"
        "threading.Thread(target=late).start()\n"
        "name = input('name? ')\n"
        "print('hello', name)"
    )
    write_notebook(folder / "a.ipynb", [code])
    with Dialog("run", "a.ipynb", env=env) as dialog:
        dialog.expect("name? ")
        dialog.expect("later")
        screen = Screen().feed(dialog.shown)
        assert "Before: name? " in "\n".join(screen.lines)
        dialog.press("ada\n")
        dialog.expect("hello ada")
        assert dialog.end() == 0
    lines = Screen().feed(dialog.shown).lines
    assert "hello ada" in lines
    assert not [line for line in lines if line.startswith("00:")]


def test_a_hidden_question_that_is_left_leaves_the_terminal_as_it_was(
    folder: Path, env: dict[str, str]
) -> None:
    code = "from getpass import getpass\ngetpass('pw? ')"
    write_notebook(folder / "a.ipynb", [code])
    with Dialog("run", "a.ipynb", env=env) as dialog:
        dialog.expect("pw? ")
        assert not dialog.echoes
        dialog.press("\x03")
        dialog.expect("Interrupting the remote cell")
        assert dialog.end() == 130
        assert dialog.echoes


def test_quiet_shows_the_output_and_what_goes_wrong(folder: Path, env: dict[str, str]) -> None:
    write_notebook(folder / "a.ipynb", ["print(1)", "1 / 0"])
    done = run_jrc("run", "--quiet", "a.ipynb", env=env)
    assert done.stdout == "1\n"
    assert done.stderr.startswith("----")
    assert "error: Cell 2 of a.ipynb failed" in done.stderr


def test_headings_come_from_the_text_above(folder: Path, env: dict[str, str]) -> None:
    cells = [
        new_markdown_cell("intro\n\n# 데이터 🎉 #\n\n## more"),
        new_code_cell("1"),
        new_code_cell("# a comment\nx = 2"),
        new_markdown_cell("no heading"),
        new_code_cell("%time 3"),
    ]
    nbformat.write(new_notebook(cells=cells), folder / "a.ipynb")
    done = run_jrc("run", "a.ipynb", env=env)
    marks = [line.partition("  ")[0] for line in done.stderr.splitlines() if line[0] == "["]
    assert marks == ["[1/3] 데이터 🎉", "[2/3] x = 2", "[3/3] %time 3"]


@pytest.mark.parametrize("code", [3, 300])
def test_a_scripts_exit_code_is_said(folder: Path, env: dict[str, str], code: int) -> None:
    """The one that the process has: elsewhere than on Windows, a byte of it."""
    (folder / "s.py").write_text(f"import sys\nsys.exit({code})")
    done = run_jrc("run", "s.py", env=env)
    assert done.code == (code if sys.platform == "win32" else code % 256)
    assert done.stderr.splitlines()[-1].startswith(f"jrc: exit code {done.code} after ")
    done = run_jrc("run", "--json", "s.py", env=env)
    assert json.loads(done.stdout.splitlines()[-1])["exit_code"] == done.code


def test_injected_parameters_have_no_number(folder: Path, env: dict[str, str]) -> None:
    write_notebook(folder / "a.ipynb", ["print(x)"])
    done = run_jrc("run", "a.ipynb", "-p", "x", "7", env=env)
    marks = [line.partition("  ")[0] for line in done.stderr.splitlines() if line[0] == "["]
    assert marks == ["[parameters] x = 7", "[1/1] print(x)"]


@pytest.mark.parametrize("behind", [0, 1, 3])
def test_the_cells_behind_an_exit_are_counted(
    folder: Path, env: dict[str, str], behind: int
) -> None:
    write_notebook(folder / "a.ipynb", ["1", "import sys; sys.exit(0)", *behind * ["2"]])
    done = run_jrc("run", "a.ipynb", env=env)
    assert done.code == 0
    words = {0: "", 1: "1 cell after it was", 3: "3 cells after it were"}[behind]
    told = f"jrc: Cell 2 ended the run: {words} not executed.\n" if words else ""
    assert "".join(line for line in done.stderr.splitlines(True) if "ended" in line) == told
    assert "ended" not in run_jrc("run", "-q", "a.ipynb", env=env).stderr


def test_no_live_line_where_stdout_is_a_pipe(folder: Path, env: dict[str, str]) -> None:
    """The reader of the pipe may write to the same terminal."""
    write_notebook(folder / "a.ipynb", ["print('one')"])
    person, terminal = pty.openpty()
    with subprocess.Popen(
        jrc_command("run", "a.ipynb"),
        stdout=subprocess.PIPE,
        stderr=terminal,
        env=jrc_environment({"TERM": "xterm", "NO_COLOR": "1", **env}),
    ) as process:
        os.close(terminal)
        shown = b""
        with suppress(OSError):
            while received := os.read(person, 4096):
                shown += received
        os.close(person)
        assert process.communicate()[0] == b"one\n"
    assert shown.startswith(b"jrc: a.ipynb on ")
    assert b"starting" not in shown
    assert b"\x1b" not in shown
