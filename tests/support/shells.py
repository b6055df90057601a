"""Real shells, in which a person presses TAB behind a command of jrc. POSIX only."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command import jrc_environment

_START = {
    "bash": (
        ["bash", "--noprofile", "--norc", "-i"],
        "source $SCRIPT; bind 'set show-all-if-ambiguous on'; PS1='READY'$'> '",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "autoload -Uz compinit; compinit -u -D; source $SCRIPT; PROMPT='READY'$'> '",
    ),
}
"""How a shell starts without anybody's settings, and what it is typed first."""

_PROMPT = "READY> "
_ANSWERED = "answered"


class Shells:
    """The shells of this machine, with this jrc on their path.

    Args:
        folder: where they work.
        env: what jrc finds in the environment.
    """

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        program = folder / "bin" / "jrc"
        program.parent.mkdir()
        program.write_text(
            f'#!/bin/sh\n"{sys.executable}" -m jrc "$@"\ncode=$?\n'
            f'echo >> "{folder / _ANSWERED}"\nexit $code\n'
        )
        program.chmod(0o755)
        path = f"{program.parent}:{os.environ['PATH']}"
        self._env = jrc_environment({**env, "PATH": path, "TERM": "xterm"})

    def tab(self, shell: str, line: str, *, seconds: float = 60) -> str:
        """What the shell shows after a line and TAB.

        What it inserted is then evaluated, as when a person presses Return, as the arguments of a
        command that does nothing. The test is skipped where the shell is not installed.
        """
        if shell == "fish":
            return self._fish(line)
        self._need(shell)
        argv, first = _START[shell]
        env = {**self._env, "SCRIPT": str(self._script(shell))}
        person, terminal = pty.openpty()
        streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
        process = subprocess.Popen(
            argv, cwd=self._folder, env=env, start_new_session=True, **streams
        )
        os.close(terminal)
        deadline = time.monotonic() + seconds
        try:
            os.write(person, f"{first}\n".encode())
            _until(person, _PROMPT, deadline)
            asked = self._answers()
            os.write(person, f"{line}\t".encode())
            while self._answers() == asked and time.monotonic() < deadline:
                time.sleep(0.05)
            shown = _until_quiet(person)
            os.write(person, b"\x01: \n")
            _until(person, _PROMPT, deadline)
            return shown
        finally:
            process.kill()
            process.wait()
            os.close(person)

    def _fish(self, line: str) -> str:
        self._need("fish")
        command = f"source {self._script('fish')}; complete -C '{line}'"
        return self._output("fish", "--no-config", "-c", command)

    def _script(self, shell: str) -> Path:
        """What ``jrc --show-completion`` prints for a shell, in a file."""
        path = self._folder / f"completion.{shell}"
        path.write_text(self._output("jrc", "--show-completion", shell))
        return path

    def _output(self, *argv: str) -> str:
        done = subprocess.run(
            argv,
            env={**self._env, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
            cwd=self._folder,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=True,
        )
        return done.stdout

    def _answers(self) -> int:
        """How often jrc ended."""
        path = self._folder / _ANSWERED
        return path.stat().st_size if path.exists() else 0

    @staticmethod
    def _need(shell: str) -> None:
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed")


def _until(person: int, text: str, deadline: float) -> str:
    shown = ""
    while text not in shown:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([person], [], [], left)[0]:
            raise AssertionError(f"The shell does not go on. It showed:\n{shown}")
        shown += os.read(person, 65536).decode(errors="replace")
    return shown


def _until_quiet(person: int) -> str:
    shown = ""
    while select.select([person], [], [], 1.0)[0]:
        shown += os.read(person, 65536).decode(errors="replace")
    return shown
