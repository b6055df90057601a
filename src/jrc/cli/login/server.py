"""``jrc login`` once it is known what stands at the URL: a Jupyter Server, a gateway, a hub."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jrc.cli.login.access import Approach
from jrc.cli.login.credentials import Credential, from_environment, read_token
from jrc.cli.terminal import Terminal
from jrc.errors import AuthError, InterruptedByUserError, JrcError, UsageError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress

if TYPE_CHECKING:
    from jrc.cli.login.flow import Target
    from jrc.cli.login.hub import HubTarget
    from jrc.server.auth import Auth
    from jrc.server.client import ServerClient
    from jrc.server.detect import Detected

TRIES = 3
"""How often a person may type a token or password before login gives up."""


@dataclass(frozen=True)
class Place:
    """Who a person is at a hub or gateway, and which server there is theirs; None: not said."""

    user: str | None
    server: str | None
    options: dict[str, str]


@dataclass(frozen=True)
class Login:
    """What a login is about, once it is known what stands at the URL."""

    target: "Target"
    reach: Approach
    detected: "Detected"
    place: Place
    terminal: Terminal

    def profile(self, **fields: Any) -> Profile:
        """The profile to save, with what every kind of server has."""
        way = self.target.way
        if way is not None:
            fields["url"] = way.url
        return Profile(
            name=self.target.name,
            kind=self.detected.kind,
            kubernetes=way.kubernetes if way else None,
            verify_tls=self.reach.way.verify_tls,
            access=self.reach.access,
            **fields,
        )

    def auth(self, credential: "Credential | None") -> "Auth":
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
        command = self.reach.access.credential_command
        return CommandAuth(command, address, auth) if command else auth


def log_in_at_server(login: Login, given: Credential | None) -> tuple[Profile, Credential | None]:
    """At a Jupyter Server or a gateway."""
    credential, user = None, ""
    detected, before = login.detected, login.target.before
    if detected.auth == "none":
        login.terminal.say("It asks for no token and no password.")
        user = _verify(login, None)
    elif credential := given or from_environment(detected.auth):
        user = _verify(login, credential)
    else:
        credential, user = _ask_until_accepted(login)
    profile = login.profile(
        url=login.target.address.base_url,
        auth=credential.auth if credential else "none",
        user=user or login.place.user or (before.user if before else ""),
    )
    return profile, credential


def log_in_at_hub(login: Login, given: Credential | None) -> tuple[Profile, Credential | None]:
    """At a JupyterHub: the profile is the hub's, and names the server."""
    from jrc.cli.login.hub import HubTarget, check_and_start

    detected, place, before = login.detected, login.place, login.target.before
    same = before if before and before.url == detected.hub else None
    hub = HubTarget(
        ServerAddress(detected.hub),
        user=place.user or detected.user or (same.user if same else ""),
        server=detected.server if place.server is None else place.server,
        options=place.options or (same.options if same else {}),
        has_form=detected.auth == "password",
    )
    credential = None
    if not (login.reach.access.credential_command and given is None):
        credential = _hub_credential(hub, login, given)
    me = check_and_start(hub, login.auth(credential), login.reach.way, login.terminal)
    profile = login.profile(
        url=detected.hub,
        auth="token" if credential else "none",
        user=hub.user or me.name,
        server=hub.server,
        options=hub.options,
    )
    return profile, credential


def _hub_credential(hub: "HubTarget", login: Login, given: Credential | None) -> Credential:
    from jrc.cli.login.hub import ask_for_token, buy_token

    given = given or from_environment("token")
    if given and given.auth == "token":
        return given
    if given or login.place.user:
        password = given.secret if given else None
        return Credential(buy_token(hub, password, login.reach.way, login.terminal), "token")
    return Credential(read_token(ask_for_token(hub, login.terminal)), "token")


def _ask_until_accepted(login: Login) -> tuple[Credential, str]:
    for left in reversed(range(TRIES)):
        try:
            credential = _ask(login.detected.auth, login.terminal)
            return credential, _verify(login, credential)
        except (AuthError, UsageError) as error:
            if not left:
                raise
            login.terminal.error(error)
    raise AssertionError("unreachable")


def _ask(auth: str, terminal: Terminal) -> Credential:
    question = auth.capitalize() + (" (or the URL with it)" if auth == "token" else "")
    try:
        text = terminal.ask(question, hidden=True, without=f"Add --{auth}-stdin, or set JRC_TOKEN.")
    except EOFError as error:
        raise InterruptedByUserError(f"No {auth} was given; nothing is saved.") from error
    if auth == "token":
        return Credential(read_token(text), auth)
    if not text:
        raise UsageError("The password is empty.")
    return Credential(Secret(text), auth)


def _verify(login: Login, credential: Credential | None) -> str:
    """Check that the server accepts a credential. Returns the user that it takes us for, or ''."""
    import asyncio

    address = login.target.address

    async def verify() -> str:
        async with _client(login, credential) as client:
            try:
                await client.verify()
            except AuthError as error:
                if credential is None or credential.auth == "password":
                    raise
                which = "token" if credential.kept else "token of JRC_TOKEN"
                raise AuthError(
                    f"{address.base_url} refused the {which}.",
                    hint="Where the server runs, `jupyter server list` shows its token."
                    if login.detected.kind == "server"
                    else "The gateway's administrator has it.",
                ) from error
            return await _user(client, login)

    return asyncio.run(verify())


def _client(login: Login, credential: Credential | None) -> "ServerClient":
    address, way = login.target.address, login.reach.way
    if login.detected.kind == "gateway":
        from jrc.server.kinds.gateway import GatewayClient
        from jrc.server.kinds.gateway_kernels import RememberedKernels

        memory = RememberedKernels(Paths.from_environment(), address.base_url)
        return GatewayClient(address, login.auth(credential), way, memory=memory)
    from jrc.server.client import ServerClient

    return ServerClient(address, login.auth(credential), way)


async def _user(client: "ServerClient", login: Login) -> str:
    """Whom the server takes us for; empty where it does not tell."""
    from jrc.server.kinds.gateway import GatewayClient

    if isinstance(client, GatewayClient):
        login.terminal.say(f"It is {await client.title()}.")
        return ""
    try:
        return user_from(await client.request("GET", "api", "me"))
    except JrcError:
        # Servers before 2.0 do not tell, and a login does not fail for that.
        return ""


def user_from(answer: object) -> str:
    """The user's name in an answer of ``/api/me``; empty for who only shares a token.

    Source: jupyter_server ``auth/identity.py``: without a login of one's own a person is given a
    random user name and the display name "Anonymous MOON".
    """
    identity = answer.get("identity") if isinstance(answer, dict) else None
    if not isinstance(identity, dict):
        return ""
    name, shown = identity.get("username"), identity.get("display_name")
    anonymous = isinstance(shown, str) and shown.startswith("Anonymous ")
    return name if isinstance(name, str) and not anonymous else ""
