"""Floor: one bare socket to a Jupyter Server, nothing but the standard library.

``python -m benchmarks.clients.websocket_floor [--kernel-id ID] URL NOTEBOOK OUT``, with the token
in ``JRC_TOKEN``.
"""

import argparse
import base64
import json
import os
import socket
import sys
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.clients.notebook import SESSION, Notebook, Parts

PROTOCOL = "v1.kernel.websocket.jupyter.org"

BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
"""Websocket opcodes (RFC 6455, section 5.2)."""


class Connection:
    """One TCP connection to the server, first for HTTP, then perhaps for a websocket."""

    def __init__(self, url: str, token: str) -> None:
        self._host = urlsplit(url).netloc
        name, _, port = self._host.partition(":")
        self._token = token
        self._socket = socket.create_connection((name, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb", buffering=1 << 20)

    def rest(self, method: str, path: str, body: bytes = b"") -> bytes:
        """One REST call; returns the body of the answer."""
        headers = self._ask(method, path, {"Content-Length": str(len(body))}, body)
        return self._read(int(headers.get("content-length", "0")))

    def upgrade(self, kernel_id: str) -> None:
        """Turn this connection into the websocket of a kernel's channels."""
        path = f"/api/kernels/{kernel_id}/channels?session_id={SESSION}"
        wanted = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": PROTOCOL,
        }
        headers = self._ask("GET", path, wanted)
        if headers.get("sec-websocket-protocol") != PROTOCOL:
            sys.exit("The server does not speak the v1 subprotocol.")

    def send(self, payload: bytes, opcode: int = BINARY) -> None:
        """Send one websocket frame, masked as clients must."""
        size = len(payload)
        if size < 126:
            length = bytes([0x80 | size])
        elif size < 1 << 16:
            length = bytes([0xFE]) + size.to_bytes(2, "big")
        else:
            length = bytes([0xFF]) + size.to_bytes(8, "big")
        mask = os.urandom(4)
        key = (mask * (size // 4 + 1))[:size]
        masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
        frame = bytes([0x80 | opcode]) + length + mask + masked.to_bytes(size, "big")
        self._socket.sendall(frame)

    def receive(self) -> memoryview:
        """The payload of the next binary frame."""
        while True:
            self._acknowledge_at_once()
            first, second = self._read(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(self._read(2 if size == 126 else 8), "big")
            payload = self._read(size)
            opcode = first & 0x0F
            if opcode == BINARY:
                return memoryview(payload)
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode == CLOSE:
                sys.exit("The server closed the websocket.")

    def _read(self, size: int) -> bytes:
        data: bytes = self._reader.read(size)
        if len(data) < size:
            sys.exit("The connection was lost.")
        return data

    def _acknowledge_at_once(self) -> None:
        """Tornado leaves Nagle's algorithm on: a delayed acknowledgement would cost 40 ms."""
        if sys.platform == "linux":
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes = b""
    ) -> dict[str, str]:
        """Send one HTTP request; returns the headers of a fine answer, names in lower case."""
        headers = {"Host": self._host, "Authorization": f"token {self._token}", **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        status = self._reader.readline().decode()
        if status.split()[1] not in ("101", "200", "201", "204"):
            sys.exit(f"{method} {path}: {status}")
        answered = {}
        while line := self._reader.readline().decode().strip():
            name, _, value = line.partition(":")
            answered[name.lower()] = value.strip()
        return answered


def encode(channel: bytes, parts: Parts) -> bytes:
    """A message in the v1 subprotocol."""
    frames = [channel, *parts]
    offsets = [8 * (len(frames) + 2)]
    for frame in frames:
        offsets.append(offsets[-1] + len(frame))
    numbers = [len(offsets), *offsets]
    return b"".join([*(number.to_bytes(8, "little") for number in numbers), *frames])


def decode(frame: memoryview) -> list[memoryview]:
    """Header, parent_header, metadata, content and buffers of a message in the v1 subprotocol."""
    numbers = frame[: 8 * (1 + int.from_bytes(frame[:8], "little"))].cast("Q")
    offsets = numbers[1:].tolist()
    return [frame[a:b] for a, b in pairwise(offsets[1:])]


def execute(websocket: Connection, notebook: Notebook) -> None:
    while parts := notebook.next_request():
        websocket.send(encode(b"shell", parts))
        while not notebook.receive(decode(websocket.receive())):
            pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernel-id")
    parser.add_argument("url")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    token = os.environ["JRC_TOKEN"]
    notebook = Notebook(options.notebook)
    kernel_id = options.kernel_id
    control = None
    if kernel_id is None:
        control = Connection(options.url, token)
        answer = control.rest("POST", "/api/kernels", b'{"name": "python3"}')
        kernel_id = json.loads(answer)["id"]
    websocket = Connection(options.url, token)
    websocket.upgrade(kernel_id)
    execute(websocket, notebook)
    notebook.save(options.out)
    if control:
        control.rest("DELETE", f"/api/kernels/{kernel_id}")


if __name__ == "__main__":
    main()
