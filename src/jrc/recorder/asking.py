"""When to ask the recorder, for how much, and what it may free. Pure: the clock is an argument."""

import math
from dataclasses import replace
from typing import NamedTuple

from jrc.recorder.protocol import RunState, read_stamp
from jrc.wire.message import Message


class Timing(NamedTuple):
    """When the recorder is asked; everything in seconds but for the count.

    Attributes:
        gap_grace: a gap may last so long: shell and iopub overtake each other by milliseconds.
        idle_grace: from a reply to its idle.
        quiet: without a message, while a request is pending, before the recorder is asked whether
            the last ones were lost. Longer each time, until something arrives.
        quiet_at_most: the longest such time.
        answer: for an answer. A kernel that is inside one long call of C code gives none.
        answer_at_most: for an answer, after several that did not come.
        answer_doubted: for an answer, where a damaged frame came that may have been it.
        fruitless: so many answers in a row that bring nothing of what the recorder counted: it
            can't give it.
        fruitless_pause_at_most: between two questions that bring nothing.
        acknowledge_quiet: without a message, before what was given out is acknowledged.
        answer_grace: for a person's answer to reach the code that asked. It goes another way than
            our questions.
    """

    gap_grace: float = 0.1
    idle_grace: float = 0.3
    quiet: float = 2.0
    quiet_at_most: float = 15.0
    answer: float = 10.0
    answer_at_most: float = 120.0
    answer_doubted: float = 2.0
    fruitless: int = 10
    fruitless_pause_at_most: float = 5.0
    acknowledge_quiet: float = 1.0
    answer_grace: float = 1.0


USUAL = Timing()

ACKNOWLEDGE_AFTER = 4 << 20
"""Bytes that were given out before the kernel may free them."""

SMALLEST_BATCH = 64 << 10
LARGEST_BATCH = 16 << 20
FIRST_BATCH = 1 << 20
FAST_ANSWER = 0.5
SLOW_ANSWER = 2.0
"""Seconds. A replay should not keep a slow link busy for long: other messages wait behind it."""

_MOST_QUESTIONS = 256


class Question(NamedTuple):
    at: float
    wants_messages: bool


