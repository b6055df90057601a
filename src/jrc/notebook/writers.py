"""Which run writes which file on this computer, so that no two write the same one."""

import hashlib
import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from jrc.errors import ConfigError, UsageError
from jrc.profile.files import Seen, create_folder, private_opener, seen, write_atomically
from jrc.shapes import parse, state_of

log = logging.getLogger("jrc.notebook.writers")

OLD_SECONDS = 30 * 86400.0
"""After that long nobody needs to know any more which run wrote its whole result into a file. The
clock may be wrong: nothing else is forgotten, neither a run that is not finished nor a lock."""


class LastWriter(NamedTuple):
    """What is remembered of the last run that wrote a file.

    Attributes:
        run: its id.
        finished: the file holds its whole result.
        left: how the file looked when that run's client let go of it; None when it was killed.
    """

    run: str
    finished: bool
    left: Seen | None


class Claim:
    """The right to write one file, until ``release`` or the end of the process."""

    def __init__(self, lock: IO[bytes], note: Path, run: str, last: LastWriter | None) -> None:
        self.last = last
        self._lock = lock
        self._note = note
        self._run = run

    def begin(self) -> None:
        """Remember that the run writes the file from now on."""
        self._remember(LastWriter(self._run, finished=False, left=None))

    def release(self, path: Path, *, finished: bool) -> None:
        """Let go of the file."""
        if self._lock.closed:
            return
        self._remember(LastWriter(self._run, finished, seen(path)))
        self._lock.close()

    def give_up(self) -> None:
        """Let go of a file that was not written."""
        self._lock.close()

    def _remember(self, writer: LastWriter) -> None:
        try:
            write_atomically(self._note, json.dumps(writer), private=True)
        except ConfigError as error:
            log.warning("%s", error.message)


class Writers:
    """The files that runs on this computer write.

    Args:
        folder: of what is remembered, one file for each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def claim(self, path: Path, run: str) -> Claim:
        """Make a run the only one that writes a file.

        The system takes the lock back when the process ends, however it ends.

        Raises:
            UsageError: another run writes it now.
            OSError: the folder can't be written.
        """
        create_folder(self._folder, private=True)
        self._forget_old()
        name = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()
        note = self._folder / f"{name[:32]}.json"
        lock = _locked(note.with_suffix(".lock"))
        last = _read(note)
        if lock is None:
            who = f"the run {last.run}" if last is not None else "another run"
            raise UsageError(
                f"{path} is being written by {who} on this computer.",
                hint="Wait until it has ended, or save elsewhere: -o OTHER.ipynb",
            )
        return Claim(lock, note, run, last)

    def _forget_old(self) -> None:
        now = time.time()
        for entry in os.scandir(self._folder):
            with suppress(OSError):
                if now - entry.stat().st_mtime > OLD_SECONDS and entry.name.endswith(".json"):
                    _forget(Path(entry.path))


def _forget(note: Path) -> None:
    """Remove a note and its lock, if no run writes the file, and the last one is finished."""
    path = note.with_suffix(".lock")
    lock = _locked(path)
    if lock is None:
        return
    with lock:
        last = _read(note)
        if last is None or last.finished:
            note.unlink()
            path.unlink()


def _locked(path: Path) -> IO[bytes] | None:
    """A lock file, open and locked; None where another process has it.

    Raises:
        OSError: it can't be opened.
    """
    while True:
        file = open(path, "ab", opener=private_opener)  # noqa: SIM115
        if not _lock(file):
            file.close()
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        # Another process has removed it meanwhile, and the next one would lock a new one.
        file.close()


def _read(note: Path) -> LastWriter | None:
    try:
        run, finished, left = state_of(parse(note.read_text(encoding="utf-8"))).items()
        looked = None if left.is_null else Seen(*(number.number() for number in left.items()))
        return LastWriter(run.text(), finished.flag(), looked)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        log.warning("%s can't be read: %s", note, error)
        return None


def _lock(file: IO[Any]) -> bool:
    """Lock an open file, if nobody else has it. It is free again when the file is closed."""
    if os.name == "nt":  # pragma: no cover
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # Some network folders can't lock: no reason not to run.
        log.warning("no lock: %s", error)
    return True
