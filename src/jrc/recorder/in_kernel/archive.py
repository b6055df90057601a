"""What is kept of each run: one numbered sequence of messages, in memory first, then on disk.

The messages of a run have the numbers 1 to ``count``. Those up to ``gone`` are no longer kept: a
client acknowledged them, or the bounds were reached. The next ones are in chunks on disk, those
from ``first`` on in memory.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from typing import Any, Iterator, NamedTuple

from jrc.recorder.in_kernel.records import encode_record, whole_records
from jrc.recorder.in_kernel.storage import AppendFile, JournalFile, NoRoomError, Spool

MOST_RUNS = 64
MOST_REQUESTS = 10_000
CHUNK_BYTES = 1 << 20
RECORD_OVERHEAD = 64
"""Bytes that Python needs for a record beside its own."""


class Chunk:
    """Consecutive records of one run in a file: those numbered ``start`` to ``stop - 1``."""

    def __init__(self, file: AppendFile, offset: int, length: int, start: int, stop: int) -> None:
        self.file = file
        self.offset = offset
        self.length = length
        self.start = start
        self.stop = stop
        self.released = False


class Request:
    """A request of a run that reached the kernel.

    Attributes:
        fields: our part of its metadata, without the code.
        state: ``arrived``, ``running`` or ``done``.
        status: of its reply; empty before.
        guarded: an error of it stops its run.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.state = "arrived"
        self.status = ""
        self.guarded = False


class Run:
    """The sequence of one run.

    Attributes:
        stopped: why its later requests are answered ``aborted``: ``failed``, ``exited`` (as it
            wanted), ``aborted`` (somebody else's error), ``cancelled``; empty while they run.
        asking: number of the ``input_request`` that waits for its answer; 0 for none.
        interrupted: when an interrupt ended one of its requests, in seconds of the monotonic clock.
        ending: the kernel was asked to shut down before the run was over.
        captured: an output widget captured output: only the client knows which.
        journaled: the messages up to this number are in the journal.
    """

    captured = False

    def __init__(self, run_id: str) -> None:
        self.id = run_id
        self.opened = time.time()
        self.gone = 0
        self.first = 1
        self.memory: list[bytes] = []
        self.bytes = 0
        self.chunks: deque[Chunk] = deque()
        self.requests: OrderedDict[str, Request] = OrderedDict()
        self.stopped = ""
        self.asking = 0
        self.interrupted = float("-inf")
        self.ending = False
        self.journal: JournalFile | None = None
        self.journaled = 0
        self.journal_error = ""

    @property
    def count(self) -> int:
        """How many messages there were so far; the number of the last one."""
        return self.first + len(self.memory) - 1

    @property
    def complete(self) -> bool:
        """All requests were executed, as far as they say how many there are."""
        last = next(reversed(self.requests.values()), None)
        total = None if last is None else last.fields.get("cells")
        done = sum(request.state == "done" for request in self.requests.values())
        return isinstance(total, int) and done >= total

    def stored(self, file: AppendFile, offset: int, length: int, start: int, stop: int) -> Chunk:
        """Note that these records are in a file. Grows the last chunk where that is possible."""
        last = self.chunks[-1] if self.chunks else None
        if (
            last is not None
            and last.file is file
            and last.stop == start
            and last.offset + last.length == offset
            and last.length + length <= CHUNK_BYTES
        ):
            last.length += length
            last.stop = stop
            return last
        chunk = Chunk(file, offset, length, start, stop)
        self.chunks.append(chunk)
        return chunk

    def read(self, start: int, stop: int) -> Iterator[tuple[int, Kept]]:
        """The kept records with ``start <= number < stop``, in order."""
        for chunk in list(self.chunks):
            if chunk.stop <= start or chunk.start >= min(stop, self.first):
                continue
            for number, kept in _in_chunk(chunk):
                if start <= number < min(stop, self.first):
                    yield number, kept
        for number in range(max(start, self.first), min(stop, self.count + 1)):
            record = self.memory[number - self.first]
            yield number, Kept(record, 0, len(record))


