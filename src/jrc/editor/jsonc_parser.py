"""JSON with comments as a tree that knows where everything stands. Pure.

What VS Code's own settings reader takes without complaint is taken: ``//`` and ``/* */`` comments,
trailing commas, a byte order mark, an empty file. Everything else is an error with its place.
"""

import re
from dataclasses import dataclass
from typing import TypeAlias, cast

from jrc import shapes
from jrc.errors import ConfigError

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

DEEPEST = 100
"""Levels of nesting. Settings have five; a file that has more is not for us."""

_TRIVIA = re.compile(r"(?:[ \t\r\n]++|//[^\r\n]*+|/\*.*?\*/)", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*+"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_WORD = re.compile(r"[A-Za-z]++")
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None}


class JsoncError(ConfigError):
    """A text that is not JSON with comments.

    Attributes:
        line, column: where, counted from 1; the column in characters.
    """

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"Line {line}, column {column}: {message}.")
        self.line = line
        self.column = column

    @classmethod
    def at(cls, text: str, position: int, message: str) -> "JsoncError":
        """The error at a position, counted in characters from 0."""
        before = text[:position].removeprefix("\ufeff")
        lines = re.split(r"\r\n|\r|\n", before)
        return cls(message, len(lines), len(lines[-1]) + 1)


@dataclass(frozen=True)
class Node:
    """A value: where it starts, where it ends (exclusive), what it means.

    Attributes:
        members: of an object, duplicates included; empty for everything else.
    """

    start: int
    end: int
    value: Json
    members: tuple["Member", ...] = ()

    def member(self, key: str) -> "Member | None":
        """The member of a key; the last one where there are several, as VS Code has it."""
        found = [member for member in self.members if member.key == key]
        return found[-1] if found else None


@dataclass(frozen=True)
class Member:
    """A key with its value.

    Attributes:
        start: where the key's first quote stands.
        comma: where the comma behind the value stands; None without one.
    """

    key: str
    start: int
    node: Node
    comma: int | None

    @property
    def end(self) -> int:
        """The end of the value, exclusive."""
        return self.node.end


def parse(text: str) -> Node:
    """The tree of a text. A text of nothing but white space and comments is an empty object.

    Raises:
        JsoncError: it is something else.
    """
    return _Parser(text).document()


def skip_trivia(text: str, position: int, *, comments: int | None = None) -> int:
    """The position behind white space and comments.

    Args:
        text: the whole text.
        position: where to start.
        comments: stop behind that many pieces of trivia; all of them by default.
    """
    while (comments is None or comments > 0) and (found := _TRIVIA.match(text, position)):
        position = found.end()
        comments = None if comments is None else comments - 1
    return position


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 1 if text.startswith("\ufeff") else 0
        self._depth = 0

    def document(self) -> Node:
        self._skip()
        if self._at == len(self._text):
            return Node(self._at, self._at, {})
        root = self._value()
        self._skip()
        if self._at < len(self._text):
            raise self._error("there is text behind the end")
        return root

    def _value(self) -> Node:
        first = self._peek()
        if first in "{[":
            self._depth += 1
            if self._depth > DEEPEST:
                raise self._error(f"it is nested more than {DEEPEST} levels deep")
            node = self._object() if first == "{" else self._array()
            self._depth -= 1
            return node
        if first == '"':
            return self._string()
        if first and first in "-0123456789":
            return self._literal(_NUMBER, "this is not a number")
        return self._word()

    def _object(self) -> Node:
        start = self._at
        self._at += 1
        members: list[Member] = []
        while self._next("}", "a key", bool(members)) != "}":
            if members and members[-1].comma is None:
                raise self._error("a comma or '}' is missing")
            members.append(self._member())
        self._at += 1
        value = {member.key: member.node.value for member in members}
        return Node(start, self._at, value, tuple(members))

    def _member(self) -> Member:
        if self._peek() != '"':
            raise self._error("a key in double quotes is missing")
        key = self._string()
        assert isinstance(key.value, str)
        self._skip()
        if self._peek() != ":":
            raise self._error("a ':' is missing")
        self._at += 1
        self._skip()
        node = self._value()
        return Member(key.value, key.start, node, self._comma())

    def _array(self) -> Node:
        start = self._at
        self._at += 1
        values: list[Json] = []
        comma: int | None = None
        while self._next("]", "a value", bool(values)) != "]":
            if values and comma is None:
                raise self._error("a comma or ']' is missing")
            values.append(self._value().value)
            comma = self._comma()
        self._at += 1
        return Node(start, self._at, values)

    def _next(self, closing: str, item: str, some: bool) -> str:
        self._skip()
        found = self._peek()
        if not found:
            raise self._error(f"a '{closing}' is missing")
        if found == "," and not some:
            raise self._error(f"{item} or '{closing}' is missing")
        return found

    def _comma(self) -> int | None:
        """Where the comma is that comes next; None (and nothing is read) without one."""
        position = skip_trivia(self._text, self._at)
        if self._text[position : position + 1] != ",":
            return None
        self._at = position + 1
        return position

    def _string(self) -> Node:
        return self._literal(_STRING, "this string does not end, or holds a control character")

    def _literal(self, pattern: re.Pattern[str], fault: str) -> Node:
        found = pattern.match(self._text, self._at)
        if not found:
            raise self._error(fault)
        try:
            value = cast("Json", shapes.parse(found[0]))
        except ValueError as error:
            raise self._error("this value is not valid JSON") from error
        if pattern is _NUMBER and isinstance(value, str):
            raise self._error("this number has too many digits")
        start, self._at = self._at, found.end()
        return Node(start, self._at, value)

    def _word(self) -> Node:
        found = _WORD.match(self._text, self._at)
        if not found or found[0] not in _WORDS:
            raise self._error("a value is missing")
        start, self._at = self._at, found.end()
        return Node(start, self._at, _WORDS[found[0]])

    def _peek(self) -> str:
        """The next character; empty at the end."""
        return self._text[self._at : self._at + 1]

    def _skip(self) -> None:
        self._at = skip_trivia(self._text, self._at)

    def _error(self, message: str) -> JsoncError:
        if self._text.startswith("/*", self._at):
            message = "this comment does not end"
        return JsoncError.at(self._text, self._at, message)
