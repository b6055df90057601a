"""Keyrings with the real API of ``keyring`` that behave well, badly, or not at all.

``PYTHON_KEYRING_BACKEND`` chooses one for a process: see ``keyring_environment``.
"""

import json
import os
import threading
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

FILE_VARIABLE = "TEST_KEYRING_FILE"
"""Names the file of a ``FileKeyring``."""


def keyring_environment(kind: type[KeyringBackend], file: Path) -> dict[str, str]:
    """Variables that make a keyring of this module the one of a ``jrc`` process.

    Args:
        kind: its class.
        file: where a ``FileKeyring`` keeps its entries.
    """
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {
        "PYTHON_KEYRING_BACKEND": f"tests.support.keyrings.{kind.__name__}",
        "PYTHONPATH": path,
        FILE_VARIABLE: str(file),
    }


class MemoryKeyring(KeyringBackend):
    """Works, for as long as the process lives."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError("no such entry")


class FileKeyring(KeyringBackend):
    """Works, and other processes see it: for tests of the command."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        value: str | None = self._read().get(f"{service}/{username}")
        return value

    def set_password(self, service: str, username: str, password: str) -> None:
        self._write({**self._read(), f"{service}/{username}": password})

    def delete_password(self, service: str, username: str) -> None:
        entries = self._read()
        if entries.pop(f"{service}/{username}", None) is None:
            raise PasswordDeleteError("no such entry")
        self._write(entries)

    def _read(self) -> dict[str, str]:
        file = Path(os.environ[FILE_VARIABLE])
        entries: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        return entries

    def _write(self, entries: dict[str, str]) -> None:
        Path(os.environ[FILE_VARIABLE]).write_text(json.dumps(entries))


class LockedKeyring(KeyringBackend):
    """Is there and refuses everything, quoting what it was given."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked(f"locked: {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked(f"locked: {username}={password}")

    def delete_password(self, service: str, username: str) -> None:
        raise KeyringLocked(f"locked: {username}")


class ReadOnlyKeyring(MemoryKeyring):
    """Gives what it has and takes nothing new."""

    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked("read only")


class ForgetfulKeyring(MemoryKeyring):
    """Takes what it is given and keeps nothing, without a word."""

    def set_password(self, service: str, username: str, password: str) -> None:
        return None


class HangingKeyring(KeyringBackend):
    """Never answers, as a desktop's D-Bus does over a broken remote session."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        threading.Event().wait()
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        threading.Event().wait()

    def delete_password(self, service: str, username: str) -> None:
        threading.Event().wait()
