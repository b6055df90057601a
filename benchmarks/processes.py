"""Processes: one that is measured from start to end, and services that run meanwhile."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

STOP_SECONDS = 10


@dataclass(frozen=True)
class Sample:
    """What one process cost.

    Attributes:
        wall: seconds from its start to its end.
        cpu: seconds of processor time, its own and of children that it waited for.
        rss: peak resident memory in MiB; of the largest one of these processes.
        code: its exit code; negative for a signal.
    """

    wall: float
    cpu: float
    rss: float
    code: int


def measure(
    argv: Sequence[str], *, env: Mapping[str, str], folder: Path, log: Path, timeout: float
) -> Sample:
    """Run a whole process.

    Args:
        argv: what to run.
        env: all of its environment.
        folder: where to run it.
        log: gets what it says on stdout and stderr.
        timeout: seconds until it and its children are killed.
    """
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            cwd=folder,
            start_new_session=True,
        )
        guard = threading.Timer(timeout, os.killpg, (process.pid, signal.SIGKILL))
        guard.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        guard.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    return Sample(wall, cpu, usage.ru_maxrss / 1024, process.returncode)


class Service:
    """A process that runs until the block ends.

    Args:
        argv: what to run.
        env: all of its environment.
        log: gets what it says on stderr, and on stdout too unless that is a pipe.
        piped: whether its stdout is read by us.
    """

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str], log: Path, piped: bool = False
    ) -> None:
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
                env=env,
                cwd=log.parent,
                start_new_session=True,
            )
        self._log = log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def first_line(self) -> str:
        """What it says first on its piped stdout."""
        assert self.process.stdout is not None
        line: bytes = self.process.stdout.readline()
        return line.decode().strip()

    def check(self) -> None:
        """Raise RuntimeError, with its log, if it ended already."""
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.process.args!r} ended:\n{self._log.read_text()}")
