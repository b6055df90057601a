"""The requests of one run and what comes back for them: recorded where that is possible.

Pure: messages to send are returned, the clock is an argument. With a recorder in the kernel every
published message is given out once and in order, and many requests may be sent at once; without
one, what the server lets through is all there is, and fences tell what became of a request.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jrc.kernel.execution import Execution, InputRequested
from jrc.kernel.messages import Requests
from jrc.recorder.in_kernel.frames import AGAIN_KEY
from jrc.recorder.install import (
    Installed,
    InstallOptions,
    NotPossible,
    install_content,
    parse_install_reply,
    with_source,
)
from jrc.recorder.protocol import (
    CANCEL_REQUEST,
    FORGET_REQUEST,
    JOURNAL_FOLDER,
    JOURNAL_REQUEST,
    RunState,
    guarded_parts,
    read_stamp,
)
from jrc.recorder.recording import NoReply, NotExecuted, RecorderLost, Recording
from jrc.recorder.tracker import Lost
from jrc.run.protocol_events import CancelTaken, Event, NotRun, OutputGone, Unrecorded, journal_kept
from jrc.wire.message import Message

REFUSALS_AT_MOST = 5
"""So often a kernel may abort the installation of its recorder, or not execute a cell."""


class Exchange:
    """What one run sends to its kernel, and what the answers mean.

    Args:
        requests: makes the messages.
        recorded_as: id of the run for the recorder; None for a run without one.
        after: the run's messages up to this number are not wanted.
        acknowledge: what was given out may be freed in the kernel.
        fields: what the recorder shall say of each request, beside its ``cell``.
        own_kernel: the kernel was started for this run.

    Attributes:
        recorded: the recorder keeps what is published, as far as is known.
        one_by_one: the cells need our answers to what comes before them, and can't go ahead.
        questions: somebody is there whom the code can ask; else its questions are history.
        handled: number of the last recorded message that was given out and dealt with; the caller
            of ``receive`` sees it grow before it gets the last event of a message.
        installed: what became of the recorder's installation; None before that is known.
        language_info: what the kernel says of its language; None before it said so.
    """

    def __init__(
        self,
        requests: Requests,
        *,
        recorded_as: str | None,
        after: int = 0,
        acknowledge: bool = True,
        fields: Mapping[str, Any] | None = None,
        own_kernel: bool = False,
    ) -> None:
        self.recorded = recorded_as is not None
        self.one_by_one = False
        self.questions = True
        self.installed: Installed | NotPossible | None = None
        self.language_info: dict[str, Any] | None = None
        self._requests = requests
        self._run = recorded_as or ""
        self._fields = dict(fields or {})
        self._own_kernel = own_kernel
        self._recording = (
            Recording(self._run, requests.control, after=after, acknowledge=acknowledge)
            if self.recorded
            else None
        )
        self._execution = Execution()
        self.handled = after
        self._keys: dict[str, int] = {}
        self._unconfirmed: dict[str, Message] = {}
        self._in_place = False
        self._in_the_middle = after > 0
        self._current: Message | None = None
        self._install_again_at: float | None = None
        self._installs_aborted = 0
        self._refused: dict[int, int] = {}
        self._info_ids: set[str] = set()
        self._cancel_ids: set[str] = set()
        self._install_ids: set[str] = set()
        self._journal_about: dict[str, Any] | None = None
        self._journal_id = ""

    def saved(self, number: int) -> None:
        """The kernel may free the messages up to this number, and from now on only what is saved.

        Without this, what was given out may be freed.
        """
        if self._recording is not None:
            self._recording.saved(number)

    @property
    def sent(self) -> dict[int, str]:
        """The ids of the requests to execute code, by key. The last one, where one was repeated."""
        return {key: msg_id for msg_id, key in self._keys.items()}

    @property
    def pending(self) -> list[int]:
        """Keys of the requests that are not finished, oldest first."""
        return self._execution.pending

    @property
    def wants_fence(self) -> bool:
        """A reply came without its idle, and neither a recorder nor a fence will tell why."""
        return not self.recorded and self._execution.wants_fence

    def begin(self, prologue: str, *, about: dict[str, Any] | None = None) -> list[Message]:
        """What to send first.

        Args:
            prologue: code to execute silently before the first cell; empty for none.
            about: what whoever attaches to the run needs to know; None for a run without a journal.
        """
        self._journal_about = about
        messages = self._opening()
        if prologue:
            request = self._requests.execute_silently(prologue)
            if self.recorded:
                self._unconfirmed[request.msg_id] = request
            messages.append(request)
        return messages

    def resume(self, sent: Sequence[str], now: float) -> list[Message]:
        """Take up a run that another client began; returns what to send first.

        Args:
            sent: ids of its requests; the position is the key.
            now: the clock.
        """
        self._in_place = True
        for key, msg_id in enumerate(sent):
            self._note_sent(msg_id, key, guarded=True, now=now)
        return self.link_restored(now)

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
        ahead: bool = False,
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
            ahead: it is sent ahead of our answers to what comes before it.
        """
        guarded = self.recorded
        fields = {**self._fields, "cell": key + 1, **({"ahead": True} if ahead else {})}
        metadata, buffers = guarded_parts(self._run, code, fields) if guarded else ({}, ())
        request = self._requests.execute(
            "" if guarded else code,
            stop_on_error=stop_on_error,
            allow_stdin=allow_stdin,
            user_expressions=user_expressions,
            store_history=store_history,
            metadata=metadata,
            buffers=buffers,
        )
        self._note_sent(request.msg_id, key, guarded=guarded, now=now)
        if guarded:
            self._unconfirmed[request.msg_id] = request
        return request

    def fence(self) -> Message:
        """A request that proves what became of the earlier ones, noted as sent."""
        fence = self._requests.kernel_info()
        self._execution.fence_sent(fence.msg_id)
        return fence

    def answer(self, value: str, question: Message, now: float) -> Message:
        """The answer to an ``input_request``; sent again, where it is recorded that it is lost."""
        reply = self._requests.input_reply(value, question)
        return reply if self._recording is None else self._recording.answered(reply, now)

    def cancel(self) -> list[Message]:
        """What makes the kernel abort what it has not begun; ``CancelTaken`` is the answer."""
        if not self.recorded:
            return []
        request = self._requests.control(CANCEL_REQUEST, {"run": self._run})
        self._cancel_ids.add(request.msg_id)
        return [request]

    def keep_journal(self, about: dict[str, Any]) -> list[Message]:
        """What makes the kernel write a journal from now on; ``JournalKept`` is the answer."""
        if not self.recorded:
            return []
        content = {"run": self._run, "journal": JOURNAL_FOLDER, "about": about}
        request = self._requests.control(JOURNAL_REQUEST, content)
        self._journal_id = request.msg_id
        return [request]

    def forget(self) -> list[Message]:
        """What makes the kernel drop what it keeps of the run, its journal too."""
        if not self.recorded:
            return []
        content = {"run": self._run, "delete_journal": True}
        return [self._requests.control(FORGET_REQUEST, content)]

    def link_lost(self) -> None:
        """Answers that were under way will not come."""
        if self._recording is not None:
            self._recording.link_lost()

    def link_restored(self, now: float) -> list[Message]:
        """What to send first over the new link.

        What the kernel did not begin yet may have been lost on the way, so it is sent again, in
        the same order and byte for byte the same: a kernel drops a message that it had already
        ("Duplicate Signature"), and a recorder executes no request twice. Whichever copy of each
        comes first, the order stays. Where the answer matters, the message is a new one.
        """
        if self._recording is not None and self.recorded:
            self._recording.link_restored()
            wants_journal = self._journal_about is not None and self.installed is None
            known = self._in_place and not wants_journal
            first = self._about_language() if known else self._opening()
            return [*first, *self._unconfirmed.values(), *self.due(now)]
        self._execution.fences_lost()
        return [self.fence()] if self.pending else []

    @property
    def unconfirmed(self) -> list[Message]:
        """The guarded requests of which nothing was heard. To send them again is safe."""
        return list(self._unconfirmed.values())

    @property
    def word(self) -> RunState | None:
        """What the recorder said of the run last."""
        return None if self._recording is None or not self.recorded else self._recording.state

    def comes_again(self, message: Message) -> bool:
        """Whether ``link_restored`` will return this message, in its turn: it may not wait."""
        return message.msg_id in self._unconfirmed

    def due(self, now: float) -> list[Message]:
        """What to ask the recorder now. Call it after each message, and a few times a second."""
        if self._install_again_at is not None and now >= self._install_again_at:
            self._install_again_at = None
            return self._opening()
        # A kernel that did not install the recorder yet would answer that there is none.
        if self._recording is None or not self.recorded or not self._in_place:
            return []
        return self._recording.due(now)

    def stop_waiting_for_idle(self) -> Sequence[Event]:
        """Finish what has its reply: no fence could make the kernel's idle come."""
        return self._execution.stop_waiting_for_idle()

    @property
    def current(self) -> int:
        """Number of the message whose events are handled now; 0 for one that is not recorded."""
        stamp = None if self._current is None else read_stamp(self._current)
        return 0 if stamp is None else stamp.number

    def receive(self, message: Message, now: float) -> Iterator[Event]:
        """What one message means. To be iterated to its end before the next one.

        Raises:
            WireError: it can't be decoded.
        """
        if message.channel != "iopub":
            if message.parent_id in self._info_ids:
                self.language_info = message.content_fields.get("language_info")
            if message.parent_id == self._journal_id:
                yield journal_kept(message)
                return
            if message.parent_id in self._cancel_ids:
                yield CancelTaken()
        self._unconfirmed.pop(message.parent_id, None)
        if self._recording is None:
            yield from self._execution.receive(message)
        elif message.channel == "shell" and message.parent_id in self._install_ids:
            yield from self._on_installed(message, now)
        else:
            yield from self._on_recorded(self._recording, message, now)

    def _on_recorded(self, recording: Recording, message: Message, now: float) -> Iterator[Event]:
        if not self._in_place:
            stamp = read_stamp(message)
            self._in_place = stamp is not None and stamp.run == self._run and stamp.number > 0
        for news in recording.receive(message, now):
            match news:
                case Message():
                    self._unconfirmed.pop(news.parent_id, None)
                    self._current = news
                    self._forget_before(news)
                    if self._comes_too_early(news):
                        self.one_by_one = True
                        self.handled = min(self.handled + 1, recording.next - 1)
                        self._execution.forget(news.parent_id)
                        yield NotRun(self._keys[news.parent_id])
                        continue
                    yield from self._handling(recording, news)
                case Lost():
                    self.handled = max(self.handled, news.stop - 1)
                    yield OutputGone(news.stop - news.start)
                case NotExecuted():
                    yield from self._not_run(news.msg_id)
                case NoReply():
                    yield from self._execution.no_reply(news.msg_id)
                case RecorderLost():
                    yield from self._unrecorded(news.reason)

    def _handling(self, recording: Recording, message: Message) -> Iterator[Event]:
        """The events of a message. What is saved during the last one holds all of it."""
        events = list(self._execution.receive(message))
        if events and isinstance(events[-1], InputRequested) and self._is_answered(message):
            events.pop()
        yield from events[:-1]
        # In order and without a hole; a message without a number comes alone.
        self.handled = min(self.handled + 1, recording.next - 1)
        yield from events[-1:]

    def _not_run(self, msg_id: str) -> list[Event]:
        """A request that is sent again, a few times: a recorder that it needs must be there."""
        key = self._keys[msg_id]
        self._execution.forget(msg_id)
        self._refused[key] = self._refused.get(key, 0) + 1
        gone = self._refused[key] > REFUSALS_AT_MOST
        return [*(self._unrecorded("it is not there any more") if gone else []), NotRun(key)]

    def _comes_too_early(self, message: Message) -> bool:
        """A request was refused that was sent ahead of an answer of ours which it may need."""
        if message.channel != "shell" or message.parent_id not in self._keys:
            return False
        return bool(message.metadata_fields.get(AGAIN_KEY))

    def _forget_before(self, message: Message) -> None:
        """Drop what ended before the first message of a run that is taken up in its middle.

        A kernel works on one request after the other, and the recorder's sequence has no holes.
        """
        if not self._in_the_middle or message.parent_id not in self._keys:
            return
        self._in_the_middle = False
        for msg_id in self._keys:
            if msg_id == message.parent_id:
                return
            self._execution.forget(msg_id)

    def _is_answered(self, question: Message) -> bool:
        """Somebody answered an ``input_request`` that came in a replay."""
        if self._recording is None or not self.questions:
            return not self.questions
        state, stamp = self._recording.state, read_stamp(question)
        if state is None or stamp is None or stamp.number > state.count:
            return False
        return state.asking != stamp.number

    def _opening(self) -> list[Message]:
        """What asks for the language, and brings the recorder."""
        info = self._requests.kernel_info()
        self._info_ids.add(info.msg_id)
        if not self.recorded:
            return [info]
        about = self._journal_about
        journal = JOURNAL_FOLDER if about is not None else None
        options = InstallOptions(
            self._run, journal=journal, about=about or {}, own=self._own_kernel
        )
        install = with_source(self._requests.of_content(install_content(options)))
        self._install_ids.add(install.msg_id)
        return [info, install]

    def _about_language(self) -> list[Message]:
        if self.language_info is not None:
            return []
        # On control, because on shell the answer would come behind all cells.
        info = self._requests.control("kernel_info_request", {})
        self._info_ids.add(info.msg_id)
        return [info]

    def _on_installed(self, reply: Message, now: float) -> list[Event]:
        if reply.content_fields.get("status") == "aborted":
            # An error of somebody's code made the kernel drop what was queued behind it.
            self._installs_aborted += 1
            if self._installs_aborted > REFUSALS_AT_MOST:
                return self._unrecorded("it aborts whatever is sent to it")
            self._install_again_at = now + 0.05 * 2 ** (self._installs_aborted - 1)
            return []
        self.installed = parse_install_reply(reply)
        if isinstance(self.installed, NotPossible):
            return self._unrecorded(self.installed.reason)
        self._in_place = True
        return []

    def _note_sent(self, msg_id: str, key: int, *, guarded: bool, now: float) -> None:
        self._keys[msg_id] = key
        self._execution.sent(msg_id, key)
        if self._recording is not None:
            self._recording.sent(msg_id, guarded=guarded, now=now)

    def _unrecorded(self, reason: str) -> list[Event]:
        if not self.recorded:
            return []
        self.recorded = False
        self._unconfirmed.clear()
        return [Unrecorded(reason)]
