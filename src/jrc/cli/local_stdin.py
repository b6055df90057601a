"""What remote code reads: the stdin of this process, a line or a piece at a time."""

import base64
import os
import re
import select
import sys
from pathlib import Path
from typing import Any

from jrc.cli.terminal import Terminal
from jrc.notebook.script import STDIN_ERROR, STDIN_PROMPT, Stdin
from jrc.visible import visible

END_OF_FILE = "\x04"
"""An answer to ``input()`` that makes a kernel raise EOFError."""


_PIECE = re.compile(re.escape(STDIN_PROMPT) + r"([0-9]{1,9})")
_LARGEST_PIECE = 1 << 20


class LocalStdin:
    """Reads stdin when it is asked, and not before: what nobody reads is left to others.

    Attributes:
        kind: what stdin is.
        in_pieces: the code is a script, whose ``sys.stdin`` asks for pieces and shows no question.
            A notebook has no such thing: what asks all the same would read unseen.
    """

    def __init__(self) -> None:
        stream: Any = sys.stdin
        # Not through its buffer: a thread that waits there can't be left at the process's end.
        self._raw = getattr(getattr(stream, "buffer", None), "raw", None)
        self._rest = b""
        self.in_pieces = False
        self.kind: Stdin = "none"
        if self._raw is not None:
            self.kind = "terminal" if stream.isatty() else "pipe"
        if self.kind == "pipe" and _is_null(self._raw):
            self.kind = "none"

    def answer(self, prompt: str, hidden: bool) -> str:
        """The answer to a question of the kernel's. Waits; for a thread of its own.

        Args:
            prompt: the question; of a script that reads its stdin, how much it takes.
            hidden: the answer is a secret.
        """
        if self.in_pieces and (wanted := _PIECE.fullmatch(prompt)):
            return self._encoded_piece(min(int(wanted[1]), _LARGEST_PIECE))
        if hidden and self._has_terminal():
            from getpass import getpass

            try:
                return getpass(visible(prompt), stream=sys.stderr)
            except EOFError:
                return END_OF_FILE
        # Where the answer is not typed, nothing ends the line.
        shown = prompt if self.kind == "terminal" or not prompt else prompt + "\n"
        Terminal().output(shown, error=True)
        return self._line()

    def _encoded_piece(self, size: int) -> str:
        try:
            return base64.b64encode(self._piece(size)).decode()
        except OSError as error:
            return f"{STDIN_ERROR}stdin can't be read: {error.strerror or error}"

    def _piece(self, size: int) -> bytes:
        """As much as is there without waiting for more; empty at the end of the file."""
        if self._rest:
            data, self._rest = self._rest[:size], self._rest[size:]
            return data
        pieces = [self._read(size)]
        while pieces[-1] and sum(map(len, pieces)) < size and self._more_is_there():
            pieces.append(self._read(size - sum(map(len, pieces))))
        return b"".join(pieces)

    def _line(self) -> str:
        """A line without its end."""
        while b"\n" not in self._rest:
            data = self._read(1 << 16)
            self._rest += data
            if not data:
                break
        line, end, self._rest = self._rest.partition(b"\n")
        if not line and not end:
            return END_OF_FILE
        return line.removesuffix(b"\r").decode(errors="replace")

    def _read(self, size: int) -> bytes:
        return (self._raw.read(size) or b"") if self._raw is not None else b""

    def _more_is_there(self) -> bool:
        if self.kind != "pipe" or self._raw is None or sys.platform == "win32":
            return False
        return bool(select.select([self._raw], [], [], 0)[0])

    def _has_terminal(self) -> bool:
        """Whether somebody can type a secret, though stdin may be a pipe."""
        if self.kind == "terminal" or sys.platform == "win32":
            return self.kind == "terminal"
        try:
            with Path("/dev/tty").open():
                return True
        except OSError:
            return False


def _is_null(raw: Any) -> bool:
    try:
        return os.path.samestat(os.fstat(raw.fileno()), Path(os.devnull).stat())
    except (OSError, ValueError, AttributeError):
        return False
