"""The client's side of one run: which message is given out when, and what to ask the recorder.

Pure: the clock is an argument, the caller makes the requests and sends those that are returned.

A request is finished when its ``status: idle`` is given out. Because the sequence has no holes,
everything that was published for it, and its ``execute_reply``, were given out before. That needs
no count and no fence; the rule "reply and idle, in either order" still holds.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jrc.errors import WireError
from jrc.recorder.asking import (
    LARGEST_BATCH,
    USUAL,
    Acknowledging,
    Patience,
    PersonsAnswer,
    Question,
    Questions,
    Timing,
)
from jrc.recorder.protocol import (
    REPLAY_REQUEST,
    Answer,
    Refused,
    Replay,
    RunState,
    parse_answer,
    read_stamp,
    replay_content,
)
from jrc.recorder.tracker import Item, Lost, Tracker
from jrc.wire.message import Message, is_readable, limit_notice

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


class _Request:
    def __init__(self, *, guarded: bool, has_reply: bool) -> None:
        self.guarded = guarded
        self.has_reply = has_reply
        self.replied = False
        self.idle = False


class _Requests:
    """The requests of the run: which are pending, and which ids are the run's at all."""

    def __init__(self) -> None:
        self._pending: dict[str, _Request] = {}
        self._parents: dict[str, None] = {}
        self._not_executed: set[str] = set()

    def __bool__(self) -> bool:
        """One is pending."""
        return bool(self._pending)

    def __contains__(self, msg_id: str) -> bool:
        """It is pending."""
        return msg_id in self._pending

    @property
    def replied(self) -> bool:
        """One that is pending has its reply."""
        return any(each.replied for each in self._pending.values())

    def sent(self, msg_id: str, *, guarded: bool, has_reply: bool) -> None:
        self._pending[msg_id] = _Request(guarded=guarded, has_reply=has_reply)

    def published(self, msg_id: str) -> None:
        """Remember the requests that published last: the run of a relay has no end."""
        self._parents.pop(msg_id, None)
        self._parents[msg_id] = None
        if len(self._parents) > _MOST_PARENTS:
            del self._parents[next(iter(self._parents))]

    def are_parent_of(self, message: Message) -> bool:
        """Whether a message answers a request of the run."""
        known = (self._pending, self._parents, self._not_executed)
        return any(message.parent_id in ids for ids in known)

    def progress(self, message: Message, *, recorded: bool) -> list[NoReply]:
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

    def refused(self, message: Message) -> list[NotExecuted] | None:
        """What a message without a number says of a request that only the recorder may execute.

        Returns:
            None when the message does not belong to such a request.
        """
        if message.parent_id in self._not_executed:
            return []
        request = self._pending.get(message.parent_id)
        if request is None or not request.guarded:
            return None
        # The kernel executed the empty code that it found.
        if message.channel != "shell":
            return []
        del self._pending[message.parent_id]
        self._not_executed.add(message.parent_id)
        return [NotExecuted(message.parent_id)]


