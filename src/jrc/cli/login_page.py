"""A page on this machine that logs the browser in at a server, for its own user only.

A token in a URL stays in the browser's history, in the server's log and in what the page links to.
So the page posts it, as the server's own login form does, and the server gives a cookie for it.

Other users of this machine can list the arguments of programs, so the page's address is no secret.
On Linux the system says whose connection it is, and only yours gets the page. Elsewhere the browser
gets a file that only you can read and that leads to the address.
"""

import os
import secrets
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Self

from jrc.profile.files import write_atomically
from jrc.profile.secret import Secret
from jrc.tunnel import Address
from jrc.tunnel.tcp_table import ESTABLISHED, Row, end_of, rows


def login_page(base_url: str, token: Secret) -> tuple[bytes, str]:
    """A page that posts a token to a server's login form, and the policy that it needs.

    The server takes the token twice: as the proof that the form is no other site's, and as what was
    typed.

    Source: jupyter_server ``base/handlers.py``, ``check_xsrf_cookie``; ``auth/identity.py``.
    """
    nonce = secrets.token_urlsafe(16)
    value = escape(token.reveal())
    page = (
        "<!doctype html><meta charset=utf-8><title>jrc open</title>"
        f'<form method=post action="{escape(base_url)}login">'
        f'<input type=hidden name=token value="{value}">'
        f'<input type=hidden name=password value="{value}">'
        "<button>Log in</button></form>"
        f"<script nonce={nonce}>document.forms[0].submit()</script>"
    )
    return page.encode(), f"default-src 'none'; script-src 'nonce-{nonce}'; base-uri 'none'"


class OneTimePage:
    """Gives a page once, to the first request for its address that is this user's.

    Args:
        page: what it gives.
        policy: the page's Content-Security-Policy.

    Attributes:
        address: of the page.
        proves: the system says whose a connection is, so that the address need not be secret.
    """

    def __init__(self, page: bytes, policy: str) -> None:
        # Imported late: help needs none of it.
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        path = f"/{secrets.token_urlsafe(32)}"
        used = self._used = threading.Event()
        unused = threading.Lock()
        self.proves = proves = _table_can_be_read()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                right = secrets.compare_digest(self.path.encode(), path.encode())
                ours = not proves or is_ours(self.client_address, self.connection.getsockname())
                if not (right and ours and unused.acquire(blocking=False)):
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Security-Policy", policy)
                self.send_header("Cache-Control", "no-store")
                self.send_header("Referrer-Policy", "no-referrer")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)
                used.set()

            def log_message(self, *_: object) -> None:
                """Nothing of this goes into a log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    @contextmanager
    def for_argv(self, folder: Path) -> Iterator[str]:
        """What a browser may get as its argument, which others can read.

        Args:
            folder: for the file, where one is needed.
        """
        if self.proves:
            yield self.address
            return
        file = folder / f"{secrets.token_hex(8)}.html"
        page = f'<!doctype html><meta http-equiv=refresh content="0;url={self.address}">'
        write_atomically(file, page, private=True)
        try:
            yield file.as_uri()
        finally:
            with suppress(OSError):
                file.unlink()

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


def is_ours(client: Address, server: Address) -> bool:
    """Whether this user has the client's end of a connection on this machine. Linux only.

    Args:
        client, server: the ends of the connection, which stands.
    """
    for table in ("tcp", "tcp6"):
        with suppress(OSError, ValueError):
            if _user_of(rows(table), client, server) == os.geteuid():
                return True
    return False


def _user_of(sockets: Iterable[Row], client: Address, server: Address) -> int | None:
    """The user of an open connection. Pure."""
    local, remote = end_of(client), end_of(server)
    for row in sockets:
        if (
            row.local.endswith(local)
            and row.remote.endswith(remote)
            and row.state == ESTABLISHED
            # A connection whose program has closed it belongs to nobody, and shows root.
            and row.inode
        ):
            return row.user
    return None


def _table_can_be_read() -> bool:
    return sys.platform == "linux" and os.access("/proc/net/tcp", os.R_OK)
