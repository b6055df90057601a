"""Text that others chose, as one line in which everything can be seen."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given

from jrc.visible import visible, visible_lines
from tests.support.fuzzing import HOSTILE, examples

pytestmark = pytest.mark.attacks

SEEN_THOUGH_FORMAT = "\u200c\u200d"
"""Joiners, which scripts and emoji need."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain 한글 é", "plain 한글 é"),
        ("a\x1b[2J\x9b1m\rb\u202ec\n", "a\\x1b[2J\\x9b1m\\rb\\u202ec\\n"),
        ("\x1b]52;c;eA==\x07", "\\x1b]52;c;eA==\\x07"),
        ("r\udce9", "r\\udce9"),
        ("a\tb", "a\\tb"),
    ],
)
def test_what_steers_a_terminal_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@examples(100)
@given(HOSTILE)
def test_nothing_that_is_not_seen_is_left(text: str) -> None:
    for char in visible(text):
        bad = unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
        assert not bad
        assert unicodedata.bidirectional(char) not in (
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        )
    visible(text).encode()
    assert "\n" not in visible(text)
    assert visible_lines(text).count("\n") == text.count("\n")


def test_a_line_is_cut() -> None:
    assert visible("x" * 100_000, 10) == "x" * 9 + "…"
    assert len(visible("\x1b" * 100_000)) < 50_000


LOG = """
import logging
from jrc.visible import log_to_stderr
log_to_stderr("log: %(message)s", verbose=1)
logging.getLogger("x").info("GET %s", "a\\x1b]0;t\\x07\\nlog: forged")
try:
    raise ValueError("b\\x1b[2J\\x9b")
except ValueError:
    logging.getLogger("x").exception("failed")
"""


def test_a_log_steers_no_terminal_either() -> None:
    done = subprocess.run([sys.executable, "-c", LOG], capture_output=True, text=True, timeout=60)
    lines = done.stderr.splitlines()
    assert lines[:2] == ["log: GET a\\x1b]0;t\\x07\\nlog: forged", "log: failed"]
    assert lines[-1] == "ValueError: b\\x1b[2J\\x9b"
