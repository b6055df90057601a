"""``jrc login`` at a JupyterHub: a token, pasted or bought, and the person's server."""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from jrc.cli.terminal import Terminal
from jrc.errors import InterruptedByUserError, UsageError
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.auth import Auth
from jrc.server.client import ServerClient
from jrc.server.connection import Way
from jrc.server.http_errors import login_at
from jrc.server.kinds.hub import HubUser, missing_scopes
from jrc.server.kinds.hub_client import HubClient


@dataclass(frozen=True)
class HubTarget:
    """Whose server at which hub.

    Attributes:
        address: the hub's base URL.
        user: empty for the token's owner.
        server: its name; empty for the default one.
        options: what it is started with.
        has_form: the hub takes a user name and a password.
    """

    address: ServerAddress
    user: str = ""
    server: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    has_form: bool = False


def buy_token(hub: HubTarget, password: Secret | None, way: Way, terminal: Terminal) -> Secret:
    """A token for a user name and a password; both are asked for where they are missing.

    Raises:
        AuthError: the hub does not accept them.
        UsageError: it has no form for them.
    """
    if not hub.has_form:
        raise UsageError(
            f"The hub at {hub.address.base_url} has no login with a password.",
            hint=f"Make a token at {hub.address.rest('hub', 'token')} and paste it: "
            f"{login_at(hub.address.base_url)}",
        )
    user = hub.user or terminal.ask("User name", without="Add --user NAME")
    if password is None:
        password = Secret(terminal.ask("Password", hidden=True, without="Add --password-stdin"))

    async def buy(password: Secret) -> Secret:
        from jrc.server.auth import NoAuth

        async with HubClient(hub.address, NoAuth(), way) as client:
            return await client.make_token(user, password, f"jrc on {socket.gethostname()}")

    token = asyncio.run(buy(password))
    terminal.say("The hub made a token for jrc; the password is not saved.")
    return token


def ask_for_token(hub: HubTarget, terminal: Terminal) -> str:
    """A token that a person makes in the browser and pastes here.

    Raises:
        ConfigError: there is no terminal.
        InterruptedByUserError: nothing was pasted.
    """
    page = hub.address.rest("hub", "token")
    if terminal.interactive:
        terminal.say(f"Make a token on this page and paste it here: {page}")
        _show(page)
    try:
        return terminal.ask(
            "Token", hidden=True, without="Add --token-stdin, or --user NAME --password-stdin."
        )
    except EOFError as error:
        raise InterruptedByUserError("No token was given; nothing is saved.") from error


def check_and_start(hub: HubTarget, auth: Auth, way: Way, terminal: Terminal) -> HubUser:
    """Check a token and its scopes, start the server if it is down, and ask it something.

    Returns:
        whom the token belongs to.

    Raises:
        AuthError: the hub refuses the token, or the token may not do what is needed.
        UnreachableError, DeadlineError: the server could not be started.
    """

    async def check() -> HubUser:
        async with HubClient(hub.address, auth, way) as client:
            me = await client.me()
            _tell_of_scopes(me, hub, terminal)
            address = await client.running_server(hub.user, hub.server, hub.options, terminal.say)
        async with ServerClient(address, auth, way) as server:
            await server.verify()
            terminal.say(f"Server {address.base_url} runs Jupyter Server {await server.version()}")
        return me

    return asyncio.run(check())


def _tell_of_scopes(me: HubUser, hub: HubTarget, terminal: Terminal) -> None:
    user = hub.user or me.name
    if hub.user and hub.user != me.name:
        terminal.warn(f"The token belongs to {me.name}, and the server to {hub.user}.")
    lacks = missing_scopes(me.scopes, user, hub.server) if me.scopes else []
    if lacks and "access:servers" not in lacks:
        can_not = {"read:servers": "see whether it runs", "start:servers": "start it"}
        terminal.warn(
            f"The token lacks {' and '.join(lacks)}: jrc can use a running server, but not "
            + " or ".join(can_not[scope] for scope in lacks)
            + "."
        )


def _show(page: str) -> None:
    """Open a page in the browser, if there is one: the person sees the URL anyway."""
    import os
    import sys
    import webbrowser

    screen = {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & os.environ.keys()
    # Elsewhere a text browser would take the terminal that the token is to be pasted into.
    if screen or sys.platform in ("darwin", "win32"):
        webbrowser.open(page)
