"""What a recorder hooks of an ipykernel, without a process, threads or sockets."""

import json
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from jupyter_client.session import Session

from jrc.recorder.in_kernel.control import install_here
from jrc.recorder.in_kernel.frames import ATTRIBUTE
from jrc.wire.message import Message

DELIMITER = b"<IDS|MSG>"


class Stream:
    """Where a channel's messages go: into a list."""

    def __init__(self, channel: str, out: list[Message]) -> None:
        self.channel = channel
        self.out = out

    def send_multipart(self, frames: list[Any], **kwargs: object) -> None:
        at = frames.index(DELIMITER)
        parts = [bytes(frame) for frame in frames[at + 2 :]]
        self.out.append(Message(self.channel, *parts[:4], tuple(parts[4:])))


class IOPubThread(Stream):
    """Its thread is the caller's: everything is done at once."""

    def __init__(self, out: list[Message]) -> None:
        super().__init__("iopub", out)
        self.thread = SimpleNamespace(ident=threading.get_ident())
        self.io_loop = SimpleNamespace(call_later=lambda delay, call, *args: call(*args))

    def schedule(self, call: Callable[[], None]) -> None:
        call()

    def send_multipart(self, frames: list[Any], **kwargs: object) -> None:
        self.schedule(lambda: self._really_send(frames, **kwargs))

    def _really_send(self, frames: list[Any], **kwargs: object) -> None:
        super().send_multipart(frames, **kwargs)


class FakeKernel:
    """A kernel whose code is a list of texts, one for each line that it prints; ``!`` fails.

    Attributes:
        out: everything that it sent.
        executed: the codes, in order.
    """

    def __init__(self) -> None:
        self.out: list[Message] = []
        self.executed: list[str] = []
        self.session = Session(key=b"key", check_pid=False)
        self.iopub_thread = IOPubThread(self.out)
        self.shell_stream = Stream("shell", self.out)
        self.stdin_stream = Stream("stdin", self.out)
        self.control_stream = Stream("control", self.out)
        self.shell = SimpleNamespace(events=None)
        self.control_handlers: dict[str, Callable[[Any, Any, Any], None]] = {}
        self._parent: dict[str, Any] = {}

    def install(self, monkeypatch: Any, **options: Any) -> Any:
        """Install the recorder as the real request does; returns its answer."""
        import IPython

        monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=self))
        self._parent = {"header": self.session.msg_header("execute_request")}
        install_here(options)
        return self.finish_metadata(self._parent, {}, {"status": "ok"}).get("jrc")

    def close(self) -> None:
        """Close what the recorder opened."""
        recorder = vars(self).get(ATTRIBUTE)
        if recorder is not None:
            recorder.archive.close()

    def get_parent(self, channel: str) -> Any:
        return self._parent

    def set_parent(self, ident: Any, parent: Any, channel: str = "shell") -> None:
        self._parent = parent

    async def do_execute(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("its code is no Python")

    def should_handle(self, stream: Any, msg: Any, idents: Any) -> bool:
        return True

    def finish_metadata(self, parent: Any, metadata: Any, reply_content: Any) -> Any:
        return metadata

    def publish(self, msg_type: str, content: dict[str, Any], **options: Any) -> None:
        self.session.send(
            self.iopub_thread, msg_type, content, self._parent, ident=b"topic", **options
        )

    def receive(self, message: Message) -> None:
        """Handle one request, to its end."""
        msg = _as_ipykernel_has_it(message)
        if message.channel == "control":
            handler = self.control_handlers[message.msg_type]
            handler(self.control_stream, [], msg)
            return
        self.set_parent([], msg)
        self.publish("status", {"execution_state": "busy"})
        if self.should_handle(self.shell_stream, msg, []):
            self._execute(msg)
        self.publish("status", {"execution_state": "idle"})

    def _execute(self, msg: dict[str, Any]) -> None:
        code = msg["content"]["code"]
        if code:
            self.executed.append(code)
        self.publish("execute_input", {"code": code})
        for line in code.splitlines():
            self.publish("stream", {"name": "stdout", "text": line})
        status = "error" if "!" in code else "ok"
        self.session.send(
            self.shell_stream, "execute_reply", {"status": status}, msg, ident=[b"client"]
        )


def _as_ipykernel_has_it(message: Message) -> dict[str, Any]:
    return {
        "header": json.loads(message.header),
        "parent_header": {},
        "metadata": json.loads(message.metadata),
        "content": json.loads(message.content),
        "buffers": [],
        "msg_id": message.msg_id,
        "msg_type": message.msg_type,
    }
