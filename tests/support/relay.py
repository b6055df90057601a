"""``jrc-kernel`` as an editor runs it: through a kernelspec, by a kernel manager."""

import contextlib
import json
import os
import queue
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

Content = dict[str, Any]

START_SECONDS = 60


@contextlib.contextmanager
def free_ports(count: int) -> Iterator[list[int]]:
    """Ports that nobody listens on, free again when the block ends."""
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        yield [one.getsockname()[1] for one in bound]


def relay_argv(connection_file: str = "{connection_file}") -> list[str]:
    """The argv of a relay."""
    return [sys.executable, "-m", "jrc.relay.main", "-f", connection_file]


def write_kernelspec(folder: Path, name: str = "remote", **env: str) -> None:
    """Write a kernelspec as ``jrc connect`` does, below a folder of ``JUPYTER_PATH``.

    Args:
        folder: the one that ``JUPYTER_PATH`` names.
        name: of the kernelspec.
        env: the environment that it gives the relay.
    """
    spec = {
        "argv": relay_argv(),
        "display_name": f"Remote ({name})",
        "language": "python",
        "interrupt_mode": "message",
        "env": {"JRC_KERNEL": "python3"} | env,
        "metadata": {"supported_encryption": ["curve"]},
    }
    place = folder / "kernels" / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "kernel.json").write_text(json.dumps(spec))


@dataclass
class Cell:
    """What one execution brought.

    Attributes:
        reply: content of the ``execute_reply``.
        messages: type and content of what was published for it, without status and input.
    """

    reply: Content = field(default_factory=dict)
    messages: list[tuple[str, Content]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What it wrote to stdout."""
        return "".join(
            content["text"]
            for kind, content in self.messages
            if kind == "stream" and content["name"] == "stdout"
        )

    @property
    def notices(self) -> str:
        """What it wrote to stderr."""
        return "".join(
            content["text"]
            for kind, content in self.messages
            if kind == "stream" and content["name"] == "stderr"
        )


def answer_to(
    client: BlockingKernelClient, msg_id: str, channel: str = "shell", *, timeout: float = 30
) -> dict[str, Any]:
    """The reply to a request of a client; those to earlier ones are passed over."""
    get = {"shell": client.get_shell_msg, "control": client.get_control_msg}[channel]
    while True:
        reply: dict[str, Any] = get(timeout=timeout)
        if reply["parent_header"].get("msg_id") == msg_id:
            return reply


def ask_control(client: BlockingKernelClient, msg_type: str, content: Content) -> dict[str, Any]:
    """Send a request on control and wait for its reply."""
    request = client.session.msg(msg_type, content)
    client.control_channel.send(request)
    return answer_to(client, request["header"]["msg_id"], "control")


class Kernel:
    """One relay process with one blocking client.

    Args:
        name: of the kernelspec.
        encryption: what the manager demands, as its ``transport_encryption``.
        env: variables on top of the test's own.
    """

    def __init__(self, name: str = "remote", *, encryption: str = "disabled", **env: str) -> None:
        self.manager = KernelManager(kernel_name=name, transport_encryption=encryption)
        self.manager.start_kernel(env={**os.environ, **env})
        self._received: list[Content] = []
        self._by_parent: dict[str, list[Content]] = defaultdict(list)
        self._looked_at = 0
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()

    @property
    def process(self) -> Any:
        """The ``Popen`` of the relay."""
        provisioner: Any = self.manager.provisioner
        return provisioner.process

    @contextlib.contextmanager
    def another_client(self) -> Iterator[BlockingKernelClient]:
        """One more client, with an identity of its own, ready."""
        client = BlockingKernelClient(connection_file=self.manager.connection_file)
        client.load_connection_file()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=START_SECONDS)
            yield client
        finally:
            client.stop_channels()

    def ready(self) -> "Kernel":
        """Wait until the remote kernel has answered."""
        self.client.wait_for_ready(timeout=START_SECONDS)
        return self

    def run(self, code: str, *, timeout: float = 60) -> Cell:
        """Execute code and wait for both its reply and its idle."""
        return self.finish(self.client.execute(code), timeout=timeout)

    def finish(self, msg_id: str, *, timeout: float = 60) -> Cell:
        """Wait for the reply and the idle of a request."""
        deadline = time.monotonic() + timeout
        while True:
            cell, idle = Cell(), False
            for message in self._by_parent[msg_id]:
                kind, content = message["msg_type"], message["content"]
                if kind.endswith("_reply"):
                    cell.reply = content
                elif kind == "status":
                    idle = content["execution_state"] == "idle"
                elif kind != "execute_input":
                    cell.messages.append((kind, content))
            if idle and cell.reply:
                return cell
            if time.monotonic() > deadline:
                raise AssertionError(f"not finished within {timeout} s: {cell}")
            self._receive()

    def published(self, msg_type: str, *, timeout: float = 30, **content: object) -> Content:
        """The next iopub message of this type that has these fields."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self._receive()
            while self._looked_at < len(self._received):
                message = self._received[self._looked_at]
                self._looked_at += 1
                if (
                    message["msg_type"] == msg_type
                    and content.items() <= message["content"].items()
                ):
                    return message
        raise AssertionError(f"no {msg_type} with {content} within {timeout} s")

    def reply(self, msg_id: str, *, timeout: float = 30) -> Content:
        """The content of the reply to a request on shell."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self._receive()
            for message in self._by_parent[msg_id]:
                if message["msg_type"].endswith("_reply"):
                    content: Content = message["content"]
                    return content
        raise AssertionError(f"no reply within {timeout} s")

    def answered(self, msg_id: str) -> bool:
        """A reply to a request on shell is here."""
        self._receive()
        return any(m["msg_type"].endswith("_reply") for m in self._by_parent[msg_id])

    def _receive(self) -> None:
        """Take what has arrived; wait a moment where nothing has."""
        sockets = [self.client.iopub_channel.socket, self.client.shell_channel.socket]
        if not zmq.select(sockets, [], [], 0.1)[0]:
            return
        for get in (self.client.get_iopub_msg, self.client.get_shell_msg):
            with contextlib.suppress(queue.Empty):
                while True:
                    message = get(timeout=0)
                    self._received.append(message)
                    self._by_parent[message["parent_header"].get("msg_id", "")].append(message)

    def wait_for_exit(self, timeout: float = 20) -> int:
        """The exit code of the relay, which ends by itself."""
        code: int = self.process.wait(timeout)
        return code

    def close(self) -> None:
        """End the relay as an editor does."""
        self.client.stop_channels()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)
        self.manager.cleanup_resources()

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


StartKernel = Callable[..., Kernel]
"""What the fixture ``start_kernel`` is: takes what ``Kernel`` takes."""
