"""Remembers what jrc wrote into editors, so that it can be undone: a private file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jrc.editor.settings import SettingsRecord, record_from_json, record_to_json
from jrc.errors import ConfigError
from jrc.profile.files import locked, write_atomically
from jrc.profile.paths import Paths
from jrc.shapes import parse

VERSION = 1


@dataclass(frozen=True)
class Installed:
    """The companion extension in an editor, put there by jrc.

    Attributes:
        editor: the editor's name.
        command: its command line's absolute path.
        profile: the editor's own profile; empty for its default one.
        version: of the extension.
    """

    editor: str
    command: str
    profile: str
    version: str


@dataclass
class Ledger:
    """The record of everything that a disconnect can undo.

    Attributes:
        settings: what jrc knows about settings files, by path.
        installed: where it installed the companion.
        consent: the answer to whether jrc may install it; None if nobody was asked yet.
    """

    path: Path
    settings: dict[str, SettingsRecord] = field(default_factory=dict)
    installed: list[Installed] = field(default_factory=list)
    consent: bool | None = None

    def save(self) -> None:
        """Write it. It holds whole settings files, so only its owner may read it.

        Raises:
            ConfigError: it can't be written.
        """
        stored = {
            "version": VERSION,
            "settings": {path: record_to_json(each) for path, each in self.settings.items()},
            "installed": [vars(each) for each in self.installed],
            "consent": self.consent,
        }
        write_atomically(self.path, json.dumps(stored, indent=1) + "\n", private=True)

    def profiles(self) -> set[str]:
        """The profiles that have something in a settings file."""
        return {profile for record in self.settings.values() for profile in record.wanted}


@contextmanager
def open_ledger(paths: Paths) -> Iterator[Ledger]:
    """The ledger, locked against other jrc processes. The caller saves its changes.

    Raises:
        ConfigError: it can't be read, or another jrc holds it.
    """
    path = paths.state / "editors.json"
    with locked(path):
        yield _load(path)


def read_ledger(paths: Paths) -> Ledger:
    """The ledger as it is now, to look at.

    Raises:
        ConfigError: it can't be read.
    """
    return _load(paths.state / "editors.json")


def _load(path: Path) -> Ledger:
    try:
        stored = parse(path.read_bytes())
    except FileNotFoundError:
        return Ledger(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"Can't read {path}, the record of what jrc wrote into editors.",
            hint="Without it, remove the settings that begin with jrc. by hand, and the file.",
        ) from error
    return _from_json(path, stored)


def _from_json(path: Path, stored: object) -> Ledger:
    if not isinstance(stored, dict) or stored.get("version") != VERSION:
        raise ConfigError(f"{path} was written by another version of jrc.", hint="Update jrc.")
    ledger = Ledger(path)
    settings, installed = stored.get("settings"), stored.get("installed")
    for name, each in settings.items() if isinstance(settings, dict) else ():
        record = record_from_json(each)
        if record:
            ledger.settings[name] = record
    for entry in installed if isinstance(installed, list) else ():
        if isinstance(entry, dict):
            words = {key: str(entry.get(key, "")) for key in Installed.__annotations__}
            ledger.installed.append(Installed(**words))
    consent = stored.get("consent")
    ledger.consent = consent if isinstance(consent, bool) else None
    return ledger
