"""A run whose kernel has a recorder: all cells at once if need be, and nothing gets lost.

No I/O and no clock, as in ``run.strategy``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jrc.kernel.execution import InputRequested
from jrc.recorder.in_kernel.frames import AGAIN_KEY
from jrc.recorder.install import (
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
    Journaled,
    Refused,
    RunState,
    guarded_parts,
    parse_answer,
    read_stamp,
)
from jrc.recorder.recording import News, NoReply, NotExecuted, RecorderLost, Recording
from jrc.recorder.tracker import Lost
from jrc.run.cell_requests import CellRequest
from jrc.run.strategy import (
    CancelTaken,
    Event,
    Flight,
    JournalKept,
    NotRun,
    PlainRun,
    RecorderInstalled,
    Strategy,
    Unrecorded,
)
from jrc.wire.message import Message

REFUSALS_AT_MOST = 5
"""So often a kernel may abort the installation of its recorder, or not execute a cell."""


class _InOrder:
    """What a recorder numbered, once and in order; what it did not, as it arrives.

    Args:
        flight: the requests of the run.
        recording: what was recorded of it.
        after: the messages up to this number are not wanted.
        questions: somebody is there whom the code can ask; else its questions are history.

    Attributes:
        handled, current: as in ``Strategy``.
        one_by_one: a request was refused that was sent ahead of an answer of ours which it needs.
    """

    def __init__(
        self, flight: Flight, recording: Recording, *, after: int, questions: bool
    ) -> None:
        self.handled = after
        self.one_by_one = False
        self._flight = flight
        self._recording = recording
        self._questions = questions
        self._in_the_middle = after > 0
        self._current: Message | None = None
        self._refused: dict[int, int] = {}

    @property
    def current(self) -> int:
        stamp = None if self._current is None else read_stamp(self._current)
        return 0 if stamp is None else stamp.number

    def receive(self, message: Message, now: float) -> Iterator[Event]:
        return self.give_out(self._recording.receive(message, now))

    def give_out(self, news: Iterable[News]) -> Iterator[Event]:
        """What the news of the recording mean. To be iterated to its end."""
        for given in news:
            match given:
                case Message():
                    yield from self._given_out(given)
                case Lost():
                    self.handled = max(self.handled, given.stop - 1)
                    yield given
                case NotExecuted():
                    yield from self._not_run(given.msg_id)
                case NoReply():
                    yield from self._flight.execution.no_reply(given.msg_id)
                case RecorderLost():
                    yield Unrecorded(given.reason)

    def _given_out(self, message: Message) -> Iterator[Event]:
        """The events of a message. What is saved during the last one holds all of it."""
        self._flight.unconfirmed.pop(message.parent_id, None)
        self._current = message
        self._forget_before(message)
        if self._comes_too_early(message):
            self.one_by_one = True
            self._flight.execution.forget(message.parent_id)
            events: list[Event] = [NotRun(self._flight.keys[message.parent_id])]
        else:
            events = list(self._flight.execution.receive(message))
            if events and isinstance(events[-1], InputRequested) and self._is_answered(message):
                events.pop()
        yield from events[:-1]
        # In order and without a hole; a message without a number comes alone.
        self.handled = min(self.handled + 1, self._recording.next - 1)
        yield from events[-1:]

    def _not_run(self, msg_id: str) -> list[Event]:
        """A request that is sent again, a few times: a recorder that it needs must be there."""
        key = self._flight.keys[msg_id]
        self._flight.execution.forget(msg_id)
        self._refused[key] = self._refused.get(key, 0) + 1
        if self._refused[key] <= REFUSALS_AT_MOST:
            return [NotRun(key)]
        return [Unrecorded("it is not there any more"), NotRun(key)]

    def _comes_too_early(self, message: Message) -> bool:
        if message.channel != "shell" or message.parent_id not in self._flight.keys:
            return False
        return bool(message.metadata_fields.get(AGAIN_KEY))

    def _forget_before(self, message: Message) -> None:
        """Drop what ended before the first message of a run that is taken up in its middle.

        A kernel works on one request after the other, and the recorder's sequence has no holes.
        """
        if not self._in_the_middle or message.parent_id not in self._flight.keys:
            return
        self._in_the_middle = False
        for msg_id in self._flight.keys:
            if msg_id == message.parent_id:
                return
            self._flight.execution.forget(msg_id)

    def _is_answered(self, question: Message) -> bool:
        """Somebody answered an ``input_request`` that came in a replay."""
        if not self._questions:
            return True
        state, stamp = self._recording.state, read_stamp(question)
        if state is None or stamp is None or stamp.number > state.count:
            return False
        return state.asking != stamp.number


class _Installation:
    """Brings the recorder into the kernel, again where that was aborted.

    Attributes:
        about: the manifest for clients that attach; None for a run without a journal.
        answered: the kernel said what became of it.
    """

    def __init__(self, flight: Flight, run: str, *, own_kernel: bool) -> None:
        self.about: dict[str, Any] | None = None
        self.answered = False
        self._flight = flight
        self._run = run
        self._own_kernel = own_kernel
        self._ids: set[str] = set()
        self._aborted = 0
        self._again_at: float | None = None

    @property
    def wants_journal(self) -> bool:
        """It must be asked for, because nothing else would begin the journal."""
        return self.about is not None and not self.answered

    def opening(self) -> list[Message]:
        """What asks for the language, and brings the recorder."""
        journal = JOURNAL_FOLDER if self.about is not None else None
        options = InstallOptions(
            self._run, journal=journal, about=self.about or {}, own=self._own_kernel
        )
        install = with_source(self._flight.make.of_content(install_content(options)))
        self._ids.add(install.msg_id)
        return [self._flight.ask_language(), install]

    def due(self, now: float) -> list[Message]:
        if self._again_at is None or now < self._again_at:
            return []
        self._again_at = None
        return self.opening()

    def is_answered_by(self, message: Message) -> bool:
        return message.channel == "shell" and message.parent_id in self._ids

    def outcome(self, reply: Message, now: float) -> RecorderInstalled | Unrecorded | None:
        """What a reply says; None where it must be asked for once more."""
        if reply.content_fields.get("status") == "aborted":
            # An error of somebody's code made the kernel drop what was queued behind it.
            self._aborted += 1
            if self._aborted > REFUSALS_AT_MOST:
                return Unrecorded("it aborts whatever is sent to it")
            self._again_at = now + 0.05 * 2 ** (self._aborted - 1)
            return None
        installed = parse_install_reply(reply)
        self.answered = True
        if isinstance(installed, NotPossible):
            return Unrecorded(installed.reason, possible=False)
        return RecorderInstalled(installed)


class RecordedRun(Strategy):
    """Cells that only a recorder executes, all at once if need be, and nothing gets lost.

    Args:
        run: its id.
        flight: the requests of the run.
        after: the run's messages up to this number are not wanted.
        acknowledge: what was given out may be freed in the kernel.
        questions: somebody is there whom the code can ask; else its questions are history.
        fields: what the recorder shall say of each request, beside its ``cell``.
        own_kernel: the kernel was started for this run.
    """

    outlives_client = True
    answers_when_idle = True

    def __init__(
        self,
        run: str,
        flight: Flight,
        *,
        after: int = 0,
        acknowledge: bool = True,
        questions: bool = True,
        fields: Mapping[str, Any] | None = None,
        own_kernel: bool = False,
    ) -> None:
        super().__init__(flight)
        self._run = run
        self._fields = dict(fields or {})
        self._recording = Recording(run, flight.make.control, after=after, acknowledge=acknowledge)
        self._in_order = _InOrder(flight, self._recording, after=after, questions=questions)
        self._installation = _Installation(flight, run, own_kernel=own_kernel)
        self._in_place = False
        self._cancel_ids: set[str] = set()
        self._journal_id = ""

    @property
    def handled(self) -> int:
        return self._in_order.handled

    @property
    def current(self) -> int:
        return self._in_order.current

    @property
    def state(self) -> RunState | None:
        return self._recording.state

    @property
    def answers(self) -> int:
        return self._recording.answers

    @property
    def unconfirmed(self) -> list[Message]:
        return list(self._flight.unconfirmed.values())

    def answered(self, reply: Message, now: float) -> Message:
        return self._recording.answered(reply, now)

    def saved(self, number: int) -> None:
        self._recording.saved(number)

    def goes_ahead(self, *, unattended: bool) -> bool:
        return unattended or not self._in_order.one_by_one

    def begin(self, prologue: str, about: dict[str, Any] | None) -> list[Message]:
        self._installation.about = about
        first = self._installation.opening()
        if not prologue:
            return first
        request = self._flight.make.execute_silently(prologue)
        self._flight.unconfirmed[request.msg_id] = request
        return [*first, request]

    def take_up(self, sent: Sequence[str], now: float, *, may_ask: bool) -> None:
        """Go on with a run that another client began.

        Args:
            sent: ids of its requests; the position is the key.
            may_ask: their ``allow_stdin``.
            now: the clock.
        """
        self._in_place = True
        for key, msg_id in enumerate(sent):
            self._flight.sent(msg_id, key, may_ask=may_ask)
            self.sent(msg_id, guarded=True, now=now)

    def sent(self, msg_id: str, *, guarded: bool, now: float) -> None:
        self._recording.sent(msg_id, guarded=guarded, now=now)

    def execute(
        self, key: int, cell: CellRequest, *, allow_stdin: bool, now: float, ahead: bool = False
    ) -> Message:
        fields = {**self._fields, "cell": key + 1, **({"ahead": True} if ahead else {})}
        metadata, buffers = guarded_parts(self._run, cell.code, fields)
        request = self._flight.request(
            "", cell, allow_stdin=allow_stdin, metadata=metadata, buffers=buffers
        )
        self._flight.sent(request.msg_id, key, may_ask=allow_stdin)
        self.sent(request.msg_id, guarded=True, now=now)
        self._flight.unconfirmed[request.msg_id] = request
        return request

    def receive(self, message: Message, now: float) -> Iterator[Event]:
        if message.channel != "iopub":
            if message.parent_id == self._journal_id:
                yield _journal_kept(message)
                return
            if message.parent_id in self._cancel_ids:
                yield CancelTaken()
        self._flight.unconfirmed.pop(message.parent_id, None)
        if self._installation.is_answered_by(message):
            outcome = self._installation.outcome(message, now)
            self._in_place = self._in_place or isinstance(outcome, RecorderInstalled)
            if outcome is not None:
                yield outcome
            return
        if not self._in_place:
            stamp = read_stamp(message)
            self._in_place = stamp is not None and stamp.run == self._run and stamp.number > 0
        yield from self._in_order.receive(message, now)

    def due(self, now: float) -> list[Message]:
        again = self._installation.due(now)
        # A kernel that did not install the recorder yet would answer that there is none.
        return again if again or not self._in_place else self._recording.due(now)

    def frame_damaged(self) -> bool:
        self._recording.frame_damaged(installed=self._in_place)
        return False

    def lost(self, number: int) -> Iterable[Event]:
        return self._in_order.give_out(self._recording.lost(number))

    def link_lost(self) -> None:
        self._recording.link_lost()

    def link_restored(self, now: float) -> list[Message]:
        """What the kernel did not begin yet may have been lost on the way, so it is sent again.

        It goes out in the same order and byte for byte the same: a kernel drops a message that it
        had already ("Duplicate Signature"), and a recorder executes no request twice. Whichever
        copy of each comes first, the order stays. Where the answer matters, the message is a new
        one.
        """
        self._recording.link_restored()
        known = self._in_place and not self._installation.wants_journal
        first = [] if known else self._installation.opening()
        if known and self._flight.language_info is None:
            first = [self._flight.ask_language_meanwhile()]
        return [*first, *self.unconfirmed, *self.due(now)]

    def comes_again(self, message: Message) -> bool:
        return message.msg_id in self._flight.unconfirmed

    def cancel(self) -> list[Message]:
        request = self._flight.make.control(CANCEL_REQUEST, {"run": self._run})
        self._cancel_ids.add(request.msg_id)
        return [request]

    def keep_journal(self, about: dict[str, Any]) -> list[Message]:
        content = {"run": self._run, "journal": JOURNAL_FOLDER, "about": about}
        request = self._flight.make.control(JOURNAL_REQUEST, content)
        self._journal_id = request.msg_id
        return [request]

    def forget(self) -> list[Message]:
        content = {"run": self._run, "delete_journal": True}
        return [self._flight.make.control(FORGET_REQUEST, content)]


class FormerlyRecordedRun(PlainRun):
    """A run whose kernel has no recorder any more: its cells go out plainly.

    Args:
        flight: the requests of the run.
        before: gives out what the recorder numbered until then.
    """

    def __init__(self, flight: Flight, before: RecordedRun) -> None:
        super().__init__(flight)
        self._before = before

    @property
    def handled(self) -> int:
        return self._before.handled

    @property
    def current(self) -> int:
        return self._before.current

    def sent(self, msg_id: str, *, guarded: bool, now: float) -> None:
        self._before.sent(msg_id, guarded=guarded, now=now)

    def receive(self, message: Message, now: float) -> Iterable[Event]:
        for event in self._before.receive(message, now):
            # It is said once.
            if not isinstance(event, Unrecorded):
                yield event


def _journal_kept(answer: Message) -> JournalKept:
    """What a recorder's answer to the request for a journal says."""
    outcome = parse_answer(answer)
    if isinstance(outcome, Journaled):
        return JournalKept(outcome.state.journal, outcome.state.journal_error)
    reason = outcome.reason if isinstance(outcome, Refused) else ""
    return JournalKept(None, reason or "the recorder does not know how")
