"""The JSONC editor: what it changes, and that it changes nothing else."""

import json
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jrc.editor import jsonc
from jrc.editor.jsonc import JsoncError

SETTINGS = """\
// My settings
{
    "editor.fontSize": 14, // big
    /* colours
       of the workbench */
    "workbench.colorTheme": "Solarized Light",
    "files.exclude": {
        "**/.git": true, // as everybody
        "**/*.pyc": true,
    },
    // "telemetry.telemetryLevel": "off",
}
"""


# A generator of texts: JSON values written with comments, trailing commas and odd white space.

names = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=6)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-1000, 1000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | names
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
comments = st.text("ab,:{}[]\"'\\/ ", max_size=6)
blanks = st.text(" \t", max_size=2)


@st.composite
def trivia(draw: st.DrawFn, line_end: str) -> str:
    """White space and comments between two tokens."""
    pieces = [draw(blanks)]
    for kind in draw(st.lists(st.sampled_from(["line", "block", "end"]), max_size=2)):
        words = draw(comments)
        if kind == "line":
            pieces.append(f"//{words}{line_end}")
        elif kind == "block":
            pieces.append(
                "/*" + words.replace("*/", "") + draw(st.sampled_from(["", line_end])) + "*/"
            )
        else:
            pieces.append(line_end)
        pieces.append(draw(blanks))
    return "".join(pieces)


@st.composite
def written(draw: st.DrawFn, value: jsonc.Json, line_end: str) -> str:
    """A value as somebody might write it."""

    def gap() -> str:
        return draw(trivia(line_end))

    if isinstance(value, dict):
        items = [
            json.dumps(key, ensure_ascii=draw(st.booleans()))
            + gap() + ":" + gap() + draw(written(each, line_end))
            for key, each in value.items()
        ]  # fmt: skip
        opening, closing = "{}"
    elif isinstance(value, list):
        items = [draw(written(each, line_end)) for each in value]
        opening, closing = "[]"
    else:
        return json.dumps(value, ensure_ascii=draw(st.booleans()))
    text = opening + gap()
    for index, item in enumerate(items):
        last = index == len(items) - 1
        text += item + gap() + ("," if not last or draw(st.booleans()) else "") + gap()
    return text + closing


@st.composite
def documents(draw: st.DrawFn, *, least: int = 0) -> tuple[str, dict[str, jsonc.Json]]:
    """A settings file and what it means."""
    value = draw(st.dictionaries(names, values, min_size=least, max_size=4))
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    mark = draw(st.sampled_from(["", "\ufeff"]))
    around = trivia(line_end)
    return mark + draw(around) + draw(written(value, line_end)) + draw(around), value


TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL)


def comments_of(text: str) -> list[str]:
    """All comments, in order: an oracle that shares nothing with the parser."""
    return [found for found in TOKENS.findall(text) if not found.startswith('"')]


def strictly(text: str) -> object:
    """What Python's own JSON parser reads once comments and trailing commas are gone."""
    kept = TOKENS.sub(lambda found: found[0] if found[0].startswith('"') else " ", text)
    tokens = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=\s*[}\]])', re.DOTALL)
    kept = tokens.sub(lambda found: "" if found[0] == "," else found[0], kept)
    return json.loads(kept.removeprefix("\ufeff"))


@given(documents())
def test_reads_what_the_text_means(document: tuple[str, dict[str, jsonc.Json]]) -> None:
    text, value = document
    assert jsonc.loads(text) == value == strictly(text)


@given(documents(), names, values)
def test_a_new_key_leaves_everything_else_as_it_is(
    document: tuple[str, dict[str, jsonc.Json]], key: str, value: jsonc.Json
) -> None:
    text, before = document
    assume(key not in before)
    after = jsonc.set_value(text, (key,), value)
    assert strictly(after) == {**before, key: value}
    assert list(jsonc.loads(after)) == [*before, key]
    assert comments_of(after) == comments_of(text)
    assert after.startswith("\ufeff") == text.startswith("\ufeff")
    if "\r\n" in text:
        assert not re.search(r"(?<!\r)\n", after)
    else:
        assert "\r" not in after


