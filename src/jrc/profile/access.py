"""What a profile says about the way to its server: certificates, headers, a credential command."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from jrc.shapes import Reader

HEADER_SOURCES = ("env:", "plain:")
"""Prefixes of a header's source; ``keyring`` has none."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FILES = ("ca_file", "client_cert", "client_key")
KEYS = (*_FILES, "headers", "credential_command")
"""The keys in a profile's table of config.toml."""


class Access(NamedTuple):
    """What a company's network asks for beside the token or password.

    Attributes:
        ca_file: PEM file of CAs to trust beside the system's.
        client_cert: PEM file of a client certificate.
        client_key: PEM file of its key, when the first does not hold it.
        headers: by name, where the value comes from: ``env:VARIABLE``, ``keyring``, or
            ``plain:VALUE`` for one that is no secret.
        credential_command: argv of a program that gives credentials; empty for none.
    """

    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    credential_command: tuple[str, ...] = ()

    @property
    def keyring_headers(self) -> list[str]:
        """The names of the headers whose values are saved like a token."""
        return [name for name, source in self.headers.items() if source == "keyring"]

    def to_table(self) -> dict[str, object]:
        """What config.toml holds; what equals its default is left out."""
        table: dict[str, object] = {key: getattr(self, key) for key in _FILES if getattr(self, key)}
        if self.headers:
            table["headers"] = dict(self.headers)
        if self.credential_command:
            table["credential_command"] = list(self.credential_command)
        return table

    @classmethod
    def from_table(cls, read: Reader, fault: Callable[[str, str], Exception]) -> "Access":
        """Read it from a profile's table.

        Args:
            read: the table.
            fault: makes the error for a key and what is wrong with its value.
        """
        headers, command = read.field("headers"), read.field("credential_command")
        for name, source in {} if headers.is_null else headers.mapping().items():
            if wrong := header_fault(name, source):
                raise fault(headers.place, wrong)
        if not isinstance(command.value, list | None):
            raise fault(command.place, 'is not a list of words such as ["gettoken", "-q"]')
        return cls(
            **{key: read.field(key).text(default="") for key in _FILES},
            headers=headers.texts(),
            credential_command=command.words(),
        )


NOTHING_SPECIAL = Access()


def header_fault(name: str, source: object) -> str | None:
    """What is wrong with a header and its source, without showing a value; None when nothing is."""
    if not _HEADER_NAME.fullmatch(name):
        return f"has {name!r}, which can't be the name of a header"
    if source == "keyring" or (isinstance(source, str) and source.startswith(HEADER_SOURCES)):
        return None
    return f"does not say where {name} comes from: env:VARIABLE, keyring, or plain:VALUE"


def header_key(profile: str, header: str) -> str:
    """Where the ``SecretStore`` keeps a header's value: no profile's name has a slash."""
    return f"{profile}/{header.lower()}"
