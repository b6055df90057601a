"""What text does on a terminal: how wide it is, and what it leaves where the cursor is. Pure.

Korean letters and emoji fill two columns.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from jrc.cli.remote_text import RemoteText

_GAP = "  "
_NARROW_GAP = " "
_NARROWEST = 8
"""A column of a table is not made narrower than this while there is room."""

_STILL_READABLE = 4
"""A narrow terminal breaks every line that is too long, which is worse than a column like this."""

_COMMAND = re.compile(r"(?<=: )jrc .*$")
"""A command at the end of a sentence: it is copied, so it stays in one piece."""

_ERASES = re.compile(r"\x1b\[[02]?K")
_CODES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_MOVES = re.compile(r"\x1b(?:[^\[]|\[[0-9;?]*[A-HJ-LP-TXdf])|\x9b")
_LOOK_BACK = 4096
_MOST_MARKED = 16_384


def width(text: str) -> int:
    """The columns that a line of text fills."""
    return len(text) if text.isascii() else sum(map(_width, text))


@lru_cache(maxsize=4096)
def _width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf") or "\u1160" <= char <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """The beginning of a line that fits into so many columns; ``…`` where something is missing."""
    if width(text) <= columns:
        return text
    return _beginning(text, max(columns - 1, 0)) + "…" * (columns > 0)


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """The text with spaces up to so many columns, behind it or before it."""
    spaces = " " * (columns - width(text))
    return spaces + text if right else text + spaces


def wrap(text: str, columns: int) -> list[str]:
    """A line as lines of at most so many columns, broken between words where that is possible."""
    lines = [""]
    for word in re.findall(r"\S+|\s+", text):
        if width(lines[-1]) + width(word) <= columns:
            lines[-1] += word
            continue
        lines[-1] = lines[-1].rstrip()
        if word.isspace():
            lines.append("")
            continue
        if lines[-1]:
            lines.append("")
        while width(word) > columns:
            piece = _beginning(word, columns) or word[0]
            lines[-1] = piece
            lines.append("")
            word = word[len(piece) :]
        lines[-1] = word
    return [line.rstrip() for i, line in enumerate(lines) if line or i == 0]


def wrap_sentence(text: str, columns: int) -> str:
    """A line of talk in lines of at most so many columns; a command in it stays whole."""
    found = _COMMAND.search(text)
    if width(text) <= columns or columns < _NARROWEST:
        return text
    if found is None:
        return "\n".join(wrap(text, columns))
    return "\n".join([*wrap(text[: found.start()], columns), found[0]])


def table_lines(rows: Sequence[Sequence[str]], columns: int | None) -> list[str]:
    """The rows as aligned lines.

    Args:
        rows: of the same length; the first may be a header.
        columns: how wide a line may be, where words wrap inside their column; None for any width.
    """
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    gap = _GAP
    if columns is not None:
        widths, gap = _narrowed(widths, columns)
    lines = []
    for row in rows:
        cells = [wrap(cell, most) for cell, most in zip(row, widths, strict=True)]
        for i in range(max(map(len, cells), default=0)):
            parts = [cell[i] if i < len(cell) else "" for cell in cells]
            line = gap.join(pad(part, most) for part, most in zip(parts, widths, strict=True))
            lines.append(line.rstrip())
    return lines


def _narrowed(widths: list[int], columns: int) -> tuple[list[int], str]:
    """The widths with the widest ones reduced until a line fits, as far as that is sensible.

    Columns move together before words are broken.

    The first column is what a person copies from a table, so it is the last to become narrow.
    """
    narrowed = list(widths)
    gap = _GAP
    for first, narrowest, gap in (
        (0, _NARROWEST, _GAP),
        (0, _NARROWEST, _NARROW_GAP),
        (1, _STILL_READABLE, _NARROW_GAP),
    ):
        room = columns - len(gap) * (len(widths) - 1)
        places = range(min(first, len(narrowed) - 1), len(narrowed))
        while sum(narrowed) > room:
            widest = max(places, key=narrowed.__getitem__)
            if narrowed[widest] <= narrowest:
                break
            narrowed[widest] -= 1
        if sum(narrowed) <= room:
            break
    return narrowed, gap


def _beginning(text: str, columns: int) -> str:
    used = 0
    for i, char in enumerate(text):
        used += _width(char)
        if used > columns:
            return text[:i]
    return text


class Place:
    """A terminal, pipe or file that text goes to, perhaps through two streams.

    Attributes:
        painted: rows at the bottom that are no output, as a live line is; 0 when there are none.
        owner: whose output the last text was.
        remote: the gate for what remote code prints there.
    """

    def __init__(self) -> None:
        self.painted = 0
        self.owner: object = None
        self.remote = RemoteText()
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
        rows = [_rows_of(line, columns) for line in lines]
        return sum(rows[:-1]) + max(rows[-1] - 1, 0)

    def _put(self, text: str) -> None:
        end = self._column + len(text)
        self._line = (self._line[: self._column] + text + self._line[end:])[:_LOOK_BACK]
        self._column = min(end, _LOOK_BACK)


def _rows_of(line: str, columns: int) -> int:
    longest = max(width(part) for part in line.split("\r"))
    return max(1, -(-longest // max(columns, 1)))
