"""Sentences about failures, from tracebacks as IPython really makes them."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from jrc.run.outcome import FailingLine, error_sentence, failing_line


@pytest.fixture(scope="module")
def shell() -> InteractiveShell:
    return InteractiveShell.instance(colors="linux")


def traceback_of(shell: InteractiveShell, code: str, capsys: pytest.CaptureFixture[str]) -> str:
    shell.run_cell(code, store_history=True)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("a = 1\nb = a / 0", FailingLine(2, "b = a / 0")),
        ("def f():\n    raise ValueError('x')\n\nf()", FailingLine(4, "f()")),
        ("import json\n\njson.loads('{')", FailingLine(3, "json.loads('{')")),
    ],
)
def test_the_line_of_the_cell_is_found(
    shell: InteractiveShell,
    capsys: pytest.CaptureFixture[str],
    code: str,
    expected: FailingLine,
) -> None:
    assert failing_line(traceback_of(shell, code, capsys).split("\n")) == expected


def test_no_line_where_there_is_none() -> None:
    assert failing_line([]) is None
    assert failing_line(["KeyboardInterrupt: "]) is None


def test_a_sentence_is_one_short_line_without_colours() -> None:
    reply = {"ename": "ValueError", "evalue": "\x1b[31mbad\x1b[0m\nsecond line"}
    assert error_sentence(reply) == "ValueError: bad"
    assert error_sentence({"ename": "E", "evalue": ""}) == "E"
    assert len(error_sentence({"ename": "E", "evalue": "x" * 1000})) == 200


def test_an_error_without_a_name_has_one() -> None:
    """A bash kernel gives the exit status only."""
    assert error_sentence({"ename": "", "evalue": "127"}) == "Error: 127"
    assert error_sentence({}) == "Error"
