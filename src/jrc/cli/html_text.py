"""HTML as text for a terminal: pure. Bounded in time, memory and depth whatever comes.

What a browser would show is kept as far as text can show it: headings, paragraphs, lists, tables
with their spans, links' text, progress bars. Apart, since few outputs need it.
"""

import re
from html import unescape

from jrc.cli.columns import cut, pad, width

MOST_CHARACTERS = 1 << 20
"""More of a fragment is not looked at."""

_MOST_CELLS = 20_000
_MOST_COLUMNS = 200
_WIDEST_CELL = 200
_DEEPEST = 10
_BAR = 20

_NAME = re.compile(r"</?([a-zA-Z][a-zA-Z0-9-]{0,30})")
_TAG_REST = re.compile(r"""(?:[^>"']++|"[^"]{0,1000}+"|'[^']{0,1000}+'){0,50}+>""")
_RAW_ENDS = {
    name: re.compile(rf"</{name}[^>]{{0,100}}>", re.IGNORECASE)
    for name in ("script", "style", "title", "textarea", "template", "noscript", "svg", "math")
}
_APART = frozenset({"p", "pre", "table", "blockquote", "ul", "ol", "dl", "figure", "hr"}) | {
    f"h{level}" for level in range(1, 7)
}
"""Blocks with an empty line around them."""

_BLOCKS = (
    _APART
    | {"address", "article", "aside", "body", "caption", "dd", "details", "div", "dt", "fieldset"}
    | {"figcaption", "footer", "form", "header", "html", "legend", "li", "main", "nav", "section"}
    | {"summary", "tbody", "tfoot", "thead", "tr"}
)
_SPACES = re.compile(r"\s+")


def html_as_text(html: str) -> str:
    """The text of an HTML fragment; empty when a browser would show no text."""
    page = _Page()
    _feed(html[:MOST_CHARACTERS], page)
    if len(html) > MOST_CHARACTERS:
        page.text("…")
    return page.end()


def _feed(html: str, page: "_Page") -> None:
    """Tell the page of tags and text. Every step goes forward, so the time is linear."""
    at, failed = 0, 0
    while (opening := html.find("<", at)) >= 0:
        page.text(_unescaped(html[at:opening]))
        name = _NAME.match(html, opening)
        if name is None:
            end = _after_markup(html, opening)
            if end is None:
                page.text("<")
                end = opening + 1
            at = end
            continue
        rest = _TAG_REST.match(html, name.end()) if failed < 100 else None
        end = rest.end() if rest else html.find(">", name.end()) + 1
        failed += rest is None
        if not end:
            # No tag is closed any more.
            at = opening
            break
        tag = name[1].lower()
        if html[opening + 1] == "/":
            page.close(tag)
        elif tag in _RAW_ENDS:
            closing = _RAW_ENDS[tag].search(html, end)
            end = closing.end() if closing else len(html)
        else:
            page.open(tag, html[name.end() : min(end - 1, name.end() + 2000)])
        at = end
    page.text(_unescaped(html[at:]))


def _after_markup(html: str, opening: int) -> int | None:
    """Behind a comment or a declaration; None when it is neither."""
    if html.startswith("<!--", opening):
        end = html.find("-->", opening + 2)
        return len(html) if end < 0 else end + 3
    if html[opening + 1 : opening + 2] in ("!", "?"):
        return html.find(">", opening) + 1 or len(html)
    return None


def _unescaped(text: str) -> str:
    try:
        return unescape(text)
    except ValueError:
        # A number of more digits than Python converts.
        return text


def _attribute(attributes: str, name: str) -> str:
    found = re.search(rf"""(?<![\w-]){name}\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+)""", attributes, re.I)
    return _unescaped(found[1].strip("\"'")) if found else ""