class Kept(NamedTuple):
    """Where one record is: in bytes or in a file."""

    source: bytes | AppendFile
    offset: int
    size: int

    def fetch(self, start: int, length: int) -> bytes | memoryview:
        """``length`` bytes of the record, from its byte ``start`` on."""
        if isinstance(self.source, bytes):
            return memoryview(self.source)[self.offset + start : self.offset + start + length]
        return self.source.read(self.offset + start, length)


class Batch(NamedTuple):
    """An answer to "give me these numbers".

    Attributes:
        pieces: bytes of consecutive records; the last one may be cut short.
        first: number and byte of the record that the first piece begins in; None without pieces.
        missing: ranges [start, stop) of numbers that are no longer kept.
        next: number and byte where the answer was cut short; None when it is complete.
    """

    pieces: list[bytes | memoryview]
    first: list[int] | None
    missing: list[list[int]]
    next: list[int] | None


def _in_chunk(chunk: Chunk) -> Iterator[tuple[int, Kept]]:
    if chunk.stop - chunk.start == 1:
        yield chunk.start, Kept(chunk.file, chunk.offset, chunk.length)
        return
    data = chunk.file.read(chunk.offset, chunk.length)
    for number, start, end in whole_records(memoryview(data)):
        yield number, Kept(data, start, end - start)


