"""The client's side of one run: which message is given out when, and what to ask the recorder.

Pure: the clock is an argument, and the requests are returned for the caller to send.

A request is finished when its ``status: idle`` is given out. Because the sequence has no holes,
everything that was published for it, and its ``execute_reply``, were given out before. That needs
no count and no fence; the rule "reply and idle, in either order" still holds.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from jrc.recorder.protocol import (
    REPLAY_REQUEST,
    Refused,
    Replay,
    RunState,
    parse_answer,
    read_stamp,
    replay_content,
)
from jrc.recorder.tracker import Item, Lost, Tracker
from jrc.wire.message import Message, limit_notice

GAP_GRACE = 0.1
"""Seconds that a gap may last: shell and iopub overtake each other by milliseconds."""

IDLE_GRACE = 0.3
"""Seconds from a reply to its idle."""

QUIET = 2.0
QUIET_AT_MOST = 15.0
"""Seconds without a message, while a request is pending, before the recorder is asked whether the
last ones were lost. Longer each time, until something arrives."""

ANSWER_TIMEOUT = 10.0
ANSWER_TIMEOUT_AT_MOST = 120.0
"""Seconds for an answer. A kernel that is inside one long call of C code gives none meanwhile."""

FRUITLESS_AT_MOST = 10
"""So many answers in a row that bring nothing of what the recorder counted: it can't give it."""

FRUITLESS_PAUSE_AT_MOST = 5.0

ANSWER_GRACE = 1.0
"""For a person's answer to reach the code that asked. It goes another way than our questions."""

ACKNOWLEDGE_AFTER = 4 << 20
"""Bytes that were given out before the kernel is told to free them."""

ACKNOWLEDGE_QUIET = 1.0

SMALLEST_BATCH = 64 << 10
LARGEST_BATCH = 16 << 20
FIRST_BATCH = 1 << 20
FAST_ANSWER = 0.5
SLOW_ANSWER = 2.0
"""Seconds. A replay should not keep a slow link busy for long: other messages wait behind it."""

_MOST_QUESTIONS = 256
_MOST_PARENTS = 256
_ENDS = ("restarting", "dead")


class NotExecuted(NamedTuple):
    """A guarded request met a kernel without the recorder, or without its run: nothing was done.

    Attributes:
        msg_id: of the request. Send it again, unguarded, when the run goes on without a recorder.
    """

    msg_id: str


class NoReply(NamedTuple):
    """A request is over and has no reply: an interrupt hit the kernel just when it would send it.

    Attributes:
        msg_id: of the request.
    """

    msg_id: str


class RecorderLost(NamedTuple):
    """From now on nothing is recorded: what arrives is what the server lets through.

    Attributes:
        reason: why, for the person.
    """

    reason: str


News = Message | Lost | NotExecuted | NoReply | RecorderLost


class _Pending:
    def __init__(self, *, guarded: bool, has_reply: bool) -> None:
        self.guarded = guarded
        self.has_reply = has_reply
        self.started = False
        self.replied = False
        self.idle = False


class _Question(NamedTuple):
    at: float
    wants_messages: bool