@given(documents(least=1), names, values)
def test_adding_and_removing_a_key_gives_the_same_bytes(
    document: tuple[str, dict[str, jsonc.Json]], key: str, value: jsonc.Json
) -> None:
    text, before = document
    assume(key not in before)
    assert jsonc.remove(jsonc.set_value(text, (key,), value), (key,)) == text


@given(documents(least=1), values, st.data())
def test_a_changed_value_leaves_everything_else_as_it_is(
    document: tuple[str, dict[str, jsonc.Json]], value: jsonc.Json, data: st.DataObject
) -> None:
    text, before = document
    key = data.draw(st.sampled_from(sorted(before)))
    after = jsonc.set_value(text, (key,), value)
    assert strictly(after) == {**before, key: value}
    assert list(jsonc.loads(after)) == list(before)


@given(documents(least=1), scalars, st.data())
def test_a_changed_scalar_changed_back_gives_the_same_meaning_and_comments(
    document: tuple[str, dict[str, jsonc.Json]], value: jsonc.Json, data: st.DataObject
) -> None:
    text, before = document
    before["plain"] = None
    text = jsonc.set_value(text, ("plain",), None)
    plain = [each for each in before if not isinstance(before[each], (dict, list))]
    key = data.draw(st.sampled_from(plain))
    after = jsonc.set_value(jsonc.set_value(text, (key,), value), (key,), before[key])
    assert strictly(after) == before
    assert comments_of(after) == comments_of(text)


@given(documents(least=1), st.data())
def test_a_removed_key_takes_no_comment_with_it_but_those_inside(
    document: tuple[str, dict[str, jsonc.Json]], data: st.DataObject
) -> None:
    text, before = document
    key = data.draw(st.sampled_from(sorted(before)))
    after = jsonc.remove(text, (key,))
    assert strictly(after) == {name: each for name, each in before.items() if name != key}
    root = jsonc.parse(text)
    member = root.member(key)
    assert member is not None
    outside = comments_of(text[: member.start]) + comments_of(text[member.end :])
    assert comments_of(after) == outside


@given(documents(), st.lists(names, min_size=1, max_size=3), values)
def test_a_nested_value_is_set_and_found_again(
    document: tuple[str, dict[str, jsonc.Json]], path: list[str], value: jsonc.Json
) -> None:
    text, before = document
    inner: object = before
    for key in path[:-1]:
        inner = inner.get(key, {}) if isinstance(inner, dict) else None
    assume(isinstance(inner, dict))
    after = jsonc.set_value(text, tuple(path), value)
    assert jsonc.get(after, tuple(path)) == value
    removed = jsonc.remove(after, tuple(path))
    assert jsonc.get(removed, tuple(path)) is jsonc.MISSING
    assert jsonc.loads(removed).keys() >= before.keys() - {path[0]}


@given(st.text(st.sampled_from('{}[]",:/*1ae\\ \n\r\t\ufeff.-'), max_size=20))
def test_any_text_is_understood_or_refused_with_its_place(text: str) -> None:
    refused = None
    value: object = {}
    try:
        value = jsonc.loads(text)
    except JsoncError as error:
        refused = error
    if refused:
        assert 1 <= refused.line <= text.count("\n") + text.count("\r") + 1
        assert refused.column >= 1
        assert f"Line {refused.line}, column {refused.column}:" in refused.message
    elif text.strip("\ufeff \t\r\n") and not comments_of(text):
        assert strictly(text) == value


def test_a_new_setting_goes_behind_the_last_one() -> None:
    assert jsonc.set_value(SETTINGS, ("jrc.servers", "ml"), {"label": "ml"}) == SETTINGS.replace(
        '        "**/*.pyc": true,\n    },\n',
        '        "**/*.pyc": true,\n    },\n'
        '    "jrc.servers": {\n        "ml": {\n            "label": "ml"\n        }\n    },\n',
    )


