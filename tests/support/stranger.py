"""Other programs that take a freed port of this machine, and note what they are sent there.

Where the tests run as root it is another user's, else the same user's.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TAKES_PORT = """
import os, socket, sys, threading, time

port = int(sys.argv[1])
notes = open(sys.argv[2], "ab", buffering=0)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
while True:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(50)
        break
    except OSError:
        listener.close()
        time.sleep(0.0002)
notes.write(b"LISTENS ")
"""

_ANSWERS = """
def serve(connection):
    answer = b'HTTP/1.1 200 OK\\r\\nContent-Length: 21\\r\\n\\r\\n{"version": "2.14.0"}'
    while data := connection.recv(65536):
        notes.write(data)
        connection.sendall(answer)

while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""

_PASSES_ON = """
connection, (_, client_port) = listener.accept()
# The port is free again for a keeper, and the connection stays.
listener.close()
notes.write(question := connection.recv(65536))

def to_keeper():
    while True:
        keeper = socket.socket()
        # At best, from the very end that the client has.
        for option in ("SO_REUSEADDR", "SO_REUSEPORT"):
            if hasattr(socket, option):
                keeper.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
        try:
            if host := sys.argv[3]:
                keeper.bind((host, client_port))
            keeper.connect(("127.0.0.1", port))
            return keeper
        except ConnectionRefusedError:
            time.sleep(0.01)

try:
    keeper = to_keeper()
    keeper.sendall(question)
    keeper.settimeout(20)
    answer = keeper.makefile("rb").readline()
    notes.write(b"ANSWER " + answer)
    connection.sendall(answer)
    while data := connection.recv(65536):
        notes.write(data)
except OSError as error:
    notes.write(b"FAILED %d" % error.errno)
connection.close()
"""


class Stranger:
    """The program, once it was started."""

    def __init__(self, notes: Path) -> None:
        self._notes = notes

    @property
    def listens(self) -> bool:
        """It has the port."""
        return self._notes.read_bytes().startswith(b"LISTENS ")

    @property
    def heard(self) -> bytes:
        """What it was sent."""
        return self._notes.read_bytes().removeprefix(b"LISTENS ")


@contextmanager
def stranger_waits_for(port: int, folder: Path) -> Iterator[Stranger]:
    """A program that takes a port as soon as it is free, and answers."""
    with _program(_ANSWERS, port, folder) as stranger:
        yield stranger


@contextmanager
def stranger_passes_on(port: int, folder: Path, host: str) -> Iterator[Stranger]:
    """A program that lets go of a port again, and passes the first question there on to a keeper.

    Args:
        port: as above.
        folder: for its notes: the question, ``ANSWER`` and what the keeper answered, and what the
            client sent then; or ``FAILED`` and why the question could not be passed on.
        host: the address from which it connects to the keeper, with the port that the client has;
            empty to connect from anywhere.
    """
    with _program(_PASSES_ON, port, folder, host) as stranger:
        yield stranger


@contextmanager
def _program(then: str, port: int, folder: Path, *more: str) -> Iterator[Stranger]:
    notes = folder / f"heard-{port}"
    notes.touch()
    argv = [sys.executable, "-c", _TAKES_PORT + then, str(port), str(notes), *more]
    process = subprocess.Popen(argv)
    try:
        yield Stranger(notes)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
