"""Edits of JSON with comments that touch nothing but the edited value.

Comments, trailing commas, a byte order mark, line ends, the order of keys and the indentation stay.
Pure: text in, text out. A path is the keys from the root object down: ``("jrc.servers", "ml")``.
"""

import json
from dataclasses import dataclass

from jrc.editor.jsonc_parser import Json, JsoncError, Node, parse, skip_trivia

__all__ = [
    "MISSING",
    "Json",
    "JsoncError",
    "Missing",
    "get",
    "loads",
    "parse",
    "remove",
    "set_value",
]

Path = tuple[str, ...]

DEFAULT_INDENT = "    "
"""What VS Code itself writes where a file shows no habit of its own."""

_BLANKS = " \t"
_LINE_ENDS = "\r\n"


class Missing:
    """The type of ``MISSING``: no value, where ``None`` would be JSON's null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


def loads(text: str) -> dict[str, Json]:
    """The object that the text describes; an empty text describes an empty object.

    Raises:
        JsoncError: it is not an object in JSON with comments.
    """
    value = _root(text).value
    assert isinstance(value, dict)
    return value


def get(text: str, path: Path) -> Json | Missing:
    """The value at a path, or ``MISSING``.

    Raises:
        JsoncError: the text can't be parsed.
    """
    value: Json = loads(text)
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return MISSING
        value = value[key]
    return value


def set_value(text: str, path: Path, value: Json) -> str:
    """The text with a value at a path. Missing objects on the way are created.

    An object that replaces an object is merged into it, so that the comments inside stay.

    Args:
        text: the whole file.
        path: where; at least one key.
        value: the new value.

    Returns:
        the new text; the same one if the value was there already.

    Raises:
        JsoncError: the text can't be parsed, or something on the way is not an object.
    """
    old = get(text, path)
    if _same(old, value):
        return text
    if isinstance(old, dict) and isinstance(value, dict):
        for key in old:
            text = text if key in value else remove(text, (*path, key))
        for key, each in value.items():
            text = set_value(text, (*path, key), each)
        return text
    holder, rest = _deepest_object(text, path[:-1])
    rest = (*rest, path[-1])
    if holder.start == holder.end:
        return _in_empty_file(text, path, value)
    member = holder.member(rest[0])
    if member is None:
        for key in reversed(rest[1:]):
            value = {key: value}
        return _added(text, holder, rest[0], value)
    if len(rest) > 1:
        raise JsoncError.at(text, member.node.start, f"{member.key!r} is not an object")
    rendered = _rendered(value, _Layout.of(text, member.start))
    return text[: member.node.start] + rendered + text[member.node.end :]


def remove(text: str, path: Path) -> str:
    """The text without the member at a path; the same text if there is none.

    Raises:
        JsoncError: the text can't be parsed.
    """
    # A key may stand there twice: VS Code takes the last, and would see the first one then.
    while get(text, path) is not MISSING:
        holder, _ = _deepest_object(text, path[:-1])
        text = _without(text, holder, path[-1])
    return text


def _root(text: str) -> Node:
    node = parse(text)
    if not isinstance(node.value, dict):
        raise JsoncError.at(text, node.start, "it is not an object")
    return node


def _same(old: Json | Missing, new: Json) -> bool:
    # True == 1 in Python, not in JSON.
    return not isinstance(old, Missing) and json.dumps(old) == json.dumps(new)


def _deepest_object(text: str, path: Path) -> tuple[Node, Path]:
    """The last object on the way, and the keys of the path that lead on from it."""
    node = _root(text)
    while path:
        member = node.member(path[0])
        if member is None or not isinstance(member.node.value, dict):
            break
        node, path = member.node, path[1:]
    return node, path


@dataclass(frozen=True)
class _Layout:
    """How to lay out a value: the line's indentation, one step of it, the line end."""

    base: str
    step: str
    line_end: str

    @classmethod
    def of(cls, text: str, position: int) -> "_Layout":
        """The layout in force for a value whose line holds ``position``."""
        return cls(_indent_of_line(text, position), _step(text), _line_end(text))


def _line_end(text: str) -> str:
    newline = text.find("\n")
    if newline < 0:
        return "\r" if "\r" in text else "\n"
    return "\r\n" if text[newline - 1 : newline] == "\r" else "\n"


def _step(text: str) -> str:
    """One step of indentation, as the first member on a line of its own shows it."""
    for member in _root(text).members:
        if _starts_line(text, member.start):
            return _indent_of_line(text, member.start) or DEFAULT_INDENT
    return DEFAULT_INDENT


def _line_start(text: str, position: int) -> int:
    return max(text.rfind("\n", 0, position), text.rfind("\r", 0, position)) + 1


def _indent_of_line(text: str, position: int) -> str:
    line = text[_line_start(text, position) : position].removeprefix("\ufeff")
    return line[: len(line) - len(line.lstrip(_BLANKS))]


def _starts_line(text: str, position: int) -> bool:
    start = _line_start(text, position)
    return start > 0 and not text[start:position].strip(_BLANKS)


