"""Live lines at the bottom of a terminal, which never mix with what the remote code prints."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from jrc.cli.columns import Place, cut
from jrc.cli.terminal import Terminal, columns_of
from jrc.visible import visible

_PAUSE = 0.1
"""Seconds between two drawings, where output makes room for more than the eye sees."""


class LiveLine:
    """A status line on stderr that gives way to output, with lines of progress above it.

    It is drawn only while the cursor stands at the start of a line: text without a line end, such
    as a progress bar of the remote code, stays as it is.

    Args:
        terminal: where to; nothing is drawn where it is none.
        total: a time (``time.monotonic``) since when a second clock runs; None for no such clock.
        above: gives the lines of progress.
    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        total: float | None = None,
        above: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._terminal = terminal
        self._enabled = terminal.live
        self._total = total
        self._text = ""
        self._above = above
        self._since = time.monotonic()
        self._drawn = 0.0
        self._away = False

    def show(self, text: str, *, ago: float = 0.0) -> None:
        """Show ``text`` from now on; its clock starts at ``ago`` seconds."""
        self._text = visible(text.partition("\n")[0].strip())
        self._since = time.monotonic() - ago
        self.draw()

    def draw(self) -> None:
        """Draw again, with the time that has passed."""
        if not (self._enabled and self._text) or self._away or self._place.open:
            return
        self._drawn = time.monotonic()
        columns = columns_of(self._terminal.err) or 80
        rows = [*self._above(), self._status()][-max(self.height - 2, 1) :]
        self._terminal.err.paint([f"\x1b[2m{cut(row, columns - 1)}\x1b[0m" for row in rows])

    def draw_soon(self) -> None:
        """Draw again, unless that was done just now: then the clock's next tick does it."""
        if time.monotonic() - self._drawn >= _PAUSE:
            self.draw()

    def before_output(self) -> None:
        """Make room: something else than jrc will write to the terminal."""
        self._terminal.err.paint([])

    def hide(self) -> None:
        """Show nothing any more."""
        self._text = ""
        self.before_output()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Show nothing while the block runs: the person types."""
        self._away = True
        self.before_output()
        try:
            yield
        finally:
            self._away = False
            self.draw()

    def _status(self) -> str:
        now = time.monotonic()
        clock = _clock(now - self._since)
        if self._total is None or self._since - self._total < 1:
            return f"{clock}  {self._text}"
        return f"{clock} of {_clock(now - self._total)}  {self._text}"

    @property
    def height(self) -> int:
        """Lines of the terminal."""
        try:
            return os.get_terminal_size(self._terminal.err.fileno()).lines or 24
        except (OSError, ValueError):
            return 24

    @property
    def _place(self) -> Place:
        return self._terminal.err.place


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
