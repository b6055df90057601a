"""Commands on a server whose names steer terminals; cells that print such text."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import run_jrc
from tests.support.hostile import (
    FOLDER,
    KERNEL,
    KERNEL_ID,
    RUN,
    SESSION,
    STATE,
    HostileServer,
    about,
    in_base64,
    journal,
    jupyter_answers,
    messages_of_a_cell,
    notes,
)
from tests.support.jupyter import JupyterServer
from tests.support.notebooks import write
from tests.support.running import profile_of
from tests.support.web import Web

pytestmark = pytest.mark.attacks

EVIL = (
    "x\x1b]52;c;ZXZpbA==\x07\x1b]0;t\x07\x1b[2J\x1b[8m\x1b[6n\x9b31m\x9d0;t\x9c\u202e\x00\x7f"
    "\nerror: forged\nhint: forged\r\n"
)
LINE = re.sub(r"[\r\n]", "", EVIL)
ESCAPED = r"x\x1b]52;c;"
"""How each of them begins where it is shown."""
OURS = r"\x1b\[[0-9;:]*m|\x1b\[[02]?K|\x1b\[[0-9]*A"
"""What jrc may send itself: colours, and what takes live rows away."""


def check_shown(text: str) -> None:
    """Nothing in a text steers a terminal, and no line of it is forged."""
    left = re.sub(OURS, "", text)
    assert not re.search("[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", left)
    assert not re.search(r"\x1b\[[0-9;:]*\b8m", text)
    assert not re.search("(?m)^(error|hint): forged", left)


def check_output(text: str) -> None:
    """The same, where remote code printed the text: its lines are its own."""
    check_shown(re.sub("(?m)^(error|hint): forged|\x1b\\[J", "", text))


def answers(folder: Path) -> dict[str, Any]:
    """What a server answers that has a run, with hostile text in each field that has no form."""
    replies = jupyter_answers(folder)
    named = {"name": EVIL, "execution_state": EVIL}
    kernel = {**KERNEL, **named}
    other = {**kernel, "id": f"k{EVIL}"}
    run = {**SESSION, "path": f"jrc/{EVIL}@desk/{LINE}.ipynb-{RUN}", "name": EVIL, "type": EVIL}
    spec = {"name": EVIL, "spec": {"display_name": EVIL, "language": EVIL}}
    last = {"owner": f"{EVIL}@desk", "document": EVIL, "cells": 1, "name": EVIL, "cell": 1}
    state = {**STATE, "last": last, "stopped": EVIL, "journal_error": EVIL}
    told = {**about(folder), "owner": f"{EVIL}@desk", "name": EVIL}
    recorded = [json.dumps(note).encode() for note in notes(told)]
    return replies | {
        "/api": {"version": EVIL},
        "/api/me": {"identity": {"username": EVIL, "name": EVIL, "display_name": EVIL}},
        "/api/status": {"started": EVIL, "kernels": 1, "connections": 1},
        "/api/kernels": [other, kernel],
        f"/api/kernels/{KERNEL_ID}": kernel,
        f"/api/kernels/{KERNEL_ID}/restart": kernel,
        "/api/sessions": [
            {**run, "kernel": kernel},
            {**run, "path": EVIL, "id": "s", "kernel": other},
        ],
        "/api/kernelspecs": {"default": EVIL, "kernelspecs": {EVIL: spec}},
        f"/api/contents/{FOLDER}/{RUN}.json": in_base64(f"{RUN}.json", json.dumps(state).encode()),
        f"/api/contents/{FOLDER}/{RUN}.jrcjournal": in_base64(
            f"{RUN}.jrcjournal", journal(recorded, messages_of_a_cell(LINE))
        ),
    }


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Web]:
    with HostileServer(answers(tmp_path)) as web:
        yield web


SHOWING = (
    *("kernel list", "-vv kernel list", "kernel stop k", "kernel interrupt k", "kernel restart k"),
    *("status", "profile show evil", "doctor evil", "runs --all", f"runs rm {RUN}"),
    *("run a.ipynb", "run --detach a.ipynb", "run --kernel other a.ipynb", f"attach {RUN}"),
    *(f"logs {RUN}", "connect evil --vscode --yes"),
    "login {url} --profile other --token-stdin",
)
"""Commands that show what the server chose."""
SILENT = (
    *("kernel start", "kernel start other", "profile list", "runs", f"runs rm --yes {RUN}"),
    *(f"kernel {verb} {KERNEL_ID[:4]}" for verb in ("stop", "interrupt", "restart")),
    *("connect evil", "disconnect evil", f"cancel {RUN}"),
)
"""Commands that read it and show none of it here: ids and profiles have a form."""


def prepared(tmp_path: Path, web: Web) -> dict[str, str]:
    """A notebook whose own names are hostile too, and the environment of its commands."""
    write(tmp_path / "a.ipynb", f"# {EVIL}\n1")
    notebook = json.loads((tmp_path / "a.ipynb").read_text())
    notebook["metadata"] = {"kernelspec": {"name": EVIL, "display_name": EVIL}}
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    login = run_jrc(
        "login", web.url, "--profile", "evil", "--token-stdin", input="t\n", cwd=tmp_path
    )
    check_shown(login.stdout + login.stderr)
    assert login.code == 0, login.stderr
    return {"JRC_PROFILE": "evil"}


@pytest.mark.parametrize("command", [*SHOWING, *SILENT])
def test_names_steer_no_pipe(command: str, hostile: Web, tmp_path: Path) -> None:
    env = prepared(tmp_path, hostile)
    words = command.format(url=hostile.url).split()
    done = run_jrc(*words, input="t\n", env=env, cwd=tmp_path)
    check_shown(done.stdout)
    check_shown(done.stderr)
    assert done.code != 70, done.stderr
    assert (command in SHOWING) == (ESCAPED in done.stdout + done.stderr)


@pytest.mark.parametrize(
    "command", ["kernel list", "status", "profile show evil", "runs --all", "doctor evil"]
)
def test_json_has_escapes(command: str, hostile: Web, tmp_path: Path) -> None:
    env = prepared(tmp_path, hostile)
    done = run_jrc(*command.split(), "--json", env=env, cwd=tmp_path)
    check_shown(done.stdout)
    check_shown(done.stderr)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows
    assert "forged" in str(rows)
    if command == "kernel list":
        assert rows[0]["session_path"] == EVIL


PRINTS = f"""
import sys
for stream in (sys.stdout, sys.stderr):
    stream.write({EVIL!r} + "\\x1b[31mred\\x1b[0m \\x1b[99A\\x1b[J\\rkept\\n")
    stream.flush()
