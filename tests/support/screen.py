"""What a terminal shows after it was sent a text: enough of one for what jrc sends."""

import re
import unicodedata

_PART = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n\x08])|([^\x1b\r\n\x08]+)")


class Screen:
    """A terminal without an end below.

    Args:
        columns: how wide it is.
    """

    def __init__(self, columns: int = 80) -> None:
        self._columns = columns
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0

    @property
    def lines(self) -> list[str]:
        """The lines up to the last one that is not empty."""
        return "\n".join("".join(row).rstrip() for row in self._rows).rstrip().split("\n")

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column, from 0."""
        return self._row, self._column

    def feed(self, text: str) -> "Screen":
        for part in _PART.finditer(text):
            number, code, control, letters = part.groups()
            if letters:
                self._put(letters)
            elif control == "\r":
                self._column = 0
            elif control == "\n":
                self._row, self._column = self._row + 1, 0
            elif control == "\x08":
                self._column = max(self._column - 1, 0)
            elif code == "A":
                self._row = max(self._row - int(number or 1), 0)
            elif code == "B":
                self._row += int(number or 1)
            elif code in "EF":
                self._row = max(self._row + int(number or 1) * (1 if code == "E" else -1), 0)
                self._column = 0
            elif code == "K":
                self._erase_line(number or "0")
            elif code == "J":
                self._erase_line(number or "0")
                del self._rows[self._row + 1 :]
            else:
                assert code == "m", f"an unexpected sequence: {part[0]!r}"
            while len(self._rows) <= self._row:
                self._rows.append([])
        return self

    def _put(self, letters: str) -> None:
        for letter in letters:
            wide = 2 if unicodedata.east_asian_width(letter) in "WF" else 1
            if self._column + wide > self._columns:
                self._row, self._column = self._row + 1, 0
                self._rows.append([])
            row = self._rows[self._row]
            row += [" "] * (self._column + wide - len(row))
            row[self._column : self._column + wide] = [letter, *[""] * (wide - 1)]
            self._column += wide

    def _erase_line(self, how: str) -> None:
        row = self._rows[self._row]
        if how == "2":
            row.clear()
        else:
            del row[self._column :]
