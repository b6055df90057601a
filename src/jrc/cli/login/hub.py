"""``jrc login`` at a JupyterHub: a token, pasted or made for a password, and your server."""

import os
import socket
import sys
from collections.abc import Mapping
from typing import NamedTuple

from jrc.cli.login.credentials import (
    Credential,
    ask_hidden,
    from_environment,
    read_token,
)
from jrc.cli.login.target import Login
from jrc.cli.terminal import Terminal
from jrc.errors import UsageError
from jrc.profile.model import Profile
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.auth import NoAuth
from jrc.server.client import ServerClient
from jrc.server.http_errors import login_at
from jrc.server.kinds.hub import HubClient
from jrc.server.kinds.hub_answers import HubUser, missing_scopes


class _HubServer(NamedTuple):
    """Whose server at which hub.

    Attributes:
        user: empty for the token's owner.
        name: of the server; empty for the default one.
        options: what it is started with.
    """

    hub: ServerAddress
    user: str
    name: str
    options: Mapping[str, str]


async def log_in_at_hub(
    login: Login, given: Credential | None
) -> tuple[Profile, Credential | None]:
    """Log in, and start the server if it is down. The profile is the hub's and names the server.

    Raises:
        AuthError: the hub refuses the token, or the token may not do what is needed.
        UnreachableError, DeadlineError: the server could not be started.
    """
    server = _hub_server(login)
    credential = None
    if given or not login.approach.access.credential_command:
        credential = await _token(server, login, given)
    me = await _check_and_start(server, login, credential)
    profile = login.profile(
        login.detected.hub,
        auth="token" if credential else "none",
        user=server.user or me.name,
        server=server.name,
        options=server.options,
    )
    return profile, credential


def _hub_server(login: Login) -> _HubServer:
    """What was typed, else what the URL says, else what was saved."""
    detected, identity, before = login.detected, login.identity, login.target.before
    same = before if before and before.url == detected.hub else None
    return _HubServer(
        ServerAddress(detected.hub),
        user=identity.user or detected.user or (same.user if same else ""),
        name=detected.server if identity.server is None else identity.server,
        options=identity.server_options or (same.options if same else {}),
    )


async def _token(server: _HubServer, login: Login, given: Credential | None) -> Credential:
    given = given or from_environment("token")
    if given and given.auth == "token":
        return given
    if given or login.identity.user:
        password = given.secret if given else None
        return Credential(await _make_token(server, password, login), "token")
    return Credential(read_token(_ask_for_token(server, login.terminal)), "token")


async def _make_token(server: _HubServer, password: Secret | None, login: Login) -> Secret:
    """A token for a user name and a password; both are asked for where they are missing.

    Raises:
        AuthError: the hub does not accept them.
        UsageError: it has no form for them.
    """
    hub, terminal = server.hub, login.terminal
    if login.detected.auth != "password":
        raise UsageError(
            f"The hub at {hub.base_url} has no login with a password.",
            hint=f"Make a token at {hub.rest('hub', 'token')} and paste it: "
            f"{login_at(hub.base_url)}",
        )
    user = server.user or terminal.ask("User name", without="Add --user NAME")
    if password is None:
        password = Secret(terminal.ask("Password", hidden=True, without="Add --password-stdin"))
    async with HubClient(hub, NoAuth(), login.approach.way) as client:
        token = await client.make_token(user, password, f"jrc on {socket.gethostname()}")
    terminal.say("The hub made a token for jrc; the password is not saved.")
    return token


def _ask_for_token(server: _HubServer, terminal: Terminal) -> str:
    """A token that you make in the browser and paste here.

    Raises:
        ConfigError: there is no terminal.
        InterruptedByUserError: nothing was pasted.
    """
    page = server.hub.rest("hub", "token")
    if terminal.interactive:
        terminal.say(f"Make a token on this page and paste it here: {page}")
        _show(page)
    without = "Add --token-stdin, or --user NAME --password-stdin."
    return ask_hidden("Token", "token", terminal, without=without)


async def _check_and_start(
    server: _HubServer, login: Login, credential: Credential | None
) -> HubUser:
    """Check a token and its scopes, start the server if it is down, and ask it something.

    Returns:
        whom the token belongs to.
    """
    auth, way, terminal = login.auth(credential), login.approach.way, login.terminal
    async with HubClient(server.hub, auth, way) as client:
        me = await client.me()
        _warn_of_scopes(me, server, terminal)
        address = await client.running_server(
            server.user, server.name, server.options, terminal.say
        )
    async with ServerClient(address, auth, way) as running:
        await running.verify()
        terminal.say(f"Server {address.base_url} runs Jupyter Server {await running.version()}")
    return me


def _warn_of_scopes(me: HubUser, server: _HubServer, terminal: Terminal) -> None:
    user = server.user or me.name
    if server.user and server.user != me.name:
        terminal.warn(f"The token belongs to {me.name}, and the server to {server.user}.")
    lacks = missing_scopes(me.scopes, user, server.name) if me.scopes else []
    if lacks and "access:servers" not in lacks:
        can_not = {"read:servers": "see whether it runs", "start:servers": "start it"}
        terminal.warn(
            f"The token lacks {' and '.join(lacks)}: jrc can use a running server, but not "
            + " or ".join(can_not[scope] for scope in lacks)
            + "."
        )


def _show(page: str) -> None:
    """Open a page in the browser, if there is one: the terminal shows the URL anyway."""
    import webbrowser

    screen = {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & os.environ.keys()
    # Elsewhere a text browser would take the terminal that the token is to be pasted into.
    if screen or sys.platform in ("darwin", "win32"):
        webbrowser.open(page)
