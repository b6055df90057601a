"""The secret that a login is about."""

import os
from dataclasses import dataclass

from jrc.errors import UsageError
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress


@dataclass(frozen=True)
class Credential:
    """A secret and what it is used for.

    Attributes:
        auth: ``token`` or ``password``.
        kept: whether it is to be saved; one from the environment is not.
    """

    secret: Secret
    auth: str
    kept: bool = True


def read_token(text: str) -> Secret:
    """The token in what a person typed or pasted: itself, or a URL that carries it.

    Raises:
        UsageError: it is neither.
    """
    text = text.strip()
    if not text:
        raise UsageError("The token is empty.")
    if not text.startswith(("http://", "https://")):
        return Secret(text)
    _, pasted = ServerAddress.parse(text)
    if pasted is None:
        raise UsageError("This URL carries no token.", hint="Copy it with its ?token=… part.")
    return pasted


def from_environment(auth: str) -> Credential | None:
    value = os.environ.get("JRC_TOKEN", "").strip()
    return Credential(Secret(value), auth, kept=False) if value else None
