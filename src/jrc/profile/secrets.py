"""The tokens and passwords of profiles: in the keyring, or where there is none in a 0600 file."""

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from jrc.errors import ConfigError
from jrc.profile.files import locked, write_atomically
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.profile.store import read_text
from jrc.shapes import NotJsonError, parse
from jrc.tasks import in_daemon_thread_within

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

Result = TypeVar("Result")

SERVICE = "jrc"
"""The keyring's service name; its user name is the profile's name."""

KEYRING_DEADLINE = 3.0
"""Seconds for one keyring call. A desktop's keyring answers in milliseconds or never."""

NO_KEYRING = "no keyring here"
"""The fault of a machine without a keyring: nothing can be in it."""


class SecretSource(StrEnum):
    """Where a secret comes from. The order is the order of precedence."""

    ENVIRONMENT = "environment"
    KEYRING = "keyring"
    FILE = "file"


class SecretStore:
    """The secrets of all profiles.

    Args:
        paths: where the file is.

    Attributes:
        file_path: the file that holds the secrets which no keyring took.
    """

    def __init__(self, paths: Paths) -> None:
        self.file_path = paths.config / "secrets.json"
        self._keyring = _Keyring()

    @property
    def keyring_name(self) -> str:
        """The name of the keyring that answered last, such as ``SecretService``; or empty."""
        return self._keyring.name

    @property
    def keyring_fault(self) -> str | None:
        """Why the last call could not use the keyring; None when it could."""
        return self._keyring.fault

    def get(self, profile_name: str) -> tuple[Secret, SecretSource] | None:
        """The secret in force and where it came from: ``JRC_TOKEN``, the keyring, the file.

        Raises:
            ConfigError: the file can't be read.
        """
        readers: tuple[Callable[[str], str | None], ...]
        readers = (_from_environment, self._keyring.get, self._from_file)
        for source, read in zip(SecretSource, readers, strict=True):
            value = read(profile_name)
            if value:
                return Secret(value), source
        return None

    def saved(self, name: str) -> Secret | None:
        """What is saved under a name, in the keyring or the file; ``JRC_TOKEN`` does not count.

        Raises:
            ConfigError: the file can't be read.
        """
        value = self._keyring.get(name) or self._from_file(name)
        return Secret(value) if value else None

    def sources(self, profile_name: str) -> list[SecretSource]:
        """Every place that holds a secret for the profile; the first one wins.

        Raises:
            ConfigError: the file can't be read.
        """
        values = {
            SecretSource.ENVIRONMENT: _from_environment(profile_name),
            SecretSource.KEYRING: self._keyring.get(profile_name),
            SecretSource.FILE: self._from_file(profile_name),
        }
        return [source for source, value in values.items() if value]

    def known(self, profile_names: Iterable[str]) -> list[Secret]:
        """Every saved secret of any profile, to keep them out of a report.

        What can't be read is left out, so no error is raised.

        Args:
            profile_names: the profiles to look up in the keyring; the whole file is read anyway.
        """
        values = [_from_environment(""), *map(self._keyring.get, profile_names)]
        with suppress(ConfigError):
            values += self._decoded(read_text(self.file_path)).values()
        return [Secret(value) for value in values if value]

    def set(self, profile_name: str, secret: Secret) -> SecretSource:
        """Save a secret in one place, and remove an older one from the other.

        Returns:
            where it is now. Tell the person when that is the file, and why: see ``keyring_fault``.

        Raises:
            ConfigError: the file can't be read or written.
        """
        if self._keyring.set(profile_name, secret.reveal()):
            self._change_file(profile_name, None)
            return SecretSource.KEYRING
        fault = self._keyring.fault
        self._change_file(profile_name, secret.reveal())
        # A keyring that refuses to write may still hold an older secret, which would win.
        self._keyring.delete(profile_name)
        self._keyring.fault = fault
        return SecretSource.FILE

    def delete(self, profile_name: str) -> list[SecretSource]:
        """Remove a profile's secret everywhere.

        Returns:
            the places that held one. See ``keyring_fault`` for a keyring that did not answer.

        Raises:
            ConfigError: the file can't be read or written.
        """
        held = []
        if self._keyring.delete(profile_name):
            held.append(SecretSource.KEYRING)
        if self._change_file(profile_name, None):
            held.append(SecretSource.FILE)
        return held

    def rename(self, old: str, new: str) -> None:
        """Move a profile's saved secret to another name; one saved there before is replaced.

        Raises:
            ConfigError: the file can't be read or written.
        """
        value = self._keyring.get(old) or self._from_file(old)
        if value:
            self.set(new, Secret(value))
        else:
            self.delete(new)
        self.delete(old)

    def _from_file(self, profile_name: str) -> str | None:
        return self._read_file().get(profile_name)

    def _read_file(self) -> dict[str, str]:
        text = read_text(self.file_path)
        if text and os.name == "posix":
            # A copied file may have lost its mode; nobody else may read it.
            with suppress(OSError):
                self.file_path.chmod(0o600)
        return self._decoded(text)

    def _decoded(self, text: str) -> dict[str, str]:
        if not text:
            return {}
        try:
            secrets = parse(text)
        except NotJsonError:
            secrets = None
        if not isinstance(secrets, dict) or not all(isinstance(s, str) for s in secrets.values()):
            raise ConfigError(
                f"{self.file_path} is not what jrc wrote there.",
                hint="Delete it and log in again: jrc login",
            )
        return secrets

    def _change_file(self, profile_name: str, value: str | None) -> bool:
        """Set or remove one entry. Returns whether there was one."""
        if value is None and not self.file_path.exists():
            return False
        with locked(self.file_path):
            secrets = self._read_file()
            before = secrets.pop(profile_name, None)
            if value is not None:
                secrets[profile_name] = value
            if before != value:
                text = json.dumps(secrets, indent=2) + "\n"
                write_atomically(self.file_path, text, private=True)
        return before is not None


