"""The proxy of a company: it knows hosts that we do not, and passes TLS through (CONNECT)."""

import contextlib
import select
import socket
import socketserver
import threading
from typing import Self


class ConnectProxy:
    """A context manager; listens on 127.0.0.1.

    Args:
        hosts: by the name and port that clients ask for, where that really is.

    Attributes:
        url: for ``HTTPS_PROXY``.
        asked: what clients asked for, in order.
    """

    def __init__(self, hosts: dict[str, tuple[str, int]]) -> None:
        self.asked: list[str] = []
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                method, target, _ = self.rfile.readline().decode().split()
                while self.rfile.readline() not in (b"\r\n", b""):
                    pass
                proxy.asked.append(f"{method} {target}")
                if target not in hosts:
                    self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    return
                with socket.create_connection(hosts[target]) as there:
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    with contextlib.suppress(OSError):
                        _pass_on(self.connection, there)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    """Both ways, until one of them ends."""
    peers = {one: other, other: one}
    while True:
        ready, _, _ = select.select(list(peers), [], [], 60)
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            peers[source].sendall(data)
