"""All runs of a person: what this computer remembers, and what the servers say."""

import asyncio
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import Any

from jrc.errors import JrcError
from jrc.profile.model import Profile
from jrc.profile.owner import user_name
from jrc.profile.paths import Paths
from jrc.runs.lookup import SERVER_SECONDS, asked, profile_of
from jrc.runs.records import RunRecord, RunRecords, client_lives, follower_lives
from jrc.runs.server_runs import RemoteRun, survey
from jrc.runs.sightings import Sightings
from jrc.server.open import profiles_to_ask

GONE_SECONDS = 86400.0
"""So long a run is shown of which nothing is left: somebody removed it elsewhere."""

_STOPPED = {"cancelled": "cancelled", "exited": "finished"}
_NOT_ALIVE = ("dead", "restarting", "starting")


@dataclass(frozen=True)
class Seen:
    """The last thing that was seen of a run whose server can't be asked now.

    Attributes:
        state: as in a row.
        cell, cells: as in a row.
        at: POSIX time in seconds.
    """

    state: str
    cell: int | None
    cells: int | None
    at: float


@dataclass(frozen=True)
class RunRow:
    """One run, as ``jrc runs --json`` shows it: the names are a contract.

    Attributes:
        run: its id.
        state: ``running``, ``waiting`` (for an answer to ``input()``), ``finished``, ``failed``,
            ``cancelled``, ``kernel-died``, ``gone`` (nothing is left of it) or ``unknown``.
        cell: how many cells were begun; None when that is not known.
        cells: how many there are; None when that is not known.
        seconds: since it began, until it ended.
        document: file name.
        owner: ``user@host``.
        profile: name of the server's profile.
        server: its URL.
        kernel_id: of its kernel; None when that is gone.
        detached: no client follows it.
        name: that the person gave it; empty for none.
        seen: what was seen of it last, where its server can't be asked now; else None.
    """

    run: str
    state: str
    cell: int | None
    cells: int | None
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
    def progress(self) -> str:
        """``3/10``."""
        known = self.seen or self
        if known.cells is None:
            return "-"
        return f"{'-' if known.cell is None else known.cell}/{known.cells}"

    def as_json(self) -> dict[str, Any]:
        """One line of ``jrc runs --json``."""
        return asdict(self)


@dataclass(frozen=True)
class Listing:
    """What was found.

    Attributes:
        rows: the runs, the newest first.
        trouble: one line for each server that could not be asked.
    """

    rows: list[RunRow] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)


async def list_runs(
    paths: Paths,
    *,
    everybody: bool,
    now: float,
    seconds: float = SERVER_SECONDS,
    all_gone: bool = False,
) -> Listing:
    """The runs on all servers. To look takes nothing away.

    Args:
        paths: where profiles and records are.
        everybody: other people's, too.
        now: POSIX time in seconds.
        seconds: for each server; they are asked at the same time.
        all_gone: those of which nothing is left for long, too.

    Raises:
        ConfigError: a profile can't be understood.
    """
    records = RunRecords(paths).all()
    profiles = profiles_to_ask(paths)
    mine = {record.run for record in records}
    followed = {each.run for each in records if client_lives(each) or follower_lives(each)}
    ask = mine - followed
    answers = await asyncio.gather(*(_survey(profile, seconds, ask) for profile in profiles))
    listing = Listing()
    for profile, answer in zip(profiles, answers, strict=True):
        if isinstance(answer, JrcError):
            listing.trouble.append(_trouble(profile, answer))
            continue
        known = {record.run: record for record in records}
        for run in answer:
            if everybody or run.run in mine or _is_mine(run):
                row = _row(run, known.get(run.run), profile, now, followed=run.run in followed)
                listing.rows.append(row)
    listed = {row.run for row in listing.rows}
    failed = {
        profile.name
        for profile, answer in zip(profiles, answers, strict=True)
        if isinstance(answer, JrcError)
    }
    memory = Sightings(paths)
    seen = memory.read()
    for record in records:
        if record.run in listed:
            continue
        row = _remembered(record, profiles, failed, now, followed=record.run in followed)
        if row.state == "unknown" and record.run in seen:
            row = replace(row, seen=_seen(seen[record.run]))
        if all_gone or row.state != "gone" or now - record.started <= GONE_SECONDS:
            listing.rows.append(row)
    memory.write(
        {
            row.run: {"state": row.state, "cell": row.cell, "cells": row.cells, "at": now}
            for row in listing.rows
            if row.run in listed
        },
        keep=mine,
    )
    listing.rows.sort(key=lambda row: row.seconds if row.seconds is not None else float("inf"))
    return listing


