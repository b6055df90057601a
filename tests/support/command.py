"""The ``jrc`` command as people run it: a process of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """How one command ended."""

    code: int
    stdout: str
    stderr: str


def run_jrc(
    *args: str | os.PathLike[str],
    input: str | None = None,
    env: dict[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    timeout: float = 90,
) -> Result:
    """Run ``jrc`` in the environment of this test and wait for its end.

    Args:
        args: the words behind ``jrc``.
        input: what comes on stdin; nothing (and no terminal) when it is None.
        env: variables on top of the test's own.
        cwd: the folder to run in.
        timeout: seconds.
    """
    done = subprocess.run(
        jrc_command(*args),
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        encoding="utf-8",
        env=jrc_environment(env),
        cwd=cwd,
        timeout=timeout,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def jrc_command(*args: str | os.PathLike[str]) -> list[str]:
    """The argv of ``jrc ARGS``, for the tests that need the process while it runs."""
    return [sys.executable, "-m", "jrc", *(os.fspath(arg) for arg in args)]


def jrc_environment(env: dict[str, str] | None = None) -> dict[str, str]:
    """The environment for such a process."""
    return {**os.environ, "PYTHONUTF8": "1", **(env or {})}
