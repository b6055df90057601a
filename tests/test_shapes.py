"""Reading data of others: what has its shape, what has not, and what is missing."""

import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.shapes import (
    MOST_LEVELS,
    MOST_SAID,
    NotJsonError,
    Reader,
    count_at,
    is_deep,
    line_at,
    list_at,
    map_at,
    number_at,
    one_line,
    parse,
    parse_first,
    real_at,
    text_at,
    unicode_text,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


class Wrong(Exception):
    """What a room makes of a value of the wrong shape."""


def read(value: object) -> Reader:
    return Reader(value, lambda place, found, wanted: Wrong(f"{place}: {found}, not {wanted}"))


def test_parts_are_read_with_their_types() -> None:
    document = read({"a": [{"b": "text", "n": 3, "r": 1.5, "f": True}], "m": {"k": "v"}})
    (part,) = document.field("a").items()
    assert part.field("b").text() == "text"
    assert part.field("n").number() == 3
    assert (part.field("n").real(), part.field("r").real()) == (3.0, 1.5)
    assert part.field("f").flag() is True
    assert document.field("m").texts() == {"k": "v"}
    assert read(["a", "b"]).words() == ("a", "b")
    assert part.field("b").place == "a[0].b"


def test_null_and_missing_have_the_default() -> None:
    document = read({"null": None})
    for key in ("null", "missing"):
        part = document.field(key)
        assert part.is_null
        assert part.text(default="x") == "x"
        assert part.number(default=0) == 0
        assert part.flag(default=False) is False
        assert part.texts() == {}
        assert part.words() == ()
        assert part.time() is None


def test_a_time_without_a_zone_is_utc() -> None:
    assert read("2026-01-02T03:04:05").time() == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read("2026-01-02T03:04:05+02:00").time() == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("get", "value", "words"),
    [
        (Reader.text, 3, "x: a number, not text"),
        (Reader.text, None, "x: nothing, not text"),
        (Reader.number, True, "x: true or false, not a whole number"),
        (Reader.number, 1.5, "x: a number, not a whole number"),
        (lambda part: part.number(at_least=0), -1, "x: a number, not a number from 0 on"),
        (Reader.real, True, "x: true or false, not a number"),
        (Reader.real, float("nan"), "x: a number, not a number"),
        (Reader.flag, 1, "x: a number, not true or false"),
        (Reader.time, "soon", "x: text, not a time"),
        (Reader.texts, {"k": 1}, "x.k: a number, not text"),
        (Reader.words, ["a", 1], "x[1]: a number, not text"),
        (Reader.words, "a", "x: text, not a list"),
        (lambda part: part.field("y"), [], "x: a list, not an object"),
        (lambda part: part.field("y").text(), {"y": {}}, "x.y: an object, not text"),
    ],
)
def test_a_wrong_shape_is_named_with_its_place(get, value, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Wrong) as raised:
        get(read({"x": value}).field("x"))
    assert str(raised.value) == words


@given(JSON)
def test_no_value_makes_another_error(value: object) -> None:
    for get in (
        Reader.text,
        Reader.number,
        Reader.real,
        Reader.flag,
        Reader.time,
        Reader.texts,
        Reader.words,
        Reader.fields,
        lambda part: list(part.items()),
        lambda part: part.field("a"),
    ):
        with suppress(Wrong):
            get(read(value))


@given(JSON)
def test_what_may_be_missing_reads_as_empty(value: object) -> None:
    assert isinstance(text_at({"a": value}, "a"), str)
    assert isinstance(number_at({"a": value}, "a"), int)
    assert isinstance(list_at({"a": value}, "a"), list)
    assert isinstance(map_at({"a": value}, "a"), dict)
    assert text_at(value, "a", "b") == text_at(value, "a", "b")


def test_a_path_leads_through_objects() -> None:
    document = {"a": {"b": "x", "n": 2, "yes": True, "l": [1]}}
    assert text_at(document, "a", "b") == "x"
    assert number_at(document, "a", "n") == 2
    assert number_at(document, "a", "yes") == 0
    assert list_at(document, "a", "l") == [1]
    assert map_at(document, "a") == document["a"]
    assert (text_at(document, "b", "a"), list_at(None), text_at("x", "a")) == ("", [], "")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "{", "", "\ufeff"])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a": ', "}"), ("[0, 1, ", "]")])
def test_what_is_nested_too_deeply_is_refused(begin: str, end: str) -> None:
    def nested(depth: int) -> str:
        return begin * depth + "1" + end * depth

    value = parse(nested(MOST_LEVELS))
    assert not is_deep(value)
    assert parse_first(nested(MOST_LEVELS) + " [") == (value, len(nested(MOST_LEVELS)))
    for depth in (MOST_LEVELS + 1, 900, 100_000):
        with pytest.raises(NotJsonError):
            parse(nested(depth))
        with pytest.raises(NotJsonError):
            parse_first(nested(depth))


def test_a_number_of_more_digits_than_python_converts_is_their_text() -> None:
    digits = "9" * 5001
    assert parse(f'{{"a": {digits}, "b": [-{digits}, 7]}}') == {
        "a": digits,
        "b": [f"-{digits}", 7],
    }
    with pytest.raises(NotJsonError):
        parse(f"[{digits}")


def test_an_error_holds_no_part_of_the_document() -> None:
    for data in ('{"token": "s3cret"', b'{"token": "s3cret\xff"}', b"\xff\xfes3cret"):
        with pytest.raises(NotJsonError) as refused:
            parse(data)
        assert "s3cret" not in repr(refused.value)


def test_numbers_are_bounded_where_a_number_belongs() -> None:
    for value in (10**400, -(2**63) - 1, float("inf"), float("nan")):
        for get in (Reader.number, Reader.real):
            with pytest.raises(Wrong):
                get(read(value))
        assert (count_at(value), real_at(value), number_at(value)) == (None, None, 0)
    assert (read(2**63 - 1).number(), real_at(0.5), count_at({"a": 3}, "a")) == (2**63 - 1, 0.5, 3)


def test_text_can_be_encoded_but_a_file_name_is_exact() -> None:
    assert read("a\ud800b").text() == text_at("a\ud800b") == "a?b"
    assert read("a\udcff").file_name() == "a\udcff"
    assert unicode_text("é😀") == "é😀"


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01"]
)
def test_a_time_that_no_computer_can_have_is_none(time: str) -> None:
    assert read(time).time() is None


@given(JSON)
def test_json_is_parsed(value: object) -> None:
    text = json.dumps(value)
    assert json.dumps(parse(text.encode())) == text
    with pytest.raises(ValueError, match="longer"):
        parse(text, most=len(text) - 1)


def test_words_of_others_are_one_printable_line() -> None:
    assert one_line("a\x1b[31m\n b\u202e\r\tc") == "a [31m b c"
    assert line_at({"a": " x\ny "}, "a") == "x y"
    assert len(one_line("x" * 999)) == MOST_SAID
    assert one_line("abcd", 3) == "ab…"


@given(st.text())
def test_no_text_breaks_the_line(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= MOST_SAID
