"""Words: help, usage errors, completions."""

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from jrc.cli.app import RootGroup, app, run_cli


def timed_options(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The options of all commands that take a number that need not be whole."""
    for name, each in getattr(command, "commands", {}).items():
        yield from timed_options(each, (*words, name))
    for param in command.params:
        if param.metavar == "TIME" or param.type.name == "float":
            yield (*words, param.opts[0])


TIMED = sorted(timed_options(get_command(app)))


def test_there_are_options_in_seconds() -> None:
    assert {("run", "--timeout"), ("run", "--start-timeout"), ("logs", "--reconnect")} <= {*TIMED}


@pytest.mark.parametrize("words", TIMED, ids=" ".join)
def test_every_option_in_seconds_takes_durations(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    *command, option = words
    assert run_cli([*command, option, "nan", "x"]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error == (
        f"error: Invalid value for '{option}': 'nan' is no duration. Type it as 90, 90s, 10m or 2h."
    )
    assert hint == f"hint: See how it is used: jrc {' '.join(command)} --help"


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["rnu"], ["jrc has no command 'rnu'.", "Did you mean: jrc run"]),
        (["kernel", "lst"], ["jrc kernel has no command 'lst'.", "Did you mean: jrc kernel list"]),
        (
            ["kernel", "x"],
            ["jrc kernel has no command 'x'.", "See what there is: jrc kernel --help"],
        ),
        (["help", "rnu"], ["jrc has no command 'rnu'.", "Did you mean: jrc run"]),
        (["run"], ["Missing argument 'FILE'.", "See how it is used: jrc run --help"]),
        (
            ["runs", "--al"],
            [
                "No such option: --al.",
                "Did you mean --all or --help? See how it is used: jrc runs --help",
            ],
        ),
        (
            ["logout", "a", "b"],
            ["Got unexpected extra argument(s) (b).", "See how it is used: jrc logout --help"],
        ),
    ],
    ids=" ".join,
)
def test_words_that_are_not_understood(
    words: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One style for all errors, and a hint that works when it is typed."""
    assert run_cli(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [f"error: {lines[0]}", f"hint: {lines[1]}"]
    if "--help" in lines[1]:
        typed = lines[1].partition("jrc ")[2]
        assert run_cli(typed.split()) == 0


def test_only_the_name_of_a_group_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["kernel"], ["profile"]):
        assert run_cli(words) == 2
        assert capsys.readouterr().err.startswith(" ".join(["Usage: jrc", *words]))


@pytest.mark.parametrize("words", [[], ["run"], ["kernel", "list"]], ids=" ".join)
def test_help_as_a_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["help", *words]) == 0
    as_command = capsys.readouterr().out
    assert run_cli([*words, "--help"]) == 0
    assert as_command == capsys.readouterr().out


@pytest.mark.parametrize("words", [["-v", "status"], ["status", "-v"], ["kernel", "list", "-vv"]])
def test_verbose_stands_before_or_behind(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[int] = []
    monkeypatch.setattr("logging.basicConfig", lambda **options: levels.append(options["level"]))
    run_cli(words)
    assert levels == [10 if "-vv" in words else 20]


def test_help_is_in_the_table() -> None:
    assert "help" in RootGroup.table
