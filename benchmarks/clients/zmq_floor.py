"""Floor: bare ZMQ sockets to a local kernel, a running one or one that is started for the notebook.

``python -m benchmarks.clients.zmq_floor [--connection FILE] NOTEBOOK OUT``
"""

import argparse
import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import Any

import zmq

from benchmarks.clients.connection import start_kernel
from benchmarks.clients.notebook import SESSION, Notebook, Parts, request

DELIMITER = b"<IDS|MSG>"
PROBE_MS = 100


class Kernel:
    """The shell and iopub sockets of a local kernel.

    Args:
        connection: contents of its connection file.
    """

    def __init__(self, connection: dict[str, Any]) -> None:
        self._key = connection["key"].encode()
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._shell = context.socket(zmq.DEALER)
        self._shell.setsockopt(zmq.IDENTITY, SESSION.encode())
        self._iopub = context.socket(zmq.SUB)
        self._iopub.setsockopt(zmq.RCVHWM, 0)
        self._iopub.setsockopt(zmq.SUBSCRIBE, b"")
        address = f"tcp://{connection['ip']}"
        self._shell.connect(f"{address}:{connection['shell_port']}")
        self._iopub.connect(f"{address}:{connection['iopub_port']}")
        self._poller = zmq.Poller()
        self._poller.register(self._shell, zmq.POLLIN)
        self._poller.register(self._iopub, zmq.POLLIN)

    def wait_until_ready(self) -> None:
        """Ask who it is until it answers on iopub too: a subscription takes effect unannounced."""
        while True:
            self.send(request("kernel_info_request", {})[1])
            self._shell.recv_multipart()
            if self._iopub.poll(PROBE_MS):
                return

    def send(self, parts: Parts) -> None:
        self._shell.send_multipart([DELIMITER, self._sign(parts), *parts])

    def receive(self) -> list[list[bytes]]:
        """Wait for messages; returns the parts of one from each socket that has any."""
        messages = []
        for ready, _ in self._poller.poll():
            frames = ready.recv_multipart()
            start = frames.index(DELIMITER) + 1
            parts = frames[start + 1 :]
            if not hmac.compare_digest(self._sign(parts[:4]), frames[start]):
                raise ValueError("a message with a wrong signature")
            messages.append(parts)
        return messages

    def _sign(self, parts: Parts) -> bytes:
        signature = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts:
            signature.update(part)
        return signature.hexdigest().encode()


def execute(kernel: Kernel, notebook: Notebook) -> None:
    while parts := notebook.next_request():
        kernel.send(parts)
        done = False
        while not done:
            for message in kernel.receive():
                done = notebook.receive(message) or done


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--connection", type=Path)
    parser.add_argument("notebook", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    notebook = Notebook(options.notebook)
    process = None
    connection = options.connection
    if connection is None:
        connection = options.out.with_suffix(".connection.json")
        process = start_kernel(connection)
    kernel = Kernel(json.loads(connection.read_bytes()))
    kernel.wait_until_ready()
    execute(kernel, notebook)
    notebook.save(options.out)
    if process:
        process.kill()
        process.wait()
    # No context.term(): a floor waits for nobody.
    os._exit(0)


if __name__ == "__main__":
    main()
