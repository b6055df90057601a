"""Another program that takes a freed port of this machine, and notes what it is sent there.

Where the tests run as root it is another user's, else the same user's.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAM = """
import os, socket, sys, threading, time

notes = open(sys.argv[2], "ab", buffering=0)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
while True:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", int(sys.argv[1])))
        listener.listen(50)
        break
    except OSError:
        listener.close()
        time.sleep(0.0002)
notes.write(b"LISTENS ")

def serve(connection):
    answer = b'HTTP/1.1 200 OK\\r\\nContent-Length: 21\\r\\n\\r\\n{"version": "2.14.0"}'
    while data := connection.recv(65536):
        notes.write(data)
        connection.sendall(answer)

while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
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
    """A program that takes a port as soon as it is free."""
    notes = folder / f"heard-{port}"
    notes.touch()
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(port), str(notes)])
    try:
        yield Stranger(notes)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
