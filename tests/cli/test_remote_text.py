"""What remote code prints: colours and progress bars pass, what steers a terminal does not."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.cli.remote_text import RemoteText, own_text
from tests.support.fuzzing import HOSTILE, examples
from tests.support.screen import Screen

pytestmark = pytest.mark.attacks

PASSES = r"\x1b\[[0-9;:]*m|\x1b\[[0-9]{0,4}K"
MOVES = r"\x1b\[[0-9]{0,4}[A-GJ]"

SEQUENCES = st.sampled_from(
    [
        *("\x1b[31m", "\x1b[8m", "\x1b[38;5;8m", "\x1b[0;8;1m", "\x1b[m", "\x1b[K", "\x1b[2K"),
        *("\x1b[A", "\x1b[99A", "\x1b[3B", "\x1b[E", "\x1b[2F", "\x1b[J", "\x1b[2J", "\x1b[H"),
        *("\x1b[?25l", "\x1b[6n", "\x1b[c", "\x1b[5i", "\x1b[>4m", "\x1b[!p", "\x1b[1;9H"),
        *(
            "\x1b]0;t\x07",
            "\x1b]52;c;eA==\x07",
            "\x1b]8;;http://a/\x1b\\",
            "\x1bP+q\x1b\\",
            "\x1bc",
        ),
        *("\x1b", "\x1b[", "\x1b[3", "1m", "\x9b31m", "\x9d0;t\x9c", "\x1b(0", "\x07", "\n", "\r"),
    ]
)
TEXTS = st.lists(st.one_of(SEQUENCES, HOSTILE, st.just("word\n"))).map("".join)


def shown(*pieces: str, colours: bool = True, moves: bool = False) -> str:
    gate = RemoteText()
    return "".join(gate.pass_on(each, colours=colours, moves=moves) for each in pieces)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("\x1b[1;31mred\x1b[0m \rx\b\ty\x1b[K\n", "\x1b[1;31mred\x1b[0m \rx\b\ty\x1b[K\n"),
        ("\x1b]52;c;eA==\x07", "\\x1b]52;c;eA==\\x07"),
        ("\x1b]0;title\x1b\\", "\\x1b]0;title\\x1b\\"),
        ("\x1b]8;id=1;https://a/b\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[?25l\x1b[2J\x1b[H\x1b[6n\x1b[1;1H\x1b(Bx", "x"),
        ("a\x9b31mb\x9d0;t\x9c\x00\x7f\x07\x0c", "a\\x9b31mb\\x9d0;t\\x9c\\x00\\x7f\\x07\\x0c"),
        ("a\u202eb\u2066c\u200f", "a\\u202eb\\u2066c\u200f"),
        (
            "\x1b[8mhidden\x1b[1;8;4mx\x1b[38;5;8;48;2;8;8;8my",
            "hidden\x1b[1;4mx\x1b[38;5;8;48;2;8;8;8my",
        ),
        ("\x1bc\x1b7\x1bP$q\x1b\\", "\\x1bc\\x1b7\\x1bP$q\\x1b\\"),
    ],
)
def test_what_passes(text: str, passes: str) -> None:
    assert shown(text) == passes


@examples(100)
@given(TEXTS, st.booleans())
def test_what_is_usual_is_not_different(text: str, colours: bool) -> None:
    """A style that only the general way knows makes the rest take that way, too."""
    assert shown(f"{text}x\x1b[08m", colours=colours) == shown(f"{text}x", colours=colours)


def test_colours_may_be_left_out() -> None:
    assert shown("\x1b[1;31mred\x1b[0m \x1b[2Kx", colours=False) == "red \x1b[2Kx"


@examples(100)
@given(TEXTS, st.booleans(), st.booleans())
def test_nothing_else_is_sent(text: str, colours: bool, moves: bool) -> None:
    left = re.sub(PASSES, "", shown(text, colours=colours, moves=moves))
    if moves:
        left = re.sub(MOVES, "", left)
    assert not re.search("[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", left)
    assert own_text(text) == shown(text)


@examples(100)
@given(TEXTS)
def test_a_sequence_may_come_in_pieces(text: str) -> None:
    pieces = [text[i : i + 1] for i in range(len(text))]
    assert shown(*pieces, moves=True) == shown(text, moves=True)


@examples(100)
@given(st.lists(TEXTS))
def test_nothing_above_is_written_over(texts: list[str]) -> None:
    """Whatever the code prints, the lines of jrc above it stay."""
    screen = Screen(80).feed("ours 1\nours 2\n")
    gate = RemoteText()
    for text in texts:
        passed = gate.pass_on(text, colours=True, moves=True)
        # This screen knows only some of the sequences, which go nowhere else.
        screen.feed(re.sub(r"\x1b\[[0-9]*[CDG]|[\t\u2028\x85]", "", passed))
    assert screen.lines[:2] == ["ours 1", "ours 2"]


def test_nested_progress_bars_work() -> None:
    bars = "outer 0%\n\rinner 0%\x1b[A\n\rinner 50%\x1b[A\router 50%\x1b[A"
    assert shown(bars, moves=True) == bars.removesuffix("\x1b[A").replace("[A", "[1A")
    assert shown(bars, moves=False) == bars.replace("\x1b[A", "")


def test_a_style_ends_where_somebody_else_writes() -> None:
    gate = RemoteText()
    gate.pass_on("\x1b[30;40mx\x1b[", colours=True, moves=True)
    assert gate.styled
    assert gate.leave() == "\x1b[0m"
    assert gate.leave() == ""
    assert gate.pass_on("31m", colours=True, moves=True) == "31m"
    for ends in ("\x1b[0m", "\x1b[m", "\x1b[1;0m"):
        gate.pass_on(f"\x1b[31m{ends}", colours=True, moves=True)
        assert gate.leave() == ""