class Recording:
    """One run, as one client sees it.

    Args:
        run: its id.
        make: makes a message for the control channel out of type and content.
        after: the messages up to this number are not wanted.
        acknowledge: what was given out may be freed in the kernel. Not for a run that somebody
            may attach to later.

    Attributes:
        state: what the recorder said of the run last; None before it said anything.
        safe: the messages up to this number may be freed, of those that were given out; None for
            all.
    """

    def __init__(
        self,
        run: str,
        make: Callable[[str, dict[str, Any]], Message],
        *,
        after: int = 0,
        acknowledge: bool = True,
    ) -> None:
        self.state: RunState | None = None
        self.safe: int | None = None
        self._run = run
        self._make = make
        self._tracker = Tracker(after=after)
        self._acknowledge = acknowledge
        self._acknowledged = after
        self._unacknowledged_bytes = 0
        self._pending: dict[str, _Pending] = {}
        self._parents: dict[str, None] = {}
        self._not_executed: set[str] = set()
        self._question: str | None = None
        self._asked: dict[str, _Question] = {}
        self._answer_timeout = ANSWER_TIMEOUT
        self._batch = FIRST_BATCH
        self._heard = 0.0
        self._quiet = QUIET
        self._lacking_since: float | None = None
        self._hurry = False
        self._fruitless = 0
        self._not_before = 0.0
        self._lost_recorder = False
        self._asked_person: Message | None = None
        self._answer: Message | None = None
        self._answered_at = 0.0
        self._answer_missing = False

    @property
    def next(self) -> int:
        """Number of the message to give out next."""
        return self._tracker.next

    @property
    def pending(self) -> list[str]:
        """The requests that are not finished, oldest first."""
        return list(self._pending)

    @property
    def unstarted(self) -> list[str]:
        """The guarded requests of which nothing was heard, oldest first.

        When the link was lost it is not known whether they reached the kernel. To send the same
        messages again, in this order, is safe: the recorder executes each of them once.
        """
        return [
            msg_id
            for msg_id, request in self._pending.items()
            if request.guarded and not request.started
        ]

    def sent(self, msg_id: str, *, guarded: bool, now: float, has_reply: bool = True) -> None:
        """Note that a request of the run goes out, or that it did before this client came.

        Args:
            msg_id: of the request.
            guarded: it carries its code in its metadata.
            now: the clock.
            has_reply: false for a ``comm_msg`` and its like.
        """
        self._pending[msg_id] = _Pending(guarded=guarded, has_reply=has_reply)
        self._heard = max(self._heard, now)

    def answered(self, reply: Message, now: float) -> Message:
        """Note that the answer to the last question goes out; it comes again from ``due``, if lost.

        To send it twice is safe: a kernel drops a message that it had already ("Duplicate
        Signature"), and a recorder one that answers another question.

        Args:
            reply: the ``input_reply``.
            now: the clock.

        Returns:
            what to send: the same, naming the question that it answers.
        """
        if self._asked_person is not None and not reply.parent_id:
            reply = replace(reply, parent_header=self._asked_person.header)
        self._answer, self._answered_at, self._answer_missing = reply, now, False
        return reply

    def receive(self, message: Message, now: float) -> list[News]:
        """Take in a message from the kernel; returns what is to be handled now, in order.

        Messages that do not belong to the run come back at once.

        Raises:
            WireError: it can't be decoded.
        """
        stamp = read_stamp(message)
        if stamp is not None and stamp.run == self._run:
            if stamp.number:
                self._heard, self._quiet = now, QUIET
                self._note_parent(message.parent_id)
                request = self._pending.get(message.parent_id)
                if request is not None:
                    request.started = True
                return self._out(self._tracker.live(stamp.number, message))
            return [*self._lose(stamp.disabled), *self._unrecorded(message)]
        if message.parent_id in self._asked:
            return self._on_answer(message, now)
        if _is_end(message):
            return [*self.ended(), message]
        known = (self._pending, self._parents, self._not_executed)
        if any(message.parent_id in ids for ids in known):
            return self._unrecorded(message)
        return [message]

    def is_pending(self, msg_id: str) -> bool:
        """Whether this request is not finished."""
        return msg_id in self._pending

    def recovered(self, messages: list[tuple[int, Message]]) -> list[News]:
        """Take in numbered messages from a journal, in order."""
        return self._out(self._tracker.recovered(messages))

    def ended(self) -> list[News]:
        """The kernel is gone: what did not arrive is lost, what came too early is given out."""
        self._question = None
        self._lost_recorder = True
        return self._out(self._tracker.ended())

    def link_lost(self) -> None:
        """The answer to what was asked will not come."""
        self._question = None
        self._answered_at = -math.inf

    def link_restored(self) -> None:
        """Ask at once what was missed."""
        self._question = None
        self._hurry = True

    def due(self, now: float) -> list[Message]:
        """What to send now. Call it after each ``receive`` and a few times a second."""
        if self._answer is not None and self._answer_missing:
            return [self.answered(self._answer, now)]
        if self._lost_recorder or not self._may_ask(now):
            return []
        if self._must_ask(now):
            ranges, offset = self._tracker.wanted()
            self._hurry = False
            self._quiet = min(self._quiet * 1.5, QUIET_AT_MOST)
            self._heard = now
        elif self._must_acknowledge(now):
            # What is published meanwhile is on its way: it need not come twice.
            ranges, offset = [], 0
        else:
            return []
        acknowledged = self._to_acknowledge
        content = replay_content(
            self._run,
            ranges,
            max_bytes=self._batch,
            offset=offset,
            acknowledge=acknowledged,
        )
        self._acknowledged = max(self._acknowledged, acknowledged)
        if acknowledged == self._tracker.next - 1:
            self._unacknowledged_bytes = 0
        question = self._make(REPLAY_REQUEST, content)
        self._question = question.msg_id
        self._asked[question.msg_id] = _Question(now, wants_messages=bool(ranges))
        if len(self._asked) > _MOST_QUESTIONS:
            del self._asked[next(iter(self._asked))]
        return [question]

    def _may_ask(self, now: float) -> bool:
        if self._question is None:
            return True
        if now - self._asked[self._question].at < self._answer_timeout:
            return False
        self._answer_timeout = min(2 * self._answer_timeout, ANSWER_TIMEOUT_AT_MOST)
        self._hurry = True
        return True

    def _must_ask(self, now: float) -> bool:
        if self._hurry:
            return True
        if self._tracker.lacking:
            if self._lacking_since is None:
                self._lacking_since = now
            return now >= max(self._lacking_since + GAP_GRACE, self._not_before)
        quiet = now - self._heard
        if not self._pending or quiet < min(IDLE_GRACE, self._quiet):
            return False
        return quiet >= self._quiet or any(each.replied for each in self._pending.values())

    @property
    def _to_acknowledge(self) -> int:
        if not self._acknowledge:
            return 0
        given_out = self._tracker.next - 1
        return given_out if self.safe is None else min(given_out, self.safe)

    def _must_acknowledge(self, now: float) -> bool:
        if self._acknowledged >= self._to_acknowledge:
            return False
        enough = self._unacknowledged_bytes >= ACKNOWLEDGE_AFTER
        quiet = now - self._heard >= ACKNOWLEDGE_QUIET
        return enough or (quiet and not self._pending)

    def _note_parent(self, msg_id: str) -> None:
        """Remember the requests that published last: the run of a relay has no end."""
        self._parents.pop(msg_id, None)
        self._parents[msg_id] = None
        if len(self._parents) > _MOST_PARENTS:
            del self._parents[next(iter(self._parents))]

    def _out(self, items: list[Item]) -> list[News]:
        """Note what is given out."""
        if items or not self._tracker.lacking:
            self._lacking_since = None
            self._fruitless = 0
        news: list[News] = []
        for item in items:
            news.append(item)
            if isinstance(item, Message):
                if item.channel == "stdin":
                    self._asked_person, self._answer = item, None
                self._unacknowledged_bytes += len(item.content)
                news.extend(self._note_progress(item, recorded=True))
        return news

    def _note_progress(self, message: Message, *, recorded: bool) -> list[News]:
        """Note the reply and the idle of a request that is pending."""
        request = self._pending.get(message.parent_id)
        if request is None:
            return []
        if message.channel == "shell":
            request.replied = True
            # ipykernel 6.0 publishes no idle for what a guard refused.
            over = request.idle or message.content_fields.get("status") == "aborted"
        elif _is_idle(message):
            request.idle = True
            # The recorder numbers a reply before the idle: it can't come behind it any more.
            over = request.replied or recorded or not request.has_reply
        else:
            return []
        if not over:
            return []
        del self._pending[message.parent_id]
        answered = request.replied or not request.has_reply
        return [] if answered else [NoReply(message.parent_id)]

    def _unrecorded(self, message: Message) -> list[News]:
        """A message of one of our requests that has no number."""
        if message.parent_id in self._not_executed:
            return []
        request = self._pending.get(message.parent_id)
        if request is not None and request.guarded:
            # The kernel executed the empty code that it found.
            if message.channel != "shell":
                return []
            del self._pending[message.parent_id]
            self._not_executed.add(message.parent_id)
            return [NotExecuted(message.parent_id)]
        if not self._lost_recorder and limit_notice(message) is not None:
            self._hurry = True
            return []
        return [message, *self._note_progress(message, recorded=False)]

    def _on_answer(self, message: Message, now: float) -> list[News]:
        if message.channel != "control":
            # A recorder does not publish the status of our requests: this kernel has none.
            return self._lose("the kernel has no recorder any more")
        asked = self._asked[message.parent_id]
        if self._question == message.parent_id:
            self._question = None
        self._answer_timeout = ANSWER_TIMEOUT
        answer = parse_answer(message)
        if isinstance(answer, Refused):
            return self._lose(answer.reason)
        if not isinstance(answer, Replay):
            return []
        self.state = answer.state
        self._look_for_answer(answer.state, asked.at)
        self._adapt(now - asked.at, len(answer.data))
        before = self._tracker.position
        items = self._tracker.replayed(answer) if answer.brings_something else []
        news = self._out(items)
        if self._tracker.lacking and self._tracker.position > before:
            self._hurry = True
        elif self._tracker.lacking and asked.wants_messages:
            news.extend(self._brought_nothing(now))
        if answer.disabled:
            news.extend(self._lose(answer.disabled))
        return news

    def _look_for_answer(self, state: RunState, at: float) -> None:
        """Find out what became of the person's answer, as the kernel saw it at that time."""
        stamp = None if self._asked_person is None else read_stamp(self._asked_person)
        if stamp is None or at < self._answered_at + ANSWER_GRACE:
            return
        if state.asking == stamp.number:
            self._answer_missing = self._answer is not None
        else:
            self._answer = None

    def _brought_nothing(self, now: float) -> list[News]:
        """Ask less and less often for what does not come, and no longer at the end."""
        self._fruitless += 1
        if self._fruitless >= FRUITLESS_AT_MOST:
            self._fruitless = 0
            return self._out(self._tracker.given_up())
        pause = GAP_GRACE * 2**self._fruitless
        self._not_before = now + min(pause, FRUITLESS_PAUSE_AT_MOST)
        return []

    def _adapt(self, seconds: float, size: int) -> None:
        """Choose the size of the next batch by how long this one took."""
        if seconds > SLOW_ANSWER:
            self._batch = max(self._batch // 2, SMALLEST_BATCH)
        elif seconds < FAST_ANSWER and size > self._batch // 2:
            self._batch = min(self._batch * 2, LARGEST_BATCH)

    def _lose(self, reason: str) -> list[News]:
        if self._lost_recorder:
            return []
        self._lost_recorder = True
        return [RecorderLost(reason)]


def _is_end(message: Message) -> bool:
    """The kernel ended, or is about to. Source: jupyter_server ``connection/channels.py``."""
    if message.channel != "iopub":
        return False
    if message.msg_type == "shutdown_reply":
        return True
    if message.msg_type != "status" or message.parent_id:
        return False
    return message.content_fields.get("execution_state") in _ENDS


def _is_idle(message: Message) -> bool:
    return message.msg_type == "status" and message.content_fields.get("execution_state") == "idle"
