"""A one-time address on this machine that leads to another one, which may carry a token."""

import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class OneTimeRedirect:
    """Answers the first request for its random address with the way to ``url``, the others 404.

    Args:
        url: where the browser is to go.

    Attributes:
        address: what to give to the browser.
    """

    def __init__(self, url: str) -> None:
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
