"""From a profile to a server that is ready to be asked."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from jrc.errors import AuthError, ConfigError, UnreachableError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.secrets import SecretStore
from jrc.profile.store import ProfileStore
from jrc.server.address import ServerAddress
from jrc.server.auth import Auth, NoAuth, PasswordAuth, TokenAuth

if TYPE_CHECKING:
    from jrc.server.client import ServerClient
    from jrc.tunnel.connect import Progress


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


@asynccontextmanager
async def open_server(
    name: str | None, *, on_tunnel: "Progress | None" = None, bring_up: bool = True
) -> AsyncIterator["ServerClient"]:
    """The server of a profile.

    Args:
        name: of the profile; None for the one that ``JRC_PROFILE`` names, or the default one.
        on_tunnel: called with each state of a tunnel that has to be brought up first.
        bring_up: False leaves a tunnel that is down as it is.

    Raises:
        ConfigError: there is no profile.
        NotFoundError: there is none of that name.
        AuthError: its secret is missing.
    """
    profile = chosen_profile(name)
    if profile is None:
        raise ConfigError("No server is configured.", hint="jrc login URL")
    async with open_profile(profile, on_tunnel=on_tunnel, bring_up=bring_up) as server:
        yield server


@asynccontextmanager
async def open_profile(
    profile: Profile, *, on_tunnel: "Progress | None" = None, bring_up: bool = True
) -> AsyncIterator["ServerClient"]:
    """The server of ``profile``. Its tunnel, if it needs one, is brought up or shared.

    Args:
        profile: whose server.
        on_tunnel: called with each state of a tunnel that has to be brought up first.
        bring_up: False leaves a tunnel that is down as it is.

    Raises:
        AuthError: its secret is missing.
        JrcError: the tunnel does not come up; another class for each kind of cause.
    """
    from jrc.server.client import ServerClient

    paths = Paths.from_environment()
    async with _way(profile, paths, on_tunnel, bring_up) as url:
        address, pasted = ServerAddress.parse(url)
        auth = TokenAuth(pasted) if pasted is not None else authentication(profile, address, paths)
        async with ServerClient(address, auth, verify_tls=profile.verify_tls) as server:
            yield server


@asynccontextmanager
async def _way(
    profile: Profile, paths: Paths, on_tunnel: "Progress | None", bring_up: bool
) -> AsyncIterator[str]:
    """The URL at which the profile's server is reached from here."""
    if profile.kubernetes is None:
        yield profile.url
        return
    from jrc.tunnel.connect import in_use, is_ready, spec_of

    spec = spec_of(profile)
    if not bring_up and not is_ready(spec, paths):
        raise UnreachableError(f"The tunnel of '{profile.name}' is down.", hint="jrc connect")
    async with in_use(spec, paths, on_progress=on_tunnel) as status:
        yield status.url


def profiles_to_ask(paths: Paths) -> list[Profile]:
    """Every server that a command about all of them asks.

    A URL or a secret in the environment is meant for one server: no other one gets to see it.

    Raises:
        ConfigError: a profile can't be understood.
        NotFoundError: there is no profile of the name that ``JRC_PROFILE`` says.
    """
    if os.environ.get("JRC_URL") or os.environ.get("JRC_TOKEN"):
        profile = chosen_profile(None, paths=paths)
        return [] if profile is None else [profile]
    return list(ProfileStore(paths).all().values())
