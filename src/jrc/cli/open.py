"""``jrc open``: the server's own page in the browser."""

import secrets
import threading
from types import TracebackType
from typing import Annotated, Self
from urllib.parse import urlencode

import typer

from jrc.cli.lazy import plain_typer
from jrc.cli.profile import NameOrDefault
from jrc.cli.terminal import Terminal
from jrc.cli.tunnel_talk import TunnelTalk
from jrc.errors import DeadlineError
from jrc.profile.environment import secrets_withheld
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.secrets import SecretStore
from jrc.profile.store import ProfileStore

app = plain_typer(add_completion=False)

REDIRECT_SECONDS = 60.0
"""How long the one-time address waits for a browser."""


@app.command("open")
def open_page(
    profile: NameOrDefault = None,
    show: Annotated[
        bool, typer.Option("--print", help="Print the address instead of opening it.")
    ] = False,
) -> None:
    """Open the server's page in the browser, logged in.

    The browser gets a one-time address on this machine that redirects to the server, so the token
    appears in no process list.

    \b
    Example:
      jrc open team
    """
    import asyncio

    terminal, paths = Terminal(), Paths.from_environment()
    chosen = ProfileStore(paths).get(profile)
    url = asyncio.run(_reachable_url(chosen, paths, terminal))
    _lead_there(_with_token(url, chosen, paths), terminal, show=show)


async def _reachable_url(profile: Profile, paths: Paths, terminal: Terminal) -> str:
    if profile.kubernetes is None:
        return profile.url
    from jrc.tunnel.connect import ensure_keeper, spec_of

    with TunnelTalk(terminal) as talk:
        return (await ensure_keeper(spec_of(profile), paths, on_progress=talk)).url


def _with_token(url: str, profile: Profile, paths: Paths) -> str:
    """The final address. A server with a password asks for it in the browser."""
    found = SecretStore(paths).get(profile.name) if profile.auth == "token" else None
    return f"{url}?{urlencode({'token': found[0].reveal()})}" if found else url


def _lead_there(url: str, terminal: Terminal, *, show: bool) -> None:
    with OneTimeRedirect(url) as redirect:
        if show:
            terminal.data(redirect.address)
        elif not _opens(redirect.address):
            terminal.say("No browser could be started. Open this address, it works once:")
            terminal.data(redirect.address)
        if not redirect.wait(REDIRECT_SECONDS):
            raise DeadlineError(f"No browser came within {REDIRECT_SECONDS:g} s.")


def _opens(address: str) -> bool:
    import webbrowser

    with secrets_withheld():
        return webbrowser.open(address)


class OneTimeRedirect:
    """Answers the first request for its random address with the way to ``url``, the others 404.

    Args:
        url: where the browser is to go.

    Attributes:
        address: what to give to the browser.
    """

    def __init__(self, url: str) -> None:
        # Imported late: help needs none of it.
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        path = f"/{secrets.token_urlsafe(32)}"
        used = self._used = threading.Event()
        unused = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                right = secrets.compare_digest(self.path.encode(), path.encode())
                if not (right and unused.acquire(blocking=False)):
                    self.send_error(404)
                    return
                self.send_response(302)
                self.send_header("Location", url)
                self.send_header("Cache-Control", "no-store")
                self.send_header("Referrer-Policy", "no-referrer")
                self.send_header("Content-Length", "0")
                self.end_headers()
                used.set()

            def log_message(self, *_: object) -> None:
                """Nothing of this goes into a log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def wait(self, seconds: float) -> bool:
        """Whether the browser came within so long."""
        return self._used.wait(seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
