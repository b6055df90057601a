"""What this computer remembers of its runs: one private file for each, in the state folder."""

import json
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from jrc.errors import JrcError, NotFoundError, UsageError
from jrc.profile.files import write_atomically
from jrc.profile.paths import Paths
from jrc.server.ids import find_id
from jrc.shapes import parse, state_of

log = logging.getLogger("jrc.runs.records")

MOST_REASONS = 3
"""How many servers that could not be asked are named in an error."""


class Process(NamedTuple):
    """A process on this computer, told apart from a later one with the same number.

    Attributes:
        pid: its number; 0 for no process.
        began: when it began, as ``tunnel.processes.start_time`` has it; empty when that is not
            known.
    """

    pid: int = 0
    began: str = ""

    @property
    def lives(self) -> bool:
        """The process still runs."""
        from jrc.tunnel.processes import start_time

        return bool(self.began) and start_time(self.pid) == self.began


class RunPlace(NamedTuple):
    """Where a run is.

    Attributes:
        profile: name of the profile; ``environment`` for ``JRC_URL``.
        server: base URL.
        kernel_id: of the kernel.
        session_id: of the session that owns the kernel; empty when the kernel is somebody else's.
        journal: absolute path of the journal on the server's machine; empty for none.
    """

    profile: str
    server: str
    kernel_id: str
    session_id: str = ""
    journal: str = ""


class RunRecord(NamedTuple):
    """One run that began on this computer, and whose end this computer has not seen.

    Attributes:
        run: its id.
        place: where the run is.
        started: POSIX time in seconds, of this computer's clock.
        about: as ``About.to_json`` wrote it.
        output: absolute path of the file for the result; empty for none.
        name: the name that the user gave it; empty for none.
        detached: the run goes on without a client.
        client: the process that began it.
        follower: the ``jrc attach`` that follows it now.
        shown: the messages up to this number were shown before the client left.
        output_before: ``Seen.mark`` of that file before the run; empty where there was none.
        language_info: what the kernel says of its language.
    """

    run: str
    place: RunPlace
    started: float
    about: Mapping[str, Any]
    output: str = ""
    name: str = ""
    detached: bool = False
    client: Process = Process()
    follower: Process = Process()
    shown: int = 0
    output_before: str = ""
    language_info: Mapping[str, Any] | None = None

    @property
    def document(self) -> str:
        """File name of the document."""
        return PurePath(str(self.about.get("document", ""))).name

    @property
    def owner(self) -> str:
        """Who began it, ``user@host``."""
        return str(self.about.get("owner", ""))

    @property
    def is_followed(self) -> bool:
        """A process on this computer follows the run now."""
        return self.client_lives or self.follower.lives

    @property
    def client_lives(self) -> bool:
        """The process that began the run still follows it."""
        return not self.detached and self.client.lives

    def to_json(self) -> dict[str, Any]:
        """The content of its file, without nesting."""
        fields = self._asdict()
        place, client, follower = (fields.pop(key) for key in ("place", "client", "follower"))
        return {
            **fields,
            **place._asdict(),
            "pid": client.pid,
            "client": client.began,
            "follower": follower.pid,
            "follower_began": follower.began,
        }


def record_from_json(value: object) -> RunRecord:
    """Read what ``RunRecord.to_json`` wrote; another version of jrc may write more or less.

    Raises:
        ValueError: it can't be read.
    """
    read = state_of(value)
    language_info = read.field("language_info")
    return RunRecord(
        run=read.field("run").text(),
        place=RunPlace(
            profile=read.field("profile").text(),
            server=read.field("server").text(),
            kernel_id=read.field("kernel_id").text(),
            session_id=read.field("session_id").text(""),
            journal=read.field("journal").text(""),
        ),
        started=read.field("started").real(),
        about=read.field("about").mapping(),
        output=read.field("output").file_name(""),
        name=read.field("name").text(""),
        detached=read.field("detached").flag(default=False),
        client=Process(read.field("pid").number(0), read.field("client").text("")),
        follower=Process(read.field("follower").number(0), read.field("follower_began").text("")),
        shown=read.field("shown").number(0),
        output_before=read.field("output_before").text(""),
        language_info=None if language_info.is_null else language_info.mapping(),
    )


class RunRecords:
    """The records in the state folder.

    Args:
        paths: the folders of this computer.
    """

    def __init__(self, paths: Paths) -> None:
        self._folder = paths.state / "runs"

    def save(self, record: RunRecord) -> None:
        """Write a record that only this user can read.

        Raises:
            ConfigError: it can't be written.
        """
        write_atomically(self._path(record.run), json.dumps(record.to_json()), private=True)

    def note_follower(self, run: str, follower: Process) -> None:
        """Note who follows a run, if it is remembered."""
        record = self._read(self._path(run))
        if record is not None:
            self.save(record._replace(follower=follower))

    def remove(self, run: str) -> None:
        """Delete a record, if there is one."""
        with suppress(OSError):
            self._path(run).unlink()

    def all(self) -> list[RunRecord]:
        """Every record that can be read, the newest run first. Nothing is deleted."""
        records = [self._read(path) for path in sorted(self._folder.glob("*.json"))]
        known = [record for record in records if record is not None]
        return sorted(known, key=lambda record: record.started, reverse=True)

    def find(self, prefix: str) -> RunRecord | None:
        """The record of the run that the user means; None if there is none.

        Raises:
            NotFoundError: there are several.
        """
        run = choose_run(prefix, {record.run: record.name for record in self.all()})
        return None if run is None else self._read(self._path(run))

    def _path(self, run: str) -> Path:
        return self._folder / f"{run}.json"

    def _read(self, path: Path) -> RunRecord | None:
        try:
            return record_from_json(parse(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("the record %s can't be read: %s", path, error)
            return None


def choose_run(words: str, runs: Mapping[str, str]) -> str | None:
    """The id of the run that the user means; None if there is none.

    Args:
        words: its id, its name, or the beginning of its id.
        runs: the names of all runs by their ids.

    Raises:
        NotFoundError: there are several.
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
        UsageError: it has characters that are not allowed, or another run has it.
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
    """The error for an id that no run has.

    Args:
        prefix: what the user typed.
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
