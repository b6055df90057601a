"""Fields of foreign JSON: one that is missing or of another type reads as empty."""

from collections.abc import Iterator, Mapping

MOST_SAID = 300
"""Characters of the cluster's own words that are shown."""


def value_at(obj: object, path: tuple[str, ...]) -> object:
    """What stands at the end of a path of keys; None when it does not lead there."""
    for key in path:
        obj = obj.get(key) if isinstance(obj, Mapping) else None
    return obj


def text_at(obj: object, *path: str) -> str:
    value = value_at(obj, path)
    return value if isinstance(value, str) else ""


def said_at(obj: object, *path: str) -> str:
    """Words for people, in one line that a terminal can show."""
    text = text_at(obj, *path)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MOST_SAID else line[: MOST_SAID - 1] + "…"


def number_at(obj: object, *path: str) -> int:
    value = value_at(obj, path)
    return value if isinstance(value, int) else 0


def list_at(obj: object, *path: str) -> Iterator[object]:
    value = value_at(obj, path)
    yield from value if isinstance(value, list) else []


def map_at(obj: object, *path: str) -> Mapping[object, object]:
    value = value_at(obj, path)
    return value if isinstance(value, Mapping) else {}
