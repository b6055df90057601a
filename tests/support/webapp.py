"""A small HTTP server that stands for Jupyter where a test needs it to misbehave on command."""

import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

CHUNK = bytes(range(256)) * 256


class WebApp:
    """``with WebApp() as app``: answers ``GET /api`` as Jupyter does, and more.

    ``/big/N`` sends N bytes, ``/half`` begins an answer and waits, ``/reset`` resets the link,
    ``/drop`` closes it without an answer, ``POST`` gives the body back.

    Attributes:
        name: what it says of itself in each answer.
        status: what ``/api`` answers with.
        seen: ``METHOD PATH`` of each request.
    """

    def __init__(self, name: str = "app", *, port: int = 0) -> None:
        self.name = name
        self.status = 200
        self.seen: list[str] = []
        self.go_on = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.app = self
        self.address: tuple[str, int] = ("127.0.0.1", self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    app: WebApp
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A broken connection is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        app = self.server.app
        app.seen.append(f"GET {self.path}")
        if self.path.startswith("/big/"):
            self._big(int(self.path.removeprefix("/big/")))
        elif self.path == "/half":
            self.send_response(200)
            self.send_header("Content-Length", "8")
            self.end_headers()
            self.wfile.write(b"half")
            app.go_on.wait(60)
            self.wfile.write(b"half")
        elif self.path == "/drop":
            self.close_connection = True
        elif self.path == "/reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
        else:
            self._answer(app.status, b'{"version": "2.0", "name": "%s"}' % app.name.encode())

    def do_POST(self) -> None:
        self.server.app.seen.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/drop":
            self.close_connection = True
        else:
            self._answer(200, body)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _big(self, size: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        while size:
            part = CHUNK[:size]
            self.wfile.write(part)
            size -= len(part)
