"""Applies changes to settings files and kernelspecs: each file atomically, recorded first."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jrc.editor.kernelspecs import owner_of
from jrc.editor.ledger import Ledger
from jrc.editor.places import SettingsFile
from jrc.editor.plan import Decide, SettingsChange, SpecChange, settings_change
from jrc.editor.settings import SettingsRecord
from jrc.errors import ConfigError
from jrc.profile.files import write_atomically

TRIES = 5
"""How many times a settings file may change between our read and our write."""


def read_settings(path: Path) -> str | None:
    """The text of a settings file, byte order mark and line ends included; None without a file.

    Raises:
        ConfigError: it can't be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text (byte {error.start}). The file was not changed.",
            hint="Save it as UTF-8 in the editor, then run the same command again.",
        ) from error
    except OSError as error:
        raise ConfigError(f"Can't read {path}: {error.strerror}.") from error


def plan_settings(place: SettingsFile[Path], ledger: Ledger, decide: Decide) -> SettingsChange:
    """The change of a settings file, from what it holds now.

    Raises:
        ConfigError: the file can't be read or understood.
    """
    record = ledger.settings.get(str(place.path))
    return settings_change(place, read_settings(place.path), record, decide)


def apply_settings(place: SettingsFile[Path], ledger: Ledger, decide: Decide) -> SettingsChange:
    """Change a settings file, and save what must be remembered of it.

    Args:
        place: which file.
        ledger: locked by the caller. A connect is recorded before the file is written, a
            disconnect after it: wherever jrc is stopped, the next disconnect can undo it.
        decide: what the file becomes. Called again if the file changes meanwhile.

    Returns:
        the change that was made.

    Raises:
        ConfigError: the file can't be read, understood or written; file and ledger are as before.
    """
    key = str(place.path)
    known = ledger.settings.get(key)
    for _ in range(TRIES):
        change = settings_change(place, read_settings(place.path), known, decide)
        record = change.outcome.record
        connects = record is not None and record.wanted.keys() >= _profiles(known)
        if connects:
            _remember(ledger, key, record)
        if read_settings(place.path) != change.before:
            continue
        try:
            _write(place.path, change)
        except ConfigError:
            _remember(ledger, key, known)
            raise
        if not connects:
            _remember(ledger, key, record)
        return change
    _remember(ledger, key, known)
    raise ConfigError(
        f"Another program keeps changing {place.path}.",
        hint="Close the editor that writes it, then run the same command again.",
    )


def apply_spec(change: SpecChange) -> None:
    """Write or remove a kernelspec. ``kernel.json`` comes last and goes first.

    Raises:
        ConfigError: a file can't be written.
    """
    removed = [file for file in change.files if file.after is None]
    written = [file for file in change.files if file.after is not None]
    try:
        for file in sorted(removed, key=lambda file: file.path.name != "kernel.json"):
            file.path.unlink(missing_ok=True)
        if change.goes:
            with suppress(OSError):
                # It stays if somebody put another file there.
                change.folder.rmdir()
    except OSError as error:
        raise ConfigError(f"Can't remove {change.folder}: {error.strerror}.") from error
    for file in sorted(written, key=lambda file: file.path.name == "kernel.json"):
        write_atomically(file.path, file.after or b"", most=0o644)


def read_specs(root: Path) -> dict[str, dict[str, bytes]]:
    """The kernelspecs of this person: the content of each folder's ``kernel.json``, and of the
    logos beside those that are jrc's.
    """
    found: dict[str, dict[str, bytes]] = {}
    for folder in _listed(root):
        files = _contents(folder, lambda path: path.name == "kernel.json")
        if owner_of(files.get("kernel.json")):
            files |= _contents(folder, lambda path: path.name.startswith("logo-"))
        found[folder.name] = files
    return found


def _contents(folder: Path, wanted: Callable[[Path], bool]) -> dict[str, bytes]:
    contents = {}
    for path in _listed(folder):
        if wanted(path):
            with suppress(OSError):
                contents[path.name] = path.read_bytes()
    return contents


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _write(path: Path, change: SettingsChange) -> None:
    text = change.outcome.text
    if text == change.before:
        return
    if text is not None:
        write_atomically(path, text, most=0o644)
        return
    try:
        Path(os.path.realpath(path)).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"Can't remove {path}: {error.strerror}.") from error
    if path.parent.name == ".vscode":
        with suppress(OSError):
            # It stays if it holds anything else.
            path.parent.rmdir()


def _profiles(record: SettingsRecord | None) -> set[str]:
    return set(record.wanted) if record else set()


def _remember(ledger: Ledger, key: str, record: SettingsRecord | None) -> None:
    if ledger.settings.get(key) == record:
        return
    if record is None:
        del ledger.settings[key]
    else:
        ledger.settings[key] = record
    ledger.save()
