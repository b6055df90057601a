"""Makes what a kernel publishes for executions gapless, if the kernel can have the recorder.

This stands between the kernel and the machine of the relay. A server drops output that comes too
fast, and a link that breaks loses some. The recorder inside the kernel has it all, including
replies and requests for input. Pure: the clock is an argument, and what to send is returned.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from jrc.kernel.messages import Messages
from jrc.recorder.install import (
    InstallOptions,
    NotPossible,
    install_content,
    parse_install_reply,
    with_source,
)
from jrc.recorder.protocol import STATE_REQUEST, States, parse_answer, request_metadata
from jrc.recorder.recording import News as RecordingNews
from jrc.recorder.recording import NoReply, NotExecuted, RecorderLost, Recording
from jrc.recorder.tracker import Lost
from jrc.wire.message import Message, encode_object, is_readable


@dataclass(frozen=True)
class NeverArrived:
    """Executions that were sent and got lost on the way: the kernel will not begin them.

    Attributes:
        msg_ids: of the requests.
    """

    msg_ids: tuple[str, ...]


Found = Message | Lost | NoReply | NeverArrived | RecorderLost


class Recorded:
    """The recorder of one remote kernel, as a relay sees it.

    Args:
        messages: makes the requests to the recorder.
    """

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._recording: Recording | None = None
        self._installs: set[str] = set()
        self._install_answered = False
        self._runs = 0
        self._doubtful: tuple[str, ...] = ()
        self._question_id: str | None = None

    @property
    def installed(self) -> bool:
        """A recorder is there, or on its way."""
        return self._recording is not None

    @property
    def _run(self) -> str:
        """Id of the run. A kernel that replaces another gets a new one."""
        return f"{self._messages.session}-{self._runs}"

    def install(self) -> Message:
        """The request that brings the recorder into a Python kernel that has just started.

        What is sent on shell after it is recorded.
        """
        self._runs += 1
        self._install_answered = False
        self._recording = Recording(
            self._run, self._messages.control, is_readable=_is_readable_here
        )
        return self._install_request()

    def outgoing(self, message: Message, now: float) -> Message:
        """A client's message as it must be sent: an execution is marked for the recorder."""
        if self._recording is not None and message.msg_type == "input_reply":
            return self._recording.answered(message, now)
        if self._recording is None or message.msg_type != "execute_request":
            return message
        if message.msg_id in self._installs:
            return message
        self._recording.sent(message.msg_id, guarded=False, now=now)
        fields = {**message.metadata_fields, **request_metadata(self._run)}
        return replace(message, metadata=encode_object(fields))

    def receive(self, message: Message, now: float) -> list[Found]:
        """A message of the kernel has arrived: what can be passed on now, in order.

        Raises:
            WireError: it can't be decoded.
        """
        if self._recording is None:
            return [message]
        if message.channel == "shell" and message.parent_id in self._installs:
            self._install_answered = True
            outcome = parse_install_reply(message)
            if isinstance(outcome, NotPossible):
                return [*self.give_up(), RecorderLost(outcome.reason)]
            return []
        if message.channel == "control" and message.parent_id == self._question_id:
            return self._never_arrived(message)
        found = _of_interest(self._recording.receive(message, now))
        if any(isinstance(each, RecorderLost) for each in found):
            found.extend(self.give_up())
        return found

    def covers(self, msg_id: str) -> bool:
        """The recorder has the reply to this request, or will have it."""
        return self._recording is not None and self._recording.is_pending(msg_id)

    def ask_arrived(self, msg_ids: tuple[str, ...]) -> list[Message]:
        """Ask which of these executions arrived. Those that did must have begun by now."""
        if self._recording is None or not msg_ids:
            return []
        question = self._messages.control(STATE_REQUEST, {"run": self._run})
        self._doubtful, self._question_id = msg_ids, question.msg_id
        return [question]

    def _never_arrived(self, message: Message) -> list[Found]:
        doubtful, self._doubtful, self._question_id = self._doubtful, (), None
        answer = parse_answer(message)
        if not isinstance(answer, States):
            return []
        arrived = {request.id for request in answer.requests}
        return [NeverArrived(tuple(msg_id for msg_id in doubtful if msg_id not in arrived))]

    def due(self, now: float) -> list[Message]:
        """What to ask the recorder now. Call it after ``receive`` and a few times a second."""
        return [] if self._recording is None else self._recording.due(now)

    def frame_damaged(self) -> None:
        """Something came that can't be read: ask for it."""
        if self._recording is not None:
            self._recording.frame_damaged(installed=self._install_answered)

    def link_lost(self) -> None:
        """Questions that were asked will not be answered."""
        if self._recording is not None:
            self._recording.link_lost()

    def link_restored(self) -> list[Message]:
        """What to send first."""
        if self._recording is None:
            return []
        self._recording.link_restored()
        return [] if self._install_answered else [self._install_request()]

    def give_up(self) -> list[Found]:
        """The recorder is gone, alone or with its kernel: return what was held back."""
        recording, self._recording = self._recording, None
        self._installs.clear()
        return [] if recording is None else _of_interest(recording.ended())

    def _install_request(self) -> Message:
        content = install_content(InstallOptions(self._run))
        request = with_source(self._messages.of_content(content))
        self._installs.add(request.msg_id)
        return request


def _is_readable_here(message: Message) -> bool:
    """Output is passed on as it is: only clients read what it says."""
    if not is_readable(message, content=False):
        return False
    passes = message.channel == "iopub" and message.msg_type not in ("status", "shutdown_reply")
    return passes or is_readable(message)


def _of_interest(found: Iterable[RecordingNews]) -> list[Found]:
    """Leave out what concerns only clients that send guarded requests."""
    return [each for each in found if not isinstance(each, NotExecuted)]
