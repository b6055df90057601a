"""The environment of the programs that jrc starts: it holds none of jrc's secrets.

Each of them starts others (a login program, a browser, an editor's extensions), and whatever they
inherit ends in logs and crash reports that are not ours.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


def for_programs(environment: Mapping[str, str], **more: str) -> dict[str, str]:
    """The variables for a program. Pure.

    Args:
        environment: of jrc.
        more: variables to set besides.
    """
    kept = {name: text for name, text in environment.items() if not _is_secret(name, text)}
    return {**kept, **more}


@contextmanager
def secrets_withheld() -> Iterator[None]:
    """For the time of a call that starts programs with jrc's own environment."""
    withheld = {name: text for name, text in os.environ.items() if _is_secret(name, text)}
    for name in withheld:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(withheld)


def _is_secret(name: str, text: str) -> bool:
    # A URL may be that of a browser's page, which carries the token.
    return name == "JRC_TOKEN" or (name == "JRC_URL" and not {"?", "#", "@"}.isdisjoint(text))
