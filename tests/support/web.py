"""A web server that gives prepared answers: for those that no server of Jupyter's own gives."""

import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass(frozen=True)
class Reply:
    """A prepared answer. Status 0 closes the connection without one."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


_NOTHING = Reply(404, b'{"message": "nothing here"}')


@dataclass(frozen=True)
class Request:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Web:
    """A server on 127.0.0.1.

    Args:
        replies: by path; where there are several, they are given one after the other and then the
            last one again.
        tls: speak TLS.
        otherwise: the answer for any other path.
    """

    def __init__(
        self,
        replies: dict[str, Reply | list[Reply]],
        *,
        tls: ssl.SSLContext | None = None,
        otherwise: Reply = _NOTHING,
    ) -> None:
        self.requests: list[Request] = []
        self._otherwise = otherwise
        self._replies = {
            path: list(reply) if isinstance(reply, list) else [reply]
            for path, reply in replies.items()
        }
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(size)
                web.requests.append(Request(self.command, self.path, headers, body))
                reply = web._reply(self.path)
                if reply.status == 0:
                    self.close_connection = True
                    return
                self.send_response_only(reply.status)
                self.send_header("Server", "Web")
                if "Date" not in reply.headers:
                    self.send_header("Date", self.date_time_string())
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", reply.content_type)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that refuses the certificate is what the test wants."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _reply(self, path: str) -> Reply:
        replies = self._replies.get(path)
        if not replies:
            return self._otherwise
        return replies.pop(0) if len(replies) > 1 else replies[0]
