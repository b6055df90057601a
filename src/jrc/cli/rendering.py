"""Rich outputs as text for a terminal: pure, a bundle of representations in, text out."""

import json
import re
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
        from jrc.cli.html_text import html_as_text

        text = html_as_text(html)
        if text or plain.startswith("<IPython.core.display."):
            return text
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


def _joined(value: object) -> str:
    """The text of a representation, which a notebook may hold as a list of lines."""
    if isinstance(value, list):
        return "".join(str(line) for line in value)
    return "" if value is None else str(value)
