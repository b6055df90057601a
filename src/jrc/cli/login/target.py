"""Which server a login is about, which profile it becomes, and what to type where it fails."""

import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from jrc.cli.login.access import Approach
from jrc.cli.login.credentials import Credential
from jrc.cli.login.options import IdentityOptions
from jrc.cli.terminal import Terminal
from jrc.errors import JrcError
from jrc.profile.model import Profile, check_name, free_name, name_from_url
from jrc.server.address import ServerAddress
from jrc.server.hints import name_login, name_profile

if TYPE_CHECKING:
    from jrc.server.auth import Auth
    from jrc.server.kinds.kind import Kind
    from jrc.server.kinds.recognition import Detected


class LoginTarget(NamedTuple):
    """The server to log in to and the profile that it becomes.

    Attributes:
        address: the server.
        name: of the profile.
        before: the profile of that name as it is saved now.
        first: no profile is saved yet.
        pasted: the token that the URL carried, or that the cluster gave.
        in_cluster: the profile with its way through Kubernetes; None for a direct one.
        brought_up: this login brought its tunnel up.
    """

    address: ServerAddress
    name: str
    before: Profile | None
    first: bool
    pasted: Credential | None = None
    in_cluster: Profile | None = None
    brought_up: bool = False


def direct_target(url: str, name: str | None, saved: Mapping[str, Profile]) -> LoginTarget:
    """The target at a URL.

    Args:
        url: as it was typed, perhaps with a token.
        name: of the profile, as it was typed; None for one made of the host.
        saved: the profiles that exist.

    Raises:
        UsageError: this is no URL of a server, or no name.
    """
    address, pasted = ServerAddress.parse(url)
    if name:
        name = check_name(name)
    else:
        name = free_name(name_from_url(address.base_url), address.base_url, saved)
    token = Credential(pasted, "token") if pasted else None
    return LoginTarget(address, name, saved.get(name), first=not saved, pasted=token)


def name_direct_login(error: JrcError, target: LoginTarget, *, named: bool) -> None:
    """Let an error's hint name the login that can be typed as it is printed.

    Args:
        error: of a login without a tunnel.
        target: what the login was about.
        named: the profile's name was typed.
    """
    urls = [target.address.base_url, *([target.before.url] if target.before else [])]
    if target.before:
        name_profile(error, target.name, urls)
    else:
        elsewhere = f" --profile {shlex.quote(target.name)}" if named else ""
        name_login(error, f"jrc login {shlex.quote(urls[0])}{elsewhere}", urls, elsewhere)


class Login(NamedTuple):
    """One login, once it is known what kind of server answers at the URL."""

    target: LoginTarget
    approach: Approach
    detected: "Detected"
    identity: IdentityOptions
    terminal: Terminal

    @property
    def kind(self) -> "Kind":
        """The kind of the server that was detected."""
        from jrc.server.kinds import kind_named

        return kind_named(self.detected.kind)

    def profile(
        self,
        url: str,
        auth: str,
        user: str,
        server: str = "",
        options: Mapping[str, str] = MappingProxyType({}),
    ) -> Profile:
        """The profile to save; see there for the arguments.

        Args:
            url: of the server; for one in a cluster, the end of its tunnel takes its place.
        """
        in_cluster = self.target.in_cluster
        return Profile(
            name=self.target.name,
            url=in_cluster.url if in_cluster else url,
            kind=self.detected.kind,
            auth=auth,
            user=user,
            verify_tls=self.approach.way.verify_tls,
            access=self.approach.access,
            server=server,
            options=options,
            kubernetes=in_cluster.kubernetes if in_cluster else None,
        )

    def auth(self, credential: Credential | None) -> "Auth":
        """How to authenticate with a credential, and with the credential command."""
        from jrc.server.auth import NoAuth, PasswordAuth, TokenAuth
        from jrc.server.credential_command import CommandAuth

        address = self.target.address
        auth: Auth = NoAuth()
        if credential:
            token = credential.auth == "token"
            auth = (
                TokenAuth(credential.secret) if token else PasswordAuth(credential.secret, address)
            )
        command = self.approach.access.credential_command
        return CommandAuth(command, address, auth) if command else auth
