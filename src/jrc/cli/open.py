"""``jrc open``: the server's own page in the browser."""

from typing import TYPE_CHECKING, Annotated

import typer

from jrc.cli.lazy import plain_typer
from jrc.cli.profile import NameOrDefault
from jrc.cli.terminal import Terminal
from jrc.cli.tunnel_talk import TunnelTalk
from jrc.errors import DeadlineError
from jrc.profile.environment import secrets_withheld
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.profile.secrets import SecretStore
from jrc.profile.store import ProfileStore

if TYPE_CHECKING:
    from jrc.cli.login_page import OneTimePage

app = plain_typer(add_completion=False)

PAGE_SECONDS = 60.0
"""How long the one-time page waits for a browser."""


@app.command("open")
def open_page(
    profile: NameOrDefault = None,
    show: Annotated[
        bool, typer.Option("--print", help="Print the address instead of opening it.")
    ] = False,
) -> None:
    """Open the server's page in the browser, logged in.

    The browser gets a page on this machine, once and for you only, that logs it in. The token is in
    no URL and in no process list.

    \b
    Example:
      jrc open team
    """
    import asyncio

    from jrc.server.address import ServerAddress
    from jrc.server.open import chosen_profile

    terminal, paths = Terminal(), Paths.from_environment()
    chosen = chosen_profile(profile, paths=paths) or ProfileStore(paths).get(profile)
    url = asyncio.run(_reachable_url(chosen, paths, terminal))
    address, pasted = ServerAddress.parse(url)
    token = pasted or _token(chosen, paths)
    if token is None:
        _open(address.base_url, terminal, show=show)
        return
    from jrc.cli.login_page import OneTimePage, login_page

    with OneTimePage(*login_page(address.base_url, token)) as page:
        _lead_there(page, paths, terminal, show=show)


async def _reachable_url(profile: Profile, paths: Paths, terminal: Terminal) -> str:
    if profile.kubernetes is None:
        return profile.url
    from jrc.tunnel.connect import ensure_keeper, spec_of

    with TunnelTalk(terminal) as talk:
        return (await ensure_keeper(spec_of(profile), paths, on_progress=talk)).url


def _token(profile: Profile, paths: Paths) -> Secret | None:
    """What the server's login form takes; None where the browser is to ask the person.

    A password is theirs to type, and an account's page has a login of its own.
    """
    from jrc.server.kinds import kind_of

    if profile.auth != "token" or kind_of(profile).makes_tokens:
        return None
    found = SecretStore(paths).get(profile.name)
    return found[0] if found else None


def _lead_there(page: "OneTimePage", paths: Paths, terminal: Terminal, *, show: bool) -> None:
    if show:
        _wait_for_a_person(page, terminal)
        return
    with page.for_argv(paths.state / "open") as address:
        if _opens(address):
            _wait(page)
        else:
            terminal.say("No browser could be started.")
            _wait_for_a_person(page, terminal)


def _wait_for_a_person(page: "OneTimePage", terminal: Terminal) -> None:
    terminal.say(f"Open this address on this machine. It works once, for {PAGE_SECONDS:g} s:")
    terminal.data(page.address)
    _wait(page)


def _wait(page: "OneTimePage") -> None:
    if not page.wait(PAGE_SECONDS):
        raise DeadlineError(f"No browser of yours came within {PAGE_SECONDS:g} s.")


def _open(url: str, terminal: Terminal, *, show: bool) -> None:
    if show or not _opens(url):
        terminal.data(url)


def _opens(address: str) -> bool:
    import webbrowser

    with secrets_withheld():
        return webbrowser.open(address)
