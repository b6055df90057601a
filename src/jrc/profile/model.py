"""A profile: a saved server, how to authenticate there, and who uses it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from jrc.errors import ConfigError, UsageError
from jrc.profile.access import KEYS as ACCESS_KEYS
from jrc.profile.access import NOTHING_SPECIAL, Access
from jrc.profile.route import IDLE_MINUTES, Route
from jrc.shapes import NOTHING, Reader

AUTHS = ("token", "password", "none")

_OWN_KEYS = ("url", "kind", "auth", "user", "server", "options", "verify_tls", "kubernetes")
KEYS = (*_OWN_KEYS, *ACCESS_KEYS)
"""The keys in a profile's table of config.toml that are ours."""

# A name is typed in shells, names folders of kernelspecs, and is a user in the keyring.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_NAME_RULE = "only letters, digits, '.', '_' and '-', at most 63, the first a letter or digit"


@dataclass(frozen=True)
class Profile:
    """A saved server.

    Attributes:
        name: what a person types; see ``check_name``.
        url: ``http(s)://host[:port]/prefix/``, without a token.
        kind: the name of a kind of server; ``server.kinds`` knows them.
        auth: one of ``AUTHS``; the secret itself is in the ``SecretStore``.
        user: who uses it; empty when the server does not say.
        verify_tls: whether the server's certificate must be valid.
        access: what else the network asks for.
        server: on a JupyterHub, the named server; empty for the default one.
        options: on a JupyterHub, what the server is started with.
        kubernetes: the way to a server inside a cluster; ``url`` is then the local end of its
            tunnel.
    """

    name: str
    url: str
    kind: str = "server"
    auth: str = "token"
    user: str = ""
    verify_tls: bool = True
    access: Access = NOTHING_SPECIAL
    server: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    kubernetes: Route | None = None

    def to_table(self) -> dict[str, object]:
        """What config.toml holds under ``[profiles.NAME]``; what equals its default is left out."""
        table: dict[str, object] = {"url": self.url, "kind": self.kind, "auth": self.auth}
        if self.user:
            table["user"] = self.user
        if self.server:
            table["server"] = self.server
        if self.options:
            table["options"] = dict(self.options)
        if not self.verify_tls:
            table["verify_tls"] = False
        if self.kubernetes:
            table["kubernetes"] = self.kubernetes.to_table()
        return table | self.access.to_table()

    @classmethod
    def from_table(cls, name: str, table: object) -> "Profile":
        """The profile that a hand-edited table describes. Keys that are not ours are ignored.

        Args:
            name: the table's name.
            table: its value as TOML gives it.

        Raises:
            ConfigError: the table is not a profile; the message names the key.
        """
        if not is_name(name):
            raise ConfigError(f"{name!r} can't name a profile: {_NAME_RULE}.")

        def reject(place: str, found: str, wanted: str) -> ConfigError:
            wanted = wanted.replace("an object", "a table")
            if not place:
                return ConfigError(f"Profile {name!r} is not {wanted} but {found}.")
            if found == NOTHING:
                return ConfigError(f"Profile {name!r} has no {place}.")
            return fault(place, f"is not {wanted} but {found}")

        def fault(place: str, words: str) -> ConfigError:
            return ConfigError(f"Profile {name!r}: its {place} {words}.")

        def checked(key: str, default: str | None, check: Callable[[str], str | None]) -> str:
            value = read.field(key).text(default)
            if wrong := check(value):
                raise fault(key, wrong)
            return value

        read = Reader(table, reject)
        kubernetes = read.field("kubernetes")
        return cls(
            name=name,
            url=checked("url", None, url_fault),
            kind=read.field("kind").text(default="server"),
            auth=checked("auth", "token", _one_of(AUTHS)),
            user=read.field("user").text(default=""),
            verify_tls=read.field("verify_tls").flag(default=True),
            access=Access.from_table(read, fault),
            server=read.field("server").text(default=""),
            options=read.field("options").texts(),
            kubernetes=None if kubernetes.is_null else _route(kubernetes),
        )


def _route(read: Reader) -> Route:
    return Route(
        context=read.field("context").text(),
        namespace=read.field("namespace").text(),
        target=read.field("target").text(),
        port=read.field("port").number(),
        kubeconfig=read.field("kubeconfig").text(default=""),
        idle_minutes=read.field("idle_minutes").number(default=IDLE_MINUTES),
    )


def is_name(text: str) -> bool:
    """Whether the text can name a profile."""
    return _NAME.fullmatch(text) is not None


def check_name(text: str) -> str:
    """The text, if it can name a profile.

    Raises:
        UsageError: it can't; the message says the rule.
    """
    if not is_name(text):
        raise UsageError(f"{text!r} can't name a profile: {_NAME_RULE}.")
    return text


def name_from_url(url: str) -> str:
    """A profile name made of a URL's host; ``server`` where nothing of it is usable."""
    host = urlsplit(url).hostname or ""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-._")[:63].rstrip("-._") or "server"


def free_name(wanted: str, url: str, taken: Mapping[str, Profile]) -> str:
    """The wanted name, or with ``-2``, ``-3``… where another server has it.

    Args:
        wanted: a valid name.
        url: the server that is to be saved; a profile of the same server is taken again.
        taken: the profiles that exist.
    """
    name, number = wanted, 2
    while name in taken and taken[name].url != url:
        suffix = f"-{number}"
        name, number = wanted[: 63 - len(suffix)] + suffix, number + 1
    return name


def url_fault(url: str) -> str | None:
    """What is wrong with a server's URL, without repeating it; None when nothing is."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where the port is no number
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "is not http://HOST or https://HOST"
    if parts.username is not None or parts.password is not None:
        return "holds a password"
    if parts.query or parts.fragment:
        return "holds more than the server's address (a token?)"
    return None


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str | None]:
    def fault(value: str) -> str | None:
        return None if value in choices else f"is none of {', '.join(choices)}"

    return fault
