"""``jrc login`` where you have an account: a token, pasted or made for a password, and your server.

A hub is of this kind. It makes the tokens, and starts the server that they are for.
"""

import os
import socket
import sys
from dataclasses import replace

from jrc.cli.login.credentials import (
    Credential,
    ask_hidden,
    from_environment,
    read_token,
)
from jrc.cli.login.target import Login
from jrc.errors import UsageError
from jrc.profile.environment import secrets_withheld
from jrc.profile.model import Profile
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.client import ServerClient
from jrc.server.http_errors import login_at


async def log_in_with_account(
    login: Login, given: Credential | None
) -> tuple[Profile, Credential | None]:
    """Log in, and start the server if it is down.

    Returns:
        the profile, which holds the URL of what makes the tokens and names your server there; and
        the token, None where the credential command gives it.

    Raises:
        AuthError: the token is refused, or may not do what is needed.
        UnreachableError, DeadlineError: the server could not be started.
    """
    draft = _draft(login)
    credential = None
    if given or not login.approach.access.credential_command:
        credential = await _token(draft, login, given)
    user = await _check_and_start(draft, login, credential)
    return replace(draft, auth="token" if credential else "none", user=user), credential


def _draft(login: Login) -> Profile:
    """The profile from what was typed, else what the URL says, else what was saved."""
    detected, identity, before = login.detected, login.identity, login.target.before
    same = before if before and before.url == detected.url else None
    return login.profile(
        detected.url,
        auth="token",
        user=identity.user or detected.user or (same.user if same else ""),
        server=detected.server if identity.server is None else identity.server,
        options=identity.server_options or (same.options if same else {}),
    )


async def _token(draft: Profile, login: Login, given: Credential | None) -> Credential:
    given = given or from_environment("token")
    if given and given.auth == "token":
        return given
    if given or login.identity.user:
        password = given.secret if given else None
        return Credential(await _make_token(draft, password, login), "token")
    return Credential(read_token(_ask_for_token(login)), "token")


async def _make_token(draft: Profile, password: Secret | None, login: Login) -> Secret:
    """A token for a user name and a password; both are asked for where they are missing.

    Raises:
        AuthError: they are not accepted.
        UsageError: no token is made for them there.
    """
    address, kind, terminal = ServerAddress(login.detected.url), login.kind, login.terminal
    if login.detected.auth != "password":
        raise UsageError(
            f"The {kind.name} at {address.base_url} has no login with a password.",
            hint=f"Make a token at {kind.token_page(address)} and paste it: "
            f"{login_at(address.base_url)}",
        )
    user = draft.user or terminal.ask("User name", without="Add --user NAME")
    if password is None:
        password = Secret(terminal.ask("Password", hidden=True, without="Add --password-stdin"))
    note = f"jrc on {socket.gethostname()}"
    token = await kind.make_token(address, login.approach.way, user, password, note)
    terminal.say(f"The {kind.name} made a token for jrc; the password is not saved.")
    return token


def _ask_for_token(login: Login) -> str:
    """A token that you make in the browser and paste here.

    Raises:
        ConfigError: there is no terminal.
        InterruptedByUserError: nothing was pasted.
    """
    page = login.kind.token_page(ServerAddress(login.detected.url))
    terminal = login.terminal
    if terminal.interactive:
        terminal.say(f"Make a token on this page and paste it here: {page}")
        _show(page)
    without = "Add --token-stdin, or --user NAME --password-stdin."
    return ask_hidden("Token", "token", terminal, without=without)


async def _check_and_start(draft: Profile, login: Login, credential: Credential | None) -> str:
    """Check a token, start the server if it is down, and ask it something.

    Returns:
        whose server it is.
    """
    kind, terminal = login.kind, login.terminal
    there = (ServerAddress(login.detected.url), login.auth(credential), login.approach.way)
    identity = await kind.identify(draft, *there)
    for warning in identity.warnings:
        terminal.warn(warning)
    address = await kind.find_server(draft, *there, terminal.say)
    async with ServerClient(address, *there[1:]) as running:
        await running.verify()
        terminal.say(f"Server {address.base_url} runs Jupyter Server {await running.version()}")
    return draft.user or identity.user


def _show(page: str) -> None:
    """Open a page in the browser, if there is one: the terminal shows the URL anyway."""
    import webbrowser

    screen = {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & os.environ.keys()
    # Elsewhere a text browser would take the terminal that the token is to be pasted into.
    if screen or sys.platform in ("darwin", "win32"):
        with secrets_withheld():
            webbrowser.open(page)
