"""What a browser would post from the page that ``jrc open`` gives it."""

import re

import httpx


def login_form(page: httpx.Response) -> tuple[str, dict[str, str]]:
    """Where the page's form goes, and its fields."""
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    (action,) = re.findall(r'action="([^"]*)"', page.text)
    return action, dict(re.findall(r'name=(\w+) value="([^"]*)"', page.text))
