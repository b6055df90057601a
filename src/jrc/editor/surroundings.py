"""What the rules about folders need to know of the machine, so that they stay pure."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Generic, TypeVar

P = TypeVar("P", bound=PurePath)


@dataclass(frozen=True)
class Surroundings(Generic[P]):
    """A machine as the rules see it. ``P`` is the path type of its platform.

    Attributes:
        platform: as in ``sys.platform``.
        environment: the variables of the process.
        home: the person's home folder.
        exists: whether a path is there.
        read: the text of a file; None where it can't be read.
        children: the paths in a folder, sorted; empty where it can't be listed.
    """

    platform: str
    environment: Mapping[str, str]
    home: P
    exists: Callable[[P], bool]
    read: Callable[[P], str | None]
    children: Callable[[P], list[P]]

    def path(self, text: str) -> P:
        """A path of this machine."""
        return type(self.home)(text)

    def folder(self, variable: str, default: P) -> P:
        """The folder that a variable names; the default where it is not set or empty."""
        text = self.environment.get(variable)
        return self.path(text) if text else default


def here() -> Surroundings[Path]:
    """The machine that jrc runs on."""
    return Surroundings(
        platform=sys.platform,
        environment=dict(os.environ),
        home=Path.home(),
        exists=os.path.exists,
        read=_read,
        children=_children,
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None


def _children(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir())
    except OSError:
        return []
