"""What this computer remembers of its runs: one private file for each, in the state folder."""

import json
import logging
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from jrc.errors import JrcError, NotFoundError, UsageError
from jrc.profile.files import write_atomically
from jrc.profile.paths import Paths
from jrc.server.ids import find_id

log = logging.getLogger("jrc.runs.records")

OLD_SECONDS = 30 * 86400.0
"""After that long without a change a record is taken away: what it points to is gone, too."""

MOST_REASONS = 3
"""So many servers that could not be asked are named in an error."""


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
        follower: the process of ``jrc attach`` that follows it now; 0 for none.
        follower_began: when that process began.
        name: that the person gave it; empty for none.
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
    follower: int = 0
    follower_began: str = ""
    name: str = ""


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
        if not self._path(record.run).exists():
            self.prune()
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
        """Every record that can be read, the newest run first. To look takes nothing away."""
        records = [self._read(path) for path in sorted(self._folder.glob("*.json"))]
        known = [record for record in records if record is not None]
        return sorted(known, key=lambda record: record.started, reverse=True)

    def prune(self) -> None:
        """Take old records away. It is called when a run begins."""
        for path in self._folder.glob("*.json"):
            if _is_old(path):
                with suppress(OSError):
                    path.unlink()

    def find(self, prefix: str) -> RunRecord | None:
        """The record of the run that a person means; None when there is none.

        Raises:
            NotFoundError: it may be one of several.
        """
        run = choose_run(prefix, {record.run: record.name for record in self.all()})
        return None if run is None else self._read(self._path(run))

    def _path(self, run: str) -> Path:
        return self._folder / f"{run}.json"

    def _read(self, path: Path) -> RunRecord | None:
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            # A newer jrc may have written more.
            return RunRecord(**{key: fields[key] for key in fields if key in RunRecord._fields})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("the record %s can't be read: %s", path, error)
            return None


def choose_run(words: str, runs: Mapping[str, str]) -> str | None:
    """The id of the run that a person means; None when there is none.

    Args:
        words: its id, its name, or the beginning of its id.
        runs: the names of all runs by their ids.

    Raises:
        NotFoundError: it may be one of several.
    """
    named = sorted(run for run, name in runs.items() if name and name == words)
    if words in runs or not named:
        return find_id(words, runs, kind="run")
    if len(named) > 1:
        raise NotFoundError(
            f"Several runs have the name {words!r}: {', '.join(named)}.", hint="Type an id."
        )
    return named[0]


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")


def check_name(name: str, records: RunRecords) -> None:
    """Refuse a name that can't stand for one run.

    Raises:
        UsageError: it has other characters, or another run has it.
    """
    if not _NAME.match(name):
        raise UsageError(
            f"{name!r} is no name for a run: letters, digits, '.', '-' and '_', 63 at most, "
            "a letter or a digit first."
        )
    for record in records.all():
        if record.name == name:
            raise UsageError(
                f"The run {record.run} has the name {name!r} already.",
                hint=f"Choose another one, or fetch it (jrc attach {name}), or remove it "
                f"(jrc runs rm {name}).",
            )


def no_such_run(prefix: str, *, trouble: list[JrcError]) -> JrcError:
    """The error for an id that nobody knows.

    Args:
        prefix: what the person typed.
        trouble: why servers could not be asked.
    """
    text = f"No run's id begins with {prefix!r}"
    if not trouble:
        return NotFoundError(f"{text}.", hint="See your runs: jrc runs")
    reasons = list(dict.fromkeys(error.message for error in trouble))
    hints = list(dict.fromkeys(error.hint for error in trouble if error.hint))
    return NotFoundError(
        f"{text} on this computer, and not all servers could be asked: "
        f"{' '.join(reasons[:MOST_REASONS])}{' …' if len(reasons) > MOST_REASONS else ''}",
        hint=" — ".join(hints[:MOST_REASONS]) or "jrc runs",
    )


def client_lives(record: RunRecord) -> bool:
    """The client that began the run is still there, and its number is not another process's."""
    from jrc.tunnel.processes import start_time

    if record.detached or not record.client:
        return False
    return start_time(record.pid) == record.client


def follower_lives(record: RunRecord) -> bool:
    """A ``jrc attach`` on this computer follows the run just now."""
    from jrc.tunnel.processes import start_time

    return bool(record.follower_began) and start_time(record.follower) == record.follower_began


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > OLD_SECONDS
    except OSError:
        return False
