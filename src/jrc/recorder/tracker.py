"""One gapless sequence out of what arrives live, twice, late or not at all. Pure.

The messages of a run are numbered from 1 in the order in which the kernel published them. The
tracker gives out each of them once and in that order. It holds what came too early, says which
numbers it lacks, and takes the recorder's replays, in which messages may come twice or in slices.
"""

from collections.abc import Callable
from typing import NamedTuple

from jrc.errors import WireError
from jrc.recorder.in_kernel.records import BadRecordError, Record, decode_record
from jrc.recorder.protocol import Range, Replay
from jrc.wire.message import Message, is_readable

HELD_BYTES = 16 << 20
"""What a client holds of messages that came too early. The kernel has the others."""

MOST_RANGES = 200


class Lost(NamedTuple):
    """Messages of the run that nobody has any more: those numbered ``start`` to ``stop - 1``.

    Attributes:
        damaged: the recorder has them, and they can't be read.
    """

    start: int
    stop: int
    damaged: bool = False


Item = Message | Lost


def to_message(record: Record) -> Message | None:
    """The message in a record; None where a part of it is missing."""
    if len(record.parts) < 4 or not record.channel:
        return None
    header, parent, metadata, content, *buffers = record.parts
    return Message(record.channel, header, parent, metadata, content, tuple(buffers))


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
        self._held: dict[int, Message] = {}
        self._held_bytes = 0
        self._newest = 0
        self._bound = held_bytes
        self._is_readable = is_readable
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
        if self._is_readable(message):
            self._hold(number, message)
        return self._give()

    def lost(self, number: int) -> list[Item]:
        """Nobody has this message in a form that can be read."""
        self.counted(number)
        self._void.append(Lost(number, number + 1, damaged=True))
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
            message = to_message(record)
            if message is not None and self._is_readable(message):
                self._hold(record.number, message, bounded=False)
            else:
                self._void.append(Lost(record.number, record.number + 1, damaged=True))
        self._void.extend(Lost(*each) for each in replay.missing)
        return self._give()

    def given_up(self) -> list[Item]:
        """What is known to exist and did not arrive is lost."""
        self._void.append(Lost(self.next, self.known + 1))
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
            lost = self._lost_now()
            if lost is None:
                break
            items.append(lost)
            self.next = lost.stop
        self._void = [each for each in self._void if each.stop > self.next]
        return items

    def _lost_now(self) -> Lost | None:
        """The lost messages that begin with ``next``; None when it is not lost."""
        here = [each for each in self._void if each.start <= self.next < each.stop]
        if not here:
            return None
        longest = max(here, key=lambda each: each.stop)
        stop = min((number for number in self._held if number < longest.stop), default=longest.stop)
        return Lost(self.next, stop, longest.damaged)

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