def _from_environment(_profile_name: str) -> str | None:
    return os.environ.get("JRC_TOKEN", "").strip() or None


class _Keyring:
    """The system's keyring, which may be missing, locked, or silent for ever.

    No call raises, and none takes longer than ``KEYRING_DEADLINE``.

    Attributes:
        name: the backend that answered last; empty when none did.
        fault: why the last call did nothing; None when it worked.
    """

    def __init__(self) -> None:
        self.name = ""
        self.fault: str | None = None
        self._silent = False

    def get(self, user: str) -> str | None:
        return self._call(lambda backend: backend.get_password(SERVICE, user))

    def set(self, user: str, value: str) -> bool:
        def save(backend: "KeyringBackend") -> bool:
            backend.set_password(SERVICE, user, value)
            # Some backends silently drop what they can't store.
            return backend.get_password(SERVICE, user) == value

        saved = self._call(save)
        if saved is False:
            self.fault = "the keyring did not keep it"
        return bool(saved)

    def delete(self, user: str) -> bool:
        """Returns whether there was an entry and it is gone."""

        def remove(backend: "KeyringBackend") -> bool:
            if backend.get_password(SERVICE, user) is None:
                return False
            backend.delete_password(SERVICE, user)
            return True

        return bool(self._call(remove))

    def _call(self, act: "Callable[[KeyringBackend], Result]") -> Result | None:
        """Make one call, and go on without its answer where there is none in time."""
        if self._silent:
            return None
        try:
            self.name, result, self.fault = in_daemon_thread_within(
                KEYRING_DEADLINE, _attempt, act, name="keyring"
            )
        except TimeoutError:
            # It will not answer the next call either; do not wait again.
            self._silent, self.name = True, ""
            self.fault = f"the keyring did not answer within {KEYRING_DEADLINE:g} s"
            return None
        return result


def _attempt(
    act: "Callable[[KeyringBackend], Result]",
) -> tuple[str, Result | None, str | None]:
    """The backend's name, the call's result, and why there is none."""
    try:
        # Finding the backend asks D-Bus on Linux, so it can hang as well as a call.
        import keyring
        from keyring.backends import fail, null

        backend = keyring.get_keyring()
        if isinstance(backend, fail.Keyring | null.Keyring):
            return "", None, NO_KEYRING
        name = _display_name(backend)
        return name, act(backend), None
    except Exception as error:  # noqa: BLE001  backends raise what their platform raises
        # Only the kind of the error: its text may quote the secret.
        return "", None, f"the keyring refused ({type(error).__name__})"


def _display_name(backend: "KeyringBackend") -> str:
    """``SecretService`` for ``keyring.backends.SecretService.Keyring``."""
    kind = type(backend)
    return kind.__module__.rpartition(".")[2] if kind.__name__ == "Keyring" else kind.__name__
