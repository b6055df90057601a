"""One gapless sequence out of what arrives live, twice, late or not at all. Pure.

The messages of a run are numbered from 1 in the order in which the kernel published them. The
tracker gives out each of them once and in that order. It holds what came too early, says which
numbers it lacks, and takes the recorder's replays, in which messages may come twice or in slices.
"""

import heapq
from bisect import insort
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from jrc.errors import WireError
from jrc.recorder.in_kernel.records import BadRecordError, Record, decode_record
from jrc.recorder.protocol import Range, Replay
from jrc.wire.message import Message, are_lost, is_readable

HELD_BYTES = 16 << 20
"""What a client holds of messages that came too early. The kernel has the others."""

MOST_RANGES = 200


class Cause(StrEnum):
    """Why messages are lost, as the end of a sentence about one or many."""

    NOT_KEPT = "the recorder no longer keeps that part of the output"
    DAMAGED = "the recorder's copy can't be read"
    NEVER_ARRIVED = "that part of the output never arrived, and the kernel can't send it again"


class Lost(NamedTuple):
    """Messages of the run that nobody has any more: those numbered ``start`` to ``stop - 1``."""

    start: int
    stop: int
    cause: Cause

    @property
    def sentence(self) -> str:
        return f"{are_lost(self.stop - self.start)}: {self.cause}."


Item = Message | Lost


def to_message(record: Record) -> Message | None:
    """The message in a record; None where a part of it is missing."""
    if len(record.parts) < 4 or not record.channel:
        return None
    header, parent, metadata, content, *buffers = record.parts
    return Message(record.channel, header, parent, metadata, content, tuple(buffers))


