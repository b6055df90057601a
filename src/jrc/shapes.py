"""Read foreign data: the JSON of a server, a cluster or an editor, a person's TOML.

``parse`` decodes it: nothing else in jrc decodes JSON, so that no document, however deep or large
its numbers are, ends a command. From there are two ways:

* A ``Reader`` is for what must have its shape. Its getters return a value of a known type, or
  raise the error that the room makes, with the place in the document.
* ``text_at``, ``number_at``, ``list_at`` and ``map_at`` are for what may be missing: what is not
  there, or is of another type, reads as empty.

``one_line`` makes foreign text fit for a terminal.

The values of notebooks are not read with a ``Reader``: ``notebook.schema`` checks millions of them
at the start of a run, and only says whether all of them are right.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

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

MOST_LEVELS = 200
"""How deep objects and lists may be nested. Python's stack ends at some hundreds."""

_LARGEST = 2**63
"""No whole number of a server, a cluster or a state file is as large."""

_MOST_OF_A_KEY = 60

_FIRST_YEAR, _END_OF_YEARS = 1971, 9000

_NESTED = frozenset({dict, list})

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


class NotJsonError(ValueError):
    """Data that is not JSON, or more of it than is read. The text holds no part of the data."""


class TooDeepError(NotJsonError):
    """JSON that is nested too deeply."""


def parse(data: str | bytes, *, most: int | None = None, levels: int = MOST_LEVELS) -> object:
    """Decode JSON.

    A whole number of more digits than Python converts becomes their text.

    Args:
        data: the JSON; as bytes, in UTF-8, UTF-16 or UTF-32.
        most: characters or bytes that are decoded at all.
        levels: how deep its objects and lists may be nested.

    Raises:
        NotJsonError: it is not JSON, is longer than ``most``, or is nested too deeply.
    """
    if most is not None and len(data) > most:
        raise NotJsonError(f"longer than {most}")
    try:
        try:
            value = json.loads(data)
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise
        except ValueError:
            value = json.loads(data, parse_int=_whole_number)
    except RecursionError:
        raise TooDeepError(f"nested more than {levels} levels deep") from None
    except UnicodeDecodeError as error:
        raise NotJsonError(f"not Unicode text (byte {error.start})") from None
    except ValueError as error:
        # The decoder's error carries the whole document, which may hold a secret.
        raise NotJsonError(str(error)) from None
    # Each level takes two characters: most messages are too short to be deep.
    if len(data) > 2 * levels and is_deep(value, levels):
        raise TooDeepError(f"nested more than {levels} levels deep")
    return value


def parse_first(text: str) -> tuple[object, int]:
    """The first of several documents that stand one behind the other, and where it ends.

    Raises:
        NotJsonError: none begins there, it is not complete, or it is nested too deeply.
    """
    try:
        value, end = json.JSONDecoder(parse_int=_whole_number).raw_decode(text)
    except (ValueError, RecursionError):
        raise NotJsonError("not a complete document") from None
    if is_deep(value):
        raise TooDeepError(f"nested more than {MOST_LEVELS} levels deep")
    return value, end


def _whole_number(digits: str) -> int | str:
    try:
        return int(digits)
    except ValueError:
        return digits


def is_deep(value: object, levels: int = MOST_LEVELS) -> bool:
    """Whether objects and lists are nested more than so many levels deep in a decoded value."""
    level: list[Any] = [value] if type(value) in _NESTED else []
    while level and levels:
        levels -= 1
        level = [
            inner
            for outer in level
            for values in (outer.values() if type(outer) is dict else outer,)
            # A list may hold millions of numbers: this looks at them without a step in Python.
            if not _NESTED.isdisjoint(map(type, values))
            for inner in values
            if type(inner) in _NESTED
        ]
    return bool(level)


def kind_of(value: object) -> str:
    """The kind of a decoded value, for a sentence."""
    return _KINDS.get(type(value), "something else")


def state_of(value: object) -> "Reader":
    """A reader of what a jrc wrote, decoded: whatever is wrong with it is a ``ValueError``."""

    def reject(place: str, found: str, wanted: str) -> ValueError:
        return ValueError(f"{place or 'the file'} is {found} instead of {wanted}")

    return Reader(value, reject)


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
        """The text that it is, as ``unicode_text``; the default, when there is one, for null."""
        return unicode_text(self._is(str, "text", default))

    def file_name(self, default: str | None = None) -> str:
        """As ``text``, of a file on this computer: exactly as its name is."""
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
        """The whole number of 64 bits that it is; the default, when there is one, for null."""
        number = self._is(int, "a whole number", default)
        if not -_LARGEST <= number < _LARGEST:
            raise self.fault("a whole number of 64 bits")
        if at_least is not None and number < at_least:
            raise self.fault(f"a number from {at_least} on")
        return number

    def real(self, default: float | None = None) -> float:
        """The number that it is, whole or not; the default, when there is one, for null."""
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            return float(self.number())
        real = self._is(float, "a number", default)
        if not math.isfinite(real):
            raise self.fault("a number")
        return real

    def time(self) -> "datetime | None":
        """The ISO 8601 time that it is, in UTC; None for null, and for one that stands for none.

        Programs in Go write the year 1 where they have no time. One that no computer of today can
        have is none either.
        """
        if self.value is None:
            return None
        from datetime import UTC, datetime

        try:
            time = datetime.fromisoformat(self.text())
        except ValueError as error:
            raise self.fault("a time") from error
        if not _FIRST_YEAR <= time.year < _END_OF_YEARS:
            return None
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)

    def fault(self, wanted: str) -> Exception:
        """The error for a value of the wrong shape: what belongs there instead."""
        return self._reject(self.place, kind_of(self.value), wanted)

    def _place_of(self, key: str) -> str:
        name = one_line(key, _MOST_OF_A_KEY)
        return f"{self.place}.{name}" if self.place else name

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
    """The text at the end of a path, as ``unicode_text``; empty where none is."""
    value = value_at(obj, path)
    return unicode_text(value) if isinstance(value, str) else ""


def line_at(obj: object, *path: str) -> str:
    """The text at the end of a path, as ``one_line``."""
    return one_line(text_at(obj, *path))


def number_at(obj: object, *path: str) -> int:
    """The whole number of 64 bits at the end of a path; 0 where none is."""
    return count_at(obj, *path) or 0


def count_at(obj: object, *path: str) -> int | None:
    """The whole number of 64 bits at the end of a path; None where none is."""
    value = value_at(obj, path)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -_LARGEST <= value < _LARGEST else None


def real_at(obj: object, *path: str) -> float | None:
    """The number at the end of a path, whole or not; None where none is, or an infinite one."""
    value = value_at(obj, path)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    whole = count_at(obj, *path)
    return None if whole is None else float(whole)


def list_at(obj: object, *path: str) -> list[object]:
    """The list at the end of a path; empty where none is."""
    value = value_at(obj, path)
    return value if isinstance(value, list) else []


def map_at(obj: object, *path: str) -> Mapping[str, object]:
    """The object at the end of a path; empty where none is."""
    value = value_at(obj, path)
    return value if isinstance(value, Mapping) else {}


def unicode_text(text: str) -> str:
    """Text that every encoding of Unicode can spell: JSON can spell half a character, too."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def one_line(text: str, most: int = MOST_SAID) -> str:
    """Foreign text as one line that a terminal can show: nothing in it moves the cursor."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else line[: most - 1] + "…"