def test_a_comment_stays_with_the_line_that_it_explains() -> None:
    text = '{\n  "a": 1 // one\n}\n'
    assert jsonc.set_value(text, ("b",), [1]) == ('{\n  "a": 1, // one\n  "b": [\n    1\n  ]\n}\n')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n    "k": 1\n}\n'),
        ("\ufeff", '\ufeff{\n    "k": 1\n}\n'),
        ("// mine\r\n", '// mine\r\n{\r\n    "k": 1\r\n}\r\n'),
        ("{}", '{\n    "k": 1\n}'),
        ("{ }", '{\n    "k": 1\n}'),
        ("{\n}\n", '{\n    "k": 1\n}\n'),
        ("{ // none\n}\n", '{ // none\n    "k": 1\n}\n'),
        ("{ /* none */ }", '{ /* none */\n    "k": 1\n}'),
        ('{"a": 1}', '{"a": 1, "k": 1}'),
        ('{"a": 1,}', '{"a": 1, "k": 1,}'),
        ('{ "a": 1 // one\n}', '{ "a": 1, // one\n    "k": 1\n}'),
        ('{\n\t"a": 1\n}', '{\n\t"a": 1,\n\t"k": 1\n}'),
        ('{\n"a": 1}', '{\n"a": 1,\n"k": 1}'),
    ],
)
def test_the_layout_of_the_file_is_followed(before: str, after: str) -> None:
    assert jsonc.set_value(before, ("k",), 1) == after


def test_objects_are_merged_so_that_comments_inside_stay() -> None:
    text = '{\n    "s": {\n        // first\n        "a": 1,\n        "b": 2 // second\n    }\n}\n'
    assert jsonc.set_value(text, ("s",), {"b": 3, "c": {}}) == (
        '{\n    "s": {\n        // first\n        "b": 3, // second\n        "c": {}\n    }\n}\n'
    )


def test_the_last_of_two_equal_keys_is_the_one_that_counts() -> None:
    text = '{"a": 1, "a": 2}'
    assert jsonc.get(text, ("a",)) == 2
    assert jsonc.set_value(text, ("a",), 3) == '{"a": 1, "a": 3}'
    assert jsonc.loads(jsonc.remove(text, ("a",))) == {}


def test_an_equal_value_changes_nothing() -> None:
    assert jsonc.set_value('{"a" :1.0}', ("a",), 1.0) == '{"a" :1.0}'
    assert jsonc.set_value('{"a" :1}', ("a",), True) == '{"a" :true}'


@pytest.mark.parametrize(
    ("text", "line", "column", "fault"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', 3, 3, "a comma or '}' is missing"),
        ('{\r\n  "a" 1}', 2, 7, "a ':' is missing"),
        ('\ufeff{"a": }', 1, 7, "a value is missing"),
        ('{"a": [1', 1, 9, "a ']' is missing"),
        ('{"a": "x\n"}', 1, 7, "this string does not end"),
        ('{"a": "\\q"}', 1, 7, "this value is not valid JSON"),
        ("{} /* open", 1, 4, "this comment does not end"),
        ("{}\n{}", 2, 1, "there is text behind the end"),
        ("{a: 1}", 1, 2, "a key in double quotes is missing"),
        ("{,}", 1, 2, "a key or '}' is missing"),
        ("[1]", 1, 1, "it is not an object"),
        ('{"a":' * 200 + "1" + "}" * 200, 1, 501, "it is nested more than 100 levels deep"),
        ('{"a": ' + "9" * 5000 + "}", 1, 7, "this number has too many digits"),
    ],
)
def test_a_broken_file_is_refused_with_its_place(
    text: str, line: int, column: int, fault: str
) -> None:
    with pytest.raises(JsoncError) as refused:
        jsonc.set_value(text, ("k",), 1)
    assert (refused.value.line, refused.value.column) == (line, column)
    assert fault in refused.value.message


def test_what_is_no_object_is_not_replaced_by_one() -> None:
    with pytest.raises(JsoncError, match=r"Line 1, column 7: 'a' is not an object"):
        jsonc.set_value('{"a": 5}', ("a", "b"), 1)
