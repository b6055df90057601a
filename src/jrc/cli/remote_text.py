"""What remote code prints, without what would do more to a terminal than write and colour. Pure.

Kept are colours and what moves the cursor inside of a line. On a terminal the cursor may also go
up, as far as the same code came down: so nested progress bars work, and nothing of jrc's is written
over. Other sequences that begin with ``ESC [`` are taken out, and links, whose text stays. All the
rest is spelled out: the clipboard, titles, questions to the terminal, and what turns the order of
letters.
"""

import re

from jrc.visible import escaped

_CONTROL = "[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
_ANY = re.compile(_CONTROL)
_USUAL = re.compile(r"\x1b\[(?:[1-9][0-9]{1,2}|[0-79]|;)*+m")
"""A style that hides nothing: most output has no other sequences, and is passed on faster."""

_PART = re.compile(
    r"\x1b\[(?P<numbers>[0-9;:<=>?]*)(?P<between>[ -/]*)(?P<code>[@-~])"
    r"|\x1b\]8;[^\x00-\x1f\x7f-\x9f]*(?:\x07|\x1b\\)"  # a link; its text stays
    r"|\x1b[()][0-9A-Z]"  # an alphabet
    f"|(?P<control>{_CONTROL})"
)
_BEGUN = re.compile(
    r"\x1b(?:\[[0-9;:<=>?]*[ -/]*|\](?:8(?:;[^\x00-\x1f\x7f-\x9f]*\x1b?)?)?|[()])?\Z"
)
_LONGEST = 256
"""Characters of a sequence that may come in two pieces."""

_FARTHEST = 9_999
_IN_LINE = "CDGK"
_CONCEALED = "8"


class RemoteText:
    """The gate for one terminal, pipe or file.

    Attributes:
        styled: the last colour or style was not taken back.
    """

    def __init__(self) -> None:
        self.styled = False
        self._begun = ""
        self._above = 0
        self._below = 0

    def pass_on(self, text: str, *, colours: bool, moves: bool) -> str:
        """What of the next text may be written.

        Args:
            text: the next piece of what was printed.
            colours: leave colours and styles in.
            moves: it goes to a terminal, where the cursor may move.
        """
        if self._begun:
            text, self._begun = self._begun + text, ""
        if not _ANY.search(text):
            self._down(text.count("\n"))
            return text
        if not _ANY.search(uncoloured := _USUAL.sub("", text)):
            self._down(text.count("\n"))
            if not colours:
                return uncoloured
            self.styled = not _ends_styles(text.rpartition("\x1b[")[2].partition("m")[0])
            return text
        if begun := _BEGUN.search(text, max(len(text) - _LONGEST, 0)):
            text, self._begun = text[: begun.start()], begun[0]
        counted = 0

        def replace(found: re.Match[str]) -> str:
            nonlocal counted
            self._down(text.count("\n", counted, found.start()))
            counted = found.end()
            if found["control"]:
                return escaped(found)
            if found["code"] is None or found["between"]:
                return ""
            return self._sequence(found["numbers"], found["code"], colours=colours, moves=moves)

        shown = _PART.sub(replace, text)
        self._down(text.count("\n", counted))
        return shown

    def leave(self) -> str:
        """Somebody else writes now. Returns what ends the styles of the text so far."""
        styled, self.styled, self._begun = self.styled, False, ""
        self._above = self._below = 0
        return "\x1b[0m" if styled else ""

    def _sequence(self, numbers: str, code: str, *, colours: bool, moves: bool) -> str:
        if code == "m":
            style = _without_concealed(numbers) if colours else None
            if style is None:
                return ""
            self.styled = not _ends_styles(style)
            return f"\x1b[{style}m"
        if not re.fullmatch("[0-9]{0,4}", numbers):
            return ""
        if code == "K" or (moves and (code in _IN_LINE or (code == "J" and numbers in ("", "0")))):
            return f"\x1b[{numbers}{code}"
        if not (moves and code in "ABEF"):
            return ""
        far = min(max(int(numbers or 1), 1), self._above if code in "AF" else self._below)
        self._down(-far if code in "AF" else far)
        return f"\x1b[{far}{code}" if far else ""

    def _down(self, rows: int) -> None:
        """The cursor went down; up where it is negative."""
        self._above = min(self._above + rows, _FARTHEST)
        self._below = max(self._below - rows, 0)


def _ends_styles(numbers: str) -> bool:
    return numbers.rpartition(";")[2] in ("", "0")


def _without_concealed(numbers: str) -> str | None:
    """The numbers of a style without the one that hides text; None where it is no style."""
    if not re.fullmatch("[0-9;:]*", numbers):
        return None
    if _CONCEALED not in numbers:
        return numbers
    words, kept = numbers.split(";"), []
    while words:
        word = words.pop(0)
        if word.partition(":")[0].lstrip("0") == _CONCEALED:
            continue
        kept.append(word)
        if word in ("38", "48", "58") and words:
            # A colour: one of 256, or three numbers.
            count = {"5": 2, "2": 4}.get(words[0], 0)
            kept += words[:count]
            del words[:count]
    return ";".join(kept) if kept else None


def own_text(text: str) -> str:
    """Text of ours, or of a library that prints: colours and line ends, nothing else."""
    return RemoteText().pass_on(text, colours=True, moves=False) if _ANY.search(text) else text
