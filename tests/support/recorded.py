"""A client of the recorder, over ZMQ, whose link loses what the test wants it to lose."""

import time
from collections.abc import Callable
from typing import Any

from jrc.recorder import install
from jrc.recorder.in_kernel.frames import RECORDER_VERSION
from jrc.recorder.install import (
    Installed,
    InstallOptions,
    NotPossible,
    install_content,
    parse_install_reply,
    with_source,
)
from jrc.recorder.protocol import guarded_metadata, parse_answer, request_metadata
from jrc.recorder.recording import News, Recording
from jrc.recorder.tracker import Lost
from jrc.wire.message import Message
from tests.support.kernels import ZmqKernel, collect


def nothing(message: Message) -> bool:
    return False


class RecordedRun:
    """One run on one kernel.

    Args:
        kernel: its sockets are only read here.
        run: id of the run.
        drop: says which messages get lost on the way; never asked about the control channel.
        options: of ``Recording``.

    Attributes:
        news: what was given out, in order.
        asked: the contents of the replay requests.
        others: messages that are none of the run's, by the id of their parent.
    """

    def __init__(
        self,
        kernel: ZmqKernel,
        run: str = "run1",
        *,
        drop: Callable[[Message], bool] = nothing,
        **options: Any,
    ) -> None:
        self.kernel = kernel
        self.run = run
        self.drop = drop
        self.news: list[News] = []
        self.asked: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self._answers: dict[str, Message] = {}
        self.recording = Recording(
            run, lambda msg_type, content: kernel.make("control", msg_type, content), **options
        )

    def install(self, **options: Any) -> Installed | NotPossible:
        """Install the recorder, open the run, and wait for the answer."""
        request = self.send_install(**options)
        messages = collect(self.kernel, lambda got: any(_answers(each, request) for each in got))
        return parse_install_reply(next(each for each in messages if _answers(each, request)))

    def send_install(self, **options: Any) -> str:
        content = install_content(InstallOptions(self.run, **options))
        request = self.kernel.make("shell", "execute_request", content)
        return self.kernel.send(with_source(request))

    def execute(
        self,
        code: str,
        *,
        guarded: bool = True,
        stop_on_error: bool = True,
        header: dict[str, Any] | None = None,
        **content: Any,
    ) -> str:
        """Send a cell; returns the request's id."""
        message = self.kernel.make(
            "shell",
            "execute_request",
            {
                "code": "" if guarded else code,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": stop_on_error,
                **content,
            },
            metadata=guarded_metadata(self.run, code) if guarded else request_metadata(self.run),
            header=header,
        )
        self.recording.sent(message.msg_id, guarded=guarded, now=time.monotonic())
        self.ids.append(message.msg_id)
        return self.kernel.send(message)

    def ask(self, msg_type: str, content: dict[str, Any]) -> Any:
        """Ask the recorder on the control channel, and wait for the answer."""
        msg_id = self.kernel.send(self.kernel.make("control", msg_type, content))
        self.pump(lambda: msg_id in self._answers)
        return parse_answer(self._answers[msg_id])

    def finish(self, *, timeout: float = 60) -> None:
        """Go on until every request is finished."""
        self.pump(lambda: not self.recording.pending, timeout=timeout)

    def pump(self, done: Callable[[], bool], *, timeout: float = 60) -> None:
        """Receive, give out, ask, until ``done()``."""
        deadline = time.monotonic() + timeout
        while not done():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout} s: {self.pending} pending")
            for message in self.kernel.poll(0.02):
                self._receive(message)
            for question in self.recording.due(time.monotonic()):
                self.asked.append(question.content_fields)
                self.kernel.send(question)

    @property
    def pending(self) -> list[str]:
        """The requests that are not finished."""
        return [msg_id for msg_id in self.ids if self.recording.is_pending(msg_id)]

    def _receive(self, message: Message) -> None:
        if message.channel == "control":
            self._answers[message.parent_id] = message
        elif self.drop(message):
            return
        self.news.extend(self.recording.receive(message, time.monotonic()))

    @property
    def messages(self) -> list[Message]:
        """The run's messages that were given out."""
        ours = set(self.ids)
        return [each for each in self.news if isinstance(each, Message) and each.parent_id in ours]

    @property
    def numbers(self) -> list[int]:
        """The numbers of the messages that were given out."""
        stamps = [each.metadata_fields.get("jrc", {}) for each in self.messages]
        return [stamp["n"] for stamp in stamps if stamp.get("run") == self.run]

    @property
    def lost(self) -> list[Lost]:
        return [each for each in self.news if isinstance(each, Lost)]

    def text(self, msg_id: str | None = None, name: str = "stdout") -> str:
        """What one cell, or all, wrote to a stream."""
        return "".join(
            each.content_fields["text"]
            for each in self.messages
            if each.msg_type == "stream"
            and each.content_fields["name"] == name
            and msg_id in (None, each.parent_id)
        )

    def types(self, msg_id: str) -> list[str]:
        """The message types of one request; for a status its state."""
        return [
            each.content_fields["execution_state"] if each.msg_type == "status" else each.msg_type
            for each in self.messages
            if each.parent_id == msg_id
        ]

    def status(self, msg_id: str) -> str:
        """The status of the reply to one request; ``none`` without one."""
        for each in self.messages:
            if each.parent_id == msg_id and each.channel == "shell":
                return str(each.content_fields["status"])
        return "none"


def _answers(message: Message, msg_id: str) -> bool:
    return message.channel == "shell" and message.parent_id == msg_id


SLEEPS = "import time\nprint('asleep', flush=True)\ntime.sleep(600)"
"""Before its first output, the kernel itself may swallow an interrupt."""


def run_plainly(kernel: ZmqKernel, code: str, **content: Any) -> list[Message]:
    """Execute code without a run, and everything that belongs to it."""
    request = kernel.make(
        "shell",
        "execute_request",
        {"code": code, "silent": False, "store_history": False, "allow_stdin": False, **content},
    )
    msg_id = kernel.send(request)

    def finished(messages: list[Message]) -> bool:
        ours = [each for each in messages if each.parent_id == msg_id]
        replied = any(each.channel == "shell" for each in ours)
        return replied and any(
            each.content_fields.get("execution_state") == "idle" for each in ours
        )

    messages = collect(kernel, finished)
    return [each for each in messages if each.parent_id == msg_id]


def evaluate(kernel: ZmqKernel, expression: str) -> str:
    """The ``repr`` of an expression in the kernel."""
    messages = run_plainly(kernel, "", user_expressions={"it": expression}, silent=True)
    (reply,) = [each for each in messages if each.channel == "shell"]
    answer = reply.content_fields["user_expressions"]["it"]
    assert answer["status"] == "ok", answer
    return str(answer["data"]["text/plain"])


class LoseEvery:
    """Loses every ``n``-th live message of a run."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.seen = 0

    def __call__(self, message: Message) -> bool:
        if "jrc" not in message.metadata_fields:
            return False
        self.seen += 1
        return self.seen % self.n == 0


def is_idle(message: Message, request: str) -> bool:
    return (
        message.parent_id == request
        and message.msg_type == "status"
        and message.content_fields["execution_state"] == "idle"
    )


NEWER = RECORDER_VERSION + 1


def newer_source() -> str:
    """The recorder of a later jrc, as far as its number goes."""
    old, new = f"RECORDER_VERSION = {RECORDER_VERSION}\n", f"RECORDER_VERSION = {NEWER}\n"
    return install.source().replace(old, new)
