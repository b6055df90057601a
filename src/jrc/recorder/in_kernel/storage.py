"""Where recorded messages go when memory is not the place: a spool of temporary files, and the
journal of a detached run.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from typing import Any

from jrc.recorder.in_kernel.records import JOURNAL_SUFFIX, NOTE, STATE_SUFFIX, encode_record

_SMALLEST_SEGMENT = 1 << 16
_LARGEST_SEGMENT = 1 << 26


class NoRoomError(Exception):
    """The spool reached its bound, or the disk did."""


class AppendFile:
    """A file that only grows and can be read at any place. The archive's lock guards it."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.size = 0
        self.live = 0

    def append(self, data: bytes) -> int:
        """Write ``data`` at the end; returns where it begins."""
        offset = self.size
        self.file.seek(offset)
        rest = memoryview(data)
        while rest:
            rest = rest[self.file.write(rest) :]
        self.size = offset + len(data)
        return offset

    def read(self, offset: int, length: int) -> bytes:
        self.file.seek(offset)
        data: bytes = self.file.read(length)
        while len(data) < length:
            more = self.file.read(length - len(data))
            if not more:
                raise OSError("a file of the recorder was cut short")
            data += more
        return data

    def close(self) -> None:
        self.file.close()


class Spool:
    """Temporary files without a name, so that nothing is left when the kernel is killed.

    Args:
        limit: bytes on disk at most.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.segments: list[AppendFile] = []
        self._largest = max(_SMALLEST_SEGMENT, min(_LARGEST_SEGMENT, limit // 8))

    @property
    def size(self) -> int:
        return sum(segment.size for segment in self.segments)

    def append(self, data: bytes) -> tuple[AppendFile, int]:
        """Keep ``data``; returns the file and where in it.

        Raises:
            NoRoomError: something else must go first.
        """
        if self.size + len(data) > self.limit:
            raise NoRoomError
        try:
            if not self.segments or self.segments[-1].size >= self._largest:
                self._add_segment(len(data))
            segment = self.segments[-1]
            offset = segment.append(data)
        except OSError as error:
            raise NoRoomError from error
        segment.live += 1
        return segment, offset

    def release(self, segment: AppendFile) -> None:
        """One piece in ``segment`` is no longer needed."""
        segment.live -= 1
        if segment.live == 0 and segment in self.segments:
            self.segments.remove(segment)
            segment.close()

    def close(self) -> None:
        for segment in self.segments:
            segment.close()
        self.segments = []

    def _add_segment(self, needed: int) -> None:
        # Half of what is free stays free: the person's own code needs a disk too.
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if free < 2 * max(needed, self._largest):
            raise NoRoomError
        file = tempfile.TemporaryFile(buffering=0, prefix="jrc-")  # noqa: SIM115  closed in release
        self.segments.append(AppendFile(file))


class JournalFile:
    """The journal of a detached run, and beside it a small file with the state of the run.

    Args:
        folder: made when it is not there.
        run: id of the run; names the files.
        limit: bytes at most.
        about: goes into the first note.
    """

    def __init__(self, folder: str, run: str, limit: int, about: dict[str, Any]) -> None:
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, run + JOURNAL_SUFFIX)
        self.state_path = os.path.join(folder, run + STATE_SUFFIX)
        self.limit = limit
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        # Outputs can be as secret as the data they come from: nobody else on the volume reads them.
        descriptor = os.open(self.path, flags, 0o600)
        self.file = AppendFile(os.fdopen(descriptor, "r+b", buffering=0))
        self.note(about)

    def note(self, fields: dict[str, Any]) -> None:
        """Append a note: a JSON object that is no message."""
        data = json.dumps(fields, default=str).encode()
        self.file.append(encode_record(0, NOTE, [data], checked=True))

    def has_room(self, size: int) -> bool:
        return self.file.size + size <= self.limit

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace the state file, unless a client took the journal away: then nobody would."""
        if not os.path.exists(self.path):
            return
        temporary = self.state_path + ".new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(state, file, default=str)
        os.replace(temporary, self.state_path)

    def delete(self) -> None:
        """Take both files away. The folder stays: another kernel may be about to write there."""
        for path in (self.path, self.state_path):
            with contextlib.suppress(OSError):
                os.unlink(path)