class _Page:
    """Text that grows line by line, and the table that is open."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._prefix = ""
        self._lists: list[int | None] = []
        self._preformatted = 0
        self._tables = 0
        self._table = _Table()

    def text(self, text: str) -> None:
        if not text:
            return
        if self._tables:
            self._table.text(text)
        elif self._preformatted:
            first, *more = text.split("\n")
            self._line.append(first)
            for line in more:
                self._break()
                self._line.append(line)
        else:
            spaced = _SPACES.sub(" ", text)
            if not self._line or self._line[-1].endswith(" "):
                spaced = spaced.lstrip()
            if spaced and self._prefix:
                self._line, self._prefix = [self._prefix], ""
            if spaced:
                self._line.append(spaced)

    def open(self, tag: str, attributes: str) -> None:
        if tag == "br":
            self._table.text(" ") if self._tables else self._break()
        elif tag == "img":
            self.text(f"[{_attribute(attributes, 'alt')}]" if "alt" in attributes else "")
        elif tag == "progress":
            self.text(_progress(_attribute(attributes, "value"), _attribute(attributes, "max")))
        elif self._tables or tag == "table":
            self._open_in_table(tag, attributes)
        elif tag in _BLOCKS:
            self._block(tag)
            self._open_block(tag)

    def close(self, tag: str) -> None:
        if self._tables:
            self._close_in_table(tag)
        elif tag in _BLOCKS:
            self._block(tag)
            if tag in ("ul", "ol") and self._lists:
                self._lists.pop()
            elif tag == "pre":
                self._preformatted = max(self._preformatted - 1, 0)

    def end(self) -> str:
        while self._tables:
            self._close_in_table("table")
        self._break()
        return "\n".join(self._lines).strip("\n")

    def _open_block(self, tag: str) -> None:
        if tag == "hr":
            self._lines.append("-" * _BAR)
        elif tag in ("ul", "ol"):
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "pre":
            self._preformatted += 1
        elif tag == "li":
            self._prefix = self._list_mark()
        elif tag == "dd":
            self._prefix = "  "
        elif tag == "blockquote":
            self._prefix = "> "
        elif tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self._prefix = f"{'#' * int(tag[1])} "

    def _list_mark(self) -> str:
        indent = "  " * min(max(len(self._lists) - 1, 0), _DEEPEST)
        number = self._lists[-1] if self._lists else None
        if number is None:
            return f"{indent}- "
        self._lists[-1] = number + 1
        return f"{indent}{number}. "

    def _open_in_table(self, tag: str, attributes: str) -> None:
        if tag == "table":
            self._tables += 1
            if self._tables == 1:
                self._block("table")
                self._table = _Table()
                return
        if self._tables > 1:
            # A table in a cell is text of that cell.
            self._table.text(" ")
        elif tag == "tr":
            self._table.row()
        elif tag in ("td", "th"):
            spans = (_attribute(attributes, name) for name in ("colspan", "rowspan"))
            self._table.cell(*(_number(span) for span in spans))
        elif tag in _BLOCKS:
            self._table.text(" ")

    def _close_in_table(self, tag: str) -> None:
        if tag == "table":
            self._tables -= 1
            if not self._tables:
                self._lines += [*self._table.lines(), ""]
                return
        if self._tables > 1 or tag not in ("td", "th", "tr"):
            self._table.text(" " if tag in _BLOCKS or tag in ("td", "th") else "")
        else:
            self._table.leave_cell()

    def _block(self, tag: str) -> None:
        self._break(only_full=True)
        nested = tag in ("ul", "ol") and self._lists
        if tag in _APART and not nested and self._lines and self._lines[-1]:
            self._lines.append("")

    def _break(self, *, only_full: bool = False) -> None:
        line = "".join(self._line)
        if line.strip() or not only_full:
            self._lines.append(line.rstrip())
        self._line = []


class _Table:
    """Rows of cells; a span leaves the cells beside and below it empty."""

    def __init__(self) -> None:
        self._rows: list[list[str]] = []
        self._below: dict[int, int] = {}
        self._cells = 0
        self._outside: list[str] = []
        self._open = False

    def row(self) -> None:
        self._open = False
        if len(self._rows) < _MOST_CELLS:
            self._rows.append([])
            self._skip_spanned()

    def cell(self, columns: int, rows: int) -> None:
        self._open = False
        if not self._rows:
            self.row()
        row = self._rows[-1]
        first = len(row)
        if self._cells >= _MOST_CELLS or first >= _MOST_COLUMNS:
            return
        columns = min(columns, _MOST_COLUMNS - first)
        row += [""] * columns
        self._cells += columns
        if rows > 1:
            self._below.update(dict.fromkeys(range(first, first + columns), rows))
        self._current, self._open = first, True

    def text(self, text: str) -> None:
        if self._open:
            before = self._rows[-1][self._current]
            if len(before) < _WIDEST_CELL:
                self._rows[-1][self._current] = before + text[:_WIDEST_CELL]
        elif text.strip():
            self._outside.append(_SPACES.sub(" ", text).strip())

    def leave_cell(self) -> None:
        if self._open:
            self._open = False
            self._skip_spanned()

    def lines(self) -> list[str]:
        rows = [
            [cut(_SPACES.sub(" ", cell).strip(), _WIDEST_CELL) for cell in row]
            for row in self._rows
        ]
        for row in rows:
            while row and not row[-1]:
                row.pop()
        rows = [row for row in rows if row]
        widths: list[int] = [0] * max(map(len, rows), default=0)
        for row in rows:
            for i, cell in enumerate(row):
                widths[i] = max(widths[i], width(cell))
        return self._outside + [
            "  ".join(pad(cell, widths[i], right=True) for i, cell in enumerate(row))
            for row in rows
        ]

    def _skip_spanned(self) -> None:
        row = self._rows[-1]
        while (left := self._below.get(len(row), 0)) > 1 and self._cells < _MOST_CELLS:
            self._below[len(row)] = left - 1
            row.append("")
            self._cells += 1


def _number(text: str) -> int:
    """A span: at least 1, at most what a table may have."""
    return min(max(int(text), 1), _MOST_CELLS) if re.fullmatch(r"[0-9]{1,5}", text) else 1


def _progress(value: str, most: str) -> str:
    """``<progress>`` as tqdm draws it."""
    try:
        part = float(value) / float(most or 1)
    except (ValueError, ZeroDivisionError):
        return ""
    return progress_bar(part) if 0 <= part <= 1 else ""


def progress_bar(part: float) -> str:
    """A share between 0 and 1 as a bar."""
    full = int(part * _BAR)
    return f"{part:4.0%}|{'█' * full}{'░' * (_BAR - full)}|"