def _rendered(value: Json, layout: _Layout | None) -> str:
    """JSON on several lines as VS Code would format it; on one line without a layout."""
    if layout is None:
        return json.dumps(value, ensure_ascii=False)
    lines = json.dumps(value, ensure_ascii=False, indent=layout.step).split("\n")
    return (layout.line_end + layout.base).join(lines)


def _in_empty_file(text: str, path: Path, value: Json) -> str:
    for key in reversed(path):
        value = {key: value}
    line_end = _line_end(text)
    comments = text.rstrip(" \t\r\n")
    if comments.strip("\ufeff"):
        comments += line_end
    return comments + _rendered(value, _Layout("", DEFAULT_INDENT, line_end)) + line_end


def _added(text: str, holder: Node, key: str, value: Json) -> str:
    """The text with a new member behind the last one of an object."""
    if not holder.members:
        return _added_to_empty(text, holder, key, value)
    last = holder.members[-1]
    after_last = last.end if last.comma is None else last.comma + 1
    place = _after_comments_of_line(text, after_last)
    trailing = "" if last.comma is None else ","
    comma = "," if last.comma is None else ""
    if _starts_line(text, last.start):
        layout = _Layout.of(text, last.start)
    elif _line_comment_before(text, after_last, place):
        outer = _Layout.of(text, holder.start)
        layout = _Layout(outer.base + outer.step, outer.step, outer.line_end)
    else:
        member = f" {json.dumps(key, ensure_ascii=False)}: {_rendered(value, None)}{trailing}"
        return text[:after_last] + comma + text[after_last:place] + member + text[place:]
    member = layout.line_end + layout.base + _member(key, value, layout) + trailing
    return text[:after_last] + comma + text[after_last:place] + member + text[place:]


def _added_to_empty(text: str, holder: Node, key: str, value: Json) -> str:
    outer = _Layout.of(text, holder.start)
    layout = _Layout(outer.base + outer.step, outer.step, outer.line_end)
    place = _after_comments_of_line(text, holder.start + 1)
    member = layout.line_end + layout.base + _member(key, value, layout)
    rest = text[place : holder.end - 1]
    if not rest.strip(_BLANKS):
        # Nothing but the brace follows on the line.
        return text[:place] + member + outer.line_end + outer.base + text[holder.end - 1 :]
    if rest.lstrip(_BLANKS)[0] in _LINE_ENDS:
        return text[:place] + member + text[place:]
    return text[:place] + member + outer.line_end + outer.base + text[place:]


def _member(key: str, value: Json, layout: _Layout) -> str:
    return f"{json.dumps(key, ensure_ascii=False)}: {_rendered(value, layout)}"


def _after_comments_of_line(text: str, position: int) -> int:
    """The end of the last comment that starts on this line; the position itself without one."""
    end = position
    while True:
        start = end
        while text[start] in _BLANKS:
            start += 1
        if not text.startswith(("//", "/*"), start):
            return end
        end = skip_trivia(text, start, comments=1)


def _without(text: str, holder: Node, key: str) -> str:
    """The text without the last member of that key in an object."""
    members = holder.members
    index = max(i for i, member in enumerate(members) if member.key == key)
    member = members[index]
    behind = member.end
    if member.comma is not None and not text[member.end : member.comma].strip(_BLANKS):
        behind = member.comma + 1
    cuts = [(member.start, behind)]
    if member.comma is not None:
        cuts.append((member.comma, member.comma + 1))
    elif index:
        comma = members[index - 1].comma
        assert comma is not None
        cuts.append((comma, comma + 1))
    before = members[index - 1].end if index else None
    cuts += _blanks_around(text, holder, (member.start, behind), before)
    for start, end in sorted(_merged(cuts), reverse=True):
        text = text[:start] + text[end:]
    return text


def _blanks_around(
    text: str, holder: Node, cut: tuple[int, int], before: int | None
) -> list[tuple[int, int]]:
    """The white space that goes with a member.

    Args:
        text: the whole text.
        holder: the object.
        cut: where the member and its comma stand.
        before: the end of the member before it.
    """
    left, right = cut
    while text[left - 1] in _BLANKS:
        left -= 1
    while text[right] in _BLANKS:
        right += 1
    if not _starts_line(text, cut[0]):
        return [(left, cut[0])]
    line = (left - 2 if text[left - 2 : left] == "\r\n" else left - 1, cut[0])
    commented = _line_comment_before(text, before or holder.start + 1, line[0])
    if text[right] in _LINE_ENDS:
        # What follows on the line must not become a part of that comment, blanks neither.
        return [line, (cut[1], right)] if commented else [line]
    if right == holder.end - 1 and before is not None and not commented:
        return [line]
    return [(cut[1], right)]


def _line_comment_before(text: str, start: int, end: int) -> bool:
    """Whether the trivia and comma between two positions end in a comment up to the line's end."""
    last = ""
    while start < end:
        if text.startswith(("//", "/*"), start):
            last = text[start : start + 2]
            start = skip_trivia(text, start, comments=1)
        else:
            last = last if text[start] in _BLANKS else ""
            start += 1
    return last == "//"


def _merged(cuts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(cuts):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
