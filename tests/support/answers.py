"""Answers of servers that are not here, as values."""

from jrc.server.http import Answer

JSON = "application/json"
HTML = "text/html; charset=UTF-8"


def answer_to(
    url: str, status: int, body: str = "", content_type: str = JSON, **headers: str
) -> Answer:
    """The answer of ``GET {url}api``; in the names of headers ``_`` stands for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(
        f"GET {url}api", status, {"content-type": content_type, **named}, body=body.encode()
    )
