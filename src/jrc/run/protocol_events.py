"""What an exchange tells beside the events of the execution itself."""

from dataclasses import dataclass
from typing import NamedTuple

from jrc.kernel.execution import Event as ExecutionEvent
from jrc.recorder.protocol import Journaled, parse_answer
from jrc.wire.message import Message


@dataclass(frozen=True)
class OutputGone:
    """Messages that the kernel published and that nobody has any more.

    Attributes:
        count: how many.
    """

    count: int


class NotRun(NamedTuple):
    """A request met a kernel without a recorder and was not executed: send it again."""

    key: int


class Unrecorded(NamedTuple):
    """From now on nothing is recorded.

    Attributes:
        reason: why, as the end of a sentence.
    """

    reason: str


class JournalKept(NamedTuple):
    """The recorder answered the request for a journal.

    Attributes:
        path: of the journal on the server's machine; None without one.
        reason: why there is none, or why it is not complete; empty otherwise.
    """

    path: str | None
    reason: str


class CancelTaken(NamedTuple):
    """The kernel begins none of the requests any more that it has not begun."""


Event = ExecutionEvent | OutputGone | NotRun | Unrecorded | JournalKept | CancelTaken


def journal_kept(answer: Message) -> JournalKept:
    """What a recorder's answer to the request for a journal says."""
    outcome = parse_answer(answer)
    if isinstance(outcome, Journaled):
        return JournalKept(outcome.state.journal, outcome.state.journal_error)
    reason = getattr(outcome, "reason", "")
    return JournalKept(None, reason or "the recorder does not know how")
