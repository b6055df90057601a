"""From a profile to a server that is ready to be asked."""

import logging
import os
import shlex
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jrc.errors import AuthError, ConfigError, JrcError, UnreachableError
from jrc.profile.access import Access, header_key
from jrc.profile.logins import login_stamp
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.profile.secrets import SecretStore
from jrc.profile.store import ProfileStore
from jrc.server.address import ServerAddress
from jrc.server.auth import Auth, NoAuth, PasswordAuth, TokenAuth
from jrc.server.authorized import Relogin, SavedAuth
from jrc.server.connection import Talk, Way
from jrc.server.hints import login, name_environment, name_profile
from jrc.server.kinds import kind_of
from jrc.server.orphans import Orphans, orphans_removed

if TYPE_CHECKING:
    from jrc.server.client import ServerClient
    from jrc.tunnel.connect import Progress
    from jrc.tunnel.entrance import Entrance

log = logging.getLogger("jrc.server.open")

ENVIRONMENT = "environment"
"""The name of the profile that ``JRC_URL`` stands for."""


def chosen_profile(name: str | None, *, paths: Paths | None = None) -> Profile | None:
    """The profile that a command works with; None when none was named and none is configured.

    Without a name ``JRC_URL`` in the environment stands for a profile: containers and CI have no
    config file.

    Raises:
        NotFoundError: there is no profile of that name.
    """
    url = os.environ.get("JRC_URL")
    if name is None and url:
        return Profile(name=ENVIRONMENT, url=url)
    store = ProfileStore(paths or Paths.from_environment())
    return store.get(name) if name is not None else store.find(None)


def authentication(profile: Profile, address: ServerAddress, paths: Paths) -> SavedAuth:
    """How to authenticate as a profile says, with its secret.

    Raises:
        AuthError: the profile needs a secret, and there is none.
    """
    return SavedAuth(
        lambda: _authentication(profile, address, paths),
        lambda: login_stamp(paths, profile.name),
    )


def _authentication(profile: Profile, address: ServerAddress, paths: Paths) -> Auth:
    """With what is saved now."""
    auth = _own_authentication(profile, address, paths)
    command = profile.access.credential_command
    if not command:
        return auth
    from jrc.server.credential_command import CommandAuth

    return CommandAuth(command, address, auth)


def _own_authentication(profile: Profile, address: ServerAddress, paths: Paths) -> Auth:
    """What the server itself wants."""
    if profile.auth == "none":
        return NoAuth()
    found = SecretStore(paths).get(profile.name)
    if found is None:
        raise AuthError(
            f"There is no {profile.auth} for the profile '{profile.name}'.",
            hint=login(profile.name),
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
        entrance=entrance_to(profile, paths),
        verify_tls=profile.verify_tls,
        ca_file=_file(access.ca_file),
        client_cert=_file(access.client_cert),
        client_key=_file(access.client_key),
        headers=header_values(profile.name, access, SecretStore(paths)),
    )


def entrance_to(profile: Profile, paths: Paths) -> "Entrance | None":
    """The entrance of a profile's tunnel; None where its server is reached without one."""
    if profile.kubernetes is None:
        return None
    from jrc.tunnel.entrance import Entrance

    return Entrance(paths, profile.name)


def header_values(profile: str, access: Access, secrets: SecretStore) -> dict[str, str]:
    """The headers that a profile adds to every request, with their values.

    Raises:
        ConfigError: a value is missing, or no header can carry it.
    """
    values = {}
    for name, source in access.headers.items():
        value, place = _header_value(profile, name, source, secrets)
        if value is None:
            again = f"{login(profile)} --header {shlex.quote(f'{name}=keyring')}"
            raise ConfigError(
                f"The header {name} of the profile '{profile}' has no value: {place}.",
                hint=f"Give it again: {again}"
                if source == "keyring"
                else f"Set the variable, or let jrc keep the value: {again}",
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
    on_tunnel: "Progress | None" = None,
    bring_up: bool = True,
    talk: Talk | None = None,
    kernel_env: Mapping[str, str] | None = None,
    orphans: Orphans = Orphans.BESIDE,
) -> AsyncIterator["ServerClient"]:
    """The server of a profile.

    Args:
        name: of the profile; None for the one that ``JRC_PROFILE`` names, or the default one.
        on_tunnel, bring_up, talk, kernel_env, orphans: see :func:`open_profile`.

    Raises:
        ConfigError: no name was given, and no profile is in force.
        NotFoundError: there is no profile of that name.
        AuthError: its secret is missing.
    """
    profile = chosen_profile(name) or ProfileStore(Paths.from_environment()).get(name)
    async with open_profile(
        profile,
        on_tunnel=on_tunnel,
        bring_up=bring_up,
        talk=talk,
        kernel_env=kernel_env,
        orphans=orphans,
    ) as server:
        yield server


