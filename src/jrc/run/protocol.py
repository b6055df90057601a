"""The requests of one run and what comes back for them: recorded where that is possible.

Here it is decided whether a run is recorded, and that it goes on plainly where its kernel can't
have a recorder or loses it. No I/O and no clock, as in ``run.strategy``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jrc.kernel.messages import Messages
from jrc.notebook.widgets import CommMessage
from jrc.run.recorded_run import FormerlyRecordedRun, RecordedRun
from jrc.run.strategy import Event, Flight, PlainRun, Strategy, Unrecorded
from jrc.wire.message import Message


class Exchange:
    """What one run sends to its kernel, and what the answers mean.

    Args:
        requests: makes the messages.
        recorded_as: id of the run for the recorder; None for a run without one.
        acknowledge: what was given out may be freed in the kernel.
        fields: what the recorder shall say of each request, beside its ``cell``.
        own_kernel: the kernel was started for this run.

    Attributes:
        run: how its requests go out now; another one when a recorder is lost.
        is_taken_up: another client began it.
    """

    def __init__(
        self,
        requests: Messages,
        *,
        recorded_as: str | None,
        acknowledge: bool = True,
        fields: Mapping[str, Any] | None = None,
        own_kernel: bool = False,
    ) -> None:
        self.is_taken_up = False
        self._flight = flight = Flight(requests)
        self.run: Strategy = PlainRun(flight)
        if recorded_as is not None:
            self.run = RecordedRun(
                recorded_as, flight, acknowledge=acknowledge, fields=fields, own_kernel=own_kernel
            )

    @classmethod
    def taken_up(
        cls,
        requests: Messages,
        run: str,
        sent: Sequence[str],
        *,
        after: int,
        questions: bool,
        may_ask: bool,
        now: float,
    ) -> "Exchange":
        """Of a run that another client began, and that may belong to others still.

        Args:
            requests: makes the messages.
            run: its id.
            sent: ids of its requests; the position is the key.
            after: its messages up to this number are not wanted.
            questions: somebody is there whom the code can ask; else its questions are history.
            may_ask: the ``allow_stdin`` of its requests.
            now: the clock.
        """
        exchange = cls(requests, recorded_as=None)
        exchange.run = recorded = RecordedRun(
            run, exchange._flight, after=after, acknowledge=False, questions=questions
        )
        recorded.take_up(sent, now, may_ask=may_ask)
        exchange.is_taken_up = True
        return exchange

    @property
    def language_info(self) -> dict[str, Any] | None:
        """What the kernel says of its language; None before it said so."""
        return self._flight.language_info

    @property
    def sent(self) -> dict[int, str]:
        """The ids of the requests to execute code, by key. The last one, where one was repeated."""
        return {key: msg_id for msg_id, key in self._flight.keys.items()}

    @property
    def pending(self) -> list[int]:
        """Keys of the requests that are not finished, oldest first."""
        return self._flight.execution.pending

    @property
    def handled(self) -> int:
        """Number of the last recorded message that was dealt with; see ``Strategy``."""
        return self.run.handled

    def saved(self, number: int) -> None:
        """The kernel may free the messages up to this number, and no others."""
        self.run.saved(number)

    def ask_language(self) -> Message:
        """A question on control, which an ipykernel answers also while it executes cells."""
        return self._flight.ask_language_meanwhile()

    def fence(self) -> Message:
        """A request that proves what became of the earlier ones, noted as sent."""
        return self._flight.fence()

    def answer(self, value: str, question: Message, now: float) -> Message:
        """The answer to an ``input_request``; sent again, where it is recorded that it is lost."""
        return self.run.answered(self._flight.make.input_reply(value, question), now)

    def comm_message(self, note: CommMessage) -> Message:
        """What a widget's other side in the kernel needs to know."""
        return self._flight.make.comm_message(note.comm_id, note.data, note.parent_header)

    def stop_waiting_for_idle(self) -> Sequence[Event]:
        """Finish what has its reply: no fence could make the kernel's idle come."""
        return self._flight.execution.stop_waiting_for_idle()

    def receive(self, message: Message, now: float) -> Iterator[Event]:
        """What one message means. To be iterated to its end before the next one.

        Raises:
            WireError: it can't be read, and has no number in a run.
        """
        self._flight.note_language(message)
        for event in self.run.receive(message, now):
            if isinstance(event, Unrecorded) and isinstance(self.run, RecordedRun):
                self.run = FormerlyRecordedRun(self._flight, self.run)
            yield event