class Archive:
    """All runs of one kernel, within bounds.

    Args:
        memory_limit: bytes of all runs in memory.
        spool_limit: bytes of all runs in temporary files, and of each journal.

    Attributes:
        lock: held for everything that is done here. Reentrant, because a garbage collection may
            publish (a widget's ``comm_close``) at any point.
    """

    def __init__(self, memory_limit: int, spool_limit: int) -> None:
        self.lock = threading.RLock()
        self.runs: OrderedDict[str, Run] = OrderedDict()
        self.memory_limit = memory_limit
        self.spool_limit = spool_limit
        self.spool = Spool(spool_limit)
        self.spooled: deque[tuple[Run, Chunk]] = deque()
        self.bytes = 0

    def open_run(self, run_id: str, journal: JournalFile | None) -> Run:
        """A new run. The oldest one makes room where there are too many."""
        with self.lock:
            while len(self.runs) >= MOST_RUNS:
                self.forget(next(iter(self.runs)), delete_journal=False)
            run = self.runs[run_id] = Run(run_id)
            run.journal = journal
            return run

    def start_journal(self, run: Run, journal: JournalFile) -> None:
        """Write what is kept of a run into its new journal, and go on with it."""
        with self.lock:
            run.journal = journal
            run.journaled = run.first - 1
            try:
                for msg_id, request in run.requests.items():
                    journal.note({"request": msg_id, "fields": request.fields})
                for _, kept in run.read(run.gone + 1, run.first):
                    if not journal.has_room(kept.size):
                        raise OSError(f"the journal reached its bound of {journal.limit} bytes")
                    journal.file.append(bytes(kept.fetch(0, kept.size)))
            except OSError as error:
                run.journal_error = str(error)
                return
            self._write_journal(run, journal)

    def append(self, run: Run, channel: int, parts: list[Any]) -> None:
        """Keep the message that has the number ``run.count + 1``.

        The last step is the one that counts: an interrupt of the person's code may come between
        any two others, and must leave a sequence without a hole.
        """
        record = encode_record(run.count + 1, channel, parts, checked=run.journal is not None)
        run.bytes += len(record) + RECORD_OVERHEAD
        self.bytes += len(record) + RECORD_OVERHEAD
        run.memory.append(record)

    def settle(self, run: Run) -> None:
        """Write the journal, and take out of memory what is too much. For the I/O thread only."""
        with self.lock:
            if run.journal is not None and not run.journal_error:
                self._write_journal(run, run.journal)
            if self.bytes > self.memory_limit:
                self._spill()

    def replay(self, run: Run, ranges: list[tuple[int, int]], offset: int, max_bytes: int) -> Batch:
        """The messages with these numbers, as far as they fit.

        Args:
            ranges: [start, stop) each; in order.
            offset: byte of the first record to begin with.
            max_bytes: of the answer. A record that is larger is cut into slices.
        """
        with self.lock:
            pieces: list[bytes | memoryview] = []
            missing: list[list[int]] = []
            first: list[int] | None = None
            room = max_bytes
            for start, stop in ranges:
                stop = min(stop, run.count + 1)
                if start <= run.gone and start < stop:
                    missing.append([start, min(stop, run.gone + 1)])
                    start, offset = run.gone + 1, 0
                for number, kept in run.read(start, stop):
                    rest = kept.size - offset
                    if rest > room and kept.size <= max_bytes:
                        return Batch(pieces, first, missing, [number, offset])
                    first = first or [number, offset]
                    taken = min(rest, room)
                    pieces.append(kept.fetch(offset, taken))
                    room -= taken
                    if taken < rest:
                        return Batch(pieces, first, missing, [number, offset + taken])
                    offset = 0
            return Batch(pieces, first, missing, None)

    def release(self, run: Run, upto: int) -> None:
        """The messages up to this number are no longer needed."""
        with self.lock:
            upto = min(upto, run.count)
            self._release_chunks(run, upto)
            if upto >= run.first:
                self._out_of_memory(run, upto - run.first + 1)
            while self.spooled and self.spooled[0][1].released:
                self.spooled.popleft()

    def forget(self, run_id: str, delete_journal: bool) -> None:
        """Drop a run and all that is kept of it."""
        with self.lock:
            run = self.runs.pop(run_id)
            self.release(run, run.count)
            if run.journal is not None:
                run.journal.file.close()
                if delete_journal:
                    run.journal.delete()

    def close(self) -> None:
        """Forget all runs; the journals stay."""
        with self.lock:
            for run_id in list(self.runs):
                self.forget(run_id, delete_journal=False)
            self.spool.close()

    def _write_journal(self, run: Run, journal: JournalFile) -> None:
        try:
            while run.journaled < run.count:
                record = run.memory[run.journaled + 1 - run.first]
                if not journal.has_room(len(record)):
                    raise OSError(f"the journal reached its bound of {journal.limit} bytes")
                number = run.journaled + 1
                offset = journal.file.append(record)
                run.stored(journal.file, offset, len(record), number, number + 1)
                run.journaled = number
        except OSError as error:
            run.journal_error = str(error)

    def _spill(self) -> None:
        """Make room in memory: the oldest run goes first, and in it the oldest messages."""
        for run in self.runs.values():
            run.bytes = sum(len(record) + RECORD_OVERHEAD for record in run.memory)
        self.bytes = sum(run.bytes for run in self.runs.values())
        target = self.memory_limit * 3 // 4
        for run in list(self.runs.values()):
            while run.memory and self.bytes > target:
                taken = self._to_disk(run, min(CHUNK_BYTES, self.bytes - target))
                self._out_of_memory(run, taken)

    def _to_disk(self, run: Run, at_least: int) -> int:
        """Store so many bytes of the oldest messages of a run; returns how many messages."""
        taken, size = 0, 0
        while taken < len(run.memory) and size < at_least:
            size += len(run.memory[taken])
            taken += 1
        if run.journaled >= run.first:
            return min(taken, run.journaled - run.first + 1)
        stop = run.first + taken
        data = b"".join(run.memory[:taken])
        while True:
            try:
                file, offset = self.spool.append(data)
            except NoRoomError:
                if self._drop_oldest_chunk():
                    continue
                self._release_chunks(run, stop - 1)
                return taken
            chunk = Chunk(file, offset, len(data), run.first, stop)
            run.chunks.append(chunk)
            self.spooled.append((run, chunk))
            return taken

    def _drop_oldest_chunk(self) -> bool:
        while self.spooled:
            run, chunk = self.spooled.popleft()
            if not chunk.released:
                self._release_chunks(run, chunk.stop - 1)
                return True
        return False

    def _release_chunks(self, run: Run, upto: int) -> None:
        run.gone = max(run.gone, upto)
        while run.chunks and run.chunks[0].stop <= upto + 1:
            chunk = run.chunks.popleft()
            chunk.released = True
            self.spool.release(chunk.file)

    def _out_of_memory(self, run: Run, taken: int) -> None:
        size = sum(len(record) + RECORD_OVERHEAD for record in run.memory[:taken])
        self.bytes -= size
        run.bytes -= size
        # Two statements, but only the I/O and control threads come here, where no interrupt of
        # the person's code comes.
        run.first += taken
        del run.memory[:taken]