"""
FAILS = f"raise ValueError({EVIL!r})"
SHOWS = f"""
from IPython.display import HTML, display
display({{"text/plain": {EVIL!r}}}, raw=True)
display({{"text/plain": "<a>", "text/html": "<b>" + {EVIL!r} + "</b>"}}, raw=True)
display({{"text/plain": {EVIL!r}}}, raw=True, display_id="d")
"""
ASKS = f"print('answer', input({EVIL!r}))"


@pytest.mark.parametrize("code", [PRINTS, FAILS, SHOWS, ASKS])
@pytest.mark.parametrize("name", ["a.ipynb", "a.py"])
def test_output_steers_no_pipe(
    name: str, code: str, jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(code) if name.endswith(".py") else write(path, code)
    env = profile_of(jupyter)
    plain = run_jrc("run", str(path), input="yes\n", env=env, cwd=tmp_path)
    check_output(plain.stdout)
    check_output(plain.stderr)
    assert "forged" in plain.stdout + plain.stderr
    lines = run_jrc("run", "--json", str(path), input="yes\n", env=env, cwd=tmp_path)
    check_shown(lines.stdout)
    assert any("forged" in str(json.loads(line)) for line in lines.stdout.splitlines())


if os.name == "posix":
    from tests.support.dialog import Dialog

    @pytest.mark.parametrize("command", SHOWING)
    def test_names_steer_no_terminal(command: str, hostile: Web, tmp_path: Path) -> None:
        env = prepared(tmp_path, hostile)
        words = command.format(url=hostile.url).split()
        with Dialog(*words, env=env, cwd=tmp_path, colours=True) as dialog:
            if "stdin" in command:
                dialog.press("t\n\x04")
            elif "rm" in command:
                dialog.answer("[y/N]", "n")
            dialog.end()
        check_shown(dialog.shown)
        assert ESCAPED in dialog.shown

    @pytest.mark.parametrize("code", [PRINTS, FAILS, SHOWS, ASKS])
    @pytest.mark.parametrize("name", ["a.ipynb", "a.py"])
    def test_output_steers_no_terminal(
        name: str, code: str, jupyter: JupyterServer, tmp_path: Path
    ) -> None:
        path = tmp_path / name
        path.write_text(code) if name.endswith(".py") else write(path, code)
        with Dialog("run", str(path), env=profile_of(jupyter), colours=True) as dialog:
            if code == ASKS:
                dialog.answer("forged", "yes")
            dialog.end()
        assert "forged" in dialog.shown
        check_output(dialog.shown)
