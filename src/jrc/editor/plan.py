"""What will be written where, as data that can be shown first and applied then. Pure."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jrc.editor.jsonc import JsoncError
from jrc.editor.kernelspecs import SpecFolder, owner_of
from jrc.editor.places import SettingsFile
from jrc.editor.settings import Outcome, SettingsRecord
from jrc.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

Decide = Callable[[str | None, SettingsRecord | None], Outcome]
"""What a settings file becomes: (its text, what jrc knows about it) in, its new state out."""

CONTEXT_LINES = 1
"""Lines of a diff around a change. A settings file may hold other programs' secrets nearby."""


@dataclass(frozen=True)
class SettingsChange:
    """A settings file and what it becomes.

    Attributes:
        place: which file.
        before: its text; None if there is none.
        outcome: its new state.
    """

    place: "SettingsFile[Path]"
    before: str | None
    outcome: Outcome

    @property
    def changes_file(self) -> bool:
        """Whether the file itself changes, and not only what jrc remembers of it."""
        return self.before != self.outcome.text


@dataclass(frozen=True)
class FileChange:
    """A file of a kernelspec and what it becomes.

    Attributes:
        path: which file.
        before: its content; None if there is none.
        after: its new content; None if it is to go.
    """

    path: "Path"
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True)
class SpecChange:
    """A kernelspec folder and what becomes of it.

    Attributes:
        folder: which one.
        display_name: what people see in the kernel picker.
        files: the files that change.
        new: the folder was not there.
    """

    folder: "Path"
    display_name: str
    files: tuple[FileChange, ...]
    new: bool = False

    @property
    def goes(self) -> bool:
        """Whether the kernelspec is removed."""
        return any(file.path.name == "kernel.json" and file.after is None for file in self.files)


def settings_change(
    place: "SettingsFile[Path]", text: str | None, record: SettingsRecord | None, decide: Decide
) -> SettingsChange:
    """The change of one settings file.

    Raises:
        ConfigError: the file can't be understood; the message has its path, line and column.
    """
    try:
        outcome = decide(text, record)
    except JsoncError as error:
        fault = error.message[0].lower() + error.message[1:].rstrip(".")
        raise ConfigError(
            f"{place.path}: {fault}. The file was not changed.",
            hint="Correct it in the editor, then run the same command again.",
        ) from error
    return SettingsChange(place, text, outcome)


def spec_changes(
    folders: Iterable[SpecFolder],
    profile: str,
    root: "Path",
    existing: Mapping[str, Mapping[str, bytes]],
) -> list[SpecChange]:
    """The changes that give a profile exactly the kernelspecs that are wanted.

    Args:
        folders: the wanted ones; none of them to remove all.
        profile: its name.
        root: the folder of kernelspecs.
        existing: the content of the files in its folders, by the name of the folder.
    """
    wanted = {folder.name: folder for folder in folders}
    changes = []
    for folder in wanted.values():
        old = existing.get(folder.name, {})
        files = tuple(
            FileChange(root / folder.name / name, old.get(name), content)
            for name, content in folder.files.items()
            if old.get(name) != content
        )
        if files:
            new = "kernel.json" not in old
            changes.append(SpecChange(root / folder.name, folder.display_name, files, new))
    for name, old in existing.items():
        owner = owner_of(old.get("kernel.json"))
        if owner is None or owner.profile != profile or name in wanted:
            continue
        files = tuple(FileChange(root / name / file, old[file], None) for file in old)
        changes.append(SpecChange(root / name, name, files))
    return changes


def diff(settings: Iterable[SettingsChange], specs: Iterable[SpecChange]) -> str:
    """What the changes do to the files, as a unified diff; empty if they do nothing."""
    parts = [
        _diff(change.place.path, _bytes(change.before), _bytes(change.outcome.text))
        for change in settings
        if change.changes_file
    ]
    parts += [_diff(file.path, file.before, file.after) for spec in specs for file in spec.files]
    return "".join(parts)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _diff(path: "Path", before: bytes | None, after: bytes | None) -> str:
    old_name = "/dev/null" if before is None else str(path)
    new_name = "/dev/null" if after is None else str(path)
    old, new = _lines(before), _lines(after)
    if old is None or new is None or path.name.startswith("logo-"):
        sizes = f"{len(before or b'')} to {len(after or b'')} bytes"
        return f"--- {old_name}\n+++ {new_name}\na picture: {sizes}\n"
    lines = difflib.unified_diff(old, new, old_name, new_name, n=CONTEXT_LINES, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _lines(content: bytes | None) -> list[str] | None:
    """The lines, without their ends; None if it is not text."""
    try:
        return (content or b"").decode().splitlines()
    except UnicodeDecodeError:
        return None