class Recording:
    """One run, as one client sees it.

    Args:
        run: its id.
        make: makes a message for the control channel out of type and content.
        after: the messages up to this number are not wanted.
        acknowledge: what was given out may be freed in the kernel. Not for a run that somebody
            may attach to later.
        timing: when to ask.
        is_readable: whether the caller will be able to read a message. Another one that arrives is
            asked for again.

    Attributes:
        state: what the recorder said of the run last; None before it said anything.
    """

    def __init__(
        self,
        run: str,
        make: Callable[[str, dict[str, Any]], Message],
        *,
        after: int = 0,
        acknowledge: bool = True,
        timing: Timing = USUAL,
        is_readable: Callable[[Message], bool] = is_readable,
    ) -> None:
        self.state: RunState | None = None
        self._run = run
        self._make = make
        self._timing = timing
        self._tracker = Tracker(after=after, is_readable=is_readable)
        self._requests = _Requests()
        self._questions = Questions(timing)
        self._patience = Patience(timing)
        self._acknowledging = Acknowledging(wanted=acknowledge, after=after)
        self._answer = PersonsAnswer(timing)
        self._lost_recorder = False

    @property
    def next(self) -> int:
        """Number of the message to give out next."""
        return self._tracker.next

    @property
    def answers(self) -> int:
        """How many answers about its state the recorder gave so far."""
        return self._questions.answers

    @property
    def pending(self) -> bool:
        """A request is not finished."""
        return bool(self._requests)

    def is_pending(self, msg_id: str) -> bool:
        """Whether this request is not finished."""
        return msg_id in self._requests

    def saved(self, number: int) -> None:
        """Of what was given out, no more than the messages up to this number may be freed."""
        self._acknowledging.safe = number

    def sent(self, msg_id: str, *, guarded: bool, now: float, has_reply: bool = True) -> None:
        """Note that a request of the run goes out, or that it did before this client came.

        Args:
            msg_id: of the request.
            guarded: it carries its code in its metadata.
            now: the clock.
            has_reply: false for a ``comm_msg`` and its like.
        """
        self._requests.sent(msg_id, guarded=guarded, has_reply=has_reply)
        self._patience.sent(now)

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
        return self._answer.sent(reply, now)

    def receive(self, message: Message, now: float) -> list[News]:
        """Take in a message from the kernel; returns what is to be handled now, in order.

        Messages that do not belong to the run come back at once.

        Raises:
            WireError: it can't be read, and has no number in the run.
        """
        stamp = read_stamp(message)
        if stamp is not None and stamp.run == self._run:
            if stamp.number:
                self._patience.heard(now)
                self._requests.published(message.parent_id)
                return self._out(self._tracker.live(stamp.number, message))
            return [*self._lose(stamp.disabled), *self._unrecorded(message)]
        if message.parent_id in self._questions:
            return self._on_answer(message, now)
        if _is_end(message):
            return [*self.ended(), message]
        if self._requests.are_parent_of(message):
            return self._unrecorded(message)
        return [message]

    def frame_damaged(self, *, installed: bool) -> None:
        """Something came that can't be read: ask at once what it may have been.

        Before the recorder was heard of, its installation may be under way, and a kernel that is
        asked too early answers as one that has none.

        Args:
            installed: the caller heard of it.
        """
        self._questions.doubt()
        if installed or self.state is not None or self._tracker.known:
            self._patience.hurry = True

    def lost(self, number: int) -> list[News]:
        """Nobody has this message of the run in a form that can be read."""
        return self._out(self._tracker.lost(number))

    def ended(self) -> list[News]:
        """The kernel is gone: what did not arrive is lost, what came too early is given out."""
        self._questions.lost()
        self._lost_recorder = True
        return self._out(self._tracker.given_up())

    def link_lost(self) -> None:
        """The answer to what was asked will not come."""
        self._questions.lost()
        self._answer.link_lost()

    def link_restored(self) -> None:
        """Ask at once what was missed."""
        self._questions.lost()
        self._patience.hurry = True

    def due(self, now: float) -> list[Message]:
        """What to send now. Call it after each ``receive`` and a few times a second."""
        again = self._answer.again(now)
        if again:
            return again
        if self._lost_recorder or self._questions.waits(now):
            return []
        if self._questions.given_up():
            self._patience.hurry = True
        given_out = self._tracker.next - 1
        if self._must_ask(now):
            ranges, offset = self._tracker.wanted()
            self._patience.asked(now)
        elif self._acknowledging.is_due(given_out, quiet=self._is_quiet(now)):
            # What is published meanwhile is on its way: it need not come twice.
            ranges, offset = [], 0
        else:
            return []
        content = replay_content(
            self._run,
            ranges,
            max_bytes=self._questions.batch,
            offset=offset,
            acknowledge=self._acknowledging.done(given_out),
        )
        question = self._make(REPLAY_REQUEST, content)
        self._questions.asked(question.msg_id, now, wants_messages=bool(ranges))
        return [question]

    def _must_ask(self, now: float) -> bool:
        if self._patience.hurry:
            return True
        if self._tracker.lacking:
            return self._patience.gap_is_over(now)
        if not self._requests:
            return False
        return self._patience.silence_is_over(now, replied=self._requests.replied)

    def _is_quiet(self, now: float) -> bool:
        """Nothing is pending, and nothing arrived for a while."""
        silent = now - self._patience.heard_at
        return not self._requests and silent >= self._timing.acknowledge_quiet

    def _out(self, items: list[Item]) -> list[News]:
        """Note what is given out."""
        if items or not self._tracker.lacking:
            self._patience.gave_out()
        news: list[News] = []
        for item in items:
            news.append(item)
            if isinstance(item, Message):
                if item.channel == "stdin":
                    self._answer.asked(item)
                self._acknowledging.gave_out(item)
                news.extend(self._requests.progress(item, recorded=True))
        return news

    def _unrecorded(self, message: Message) -> list[News]:
        """A message of one of our requests that has no number."""
        refused = self._requests.refused(message)
        if refused is not None:
            return [*refused]
        if not self._lost_recorder and limit_notice(message) is not None:
            self._patience.hurry = True
            return []
        return [message, *self._requests.progress(message, recorded=False)]

    def _on_answer(self, message: Message, now: float) -> list[News]:
        if message.channel != "control":
            # A recorder does not publish the status of our requests: this kernel has none.
            return self._lose("the kernel has no recorder any more")
        question = self._questions.answered(message.parent_id)
        try:
            return self._answered(question, parse_answer(message), now)
        except WireError:
            # Broken in the kernel itself, or by code there: another try may bring more.
            return self._brought_nothing(question, now)

    def _answered(self, question: Question, answer: Answer, now: float) -> list[News]:
        if isinstance(answer, Refused):
            return self._lose(answer.reason)
        if not isinstance(answer, Replay):
            return []
        if len(answer.data) > LARGEST_BATCH:
            raise WireError("A replay brings more than was asked for.")
        self.state = answer.state
        self._answer.look_for(answer.state, question.at)
        self._questions.took(now - question.at, len(answer.data))
        before = self._tracker.position
        items = self._tracker.replayed(answer) if answer.brings_something else []
        news = self._out(items)
        if self._tracker.lacking and self._tracker.position > before:
            self._patience.hurry = True
        else:
            news.extend(self._brought_nothing(question, now))
        if answer.disabled:
            news.extend(self._lose(answer.disabled))
        return news

    def _brought_nothing(self, question: Question, now: float) -> list[News]:
        if not (self._tracker.lacking and question.wants_messages):
            return []
        if not self._patience.brought_nothing(now):
            return []
        return self._out(self._tracker.given_up())

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
