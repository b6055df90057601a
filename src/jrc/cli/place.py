"""What stands where the cursor is: pure. One place for each terminal, pipe or file."""

import re

from jrc.cli.columns import width

_ERASES = re.compile(r"\x1b\[[02]?K")
_CODES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_MOVES = re.compile(r"\x1b(?:[^\[]|\[[0-9;?]*[A-HJ-LP-TXdf])|\x9b")
_LOOK_BACK = 4096
_MOST_MARKED = 16_384


class Place:
    """A terminal, pipe or file that text goes to, perhaps through two streams.

    Attributes:
        painted: rows at the bottom that are no output, as a live line is; 0 when there are none.
        owner: whose output the last text was.
    """

    def __init__(self) -> None:
        self.painted = 0
        self.owner: object = None
        self._line = ""
        self._column = 0
        self._marked: str | None = None

    @property
    def open(self) -> bool:
        """The line at the cursor has text: what follows should begin a new one."""
        return self._column > 0 or bool(self._line.strip())

    def wrote(self, text: str) -> None:
        """Take in what was written."""
        if self._marked is not None:
            whole = len(self._marked) + len(text) <= _MOST_MARKED and not _MOVES.search(text)
            self._marked = self._marked + text if whole else None
        _, newline, rest = text[-_LOOK_BACK:].rpartition("\n")
        if newline:
            self._line, self._column = "", 0
        rest = _CODES.sub("", _ERASES.sub("\0", rest))
        for i, part in enumerate(rest.split("\r")):
            if i:
                self._column = 0
            kept, erased, part = part.rpartition("\0")
            self._put(kept.replace("\0", ""))
            if erased:
                self._line = " " * self._column
            self._put(part)

    def answered(self) -> None:
        """The person pressed Return: the terminal showed it, and the cursor is on a new line."""
        self._line, self._column, self._marked = "", 0, None

    def mark(self) -> None:
        """Remember what is written from now on."""
        self._marked = ""

    def rows_since_mark(self, columns: int) -> int | None:
        """How far up the cursor must go to the mark; None when that is not known."""
        if self._marked is None:
            return None
        lines = [_CODES.sub("", line) for line in self._marked.split("\n")]
        rows = [_rows(line, columns) for line in lines]
        return sum(rows[:-1]) + max(rows[-1] - 1, 0)

    def _put(self, text: str) -> None:
        end = self._column + len(text)
        self._line = (self._line[: self._column] + text + self._line[end:])[:_LOOK_BACK]
        self._column = min(end, _LOOK_BACK)


def _rows(line: str, columns: int) -> int:
    longest = max(width(part) for part in line.split("\r"))
    return max(1, -(-longest // max(columns, 1)))
