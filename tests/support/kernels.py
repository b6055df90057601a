"""Real ipykernels of several versions, in virtual environments of their own, driven over ZMQ."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupyter_client.session
import zmq
from filelock import FileLock

from jrc.wire.message import Message, encode_object, new_message

REMOVE_REQUEST = "jrc_remove_request"
"""Makes a kernel forget its recorder: nothing of jrc asks for that."""

OLDEST = (3, 8)
"""The recorder's source must run from here on."""

START_SECONDS = 60
_CHANNELS = ("shell", "iopub", "stdin", "control")


@dataclass(frozen=True)
class KernelPython:
    """An interpreter that has an ipykernel.

    Attributes:
        python: the executable.
        python_version: for example ``(3, 8)``.
        ipykernel: its version.
    """

    python: Path
    python_version: tuple[int, int]
    ipykernel: str


def interpreters() -> dict[tuple[int, int], str]:
    """The Pythons of this machine that can make virtual environments, by version."""
    minors = range(OLDEST[1], sys.version_info.minor + 4)
    names = [shutil.which(f"python3.{minor}") for minor in minors]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [name for name in names if name]
    candidates += [str(each) for each in sorted(pyenv.glob("versions/3.*/bin/python"))]
    found = {sys.version_info[:2]: sys.executable}
    for candidate in candidates:
        probe = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
        result = subprocess.run(
            [candidate, "-c", probe], capture_output=True, text=True, timeout=60, check=False
        )
        if result.returncode == 0:
            major, minor = map(int, result.stdout.split())
            if (major, minor) >= OLDEST:
                found.setdefault((major, minor), candidate)
    return found


def kernel_python(folder: Path, python: str, requirements: list[str]) -> KernelPython:
    """An interpreter with the ipykernel that is asked for, from the package index.

    Args:
        folder: where virtual environments live; one that is there already is used again.
        python: the interpreter to make it with.
        requirements: what pip shall install.
    """
    version = subprocess.check_output(
        [python, "-c", "import sys; print(*sys.version_info[:2])"], text=True, timeout=60
    )
    name = "-".join(["py", *version.split(), *requirements])
    place = folder / "".join(c if c.isalnum() or c in ".-" else "_" for c in name)
    executable = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    with FileLock(place.with_suffix(".lock")):
        if not (place / "ready").exists():
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([python, "-m", "venv", str(place)], check=True, timeout=300)
            command = [executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*command, *requirements], check=True, timeout=600)
            (place / "ready").touch()
    installed = subprocess.check_output(
        [executable, "-c", "import ipykernel; print(ipykernel.__version__)"],
        text=True,
        timeout=60,
    )
    major, minor = map(int, version.split())
    return KernelPython(executable, (major, minor), installed.strip())


