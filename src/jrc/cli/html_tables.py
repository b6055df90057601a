"""Tables of HTML as text for a terminal: pure. Apart, since few outputs need the parser."""

from html.parser import HTMLParser


def html_tables_as_text(html: str) -> str:
    """The tables of an HTML fragment in aligned columns; empty when it has none."""
    parser = _Tables()
    parser.feed(html)
    parser.close()
    return "\n\n".join(_aligned(rows) for rows in parser.tables if rows)


def _aligned(rows: list[list[str]]) -> str:
    count = max(len(row) for row in rows)
    full = [[*row, *[""] * (count - len(row))] for row in rows]
    widths = [max(len(row[i]) for row in full) for i in range(count)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in full
    )


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, _attributes: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self.tables[-1][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, text: str) -> None:
        if self._in_cell:
            self.tables[-1][-1][-1] += text.strip()
