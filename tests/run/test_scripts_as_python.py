"""The same script with ``python`` and with ``jrc run``: the same bytes, the same exit code."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jrc.cli.rendering import strip_ansi
from tests.support.command import jrc_command, jrc_environment
from tests.support.jupyter import JupyterServer
from tests.support.running import profile_of

SCRIPTS = [
    path
    for path in sorted(Path(__file__).with_name("scripts").glob("*.py"))
    if os.name == "posix" or "fork" not in path.name
]


@pytest.fixture(scope="module")
def kernel(jupyter: JupyterServer) -> Iterator[str]:
    """One kernel for all: no script may spoil it for the next one."""
    started = jupyter.rest("POST", "api/kernels", {"name": "python3"})
    yield started["id"]
    jupyter.rest("DELETE", f"api/kernels/{started['id']}")


def said(path: Path, key: str) -> object:
    """What a comment at the top of a script says of its arguments, or its stdin."""
    found = re.search(rf"^# {key}: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return None if found is None else ast.literal_eval(found[1])


def ended(command: list[str], stdin: object) -> tuple[int, bytes, str]:
    done = subprocess.run(
        command,
        input=str(stdin).encode() if stdin is not None else None,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        env=jrc_environment({"NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}),
        check=False,
        timeout=120,
    )
    # Killed by a signal, python ends as a shell tells it.
    code = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return code, done.stdout, strip_ansi(done.stderr.decode())


def talk_removed(stderr: str) -> str:
    """stderr without what jrc says itself, which ends it."""
    return re.sub(r"^(jrc: .*|error: .*|hint: .*)\n", "", stderr, flags=re.MULTILINE)


def blurred(stderr: str) -> str:
    """Without the lines that underline an expression: the interpreter's own are its secret."""
    return re.sub(r"^ *[\^~]+\n", "", stderr, flags=re.MULTILINE)


@pytest.mark.parametrize("path", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_a_script_ends_as_under_python(
    path: Path, kernel: str, jupyter: JupyterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in profile_of(jupyter).items():
        monkeypatch.setenv(name, value)
    args = said(path, "args") or []
    assert isinstance(args, list)
    stdin = said(path, "stdin")
    expected = ended([sys.executable, str(path), *args], stdin)
    got = ended(jrc_command("run", "--kernel-id", kernel, str(path), *args), stdin)
    assert (got[0], got[1]) == (expected[0], expected[1]), got[2]
    assert blurred(talk_removed(got[2])) == blurred(expected[2])
