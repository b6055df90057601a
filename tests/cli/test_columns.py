"""Columns of a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.cli.columns import cut, pad, table_lines, width, wrap, wrap_sentence


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("한글", 4), ("e\u0301", 1), ("🎉", 2), ("a\u200b", 1), ("日本語 x", 8), ("", 0)],
)
def test_width(text: str, columns: int) -> None:
    assert width(text) == columns


@given(st.text(), st.integers(0, 30))
def test_what_is_cut_fits(text: str, columns: int) -> None:
    assert width(cut(text, columns)) <= max(columns, 0) or width(text) <= columns


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])), st.integers(2, 30))
def test_wrapped_lines_fit_and_lose_no_letter(text: str, columns: int) -> None:
    lines = wrap(text, columns)
    assert all(width(line) <= columns for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_wrapping_is_at_words() -> None:
    assert wrap("one two three", 8) == ["one two", "three"]
    assert wrap("안녕하세요 세계", 10) == ["안녕하세요", "세계"]


def test_a_command_at_the_end_of_a_sentence_stays_whole() -> None:
    command = "jrc run a.ipynb --kernel-id 0123456789abcdef --from 4"
    text = f"Correct the cell and go on with: {command}"
    assert wrap_sentence(text, 30) == f"Correct the cell and go on\nwith:\n{command}"
    assert wrap_sentence("short", 30) == "short"


def test_padding_counts_columns() -> None:
    assert pad("한", 4) == "한  "
    assert pad("한", 4, right=True) == "  한"


def test_tables() -> None:
    rows = [["RUN", "DOCUMENT"], ["1", "한글 노트북.ipynb"], ["2", "b"]]
    assert table_lines(rows, None) == ["RUN  DOCUMENT", "1    한글 노트북.ipynb", "2    b"]
    assert table_lines(rows, 16) == [
        "RUN  DOCUMENT",
        "1    한글",
        "     노트북.ipyn",
        "     b",
        "2    b",
    ]


@pytest.mark.parametrize("columns", [48, 60, 80])
def test_a_table_of_many_columns_fits_and_leaves_its_ids_whole(columns: int) -> None:
    rows = [
        ["RUN", "STATE", "CELL", "ELAPSED", "DOCUMENT", "OWNER", "PROFILE"],
        ["6cf3688d", "running", "1/2", "18s", "long.ipynb", "root@vm", "127.0.0.1"],
        ["9dbe7587", "cancelled", "12/40", "1h20m", "한국어 노트북.ipynb", "kim@laptop", "team"],
    ]
    lines = table_lines(rows, columns)
    assert max(map(width, lines)) <= columns
    assert [line.split()[0] for line in lines if line[0] != " "] == ["RUN", "6cf3688d", "9dbe7587"]


def test_columns_move_together_before_words_break() -> None:
    rows = [
        ["RUN", "NAME", "STATE", "CELL", "ELAPSED", "DOCUMENT", "OWNER", "PROFILE"],
        ["ee054066", "kim", "running", "1/8", "1s", "ko.ipynb", "root@vm", "127.0.0.1"],
    ]
    assert table_lines(rows, 60) == [
        "RUN      NAME STATE   CELL ELAPSED DOCUMENT OWNER   PROFILE",
        "ee054066 kim  running 1/8  1s      ko.ipynb root@vm 127.0.0.",
        "                                                    1",
    ]