def _trouble(profile: Profile, error: JrcError) -> str:
    """Why a server could not be asked, and what to do or to type."""
    return f"{profile.name}: {error.message}" + (f" ({error.hint})" if error.hint else "")


def _seen(told: Mapping[str, Any]) -> Seen | None:
    at = _number(told.get("at"))
    if at is None:
        return None
    cell, cells = _count(told.get("cell")), _count(told.get("cells"))
    return Seen(str(told.get("state", "unknown")), cell, cells, at)


async def _survey(
    profile: Profile, seconds: float, ask: Container[str]
) -> list[RemoteRun] | JrcError:
    try:
        async with asked(profile, seconds) as server:
            return await survey(server, ask=ask)
    except JrcError as error:
        return error


def _is_mine(run: RemoteRun) -> bool:
    return run.owner.rpartition("@")[0] == user_name()


def _row(
    run: RemoteRun, record: RunRecord | None, profile: Profile, now: float, *, followed: bool
) -> RunRow:
    state = state_name(run)
    began = _number(run.state.get("opened")) or (record.started if record else None)
    over = state not in ("running", "waiting") and bool(run.changed)
    until = run.changed if over else now
    return RunRow(
        run=run.run,
        state=state,
        cell=run.executed if run.state.get("stopped") else _begun(run.state),
        cells=_count(_last(run.state).get("cells")),
        seconds=None if began is None else max(0.0, until - began),
        document=run.document or (_document(record) if record else ""),
        owner=run.owner,
        profile=profile.name,
        server=profile.url,
        kernel_id=None if run.kernel is None else run.kernel.id,
        detached=not followed and bool(run.journal or (record and record.detached)),
        name=run.name or (record.name if record else ""),
    )


def state_name(run: RemoteRun) -> str:
    """What a run does, from what its server says."""
    state = run.state
    kernel_lives = run.kernel is not None and run.kernel.state not in _NOT_ALIVE
    alive = kernel_lives and not run.abandoned
    if not state:
        return "kernel-died" if run.abandoned else "running" if alive else "unknown"
    cells, done = _count(_last(state).get("cells")), _count(state.get("done")) or 0
    if state.get("stopped") == "cancelled" and not (alive and state.get("running")):
        return "cancelled"
    if state.get("ending"):
        return "kernel-died"
    if not state.get("running"):
        if state.get("stopped"):
            return _STOPPED.get(state["stopped"], "failed")
        if cells is not None and done >= cells:
            return "finished"
    if not alive:
        return "kernel-died"
    return "waiting" if state.get("asking") else "running"


def _begun(state: Mapping[str, Any]) -> int | None:
    """How many cells were begun, of a run that did not stop early."""
    if not state:
        return None
    return (_count(state.get("done")) or 0) + (_count(state.get("running")) or 0)


def _remembered(
    record: RunRecord,
    profiles: Sequence[Profile],
    failed: set[str],
    now: float,
    *,
    followed: bool,
) -> RunRow:
    """A run that no server told of."""
    try:
        profile = profile_of(record, profiles).name
    except JrcError:
        profile = ""
    asked_for = profile and profile not in failed
    state = "running" if followed else "gone" if asked_for else "unknown"
    return RunRow(
        run=record.run,
        state=state,
        cell=None,
        cells=None,
        seconds=max(0.0, now - record.started),
        document=_document(record),
        owner=str(record.about.get("owner", "")),
        profile=profile or record.profile,
        server=record.server,
        kernel_id=None,
        detached=record.detached,
        name=record.name,
    )


def _document(record: RunRecord) -> str:
    return PurePath(str(record.about.get("document", ""))).name


def _last(state: Mapping[str, Any]) -> Mapping[str, Any]:
    last = state.get("last")
    return last if isinstance(last, dict) else {}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
