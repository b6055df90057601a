"""From a profile to a server that is ready to be asked."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jrc.errors import AuthError, ConfigError, UsageError
from jrc.profile.access import Access, header_key
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.secrets import SecretStore
from jrc.profile.store import ProfileStore
from jrc.server.address import ServerAddress
from jrc.server.auth import Auth, NoAuth, PasswordAuth, TokenAuth
from jrc.server.credential_command import CommandAuth
from jrc.server.way import Way

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

Talk = Callable[[str], None]
"""Called with a line for the person while something takes its time."""


def chosen_profile(name: str | None, *, paths: Paths | None = None) -> Profile | None:
    """The profile that a command works with; None when none was named and none is configured.

    Without a name ``JRC_URL`` in the environment stands for a profile: containers and CI have no
    config file.

    Raises:
        NotFoundError: there is no profile of that name.
    """
    url = os.environ.get("JRC_URL")
    if name is None and url:
        return Profile(name="environment", url=url)
    store = ProfileStore(paths or Paths.from_environment())
    return store.get(name) if name is not None else store.find(None)


def authentication(profile: Profile, address: ServerAddress, paths: Paths) -> Auth:
    """The way to authenticate that a profile says, with its secret.

    Raises:
        AuthError: the profile needs a secret, and there is none.
    """
    auth = _own_authentication(profile, address, paths)
    command = profile.access.credential_command
    return CommandAuth(command, address, auth) if command else auth


def _own_authentication(profile: Profile, address: ServerAddress, paths: Paths) -> Auth:
    """What the server itself wants."""
    if profile.auth == "none":
        return NoAuth()
    found = SecretStore(paths).get(profile.name)
    if found is None:
        raise AuthError(
            f"There is no {profile.auth} for the profile '{profile.name}'.",
            hint=f"jrc login {profile.url} --profile {profile.name}",
        )
    secret, _ = found
    return PasswordAuth(secret, address) if profile.auth == "password" else TokenAuth(secret)


def way_to(profile: Profile, paths: Paths) -> Way:
    """The way to a profile's server, with the values of its headers.

    Raises:
        ConfigError: the value of a header is missing.
    """
    access = profile.access
    return Way(
        verify_tls=profile.verify_tls,
        ca_file=_file(access.ca_file),
        client_cert=_file(access.client_cert),
        client_key=_file(access.client_key),
        headers=header_values(profile.name, access, SecretStore(paths)),
    )


def header_values(profile: str, access: Access, secrets: SecretStore) -> dict[str, str]:
    """The headers that a profile adds to every request, with their values.

    Raises:
        ConfigError: a value is missing, or no header can carry it.
    """
    values = {}
    for name, source in access.headers.items():
        value, place = _header_value(profile, name, source, secrets)
        if value is None:
            raise ConfigError(
                f"The header {name} of the profile '{profile}' has no value: {place}.",
                hint=f"Give it again: jrc login --profile {profile} --header {name}=keyring"
                if source == "keyring"
                else None,
            )
        if not value.isprintable() or not value.isascii() or value != value.strip():
            raise ConfigError(
                f"The value of the header {name} has characters that no header has ({place})."
            )
        values[name] = value
    return values


def _header_value(
    profile: str, name: str, source: str, secrets: SecretStore
) -> tuple[str | None, str]:
    """A header's value, and the place where it is or should be."""
    if source == "keyring":
        saved = secrets.saved(header_key(profile, name))
        return (saved.reveal() if saved else None), "it is not in the keyring"
    kind, _, text = source.partition(":")
    if kind == "plain":
        return text, "it is in config.toml"
    return os.environ.get(text) or None, f"the variable {text} is not set"


def _file(path: str) -> str:
    return str(Path(path).expanduser()) if path else ""


@asynccontextmanager
async def open_server(
    name: str | None,
    *,
    talk: Talk | None = None,
    kernel_env: Mapping[str, str] | None = None,
) -> AsyncIterator["ServerClient"]:
    """The server of a profile.

    Args:
        name: of the profile; None for the one that ``JRC_PROFILE`` names, or the default one.
        talk: see :func:`open_profile`.
        kernel_env: see :func:`open_profile`.

    Raises:
        ConfigError: there is no profile.
        NotFoundError: there is none of that name.
        AuthError: its secret is missing.
    """
    profile = chosen_profile(name)
    if profile is None:
        raise ConfigError("No server is configured.", hint="jrc login URL")
    async with open_profile(profile, talk=talk, kernel_env=kernel_env) as server:
        yield server


@asynccontextmanager
async def open_profile(
    profile: Profile,
    *,
    talk: Talk | None = None,
    kernel_env: Mapping[str, str] | None = None,
) -> AsyncIterator["ServerClient"]:
    """The server of ``profile``.

    Args:
        profile: where, and how.
        talk: told what takes its time: a hub that starts the server, a gateway that makes a pod.
        kernel_env: variables for the kernels that are started; for a gateway only.
    """
    paths = Paths.from_environment()
    address, pasted = ServerAddress.parse(profile.url)
    auth = TokenAuth(pasted) if pasted is not None else authentication(profile, address, paths)
    way = way_to(profile, paths)
    if kernel_env and profile.kind != "gateway":
        raise UsageError(
            f"--kernel-env is for gateways; '{profile.name}' is a Jupyter Server, which starts "
            "every kernel with its own environment.",
            hint="Set variables in the notebook: import os; os.environ[…] = …",
        )
    if profile.kind == "hub":
        from jrc.server.hub_client import HubClient

        async with HubClient(address, auth, way) as hub:
            address = await hub.running_server(
                profile.user, profile.server, profile.options, talk or _silent
            )
    async with _client(profile, address, auth, way, paths, talk, kernel_env) as server:
        yield server


def _silent(_: str) -> None:
    """Nobody listens."""


def _client(
    profile: Profile,
    address: ServerAddress,
    auth: Auth,
    way: Way,
    paths: Paths,
    talk: Talk | None,
    kernel_env: Mapping[str, str] | None,
) -> "ServerClient":
    if profile.kind == "gateway":
        from jrc.server.gateway import GatewayClient, check_kernel_env
        from jrc.server.remembered import RememberedKernels

        user = {"KERNEL_USERNAME": profile.user} if profile.user else {}
        check_kernel_env(kernel_env or {})
        return GatewayClient(
            address,
            auth,
            way,
            memory=RememberedKernels(paths, address.base_url),
            kernel_env={**user, **(kernel_env or {})},
            talk=talk,
        )
    from jrc.server.client import ServerClient

    return ServerClient(address, auth, way)
