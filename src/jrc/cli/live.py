"""One live line at the bottom of a terminal, which never mixes with what the remote code prints."""

import shutil
import time

from jrc.cli.terminal import Terminal, visible

_CLEAR = "\r\x1b[2K"


class LiveLine:
    """A status line on stderr that gives way to output.

    It is drawn only while the cursor stands at the start of a line: text without a line end, such
    as a progress bar of the remote code, stays as it is.

    Args:
        terminal: where to; nothing is drawn where it is none.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._enabled = terminal.live
        self._text = ""
        self._drawn = False
        self._column_zero = True
        self._since = time.monotonic()

    def show(self, text: str) -> None:
        """Show ``text`` from now on; its clock starts at zero."""
        self._text = text.partition("\n")[0].strip()
        self._since = time.monotonic()
        self.draw()

    def draw(self) -> None:
        """Draw the line again, with the time that has passed."""
        if not (self._enabled and self._text and self._column_zero):
            return
        seconds = int(time.monotonic() - self._since)
        line = f"{seconds // 60:02}:{seconds % 60:02}  {self._text}"
        width = shutil.get_terminal_size().columns - 1
        self._terminal.write(f"{_CLEAR}\x1b[2m{visible(line)[:width]}\x1b[0m", error=True)
        self._drawn = True

    def before_output(self) -> None:
        """Make room: something will be written to the terminal."""
        if self._drawn:
            self._terminal.write(_CLEAR, error=True)
            self._drawn = False

    def after_output(self, text: str) -> None:
        """``text`` was written to the terminal."""
        if text:
            self._column_zero = text.endswith("\n")

    def start_line(self) -> None:
        """Leave an unfinished line of output, so that talk begins at a line's start."""
        self.before_output()
        if not self._column_zero:
            self._terminal.write("\n", error=True)
            self._column_zero = True

    def hide(self) -> None:
        """Show nothing any more."""
        self.before_output()
        self._text = ""
