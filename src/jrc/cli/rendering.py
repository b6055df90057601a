"""Rich outputs as text for a terminal: pure, a bundle of representations in, text out."""

import json
import re
from html.parser import HTMLParser
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")


def strip_ansi(text: str) -> str:
    """``text`` without terminal colours."""
    return _ANSI.sub("", text)


def as_text(data: dict[str, Any]) -> str:
    """The best text for one output.

    Args:
        data: representations by MIME type, as ``display_data`` and ``execute_result`` carry them.

    Returns:
        text that ends without a line end; empty when there is nothing to show as text.
    """
    plain = _joined(data.get("text/plain"))
    html = _joined(data.get("text/html"))
    is_placeholder = plain.startswith("<") and plain.endswith(">")
    if html and (not plain or is_placeholder):
        table = html_tables_as_text(html)
        if table:
            return table
    for mimetype in ("text/markdown", "text/latex"):
        if mimetype in data and (not plain or is_placeholder):
            return _joined(data[mimetype]).rstrip("\n")
    if plain:
        return plain.rstrip("\n")
    if "application/json" in data:
        return json.dumps(data["application/json"], indent=2, ensure_ascii=False)
    return ""


def image_type(data: dict[str, Any]) -> str | None:
    """The MIME type of the image in an output; None when it holds no image."""
    return next((mimetype for mimetype in _IMAGE_TYPES if mimetype in data), None)


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


def _joined(value: object) -> str:
    """The text of a representation, which a notebook may hold as a list of lines."""
    if isinstance(value, list):
        return "".join(str(line) for line in value)
    return "" if value is None else str(value)


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
