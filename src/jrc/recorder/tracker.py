"""One gapless sequence out of what arrives live, twice, late or not at all. Pure.

The messages of a run are numbered from 1 in the order in which the kernel published them. The
tracker gives out each of them once and in that order. It holds what came too early, says which
numbers it lacks, and takes the recorder's replays, in which messages may come twice or in slices.
"""

from typing import NamedTuple

from jrc.errors import WireError
from jrc.recorder.in_kernel.records import BadRecordError, Record, decode_record
from jrc.recorder.protocol import Range, Replay
from jrc.wire.message import Message

HELD_BYTES = 16 << 20
"""What a client holds of messages that came too early. The kernel has the others."""

MOST_RANGES = 200


class Lost(NamedTuple):
    """Messages of the run that nobody has any more: those numbered ``start`` to ``stop - 1``."""

    start: int
    stop: int


Item = Message | Lost


def to_message(record: Record) -> Message:
    """The message in a record.

    Raises:
        WireError: it lacks a part.
    """
    if len(record.parts) < 4 or not record.channel:
        raise WireError(f"The recorded message {record.number} has {len(record.parts)} parts.")
    header, parent, metadata, content, *buffers = record.parts
    return Message(record.channel, header, parent, metadata, content, tuple(buffers))


class Tracker:
    """The sequence of one run, on the client's side.

    Args:
        after: the messages up to this number are not wanted.
        held_bytes: bound of what is held because something before it is missing.

    Attributes:
        next: number of the message to give out next.
        known: number of the last message that the kernel is known to have published.
    """

    def __init__(self, *, after: int = 0, held_bytes: int = HELD_BYTES) -> None:
        self.next = after + 1
        self.known = after
        self._held: dict[int, Message] = {}
        self._held_bytes = 0
        self._newest = 0
        self._bound = held_bytes
        self._void: list[tuple[int, int]] = []
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
        self._hold(number, message)
        return self._give()

    def wanted(self) -> tuple[list[Range], int]:
        """What a replay should bring: the gaps, then whatever there is behind them.

        Returns:
            the ranges, and the byte of the first record to go on from.
        """
        ranges: list[Range] = []
        start = self.next
        for number in sorted(self._held):
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
            WireError: its records can't be decoded.
        """
        self.counted(replay.state.count)
        for record in self._records(replay):
            self._hold(record.number, to_message(record), bounded=False)
        self._void.extend(replay.missing)
        return self._give()

    def given_up(self) -> list[Item]:
        """What is known to exist and did not arrive is lost."""
        self._void.append((self.next, self.known + 1))
        return self._give()

    def _hold(self, number: int, message: Message, *, bounded: bool = True) -> None:
        if number < self.next or number in self._held:
            return
        size = _size(message)
        if (
            bounded
            and number > max(self.next, self._newest)
            and self._held_bytes + size > self._bound
        ):
            return
        self._held[number] = message
        self._held_bytes += size
        self._newest = max(self._newest, number)
        while bounded and self._held_bytes > self._bound and self._newest != self.next:
            # The newest go: they are the last that will be given out.
            self._held_bytes -= _size(self._held.pop(self._newest))
            self._newest = max(self._held, default=0)

    def _give(self) -> list[Item]:
        items: list[Item] = []
        while True:
            message = self._held.pop(self.next, None)
            if message is not None:
                self._held_bytes -= _size(message)
                items.append(message)
                self.next += 1
                continue
            stop = self._end_of_void()
            if stop is None:
                break
            items.append(Lost(self.next, stop))
            self.next = stop
        self._void = [each for each in self._void if each[1] > self.next]
        return items

    def _end_of_void(self) -> int | None:
        """Where the lost messages end that begin with ``next``; None when it is not lost."""
        stop = max((stop for start, stop in self._void if start <= self.next < stop), default=None)
        if stop is None:
            return None
        return min((number for number in self._held if number < stop), default=stop)

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
