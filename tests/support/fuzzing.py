"""Fuzzers: valid documents with one part replaced, and how much of them is tried.

Little and always the same in a normal run, much and each time something else in
``nox -s attacks``.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st

from tests.support.environment import ATTACKS


def examples(count: int) -> settings:
    """Settings for a fuzzer that tries so many examples in a normal run.

    Slow examples and large ones are no fault of a test whose input is meant to be such.
    """
    from hypothesis import HealthCheck

    attack = ATTACKS > 1
    return settings(
        max_examples=count * ATTACKS,
        derandomize=not attack,
        print_blob=attack,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


HOSTILE = st.text(
    st.one_of(
        st.sampled_from(
            "\x1b\x07\x00\x08\r\n\t\x7f\x9b\x9d\x90]0;m[?J\\\u202e\u2066\u200f\u200b\ud83d"
        ),
        st.characters(exclude_categories=()),
    )
)
"""Any text, and often what steers a terminal."""


class Raw(str):
    """JSON that is written as it is: what ``json.dumps`` would not write."""

    __slots__ = ()


DEEP = Raw("[" * 100_000 + "]" * 100_000)
LESS_DEEP = Raw('{"a":' * 500 + "1" + "}" * 500)
MANY_DIGITS = Raw("9" * 5001)
TWICE = Raw('{"id": 1, "id": "x", "id": null}')

ODD_TEXTS = (
    "",
    "\ud800",
    "a\udcffb",
    "\x00",
    "\x1b]52;c;eA==\x07",
    "\u202eabc",
    "x" * 100_000,
    "../../../etc/passwd",
    "////evil/",
    "\n\r\n",
    "$(id)`id`\\$(id)",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "2026-11-28",
    "é😀",
    "-1",
    "1e999",
)
ODD_VALUES: tuple[Any, ...] = (
    *ODD_TEXTS,
    *(None, True, False, 0, -1, 1.5, 7, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308),
    *(float("nan"), float("inf"), float("-inf")),
    *([], {}, [[]], [None], [{}], {"": None}, {"\ud800": "\ud800"}, {"a": {"a": {"a": []}}}),
    *(DEEP, LESS_DEEP, MANY_DIGITS, TWICE),
)
"""What stands where something else belongs."""

odd_values: st.SearchStrategy[Any] = st.sampled_from(ODD_VALUES)

GONE = object()
"""In the place of a value: its key is not there."""


def dumped(value: Any) -> str:
    """JSON text, with what is ``Raw`` written as it is."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)}: {dumped(item)}" for key, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(dumped, value))}]"
    return json.dumps(value)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each part of a document, the whole among them."""
    yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*at, index))


def with_part(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of a document with one part replaced, or without it."""
    if not place:
        return {} if value is GONE else value
    document = copy.deepcopy(document)
    inner = document
    for step in place[:-1]:
        inner = inner[step]
    if value is GONE:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return document


@st.composite
def altered(draw: st.DrawFn, document: Any, most: int = 2) -> Any:
    """A valid document with one part or a few replaced by what does not belong there."""
    for _ in range(draw(st.integers(1, most))):
        place = draw(st.sampled_from(list(places(document))))
        document = with_part(document, place, draw(odd_values | st.just(GONE)))
        if not isinstance(document, dict | list):
            break
    return document


def altered_texts(*documents: Any) -> st.SearchStrategy[str]:
    """JSON texts of such documents; some are cut short, and some are no JSON at all."""
    whole = st.sampled_from(documents).flatmap(altered).map(dumped)
    cut = st.tuples(whole, st.integers(0, 200)).map(lambda each: each[0][: each[1]])
    return whole | whole | whole | cut | st.sampled_from(["", "\x00", "nul", "<html>", "\ufeff{}"])