class _Held:
    """Messages that came before their turn, by number.

    There may be a hundred thousand of them, so no step looks at all of them.

    Args:
        bound: bytes that are kept of what arrived by itself.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._bytes = 0
        self._messages: dict[int, Message] = {}
        # Sorted; those before ``_begin`` were taken.
        self._numbers: list[int] = []
        self._begin = 0

    def __iter__(self) -> Iterator[int]:
        """The numbers, in order."""
        return islice(self._numbers, self._begin, None)

    @property
    def first(self) -> int | None:
        """The lowest number."""
        return self._numbers[self._begin] if self._messages else None

    def add(self, number: int, message: Message, *, is_next: bool) -> None:
        """Hold a message that arrived by itself, as far as there is room.

        The newest go first: they are the last that will be given out.
        """
        if number in self._messages:
            return
        size = _size(message)
        is_newest = not self._messages or number > self._numbers[-1]
        if is_newest and not is_next and self._bytes + size > self._bound:
            return
        self._messages[number] = message
        self._bytes += size
        insort(self._numbers, number, lo=self._begin)
        stay = 1 if is_next else 0
        while self._bytes > self._bound and len(self._messages) > stay:
            self._bytes -= _size(self._messages.pop(self._numbers.pop()))

    def add_all(self, found: list[tuple[int, Message]]) -> None:
        """Hold messages that were asked for, whatever their size."""
        for number, message in found:
            if number not in self._messages:
                self._messages[number] = message
                self._bytes += _size(message)
                self._numbers.append(number)
        del self._numbers[: self._begin]
        self._begin = 0
        self._numbers.sort()

    def take(self, number: int) -> Message | None:
        """Take out the message with this number, below which there is none."""
        message = self._messages.pop(number, None)
        if message is None:
            return None
        self._bytes -= _size(message)
        self._begin += 1
        if 2 * self._begin >= len(self._numbers):
            del self._numbers[: self._begin]
            self._begin = 0
        return message


class Tracker:
    """The sequence of one run, on the client's side.

    Args:
        after: the messages up to this number are not wanted.
        held_bytes: bound of what is held because something before it is missing.
        is_readable: whether a message can be read. Another one counts as missing where it arrived,
            and as lost where it was replayed.

    Attributes:
        next: number of the message to give out next.
        known: number of the last message that the kernel is known to have published.
    """

    def __init__(
        self,
        *,
        after: int = 0,
        held_bytes: int = HELD_BYTES,
        is_readable: Callable[[Message], bool] = is_readable,
    ) -> None:
        self.next = after + 1
        self.known = after
        self._held = _Held(held_bytes)
        self._is_readable = is_readable
        # A heap, with the first in front. What overlaps is sorted out when its turn comes: a kernel
        # can send a hundred thousand of them at once.
        self._void: list[Lost] = []
        self._slice_of = 0
        self._slice = bytearray()

    @property
    def lacking(self) -> bool:
        """A message that is known to exist did not arrive yet."""
        return self.next <= self.known

    @property
    def position(self) -> tuple[int, int]:
        """Number of the message to give out next, and how many bytes of a slice are here."""
        return self.next, len(self._slice)

    def counted(self, count: int) -> None:
        """The recorder reported how many messages there are."""
        self.known = max(self.known, count)

    def live(self, number: int, message: Message) -> list[Item]:
        """A numbered message arrived; returns what can be given out now."""
        self.counted(number)
        if number >= self.next and self._is_readable(message):
            self._held.add(number, message, is_next=number == self.next)
        return self._give()

    def lost(self, number: int) -> list[Item]:
        """Nobody has this message in a form that can be read."""
        self.counted(number)
        heapq.heappush(self._void, Lost(number, number + 1, Cause.DAMAGED))
        return self._give()

    def wanted(self) -> tuple[list[Range], int]:
        """What a replay should bring: the gaps, then whatever there is behind them.

        Returns:
            the ranges, and the byte of the first record to go on from.
        """
        ranges: list[Range] = []
        start = self.next
        for number in self._held:
            if number > start:
                ranges.append((start, number))
            start = number + 1
            if len(ranges) == MOST_RANGES:
                break
        ranges.append((start, None))
        offset = len(self._slice) if self._slice_of == ranges[0][0] else 0
        return ranges, offset

    def replayed(self, replay: Replay) -> list[Item]:
        """The recorder answered; returns what can be given out now.

        Raises:
            WireError: its records can't be decoded, or it answers another question than ours.
        """
        if len(replay.missing) > MOST_RANGES + 1:
            raise WireError("A replay misses more ranges than were asked for.")
        self.counted(replay.state.count)
        found: list[tuple[int, Message]] = []
        for record in self._records(replay):
            message = to_message(record)
            if message is None or not self._is_readable(message):
                heapq.heappush(self._void, Lost(record.number, record.number + 1, Cause.DAMAGED))
            elif record.number >= self.next:
                found.append((record.number, message))
        self._held.add_all(found)
        for start, stop in replay.missing:
            heapq.heappush(self._void, Lost(start, stop, Cause.NOT_KEPT))
        return self._give()

    def given_up(self) -> list[Item]:
        """What is known to exist and did not arrive is lost."""
        return self._give(self.known + 1)

    def _give(self, upto: int = 0) -> list[Item]:
        """What can be given out now.

        Args:
            upto: a message before this number that is neither here nor void never arrives.
        """
        items: list[Item] = []
        while True:
            message = self._held.take(self.next)
            if message is not None:
                items.append(message)
                self.next += 1
                continue
            lost = self._lost_now(upto)
            if lost is None:
                return items
            self.next = lost.stop
            last = items[-1] if items else None
            if isinstance(last, Lost) and last.cause is lost.cause:
                items[-1] = last._replace(stop=lost.stop)
            else:
                items.append(lost)

    def _lost_now(self, upto: int) -> Lost | None:
        """The lost messages that begin with ``next``; None when it is not lost."""
        void = self._void
        while void and void[0].stop <= self.next:
            heapq.heappop(void)
        if void and void[0].start <= self.next:
            stop, cause = void[0].stop, void[0].cause
        elif self.next < upto:
            stop = min(upto, void[0].start) if void else upto
            cause = Cause.NEVER_ARRIVED
        else:
            return None
        first = self._held.first
        return Lost(self.next, stop if first is None else min(stop, first), cause)

    def _records(self, replay: Replay) -> list[Record]:
        """The whole records of a replay; what is cut short is kept for the next one."""
        number, offset = replay.first
        if not offset:
            data = bytearray()
            view = memoryview(replay.data)
        elif number == self._slice_of and offset == len(self._slice):
            data = self._slice
            data += replay.data
            view = memoryview(data)
        else:
            return []
        records: list[Record] = []
        at = 0
        try:
            while (record := decode_record(view, at)) is not None:
                records.append(record)
                at = record.end
        except BadRecordError as error:
            raise WireError(f"A replay can't be decoded: {error}.") from error
        self._keep_slice(replay, data, view, at)
        return records

    def _keep_slice(self, replay: Replay, data: bytearray, view: memoryview, at: int) -> None:
        self._slice_of, self._slice = 0, bytearray()
        if replay.next is None or replay.next[1] == 0:
            return
        if replay.next[1] != len(view) - at:
            raise WireError("A replay is cut short elsewhere than it says.")
        self._slice_of = replay.next[0]
        if data and at == 0:
            view.release()
            self._slice = data
        else:
            self._slice = bytearray(view[at:])


def _size(message: Message) -> int:
    parts = (message.header, message.parent_header, message.metadata, message.content)
    return sum(len(part) for part in (*parts, *message.buffers))
