"""stdout and stderr that never end a command: what people read is worth less than what they run.

A reader that went away, a full disk, a stream that is closed or an alphabet that lacks a character:
none of these is a reason to lose a result. What can't be shown is replaced or left out.

Here is the gate for everything that jrc or a library prints: nothing but colours and what moves
the cursor inside of a line passes ``write``. The sequences that jrc itself sends go through
``control``.
"""

import errno
import io
import os
import select
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from jrc.cli.columns import Place
from jrc.cli.remote_text import own_text

_READER_GONE = (errno.EPIPE, errno.EINVAL, errno.ESHUTDOWN)
"""How systems say that nobody reads a pipe any more; Windows says EINVAL."""


class SafeStream(io.TextIOBase):
    """A text stream whose writes succeed always.

    Args:
        stream: where to write; None where the process has no such stream.
        name: what people call it.
        complain: gets one sentence when a write fails for another reason than a reader that
            went away.

    Attributes:
        broken: nothing is written any more.
        left: its reader went away.
        place: what it leads to; the same object where two streams lead to the same.
    """

    def __init__(self, stream: TextIO | None, name: str, complain: "SafeStream | None") -> None:
        self._stream = stream
        self._name = name
        self._complain = complain
        self.broken = stream is None
        self.left = False
        self.place = Place()
        if complain is not None and self._leads_to_the_same_as(complain):
            self.place = complain.place

    def write(self, text: str) -> int:
        # Even empty bytes are an error: that is how click recognises a text stream.
        text = "" + text
        if text:
            self.control(own_text(text))
        return len(text)

    def control(self, text: str) -> None:
        """Write what jrc sends to a terminal, as it is: nothing of it may come from elsewhere."""
        self._send(self.place.remote.leave() + text)

    def write_remote(self, text: str, *, colours: bool) -> None:
        """Write what remote code printed, as far as it may be shown.

        Args:
            text: the next piece of it.
            colours: show colours and styles.
        """
        self._send(self.place.remote.pass_on(text, colours=colours, moves=self.isatty()))

    def _send(self, text: str) -> None:
        if text and not self.broken:
            erase = self._erasing()
            with self._guarded():
                self._write(f"{erase}{text}" if erase else text)
            self.place.wrote(text)

    def paint(self, rows: list[str]) -> None:
        """Show rows at the cursor that are no output: the next write takes them away again.

        Only on a terminal, at the start of a line; each row must fit into one of the terminal's.
        """
        if not self.broken and (rows or self.place.painted):
            with self._guarded():
                self._write(self._erasing() + "\n".join(map(own_text, rows)))
            self.place.painted = len(rows)
            self.flush()

    def _erasing(self) -> str:
        rows, self.place.painted = self.place.painted, 0
        return "\r\x1b[2K" + "\x1b[1A\x1b[2K" * (rows - 1) if rows else ""

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self._stream is not None and not self.broken:
            with self._guarded():
                self._stream.flush()

    def is_read(self, within: float = 0.0) -> bool:
        """Wait so many seconds, or until the reader of a pipe goes away.

        Returns:
            whether it is still there. On Windows only the next write shows it.
        """
        if self.left:
            return False
        if not (self.is_pipe() and hasattr(select, "poll")):
            time.sleep(within)
            return True
        poll = select.poll()
        # Errors and hang-ups are always reported.
        poll.register(self.fileno(), 0)
        return not poll.poll(within * 1000)

    def is_pipe(self) -> bool:
        """Whether another program reads it."""
        try:
            mode = os.fstat(self.fileno()).st_mode
        except (OSError, ValueError):
            return False
        return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def close(self) -> None:
        """The stream belongs to the process: it stays open."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return getattr(self._stream, "errors", None)

    def _leads_to_the_same_as(self, other: "SafeStream") -> bool:
        """Both lead to one terminal, pipe or file."""
        try:
            mine, others = os.fstat(self.fileno()), os.fstat(other.fileno())
        except (OSError, ValueError):
            return False
        if not (mine.st_ino or others.st_ino):
            # Windows numbers neither consoles nor pipes.
            return self.isatty() and other.isatty()
        return os.path.samestat(mine, others)

    def _write(self, text: str) -> None:
        assert self._stream is not None
        self._wait_for_reader()
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            shown = text.encode(self.encoding, "replace").decode(self.encoding, "replace")
            self._stream.write(shown)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._give_up()
            self.left = error.errno in _READER_GONE
            if not self.left and self._complain is not None:
                reason = (error.strerror or str(error)).rstrip(".")
                self._complain.write(
                    f"warning: Can't write to {self._name}: {reason}. "
                    "What follows is not shown there; the command goes on.\n"
                )
                self._complain.flush()
        except ValueError:
            # It is closed.
            self.broken = True

    def _wait_for_reader(self) -> None:
        """Undo what another program did to a pipe or terminal that it shares with us.

        Node.js leaves them non-blocking: a write to a full pipe fails then.
        """
        with suppress(OSError, ValueError, AttributeError):
            number = self.fileno()
            if not os.get_blocking(number):
                os.set_blocking(number, True)

    def _give_up(self) -> None:
        """Write nothing any more; what the process flushes at its end goes nowhere."""
        self.broken = True
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self.fileno())
            finally:
                os.close(nowhere)


def open_missing_streams() -> None:
    """Occupy the standard descriptors that the process was started without.

    Otherwise the next file or socket gets one, and what anybody writes to stdout goes into it.
    A stdin that is missing reads as an empty one.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is given, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = io.StringIO()


@contextmanager
def safe_streams() -> Iterator[None]:
    """While the block runs, nothing that is printed can end it: by jrc or by a library."""
    before = sys.stdout, sys.stderr
    err = SafeStream(before[1], "stderr", None)
    out = SafeStream(before[0], "stdout", err)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def safe(
    stream: TextIO | SafeStream | None, name: str, beside: SafeStream | None = None
) -> SafeStream:
    """The stream as one that is safe, beside another one; itself where it is already."""
    return stream if isinstance(stream, SafeStream) else SafeStream(stream, name, beside)
