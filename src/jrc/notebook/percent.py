"""Percent scripts: ``.py`` files whose ``# %%`` lines begin cells."""

import io
import json
import re
import tokenize
from collections.abc import Iterator, Sequence
from typing import cast

from jrc.errors import UsageError
from jrc.notebook.schema import Json
from jrc.shapes import parse
from jrc.startup import LARGE_PARTS_OF_NBFORMAT, hidden

_MARKER = re.compile(r"^[ \t]*#[ \t]*%%%*(?:[ \t].*)?$", re.MULTILINE)
_AT_COLUMN_0 = re.compile(r"^# ?%%%*(?:[ \t].*)?$", re.MULTILINE)
_NO_CODE = re.compile(r"\[(?:markdown|md|raw)\]")
_COOKIE = re.compile(r"\A(#.*\n)?([ \t\f]*#.*?coding[:=][ \t]*)[-\w.]+", re.ASCII)


def is_percent_script(source: str) -> bool:
    """Whether a Python file has cells: a ``# %%`` comment that begins a line, outside strings."""
    return _AT_COLUMN_0.search(source) is not None and _has_marker_comment(source)


def read_percent_script(source: str, name: str) -> tuple[Json, list[int]]:
    """The cells of a percent script, as jupytext reads them.

    Args:
        source: the script's text, its lines ended by ``\\n``.
        name: of its file, for the error message.

    Returns:
        a notebook, and for each of its cells the number of the source's line, from 1, at which
        the cell's text begins; 0 where that is not certain and for what is not code.

    Raises:
        UsageError: jupytext can't read it.
    """
    with hidden(*LARGE_PARTS_OF_NBFORMAT):
        import jupytext

    try:
        # The source is decoded already, whatever the cookie says.
        cells = jupytext.reads(_COOKIE.sub(r"\1\2utf-8", source), fmt={"extension": ".py"})
        notebook = cast("Json", parse(json.dumps(cells)))
    # Exception: what jupytext raises is not documented.
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UsageError(
            f"{name} can't be read as a script with cells: {reason}.",
            hint="Correct its header, or take the '# %%' lines out to run it in one piece.",
        ) from error
    for cell in notebook["cells"]:
        # jupytext makes up new ids in every run.
        cell.pop("id", None)
    return notebook, _first_lines(source, notebook["cells"])


def _has_marker_comment(source: str) -> bool:
    try:
        return any(
            token.type == tokenize.COMMENT
            and token.start[1] == 0
            and _AT_COLUMN_0.match(token.line)
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
        )
    except (tokenize.TokenError, SyntaxError):
        # It may hold magics, which are no Python; then the look of the line decides.
        return True


def _first_lines(source: str, cells: Sequence[Json]) -> list[int]:
    """For each cell the line of the source where its text begins, 0 where it is not found.

    jupytext does not say where it found a cell. A cell begins after a marker, the first one also
    anywhere before it; the text of the cell shows after which.
    """
    lines = source.splitlines()
    starts = list(_starts(lines))
    found = []
    for cell in cells:
        place = 0
        content = cell["source"].splitlines()
        if cell["cell_type"] == "code" and content:
            place = next((s + 1 for s in starts if _same(lines[s : s + len(content)], content)), 0)
        if place:
            starts = [start for start in starts if start >= place]
        found.append(place)
    return found


def _starts(lines: Sequence[str]) -> Iterator[int]:
    """Where a code cell's text may begin: index of the first line behind each marker."""
    markers = [index for index, line in enumerate(lines) if _MARKER.match(line)]
    yield from range(markers[0] if markers else len(lines))
    for marker in markers:
        if not _NO_CODE.search(lines[marker]):
            yield marker + 1


def _same(lines: Sequence[str], content: Sequence[str]) -> bool:
    """Whether lines of the file are the cell's, but for magics, which are comments in the file."""
    return len(lines) == len(content) and all(
        line == text
        or (line.lstrip().startswith("#") and line.lstrip("# \t") == text.lstrip("# \t"))
        for line, text in zip(lines, content, strict=True)
    )
