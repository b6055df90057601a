"""Read foreign data: the JSON of a server, a cluster or an editor, a person's TOML.

``parse`` decodes it. From there are two ways:

* A ``Reader`` is for what must have its shape. Its getters return a value of a known type, or
  raise the error that the room makes, with the place in the document.
* ``text_at``, ``number_at``, ``list_at`` and ``map_at`` are for what may be missing: what is not
  there, or is of another type, reads as empty.

``one_line`` makes foreign text fit for a terminal.

Notebooks are not read with this: ``notebook.schema`` checks millions of values at the start of a
run, and only says whether all of them are right.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

T = TypeVar("T")

Reject = Callable[[str, str, str], Exception]
"""Makes the error for a value of the wrong shape, of three texts: the place, such as
``[0].kernel.id`` and empty for the whole; what was found there, such as ``text`` or ``nothing``;
and what belongs there, such as ``a whole number``. The value itself is not shown: it may be a
secret."""

MOST_SAID = 300
"""Characters of foreign text that are shown."""

NOTHING = "nothing"
"""What was found where a value is null or missing."""

_KINDS: dict[type[object], str] = {
    type(None): NOTHING,
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}


def parse(data: str | bytes, *, most: int | None = None) -> object:
    """Decode JSON.

    Args:
        data: the JSON; as bytes, in UTF-8, UTF-16 or UTF-32.
        most: characters or bytes that are decoded at all.

    Raises:
        ValueError: it is not JSON, is longer than ``most``, or is nested too deeply. An error of
            the decoder carries the whole document: raise another one without a cause where that
            may hold a secret.
    """
    if most is not None and len(data) > most:
        raise ValueError(f"longer than {most}")
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def kind_of(value: object) -> str:
    """The kind of a decoded value, for a sentence."""
    return _KINDS.get(type(value), "something else")


class Reader:
    """One value of a document, which knows where it stands there.

    Args:
        value: as it was decoded.
        reject: makes the errors that the getters raise.
        place: the way to this value; empty for the whole document.
    """

    __slots__ = ("_reject", "place", "value")

    def __init__(self, value: object, reject: Reject, place: str = "") -> None:
        self.value = value
        self.place = place
        self._reject = reject

    @property
    def is_null(self) -> bool:
        """Whether it is null, or was not there."""
        return self.value is None

    def field(self, key: str) -> "Reader":
        """One part of an object; a missing one is null."""
        return Reader(self.mapping().get(key), self._reject, self._place_of(key))

    def fields(self) -> dict[str, "Reader"]:
        """The parts of an object."""
        return {
            key: Reader(value, self._reject, self._place_of(key))
            for key, value in self.mapping().items()
        }

    def items(self) -> "Iterator[Reader]":
        """The parts of a list."""
        for index, value in enumerate(self._is(list, "a list", None)):
            yield Reader(value, self._reject, f"{self.place}[{index}]")

    def mapping(self) -> dict[str, object]:
        """The object that it is, with parts that were not looked at."""
        return self._is(dict, "an object", None)

    def text(self, default: str | None = None) -> str:
        """The text that it is; the default, when there is one, for null."""
        return self._is(str, "text", default)

    def texts(self) -> dict[str, str]:
        """The object of texts that it is; empty for null."""
        return {} if self.is_null else {key: each.text() for key, each in self.fields().items()}

    def words(self) -> tuple[str, ...]:
        """The list of texts that it is; empty for null."""
        return () if self.is_null else tuple(each.text() for each in self.items())

    def flag(self, default: bool | None = None) -> bool:
        """The true or false that it is; the default, when there is one, for null."""
        return self._is(bool, "true or false", default)

    def number(self, default: int | None = None, *, at_least: int | None = None) -> int:
        """The whole number that it is; the default, when there is one, for null."""
        number = self._is(int, "a whole number", default)
        if at_least is not None and number < at_least:
            raise self.fault(f"a number from {at_least} on")
        return number

    def real(self, default: float | None = None) -> float:
        """The number that it is, whole or not; the default, when there is one, for null."""
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return float(self.value)
        real = self._is(float, "a number", default)
        if not math.isfinite(real):
            raise self.fault("a number")
        return real

    def time(self) -> "datetime | None":
        """The ISO 8601 time that it is, in UTC where it names no zone; None for null."""
        if self.value is None:
            return None
        from datetime import UTC, datetime

        try:
            time = datetime.fromisoformat(self.text())
        except ValueError as error:
            raise self.fault("a time") from error
        return time if time.tzinfo else time.replace(tzinfo=UTC)

    def fault(self, wanted: str) -> Exception:
        """The error for a value of the wrong shape: what belongs there instead."""
        return self._reject(self.place, kind_of(self.value), wanted)

    def _place_of(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def _is(self, kind: type[T], name: str, default: T | None) -> T:
        if self.value is None and default is not None:
            return default
        # bool is an int to Python, and is not one to JSON.
        if not isinstance(self.value, kind) or (kind is int and isinstance(self.value, bool)):
            raise self.fault(name)
        return self.value


def value_at(obj: object, path: tuple[str, ...]) -> object:
    """What stands at the end of a path of keys; None where it does not lead there."""
    for key in path:
        obj = obj.get(key) if isinstance(obj, Mapping) else None
    return obj


def text_at(obj: object, *path: str) -> str:
    """The text at the end of a path; empty where none is."""
    value = value_at(obj, path)
    return value if isinstance(value, str) else ""


def line_at(obj: object, *path: str) -> str:
    """The text at the end of a path, as ``one_line``."""
    return one_line(text_at(obj, *path))


def number_at(obj: object, *path: str) -> int:
    """The whole number at the end of a path; 0 where none is."""
    value = value_at(obj, path)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def list_at(obj: object, *path: str) -> list[object]:
    """The list at the end of a path; empty where none is."""
    value = value_at(obj, path)
    return value if isinstance(value, list) else []


def map_at(obj: object, *path: str) -> Mapping[str, object]:
    """The object at the end of a path; empty where none is."""
    value = value_at(obj, path)
    return value if isinstance(value, Mapping) else {}


def one_line(text: str, most: int = MOST_SAID) -> str:
    """Foreign text as one line that a terminal can show: nothing in it moves the cursor."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else line[: most - 1] + "…"
