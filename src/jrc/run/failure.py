"""How a run that did not end well is told: pure."""

import re
from typing import Any, NamedTuple

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ARROW = re.compile(r"^-+> (\d+) ?(.*)$")


class FailingLine(NamedTuple):
    """The line of a cell that raised.

    Attributes:
        number: from 1, in the cell.
        text: the code.
    """

    number: int
    text: str


def failing_line(traceback: list[str]) -> FailingLine | None:
    """The line that an IPython traceback points to in the cell itself.

    Args:
        traceback: as in an ``error`` output: blocks of text with terminal colours.
    """
    in_cell = False
    for line in _ANSI.sub("", "\n".join(traceback)).splitlines():
        if line.startswith(("Cell In", "Input In", "<ipython-input")):
            in_cell = True
        elif line.startswith("File "):
            in_cell = False
        match = _ARROW.match(line)
        if match is not None and in_cell:
            return FailingLine(int(match[1]), match[2].strip())
    return None


def error_sentence(reply: dict[str, Any]) -> str:
    """``ename: evalue`` of an ``execute_reply``, shortened to what fits a line."""
    if reply.get("ename") == "EOFError" and not reply.get("evalue"):
        return "EOFError: the code asked for input, and there is none on stdin"
    # A bash kernel gives an exit status, and no name.
    text = f"{reply.get('ename') or 'Error'}: {reply.get('evalue', '')}".strip().rstrip(":")
    first = _ANSI.sub("", text).partition("\n")[0]
    return first if len(first) <= 200 else first[:199] + "…"
