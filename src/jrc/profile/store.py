"""The profiles in config.toml: a file that people edit too, so comments and order stay."""

import json
import os
import re
import tomllib
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from jrc.errors import ConfigError, NotFoundError, UsageError
from jrc.profile.files import locked, write_atomically
from jrc.profile.model import KEYS, Profile, check_name
from jrc.profile.paths import Paths

# A TOML document: a tomlkit one, which keeps comments, or the plain dict that tomllib gives.
Document = MutableMapping[str, Any]


class ProfileStore:
    """Reads and changes ``config.toml``.

    Reading takes no lock: the file is only ever replaced whole. A change holds the lock from its
    read to its write, so two processes do not undo each other.

    Args:
        paths: where the file is.
    """

    def __init__(self, paths: Paths) -> None:
        self.path = paths.config / "config.toml"

    def all(self) -> dict[str, Profile]:
        """Every profile by its name, in the order of the file.

        Raises:
            ConfigError: the file, or a profile in it, can't be understood.
        """
        try:
            tables = _profiles_of(_parse(self._text()))
            return {name: Profile.from_table(name, table) for name, table in tables.items()}
        except ConfigError as error:
            raise self._broken(error) from error

    def names(self) -> list[str]:
        """The names alone, of profiles that can't be understood too.

        Raises:
            ConfigError: the file can't be understood.
        """
        try:
            return list(_profiles_of(_parse(self._text())))
        except ConfigError as error:
            raise self._broken(error) from error

    def require(self, name: str) -> None:
        """Check that a profile is there, understood or not.

        Raises:
            NotFoundError: it is not; the message names those that exist.
        """
        names = self.names()
        if name not in names:
            raise _not_found(name, names)

    def default_name(self) -> str | None:
        """The profile that is used where none is named: the chosen one, or the only one.

        Raises:
            ConfigError: the file can't be understood.
        """
        try:
            document = _parse(self._text())
            chosen = document.get("default")
            if chosen is None:
                names = list(_profiles_of(document))
                return names[0] if len(names) == 1 else None
            if not isinstance(chosen, str):
                raise ConfigError("Its default is not the name of a profile.")
        except ConfigError as error:
            raise self._broken(error) from error
        return chosen

    def find(self, name: str | None) -> Profile | None:
        """The profile of a name, or None.

        Args:
            name: None means the one in force: ``JRC_PROFILE``, else the default.

        Raises:
            NotFoundError: ``JRC_PROFILE`` or the default names a profile that does not exist. None
                is only for "nobody chose one": a typo must not send code to another server.
        """
        if name is not None:
            return self.all().get(name)
        chosen, origin = os.environ.get("JRC_PROFILE"), "named by JRC_PROFILE"
        if not chosen:
            chosen, origin = self.default_name(), f"the default in {self.path}"
        if not chosen:
            return None
        return self._existing(chosen, f" ({origin})")

    def get(self, name: str | None) -> Profile:
        """The profile of a name.

        Args:
            name: None means the one in force: ``JRC_PROFILE``, else the default.

        Raises:
            NotFoundError: there is none of that name; the message names those that exist.
            ConfigError: no name was given, and no profile is in force.
        """
        if name is not None:
            return self._existing(name)
        found = self.find(None)
        if found is not None:
            return found
        profiles = self.all()
        if not profiles:
            raise ConfigError("No server is saved yet.", hint="Type: jrc login URL")
        raise ConfigError(
            f"No profile is the default. Saved: {', '.join(profiles)}.",
            hint="Type: jrc profile use NAME",
        )

    def save(self, profile: Profile, *, make_default: bool) -> None:
        """Add a profile, or bring the one of its name up to date.

        Args:
            profile: what to save. Other keys of an existing table stay.
            make_default: use it from now on where none is named.

        Raises:
            ConfigError: the file can't be understood or written.
            UsageError: the name can't be one.
        """
        check_name(profile.name)
        wanted = profile.to_table()

        def change(document: Document) -> None:
            document.setdefault("profiles", {profile.name: wanted})
            tables = _profiles_of(document)
            if not isinstance(tables.get(profile.name), MutableMapping):
                tables[profile.name] = wanted
            # Taken out again: tomlkit keeps a copy of what is put in.
            table = tables[profile.name]
            for key in KEYS:
                if key not in wanted:
                    table.pop(key, None)
                # An equal table stays as a person wrote it, with its comments.
                elif table.get(key) != wanted[key]:
                    table[key] = wanted[key]
            if make_default:
                document["default"] = profile.name

        self._edit(change)

    def use(self, name: str) -> None:
        """Make a profile the default.

        Raises:
            NotFoundError: it does not exist.
        """

        def change(document: Document) -> None:
            _require(document, name)
            document["default"] = name

        self._edit(change)

    def rename(self, old: str, new: str) -> None:
        """Give a profile another name. The secrets are the ``SecretStore``'s to move.

        Raises:
            NotFoundError: ``old`` does not exist.
            UsageError: ``new`` exists, or can't be a name.
        """
        check_name(new)

        def change(document: Document) -> None:
            _require(document, old)
            tables = _profiles_of(document)
            if new in tables:
                raise UsageError(f"There is a profile {new!r} already.")
            tables[new] = tables.pop(old)
            if document.get("default") == old:
                document["default"] = new

        self._edit(change, rewrite=lambda text: _with_header_renamed(text, old, new))

    def remove(self, name: str) -> None:
        """Forget a profile. The secrets are the ``SecretStore``'s to delete.

        Raises:
            NotFoundError: it does not exist.
        """

        def change(document: Document) -> None:
            _require(document, name)
            tables = _profiles_of(document)
            del tables[name]
            if not tables:
                del document["profiles"]
            if document.get("default") == name:
                del document["default"]

        self._edit(change)

    def _existing(self, name: str, remark: str = "") -> Profile:
        profiles = self.all()
        if name not in profiles:
            raise _not_found(name, list(profiles), remark)
        return profiles[name]

    def _text(self) -> str:
        return read_text(self.path)

    def _edit(
        self,
        change: Callable[[Document], None],
        rewrite: Callable[[str], str] | None = None,
    ) -> None:
        with locked(self.path):
            before = self._text()
            try:
                after = edited(before, change, rewrite)
            except ConfigError as error:
                raise self._broken(error) from error
            if after != before:
                write_atomically(self.path, after, private=True)

    def _broken(self, error: ConfigError) -> ConfigError:
        return ConfigError(
            f"{self.path}: {error.message}", hint=error.hint or f"Correct {self.path} in an editor."
        )


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, line ends unchanged; empty when the file does not exist.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        # Notepad puts a mark in front, which TOML does not allow.
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigError(f"Can't read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text (byte {error.start}).",
            hint="Save it as UTF-8 in an editor.",
        ) from error


