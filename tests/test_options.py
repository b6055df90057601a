"""Options that are described once: durations, words, and what the command line makes of them."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from jrc.cli.options import with_options
from jrc.cli.run import app as run_app
from jrc.options import Option, seconds, words_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400), ("1.5h", 5400)),
        *(("1d", 86400), (" 5S ", 5), ("0", 0), ("120.0", 120)),
    ],
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text",
    ["nan", "inf", "-inf", "-3", "", "s", "1x", "1e400", "10 m", "1h 5", "5m3", "9" * 400, "٣"],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)


@given(st.text())
def test_any_text_is_a_duration_or_is_refused(text: str) -> None:
    with suppress(ValueError):
        assert 0 <= seconds(text) < float("inf")


class Inner(NamedTuple):
    """A group in a group."""

    wait: Annotated[float, Option("--wait", "How long.", "TIME", parse=seconds)] = 60
    found: str = "later"


class Group(NamedTuple):
    """Options of all kinds."""

    number: Annotated[int, Option("-n --number", "How many.", least=1)] = 1
    paths: Annotated[Sequence[Path], Option("-f --file", "Files.", "PATH")] = ()
    loud: Annotated[bool, Option("--loud/--quiet", "Loud.")] = True
    inner: Inner = Inner()


def called(*words: str) -> tuple[Group, bool]:
    """What a command gets for these words."""
    got: list[tuple[Group, bool]] = []
    app = typer.Typer()

    @app.command()
    @with_options()
    def command(group: Group, json: Annotated[bool, Option("--json", "As JSON.")] = False) -> None:
        got.append((group, json))

    get_command(app)(list(words), standalone_mode=False)
    return got[0]


def test_a_command_gets_its_groups() -> None:
    assert called() == (Group(), False)
    group, json = called("-n", "3", "-f", "a", "--file", "b", "--quiet", "--wait", "2m", "--json")
    assert group == Group(3, [Path("a"), Path("b")], loud=False, inner=Inner(120))
    assert json


@pytest.mark.parametrize("words", [["-n", "0"], ["--wait", "soon"], ["--found", "x"]])
def test_what_an_option_does_not_take_is_refused(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"range|no duration|No such option"):
        called(*words)


def test_the_words_of_options_give_them_again() -> None:
    group = Group(3, [Path("a"), Path("b c")], loud=False)
    words = words_of(group)
    assert words == ["-n", "3", "-f", "a", "-f", "b c", "--quiet"]
    again, _ = called(*words)
    assert again == group
    assert words_of(Group()) == []
    assert words_of(group, only=("number",)) == ["-n", "3"]


def test_no_two_options_of_a_run_are_typed_the_same() -> None:
    options = [name for param in get_command(run_app).params for name in param.opts]
    assert len(options) > 40
    assert len(set(options)) == len(options)