class Questions:
    """The questions to the recorder, one at a time, and how much an answer may bring.

    Attributes:
        batch: bytes that the next answer may bring.
        answers: how many answers said what the recorder has.
    """

    def __init__(self, timing: Timing) -> None:
        self.answers = 0
        self.batch = FIRST_BATCH
        self._timing = timing
        self._timeout = timing.answer
        self._open: str | None = None
        self._asked: dict[str, Question] = {}

    def __contains__(self, msg_id: str) -> bool:
        """It was asked by us, however long ago."""
        return msg_id in self._asked

    def lost(self) -> None:
        """The answer to what was asked will not come."""
        self._open = None

    def waits(self, now: float) -> bool:
        """An answer can still come."""
        return self._open is not None and now - self._asked[self._open].at < self._timeout

    def doubt(self) -> None:
        """The answer to what was asked may have come damaged."""
        self._timeout = min(self._timeout, self._timing.answer_doubted)

    def given_up(self) -> bool:
        """Whether there is a question that no answer came to; the next one may take longer."""
        if self._open is None:
            return False
        self._timeout = min(2 * self._timeout, self._timing.answer_at_most)
        return True

    def asked(self, msg_id: str, now: float, *, wants_messages: bool) -> None:
        self._open = msg_id
        self._asked[msg_id] = Question(now, wants_messages)
        if len(self._asked) > _MOST_QUESTIONS:
            del self._asked[next(iter(self._asked))]

    def answered(self, msg_id: str) -> Question:
        if self._open == msg_id:
            self._open = None
        self._timeout = self._timing.answer
        return self._asked[msg_id]

    def took(self, seconds: float, size: int) -> None:
        """Count an answer, and choose the size of the next batch by how long this one took."""
        self.answers += 1
        if seconds > SLOW_ANSWER:
            self.batch = max(self.batch // 2, SMALLEST_BATCH)
        elif seconds < FAST_ANSWER and size > self.batch // 2:
            self.batch = min(self.batch * 2, LARGEST_BATCH)


class Patience:
    """When to ask for what did not arrive: at once, after a gap, after a time of silence."""

    def __init__(self, timing: Timing) -> None:
        self.hurry = False
        self.heard_at = 0.0
        self._timing = timing
        self._quiet = timing.quiet
        self._lacking_since: float | None = None
        self._fruitless = 0
        self._not_before = 0.0

    def sent(self, now: float) -> None:
        self.heard_at = max(self.heard_at, now)

    def heard(self, now: float) -> None:
        self.heard_at, self._quiet = now, self._timing.quiet

    def gave_out(self) -> None:
        """The sequence went on, or has no gap."""
        self._lacking_since = None
        self._fruitless = 0

    def asked(self, now: float) -> None:
        self.hurry = False
        self._quiet = min(self._quiet * 1.5, self._timing.quiet_at_most)
        self.heard_at = now

    def gap_is_over(self, now: float) -> bool:
        """A gap lasts too long to be one that closes by itself."""
        if self._lacking_since is None:
            self._lacking_since = now
        return now >= max(self._lacking_since + self._timing.gap_grace, self._not_before)

    def silence_is_over(self, now: float, *, replied: bool) -> bool:
        """Nothing arrived for too long, while requests are pending."""
        silent = now - self.heard_at
        if silent < min(self._timing.idle_grace, self._quiet):
            return False
        return silent >= self._quiet or replied

    def brought_nothing(self, now: float) -> bool:
        """Ask less and less often for what does not come; true when it makes no sense any more."""
        self._fruitless += 1
        if self._fruitless >= self._timing.fruitless:
            self._fruitless = 0
            return True
        pause = self._timing.gap_grace * 2**self._fruitless
        self._not_before = now + min(pause, self._timing.fruitless_pause_at_most)
        return False


class Acknowledging:
    """Which messages the kernel may free."""

    def __init__(self, *, wanted: bool, after: int) -> None:
        self.safe: int | None = None
        self._wanted = wanted
        self._acknowledged = after
        self._bytes = 0

    def gave_out(self, message: Message) -> None:
        self._bytes += len(message.content)

    def up_to(self, given_out: int) -> int:
        """The number to acknowledge now that the messages up to this one were given out."""
        if not self._wanted:
            return 0
        return given_out if self.safe is None else min(given_out, self.safe)

    def done(self, given_out: int) -> int:
        """Note that it is acknowledged; returns the number."""
        number = self.up_to(given_out)
        self._acknowledged = max(self._acknowledged, number)
        if number == given_out:
            self._bytes = 0
        return number

    def is_due(self, given_out: int, *, quiet: bool) -> bool:
        if self._acknowledged >= self.up_to(given_out):
            return False
        return quiet or self._bytes >= ACKNOWLEDGE_AFTER


class PersonsAnswer:
    """What a person answers to the code, until the kernel has it."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._question: Message | None = None
        self._reply: Message | None = None
        self._sent_at = 0.0
        self._is_missing = False

    def asked(self, question: Message) -> None:
        """The code asks; what was answered before is over."""
        self._question, self._reply = question, None

    def sent(self, reply: Message, now: float) -> Message:
        """Note that the answer goes out; returns it with the name of the question."""
        if self._question is not None and not reply.parent_id:
            reply = replace(reply, parent_header=self._question.header)
        self._reply, self._sent_at, self._is_missing = reply, now, False
        return reply

    def link_lost(self) -> None:
        """It may be lost: what the kernel says next counts, however early that is."""
        self._sent_at = -math.inf

    def again(self, now: float) -> list[Message]:
        """The answer, where it is to be sent once more."""
        if self._reply is None or not self._is_missing:
            return []
        return [self.sent(self._reply, now)]

    def look_for(self, state: RunState, at: float) -> None:
        """Find out what became of it, as the kernel saw it at that time."""
        stamp = None if self._question is None else read_stamp(self._question)
        if stamp is None or at < self._sent_at + self._timing.answer_grace:
            return
        if state.asking == stamp.number:
            self._is_missing = self._reply is not None
        else:
            self._reply = None