def edited(
    text: str,
    change: Callable[[Document], None],
    rewrite: Callable[[str], str] | None = None,
) -> str:
    """TOML with a change made to it, and everything else as it was, comments included.

    The change is made twice, to the new text's document and to a plain dict. Both must mean the
    same in the end, so that a layout which tomlkit mishandles is never written.

    Args:
        text: the TOML.
        change: changes a document in place.
        rewrite: makes the same change to the text where tomlkit would move things about. What it
            gives is used if it means the same.

    Returns:
        the changed TOML.

    Raises:
        ConfigError: it is not TOML, or its layout can't be edited safely.
    """
    expected = _parse(text)
    change(expected)
    for make in (rewrite, lambda text: _changed_by_tomlkit(text, change)):
        result = make(text) if make else None
        if result is not None and _means(result, expected):
            return result
    raise ConfigError(
        "It is laid out in a way that jrc can't edit without harm.",
        hint="Give every profile a table of its own: [profiles.NAME].",
    )


def _changed_by_tomlkit(text: str, change: Callable[[Document], None]) -> str | None:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        change(document)
        return tomlkit.dumps(document)
    except (TOMLKitError, ValueError, LookupError, AttributeError, TypeError):
        return None


def _with_header_renamed(text: str, old: str, new: str) -> str:
    """The text with ``[profiles.OLD…]`` and ``default = "OLD"`` renamed in place."""
    name = re.escape(old)
    quoted = json.dumps(new)  # valid profile names look the same in JSON and in TOML
    text = re.sub(
        rf"""^([ \t]*\[[ \t]*profiles[ \t]*\.[ \t]*)(?:{name}|"{name}"|'{name}')(?=[ \t]*[.\]])""",
        lambda found: found[1] + (quoted if "." in new else new),
        text,
        flags=re.MULTILINE,
    )
    return re.sub(
        rf"""^([ \t]*default[ \t]*=[ \t]*)(?:"{name}"|'{name}')""",
        lambda found: found[1] + quoted,
        text,
        flags=re.MULTILINE,
    )


def _means(text: str, expected: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == expected
    except (ValueError, RecursionError):
        return False


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError("It is nested too deeply.") from error
    # A number of too many digits is no TOMLDecodeError.
    except ValueError as error:
        raise ConfigError(f"It is not valid TOML: {error}.") from error


def _profiles_of(document: Document) -> Document:
    tables = document.get("profiles", {})
    if not isinstance(tables, MutableMapping):
        raise ConfigError("Its profiles are not tables.")
    return tables


def _require(document: Document, name: str) -> None:
    names = list(_profiles_of(document))
    if name not in names:
        raise _not_found(name, names)


def _not_found(name: str, names: list[str], remark: str = "") -> NotFoundError:
    if not names:
        return NotFoundError(
            f"There is no profile {name!r}{remark}; no server is saved yet.",
            hint="Type: jrc login URL",
        )
    return NotFoundError(
        f"There is no profile {name!r}{remark}. Saved: {', '.join(names)}.",
        hint="Type: jrc profile list",
    )
