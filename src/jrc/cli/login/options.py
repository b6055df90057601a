"""The options of ``jrc login``, in groups. None: the option was not given."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class AccessOptions(NamedTuple):
    """What the network between here and the server asks for.

    Attributes:
        insecure: do not check the certificate.
        headers: ``NAME=SOURCE``.
        credential_command: a command line; an empty one removes the saved command.
    """

    insecure: bool = False
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    headers: tuple[str, ...] = ()
    credential_command: str | None = None


class KubernetesOptions(NamedTuple):
    """A server inside a Kubernetes cluster."""

    context: str | None = None
    namespace: str | None = None
    target: str | None = None
    port: int | None = None
    token_from: str | None = None
    base_url: str | None = None

    @property
    def given(self) -> bool:
        """Whether any of them was typed."""
        return any(value is not None for value in self)


class IdentityOptions(NamedTuple):
    """Your user name at a hub or gateway, and which of your servers at a hub."""

    user: str | None = None
    server: str | None = None
    server_options: Mapping[str, str] = {}


class LoginOptions(NamedTuple):
    """All that was typed.

    Attributes:
        profile: the name of the profile.
        stdin: what standard input holds: ``token``, ``password`` or nothing.
    """

    url: str | None = None
    profile: str | None = None
    stdin: str = ""
    access: AccessOptions = AccessOptions()
    identity: IdentityOptions = IdentityOptions()
    kubernetes: KubernetesOptions = KubernetesOptions()
