"""The requests of one run and what comes back for them: recorded where that is possible.

Pure: messages to send are returned, the clock is an argument. With a recorder in the kernel every
published message is given out once and in order, and many requests may be sent at once; without
one, what the server lets through is all there is, and fences tell what became of a request.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jrc.recorder.install import InstallOptions, NotPossible, install_content, parse_install_reply
from jrc.recorder.protocol import (
    CANCEL_REQUEST,
    FORGET_REQUEST,
    guarded_metadata,
)
from jrc.recorder.recording import NotExecuted, RecorderLost, Recording
from jrc.recorder.tracker import Lost
from jrc.run.execution import Event as ExecutionEvent
from jrc.run.execution import Execution
from jrc.run.requests import Requests
from jrc.wire.message import Message


@dataclass(frozen=True)
class OutputGone:
    """Messages that the kernel published and that nobody has any more.

    Attributes:
        count: how many.
    """

    count: int


@dataclass(frozen=True)
class NotRun:
    """A request met a kernel without a recorder and was not executed: send it again."""

    key: int


@dataclass(frozen=True)
class Unrecorded:
    """From now on nothing is recorded.

    Attributes:
        reason: why, as the end of a sentence.
    """

    reason: str


Event = ExecutionEvent | OutputGone | NotRun | Unrecorded


class Exchange:
    """What one run sends to its kernel, and what the answers mean.

    Args:
        requests: makes the messages.
        recorded_as: id of the run for the recorder; None for a run without one.

    Attributes:
        recorded: the recorder keeps what is published, as far as is known.
        language_info: what the kernel says of its language; None before it said so.
    """

    def __init__(self, requests: Requests, *, recorded_as: str | None) -> None:
        self.recorded = recorded_as is not None
        self.language_info: dict[str, Any] | None = None
        self._requests = requests
        self._run = recorded_as or ""
        self._recording = Recording(self._run, requests.control) if self.recorded else None
        self._execution = Execution()
        self._keys: dict[str, int] = {}
        self._info_id = ""
        self._install_id = ""

    @property
    def pending(self) -> list[int]:
        """Keys of the requests that are not finished, oldest first."""
        return self._execution.pending

    @property
    def wants_fence(self) -> bool:
        """A reply came without its idle, and neither a recorder nor a fence will tell why."""
        return not self.recorded and self._execution.wants_fence

    def begin(self, prologue: str) -> list[Message]:
        """What to send first.

        Args:
            prologue: code to execute silently before the first cell; empty for none.
        """
        info = self._requests.kernel_info()
        self._info_id = info.msg_id
        first = [info]
        if self.recorded:
            install = self._requests.of_content(install_content(InstallOptions(self._run)))
            self._install_id = install.msg_id
            first.append(install)
        if prologue:
            first.append(self._requests.execute_silently(prologue))
        return first

    def execute(
        self,
        key: int,
        code: str,
        *,
        stop_on_error: bool,
        allow_stdin: bool,
        user_expressions: dict[str, str],
        store_history: bool,
        now: float,
    ) -> Message:
        """A request to execute code, noted as sent.

        Args:
            key: the caller's name for it, returned in its events.
            code: what the kernel executes.
            stop_on_error: whether an error makes the kernel abort what was sent behind it.
            allow_stdin: whether the code may ask questions.
            user_expressions: what the kernel evaluates afterwards.
            store_history: whether the code goes into the kernel's history.
            now: the clock.
        """
        guarded = self.recorded
        request = self._requests.execute(
            "" if guarded else code,
            stop_on_error=stop_on_error,
            allow_stdin=allow_stdin,
            user_expressions=user_expressions,
            store_history=store_history,
            metadata=guarded_metadata(self._run, code) if guarded else {},
        )
        self._keys[request.msg_id] = key
        self._execution.sent(request.msg_id, key)
        if self._recording is not None:
            self._recording.sent(request.msg_id, guarded=guarded, now=now)
        return request

    def fence(self) -> Message:
        """A request that proves what became of the earlier ones, noted as sent."""
        fence = self._requests.kernel_info()
        self._execution.fence_sent(fence.msg_id)
        return fence

    def cancel(self) -> list[Message]:
        """What makes the kernel abort the requests that it has not begun."""
        if not self.recorded:
            return []
        return [self._requests.control(CANCEL_REQUEST, {"run": self._run})]

    def forget(self) -> list[Message]:
        """What makes the kernel drop what it keeps of the run."""
        if not self.recorded:
            return []
        return [self._requests.control(FORGET_REQUEST, {"run": self._run})]

    def link_lost(self) -> None:
        """Answers that were under way will not come."""
        if self._recording is not None:
            self._recording.link_lost()

    def link_restored(self, now: float) -> list[Message]:
        """What to ask first over the new link."""
        if self._recording is not None and self.recorded:
            self._recording.link_restored()
            return self._recording.due(now)
        self._execution.fences_lost()
        return [self.fence()] if self.pending else []

    def due(self, now: float) -> list[Message]:
        """What to ask the recorder now. Call it after each message, and a few times a second."""
        if self._recording is None or not self.recorded:
            return []
        return self._recording.due(now)

    def stop_waiting_for_idle(self) -> Sequence[Event]:
        """Finish what has its reply: no fence could make the kernel's idle come."""
        return self._execution.stop_waiting_for_idle()

    def receive(self, message: Message, now: float) -> list[Event]:
        """What one message means.

        Raises:
            WireError: it can't be decoded.
        """
        if message.channel == "shell" and message.parent_id == self._info_id:
            self.language_info = message.content_fields.get("language_info")
        if self._recording is None:
            return list(self._execution.receive(message))
        if message.channel == "shell" and message.parent_id == self._install_id:
            return self._on_installed(message)
        events: list[Event] = []
        for news in self._recording.receive(message, now):
            match news:
                case Message():
                    events.extend(self._execution.receive(news))
                case Lost():
                    events.append(OutputGone(news.stop - news.start))
                case NotExecuted():
                    self._execution.forget(news.msg_id)
                    events.append(NotRun(self._keys[news.msg_id]))
                case RecorderLost():
                    events.extend(self._unrecorded(news.reason))
        return events

    def _on_installed(self, reply: Message) -> list[Event]:
        outcome = parse_install_reply(reply)
        return self._unrecorded(outcome.reason) if isinstance(outcome, NotPossible) else []

    def _unrecorded(self, reason: str) -> list[Event]:
        if not self.recorded:
            return []
        self.recorded = False
        return [Unrecorded(reason)]
