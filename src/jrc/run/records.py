"""What this computer remembers of its runs: one private file for each, in the state folder."""

import json
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from jrc.errors import JrcError, NotFoundError, UsageError
from jrc.profile.files import write_atomically
from jrc.profile.paths import Paths

log = logging.getLogger("jrc.run.records")

OLD_SECONDS = 30 * 86400.0
"""After that long without a change a record is taken away: what it points to is gone, too."""


class RunRecord(NamedTuple):
    """One run that began on this computer and did not end under its eyes.

    Attributes:
        run: its id.
        profile: name of the profile; ``environment`` for ``JRC_URL``.
        server: base URL.
        kernel_id: of the kernel.
        session_id: of the session that owns the kernel; empty when the kernel is somebody else's.
        output: absolute path of the file for the result; empty for none.
        started: POSIX time in seconds, of this computer's clock.
        about: as ``About.to_json`` wrote it.
        detached: the run goes on without a client; else its client is, or was, ``pid``.
        pid: of the client.
        client: when that process began, as ``tunnel.processes.start_time`` has it; empty when
            nobody asked.
        shown: the messages up to this number were shown before the client left.
        journal: absolute path of the journal on the server's machine; empty for none.
        language_info: what the kernel says of its language.
    """

    run: str
    profile: str
    server: str
    kernel_id: str
    session_id: str
    output: str
    started: float
    about: Mapping[str, Any]
    detached: bool = False
    pid: int = 0
    client: str = ""
    shown: int = 0
    journal: str = ""
    language_info: Mapping[str, Any] | None = None


class RunRecords:
    """The records in the state folder.

    Args:
        paths: where that is.
    """

    def __init__(self, paths: Paths) -> None:
        self._folder = paths.state / "runs"

    def save(self, record: RunRecord) -> None:
        """Write a record; only this person can read it.

        Raises:
            ConfigError: it can't be written.
        """
        write_atomically(self._path(record.run), json.dumps(record._asdict()), private=True)

    def change(self, run: str, **changes: Any) -> None:
        """Change fields of a record, if there is one."""
        record = self._read(self._path(run))
        if record is not None:
            self.save(record._replace(**changes))

    def remove(self, run: str) -> None:
        """Take a record away. It is fine when there is none."""
        with suppress(OSError):
            self._path(run).unlink()

    def all(self) -> list[RunRecord]:
        """Every record that can be read, the newest run first. Old ones are taken away."""
        records = []
        for path in sorted(self._folder.glob("*.json")):
            if _is_old(path):
                with suppress(OSError):
                    path.unlink()
                continue
            record = self._read(path)
            if record is not None:
                records.append(record)
        return sorted(records, key=lambda record: record.started, reverse=True)

    def find(self, prefix: str) -> RunRecord | None:
        """The record of the run that a person means; None when there is none.

        Raises:
            UsageError: several ids begin so.
        """
        name = choose_run(prefix, [record.run for record in self.all()])
        return None if name is None else self._read(self._path(name))

    def _path(self, run: str) -> Path:
        return self._folder / f"{run}.json"

    def _read(self, path: Path) -> RunRecord | None:
        try:
            return RunRecord(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            log.warning("the record %s can't be read: %s", path, error)
            return None


def choose_run(prefix: str, runs: list[str]) -> str | None:
    """The one id that begins with ``prefix``; None when there is none.

    Raises:
        UsageError: there are several.
    """
    if prefix in runs:
        return prefix
    found = sorted({run for run in runs if prefix and run.startswith(prefix)})
    if len(found) > 1:
        raise UsageError(f"Several runs' ids begin with {prefix!r}: {', '.join(found)}.")
    return found[0] if found else None


def no_such_run(prefix: str, *, trouble: list[JrcError]) -> JrcError:
    """The error for an id that nobody knows.

    Args:
        prefix: what the person typed.
        trouble: why servers could not be asked.
    """
    text = f"No run's id begins with {prefix!r}"
    if trouble:
        return NotFoundError(f"{text}, as far as is known: {trouble[0].message}", hint="jrc runs")
    return NotFoundError(f"{text}.", hint="See your runs: jrc runs")


def client_lives(record: RunRecord) -> bool:
    """The client that began the run is still there, and its number is not another process's."""
    from jrc.tunnel.processes import start_time

    if record.detached or not record.client:
        return False
    return start_time(record.pid) == record.client


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > OLD_SECONDS
    except OSError:
        return False