@asynccontextmanager
async def open_profile(
    profile: Profile,
    *,
    on_tunnel: "Progress | None" = None,
    bring_up: bool = True,
    talk: Talk | None = None,
    kernel_env: Mapping[str, str] | None = None,
    orphans: Orphans = Orphans.BESIDE,
) -> AsyncIterator["ServerClient"]:
    """The server of ``profile``. Its tunnel, if it needs one, is brought up or shared.

    Where a server is started for each user, as on a hub, yours is started if it is down. Kernels
    there whose relay on this machine was killed are removed.

    Args:
        profile: whose server.
        on_tunnel: called with each state of a tunnel that has to be brought up first.
        bring_up: False leaves a tunnel or a server that is down as it is.
        talk: called with a line about what takes time, such as a hub that starts the server or a
            gateway that makes a pod, and about orphans that were removed.
        kernel_env: variables for the kernels that are started; for a gateway only.
        orphans: when they are removed.

    Raises:
        AuthError: its secret is missing.
        ConfigError: its kind is not known.
        UsageError: its kind of server starts no kernels with these variables.
        UnreachableError: the tunnel or the server is down, and is to be left so.
        JrcError: the tunnel does not come up; another class for each kind of cause.
    """
    kind = kind_of(profile)
    if kernel_env:
        kind.check_kernel_env(kernel_env, profile.name)
    paths = Paths.from_environment()
    tell, talk = talk or log.info, talk or _log
    async with _url(profile, paths, on_tunnel, bring_up) as url:
        address, pasted = ServerAddress.parse(url)
        urls = [profile.url, address.base_url]
        try:
            way, auth = way_to(profile, paths), _chosen_auth(profile, address, pasted, paths)
            if profile.kubernetes is not None:
                way = way._replace(verdict=_tunnel_verdict(profile.name, paths))
            address = await kind.find_server(profile, address, auth, way, talk, start=bring_up)
            urls.append(address.base_url)
            client = kind.client(
                *(profile, address, auth, way),
                relogin=_relogin(profile, auth, talk),
                kernel_env=kernel_env,
                talk=talk,
            )
            async with (
                client as server,
                orphans_removed(server, paths, orphans, tell),
            ):
                yield server
        except JrcError as error:
            name_what_to_change(error, profile, urls)
            raise


def name_what_to_change(error: JrcError, profile: Profile, urls: Collection[str]) -> None:
    """Let an error's hint name what the profile's URL and secret really come from.

    Args:
        error: its hint is replaced where it is about a login.
        profile: the one that the command works with.
        urls: the addresses of its server.
    """
    token = bool(os.environ.get("JRC_TOKEN", "").strip())
    from_environment = profile.name == ENVIRONMENT and bool(os.environ.get("JRC_URL"))
    if from_environment or (token and isinstance(error, AuthError)):
        name_environment(error, profile.url, token=token, saved=not from_environment)
    else:
        name_profile(error, profile.name, urls)


def _chosen_auth(
    profile: Profile, address: ServerAddress, pasted: Secret | None, paths: Paths
) -> Auth:
    if pasted is not None:
        return TokenAuth(pasted)
    return authentication(profile, address, paths)


@asynccontextmanager
async def _url(
    profile: Profile, paths: Paths, on_tunnel: "Progress | None", bring_up: bool
) -> AsyncIterator[str]:
    """The URL at which the profile's server is reached from here."""
    if profile.kubernetes is None:
        yield profile.url
        return
    from jrc.tunnel.connect import is_ready, spec_of
    from jrc.tunnel.use import in_use

    spec = spec_of(profile)
    if not bring_up and not is_ready(spec, paths):
        raise UnreachableError(
            f"The tunnel of '{profile.name}' is down.",
            hint=shlex.join(["jrc", "connect", profile.name]),
        )
    async with in_use(spec, paths, on_progress=on_tunnel) as status:
        yield status.url


def _tunnel_verdict(profile: str, paths: Paths) -> Callable[[], JrcError | None]:
    from jrc.tunnel.use import final_failure

    return lambda: final_failure(profile, paths)


def _log(text: str) -> None:
    """Where nobody reads a terminal."""
    log.warning("%s", text)


def _relogin(profile: Profile, auth: Auth, talk: Talk) -> Relogin | None:
    # A token of the environment can't change while we run.
    fixed = os.environ.get("JRC_URL") or os.environ.get("JRC_TOKEN")
    return Relogin(auth, profile.name, talk) if isinstance(auth, SavedAuth) and not fixed else None


@asynccontextmanager
async def open_embedded(root: Path) -> AsyncIterator["ServerClient"]:
    """A Jupyter Server on this machine that ends with the block.

    Args:
        root: the server's root folder; kernels start in it.

    Raises:
        ConfigError: it is not installed.
        UnreachableError, DeadlineError: it does not start.
    """
    from jrc.server.client import ServerClient
    from jrc.server.kinds.embedded import EmbeddedServer

    async with (
        EmbeddedServer(root=root) as embedded,
        ServerClient(embedded.address, TokenAuth(embedded.secret)) as server,
    ):
        yield server


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
