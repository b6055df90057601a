"""All runs of a user: those that this computer remembers, and those on the servers."""

import asyncio
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from jrc.errors import JrcError
from jrc.profile.model import Profile
from jrc.profile.owner import user_name
from jrc.profile.paths import Paths
from jrc.runs.lookup import SERVER_SECONDS, profile_of, runs_at
from jrc.runs.records import RunRecord, RunRecords
from jrc.runs.server_runs import RemoteRun
from jrc.runs.sightings import Sightings
from jrc.server.open import profiles_to_ask
from jrc.shapes import count_at, number_at, real_at, text_at

GONE_SECONDS = 86400.0
"""How long a run is shown of which nothing is left, because it was removed elsewhere."""

_STOPPED = {"cancelled": "cancelled", "exited": "finished"}
_NOT_ALIVE = ("dead", "restarting", "starting")


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        state: ``running``, ``waiting`` (for an answer to ``input()``), ``finished``, ``failed``,
            ``cancelled``, ``kernel-died``, ``gone`` (nothing is left of it) or ``unknown``.
        cell: how many cells were begun; None when that is not known.
        cells: how many there are; None when that is not known.
    """

    state: str
    cell: int | None = None
    cells: int | None = None

    def __str__(self) -> str:
        """``3/10``."""
        if self.cells is None:
            return "-"
        return f"{'-' if self.cell is None else self.cell}/{self.cells}"


@dataclass(frozen=True)
class Seen:
    """What was seen last of a run whose server can't be asked now.

    Attributes:
        progress: how far the run was.
        at: POSIX time in seconds.
    """

    progress: Progress
    at: float


@dataclass(frozen=True)
class RunRow:
    """One run, as ``jrc runs`` shows it.

    Attributes:
        run: its id.
        progress: how far it is.
        seconds: since it began, until it ended; None when that is not known.
        document: file name.
        owner: ``user@host``.
        profile: name of the server's profile.
        server: its URL.
        kernel_id: of its kernel; None when that is gone.
        detached: no client follows it.
        name: the name that the user gave it; empty for none.
        seen: what was seen of it last, if its server can't be asked now; else None.
    """

    run: str
    progress: Progress
    seconds: float | None
    document: str
    owner: str
    profile: str
    server: str
    kernel_id: str | None
    detached: bool
    name: str = ""
    seen: Seen | None = None

    @property
    def state(self) -> str:
        """What the run does."""
        return self.progress.state

    def as_json(self) -> dict[str, Any]:
        """One line of ``jrc runs --json``. The names are a contract."""
        fields = asdict(self)
        progress, seen = fields.pop("progress"), self.seen
        fields["seen"] = None if seen is None else {**asdict(seen.progress), "at": seen.at}
        return {"run": fields.pop("run"), **progress, **fields}


@dataclass(frozen=True)
class Listing:
    """What was found.

    Attributes:
        rows: the runs, the newest first.
        trouble: one line for each server that could not be asked.
        reported: the runs that a server reported.
        remembered: the runs that this computer remembers.
    """

    rows: list[RunRow]
    trouble: list[str]
    reported: frozenset[str]
    remembered: frozenset[str]


async def list_runs(
    paths: Paths,
    *,
    everybody: bool,
    now: float,
    seconds: float = SERVER_SECONDS,
    all_gone: bool = False,
) -> Listing:
    """The runs on all servers. Nothing is changed there or here.

    Args:
        paths: the folders of profiles and records.
        everybody: include other people's runs.
        now: POSIX time in seconds.
        seconds: how long each server has to answer; all are asked at the same time.
        all_gone: include runs of which nothing has been left for a long time.

    Raises:
        ConfigError: a profile can't be understood.
    """
    records = {record.run: record for record in RunRecords(paths).all()}
    profiles = profiles_to_ask(paths)
    followed = {run for run, each in records.items() if each.is_followed}
    ask = records.keys() - followed
    answers = await asyncio.gather(*(runs_at(profile, seconds, ask=ask) for profile in profiles))
    rows: list[RunRow] = []
    failed: dict[str, str] = {}
    for profile, answer in zip(profiles, answers, strict=True):
        if isinstance(answer, JrcError):
            failed[profile.name] = _trouble(profile, answer)
            continue
        for remote in answer:
            if everybody or remote.run in records or _is_mine(remote):
                record, here = records.get(remote.run), remote.run in followed
                rows.append(_row(remote, record, profile, now, followed=here))
    reported, seen = frozenset(row.run for row in rows), Sightings(paths).read()
    for run, record in records.items():
        if run in reported:
            continue
        row = _remembered(record, profiles, failed, now, followed=run in followed)
        if row.state == "unknown" and run in seen:
            row = replace(row, seen=_seen(seen[run]))
        if all_gone or row.state != "gone" or now - record.started <= GONE_SECONDS:
            rows.append(row)
    rows.sort(key=lambda row: float("inf") if row.seconds is None else row.seconds)
    return Listing(rows, list(failed.values()), reported, frozenset(records))


async def gone_runs(paths: Paths, *, now: float) -> list[str]:
    """The ids of the runs of which nothing is left."""
    listing = await list_runs(paths, everybody=False, now=now, all_gone=True)
    return [row.run for row in listing.rows if row.state == "gone"]


def note_what_was_seen(listing: Listing, paths: Paths, now: float) -> None:
    """Note how far the runs are, for a time when their servers can't be asked."""
    seen = {
        row.run: {**asdict(row.progress), "at": now}
        for row in listing.rows
        if row.run in listing.reported
    }
    Sightings(paths).write(seen, keep=listing.remembered)


