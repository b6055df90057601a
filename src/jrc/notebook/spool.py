"""Large text of a run, kept on the disk: a run may print more than fits into memory.

Text is kept in pieces. What is small stays a ``str``; callers see the difference only where they
write it out.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, NamedTuple

PIECE = 1 << 16
"""Characters from which on text goes to the disk, and about the size of a piece read back."""

SETTLED_PIECE = 1 << 12
"""Characters from which on the text of a stream goes to the disk when it has ended: a cell may have
thousands of them."""

_ESCAPED_IN_JSON = bytes(range(0x20)) + b'"\\'


class _Span(NamedTuple):
    """Where in the file a piece lies, in bytes, and whether it is ``Piece.plain``."""

    offset: int
    size: int
    plain: bool


class Piece(NamedTuple):
    """A piece of a text.

    Attributes:
        text: of the piece.
        plain: ASCII that stands in a JSON string as it is, like the base64 of an image. To find
            that out once costs a third of what it costs to escape the piece, and an image is
            written again with every save.
    """

    text: str
    plain: bool


@dataclass(frozen=True)
class SpooledText:
    """Text in pieces, most of them on the disk."""

    spool: "Spool"
    parts: Sequence[_Span | str]

    def pieces(self) -> Iterator[Piece]:
        for part in self.parts:
            if isinstance(part, str):
                yield Piece(part, plain=False)
            else:
                yield Piece(self.spool.read(part), part.plain)

    def __str__(self) -> str:
        return "".join(piece.text for piece in self.pieces())


Text = str | SpooledText


class Spool:
    """The file. It has no name, is made at its first use, and is gone when closed."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._size = 0

    def close(self) -> None:
        """Give the disk space back; spooled text can't be read any more."""
        if self._file is not None:
            self._file.close()

    def keep(self, text: str) -> Text:
        """``text``, on the disk if it is large."""
        return text if len(text) <= PIECE else SpooledText(self, self.write(text))

    def write(self, text: str) -> list[_Span | str]:
        """Put text on the disk, in pieces; one stays in memory where the disk is full."""
        starts = range(0, len(text), PIECE)
        return [self._write(text[start : start + PIECE]) for start in starts]

    def _write(self, text: str) -> _Span | str:
        data = text.encode("utf-8", "surrogatepass")
        try:
            if self._file is None:
                # Without a buffer: what a full disk does not take would make each later read fail.
                self._file = tempfile.TemporaryFile(prefix="jrc-", buffering=0)  # noqa: SIM115
            self._file.seek(self._size)
            if self._file.write(data) != len(data):
                return text
        except OSError:
            return text
        plain = text.isascii() and len(data.translate(None, _ESCAPED_IN_JSON)) == len(data)
        span = _Span(self._size, len(data), plain)
        self._size += len(data)
        return span

    def read(self, span: _Span) -> str:
        if self._file is None:
            raise ValueError("a span of another spool")
        self._file.seek(span.offset)
        return self._file.read(span.size).decode("utf-8", "surrogatepass")


class TerminalText:
    """Text that grows, as a terminal shows it: a carriage return goes back to its line's start.

    What is large goes to the disk: whole lines for good, the line at the end until a carriage
    return takes it back.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._settled: list[_Span | str] = []
        self._line: list[_Span | str] = []
        self._recent: list[str] = []
        self._recent_length = 0

    def append(self, text: str) -> None:
        self._recent.append(text)
        self._recent_length += len(text)
        if self._recent_length > PIECE:
            self._spool_recent()

    def text(self) -> Text:
        """All of it."""
        recent = "".join(self._recent)
        line = [] if _goes_back(recent) else self._line
        shown = apply_carriage_returns(recent)
        if not self._settled and not line:
            return shown
        return SpooledText(self._spool, [*self._settled, *line, shown])

    def end(self) -> Text:
        """All of it, now that nothing follows."""
        text = self.text()
        if isinstance(text, str):
            small = len(text) <= min(PIECE, SETTLED_PIECE)
            return text if small else SpooledText(self._spool, self._spool.write(text))
        parts: list[_Span | str] = []
        for part in text.parts:
            parts += self._spool.write(part) if isinstance(part, str) else [part]
        return SpooledText(self._spool, parts)

    def _spool_recent(self) -> None:
        recent = "".join(self._recent)
        if _goes_back(recent):
            self._line = []
        end = recent.rfind("\n") + 1
        if end:
            lines = apply_carriage_returns(recent[:end])
            self._settled += [*self._line, *self._spool.write(lines)]
            self._line = []
        line = apply_carriage_returns(recent[end:])
        # What follows decides whether a carriage return at the end goes back.
        rest = "\r" if line.endswith("\r") else ""
        if len(line) > PIECE:
            self._line += self._spool.write(line.removesuffix(rest))
            line = rest
        self._recent = [line]
        self._recent_length = len(line)


def _goes_back(text: str) -> bool:
    """Whether ``text`` takes back what stands before it on its first line."""
    end = text.find("\n")
    last = (len(text) if end < 0 else end) - 1
    return last > 0 and text.find("\r", 0, last) >= 0


def apply_carriage_returns(text: str) -> str:
    """What a terminal shows of ``text``. At the end of a line a carriage return does nothing."""
    if "\r" not in text:
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines):
        start = line.rfind("\r", 0, len(line) - 1) if line else -1
        lines[number] = line[start + 1 :]
    return "\n".join(lines)