class ZmqKernel:
    """A kernel process and the sockets of one client. Not a thread in sight: the test polls."""

    def __init__(self, connection: dict[str, Any], process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.connection = connection
        self._session = jupyter_client.session.Session(key=connection["key"].encode())
        self._context = zmq.Context()
        self._sockets: dict[str, Any] = {}
        self._poller = zmq.Poller()
        self._count = 0
        for channel in _CHANNELS:
            socket = self._context.socket(zmq.SUB if channel == "iopub" else zmq.DEALER)
            socket.linger = 0
            if channel == "iopub":
                socket.setsockopt(zmq.SUBSCRIBE, b"")
                # The loss between kernel and server is tested elsewhere.
                socket.rcvhwm = 0
            else:
                # stdin questions go to the identity that the request came from.
                socket.setsockopt(zmq.IDENTITY, self._session.bsession)
            port = connection[f"{channel}_port"]
            socket.connect(f"tcp://127.0.0.1:{port}")
            self._sockets[channel] = socket
            self._poller.register(socket, zmq.POLLIN)

    @property
    def session(self) -> str:
        return str(self._session.session)

    def make(
        self,
        channel: str,
        msg_type: str,
        content: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        header: dict[str, Any] | None = None,
    ) -> Message:
        """A message of this client, which is not sent yet."""
        self._count += 1
        message = new_message(
            channel,
            msg_type,
            content,
            msg_id=f"{self.session}_{self._count}",
            session=self.session,
            username="test",
            date="2026-11-22T12:00:00.000000Z",
            metadata=metadata,
        )
        if not header:
            return message
        fields = encode_object({**message.header_fields, **header})
        return Message(channel, fields, message.parent_header, message.metadata, message.content)

    def send(self, message: Message) -> str:
        """Send it; returns its id."""
        parts = [message.header, message.parent_header, message.metadata, message.content]
        signature = self._session.sign(parts)
        self._sockets[message.channel].send_multipart(
            [b"<IDS|MSG>", signature, *parts, *message.buffers]
        )
        return message.msg_id

    def poll(self, timeout: float) -> list[Message]:
        """The messages that arrive within ``timeout`` seconds: some as soon as there are any."""
        messages = []
        for socket, _ in self._poller.poll(timeout * 1000):
            channel = next(name for name, each in self._sockets.items() if each is socket)
            for _ in range(1000):
                try:
                    frames = socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                _, parts = self._session.feed_identities(frames)
                self._session.deserialize(parts)
                messages.append(Message(channel, *parts[1:5], tuple(parts[5:])))
        return messages

    def interrupt(self) -> None:
        import signal

        self.process.send_signal(signal.SIGINT)

    def close(self) -> None:
        for socket in self._sockets.values():
            socket.close()
        self._context.term()

    def another_client(self) -> "ZmqKernel":
        return ZmqKernel(self.connection, self.process)


@contextmanager
def running_kernel(
    python: KernelPython, folder: Path, env: dict[str, str] | None = None
) -> Iterator[ZmqKernel]:
    """A kernel process that answers."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "connection.json"
    home = folder / "home"
    home.mkdir(exist_ok=True)
    file.write_text(json.dumps(_connection()))
    # A kernel that finds this variable does not capture what subprocesses write.
    inherited = {name: each for name, each in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    with (folder / "kernel.log").open("wb") as log:
        process = subprocess.Popen(
            [python.python, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", str(file)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**inherited, "IPYTHONDIR": str(home / "ipython"), **(env or {})},
        )
    kernel = None
    try:
        connection = _bound(file, process)
        kernel = ZmqKernel(connection, process)
        _until_it_answers(kernel)
        yield kernel
    finally:
        if kernel is not None:
            kernel.close()
        process.kill()
        process.wait(30)


def _connection() -> dict[str, Any]:
    ports = {f"{name}_port": 0 for name in (*_CHANNELS, "hb")}
    return {
        **ports,
        "ip": "127.0.0.1",
        "transport": "tcp",
        "key": os.urandom(16).hex(),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "test",
    }


def _bound(file: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The connection, as soon as the kernel wrote the ports that it bound into the file."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"The kernel ended at its start: {file.with_name('kernel.log')}")
        try:
            connection: dict[str, Any] = json.loads(file.read_text())
        except (OSError, ValueError):
            connection = {}
        if connection.get("shell_port"):
            return connection
        time.sleep(0.02)
    raise AssertionError(f"The kernel did not bind its ports within {START_SECONDS} s")


def _until_it_answers(kernel: ZmqKernel) -> None:
    """kernel_info until there were a reply and a message on iopub: then it is subscribed."""
    deadline = time.monotonic() + START_SECONDS
    seen: set[str] = set()
    while not {"shell", "iopub"} <= seen:
        if time.monotonic() > deadline:
            raise AssertionError(f"The kernel did not answer within {START_SECONDS} s")
        kernel.send(kernel.make("shell", "kernel_info_request", {}))
        for message in kernel.poll(0.5):
            seen.add(message.channel)
    settle(kernel)


def settle(kernel: ZmqKernel, quiet: float = 0.2) -> list[Message]:
    """What arrives until nothing did for ``quiet`` seconds."""
    messages: list[Message] = []
    while new := kernel.poll(quiet):
        messages.extend(new)
    return messages


def collect(
    kernel: ZmqKernel, done: Callable[[list[Message]], bool], *, timeout: float = 60
) -> list[Message]:
    """What arrives until ``done(messages)``."""
    messages: list[Message] = []
    deadline = time.monotonic() + timeout
    while not done(messages):
        if time.monotonic() > deadline:
            types = [(each.channel, each.msg_type) for each in messages[-20:]]
            raise AssertionError(f"not within {timeout} s; the last messages: {types}")
        messages.extend(kernel.poll(0.1))
    return messages
