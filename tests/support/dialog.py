"""A command on a terminal of its own, and a person who answers it. POSIX only."""

import os
import pty
import select
import subprocess
import sys
import termios
import time
from types import TracebackType
from typing import Self

from tests.support.command import jrc_command, jrc_environment

# Makes the terminal on stdin the controlling one, so that getpass finds it and Ctrl-C arrives.
CONTROL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Dialog:
    """``jrc ARGS`` in a terminal; a context manager that leaves no process behind.

    Attributes:
        shown: everything that the terminal showed so far.
    """

    def __init__(
        self,
        *args: str,
        env: dict[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        timeout: float = 60,
        colours: bool = False,
    ) -> None:
        plain = {} if colours else {"NO_COLOR": "1"}
        self.shown = ""
        self._read = 0
        self._deadline = time.monotonic() + timeout
        self._person, terminal = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", CONTROL, *jrc_command(*args)],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=jrc_environment({"TERM": "xterm", **plain, **(env or {})}),
            cwd=cwd,
            start_new_session=True,
        )
        os.close(terminal)

    def expect(self, text: str) -> None:
        """Wait until the text is shown, behind what was expected before."""
        while (found := self.shown.find(text, self._read)) < 0:
            if not self._receive():
                raise AssertionError(f"{text!r} was not shown, but:\n{self.shown}")
        self._read = found + len(text)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question and type an answer, with Return."""
        self.expect(question)
        self.press(text + "\n")

    def press(self, keys: str) -> None:
        """Type keys; ``\\x03`` is Ctrl-C, ``\\x04`` Ctrl-D."""
        os.write(self._person, keys.encode())

    @property
    def echoes(self) -> bool:
        """The terminal shows what is typed."""
        return bool(termios.tcgetattr(self._person)[3] & termios.ECHO)

    def end(self) -> int:
        """Wait until the command ends. Returns its exit code."""
        while self._receive():
            pass
        return self._process.wait(max(self._deadline - time.monotonic(), 1))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._person)

    def _receive(self) -> bool:
        """Take what comes next. Returns False at the end."""
        left = self._deadline - time.monotonic()
        if left <= 0 or not select.select([self._person], [], [], left)[0]:
            raise AssertionError(f"The command does not go on. It showed:\n{self.shown}")
        try:
            received = os.read(self._person, 65536)
        except OSError:
            # Linux says end of file on a terminal so.
            return False
        self.shown += received.decode(errors="replace").replace("\r\n", "\n")
        return bool(received)
