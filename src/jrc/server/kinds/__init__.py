"""The kinds of servers that jrc knows, a module each.

To add one, write a module with a ``KIND``, an instance of a subclass of ``kind.Kind``, and name it
in ``MODULES``. Nothing outside of this package names a kind.

The embedded server is none of them: no URL leads to it and no profile names it.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

from jrc.errors import ConfigError

if TYPE_CHECKING:
    from jrc.profile.model import Profile
    from jrc.server.kinds.kind import Kind

MODULES = {
    "hub": "jrc.server.kinds.hub",
    "gateway": "jrc.server.kinds.gateway",
    "server": "jrc.server.kinds.jupyter",
}
"""By the kind's name, in the order in which they are asked whether they recognise a server. Each
one is imported when it is needed."""


def every_kind() -> Iterator["Kind"]:
    """All kinds, in the order of ``MODULES``."""
    return map(kind_named, MODULES)


def kind_named(name: str) -> "Kind":
    """A kind that was detected."""
    kind: Kind = import_module(MODULES[name]).KIND
    return kind


def kind_of(profile: "Profile") -> "Kind":
    """The kind of a profile's server.

    Raises:
        ConfigError: config.toml names one that jrc does not know.
    """
    if profile.kind not in MODULES:
        raise ConfigError(
            f"Profile {profile.name!r}: its kind is none of {', '.join(sorted(MODULES))}."
        )
    return kind_named(profile.kind)