def _trouble(profile: Profile, error: JrcError) -> str:
    """Why a server could not be asked, and what to type next."""
    return f"{profile.name}: {error.message}" + (f" ({error.hint})" if error.hint else "")


def _seen(saved: Mapping[str, Any]) -> Seen | None:
    at = real_at(saved, "at")
    if at is None:
        return None
    cell, cells = count_at(saved, "cell"), count_at(saved, "cells")
    return Seen(Progress(text_at(saved, "state") or "unknown", cell, cells), at)


def _is_mine(run: RemoteRun) -> bool:
    return run.owner.rpartition("@")[0] == user_name()


def _row(
    run: RemoteRun, record: RunRecord | None, profile: Profile, now: float, *, followed: bool
) -> RunRow:
    state = state_name(run)
    began = real_at(run.state, "opened") or (record.started if record else None)
    over = state not in ("running", "waiting") and bool(run.changed)
    until = run.changed if over else now
    return RunRow(
        run=run.run,
        progress=Progress(
            state,
            cell=run.executed if run.state.get("stopped") else _begun(run.state),
            cells=count_at(run.state, "last", "cells"),
        ),
        seconds=None if began is None else max(0.0, until - began),
        document=run.document or (record.document if record else ""),
        owner=run.owner,
        profile=profile.name,
        server=profile.url,
        kernel_id=None if run.kernel is None else run.kernel.id,
        detached=not followed and bool(run.journal or (record and record.detached)),
        name=run.name or (record.name if record else ""),
    )


def state_name(run: RemoteRun) -> str:
    """The state of a run, from what its server says."""
    state = run.state
    kernel_lives = run.kernel is not None and run.kernel.state not in _NOT_ALIVE
    alive = kernel_lives and not run.abandoned
    if not state:
        return "kernel-died" if run.abandoned else "running" if alive else "unknown"
    cells, done = count_at(state, "last", "cells"), number_at(state, "done")
    stopped = text_at(state, "stopped")
    if stopped == "cancelled" and not (alive and state.get("running")):
        return "cancelled"
    if state.get("ending"):
        return "kernel-died"
    if not state.get("running"):
        if stopped:
            return _STOPPED.get(stopped, "failed")
        if cells is not None and done >= cells:
            return "finished"
    if not alive:
        return "kernel-died"
    return "waiting" if state.get("asking") else "running"


def _begun(state: Mapping[str, Any]) -> int | None:
    """How many cells were begun, of a run that did not stop early."""
    if not state:
        return None
    return number_at(state, "done") + number_at(state, "running")


def _remembered(
    record: RunRecord,
    profiles: Sequence[Profile],
    failed: Container[str],
    now: float,
    *,
    followed: bool,
) -> RunRow:
    """A run that no server reported."""
    try:
        profile = profile_of(record, profiles).name
    except JrcError:
        profile = ""
    asked_for = profile and profile not in failed
    state = "running" if followed else "gone" if asked_for else "unknown"
    return RunRow(
        run=record.run,
        progress=Progress(state),
        seconds=max(0.0, now - record.started),
        document=record.document,
        owner=record.owner,
        profile=profile or record.place.profile,
        server=record.place.server,
        kernel_id=None,
        detached=record.detached,
        name=record.name,
    )
