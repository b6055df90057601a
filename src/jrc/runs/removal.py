"""Remove runs: what a server has of them, and what this computer remembers."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jrc.errors import ConfigError, JrcError, UnreachableError
from jrc.profile.model import Profile
from jrc.runs.listing import state_name
from jrc.runs.lookup import FoundRun, asked, delete_journal, find_run, journal_path, profile_of
from jrc.runs.questions import forget_run
from jrc.runs.records import RunRecord, RunRecords
from jrc.runs.server_runs import survey
from jrc.server.open import open_profile

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

_SECONDS = 20.0


@dataclass(frozen=True)
class Removal:
    """One run that is to be removed.

    Attributes:
        run: its id.
        found: where it is; None where only this computer knows of it.
        state: as ``jrc runs`` shows it.
        loses: what is lost by it, as a sentence; empty for nothing.
    """

    run: str
    found: FoundRun | None
    state: str
    loses: str


async def plan_removal(
    words: str, records: RunRecords, profiles: Sequence[Profile], *, by_force: bool
) -> Removal:
    """What the removal of a run would mean.

    Args:
        words: its id, the beginning of it, or its name.
        records: what this computer remembers.
        profiles: the servers to ask.
        by_force: forget a run whose server can't be asked.

    Raises:
        NotFoundError: nobody knows it, or it may be one of several.
        UnreachableError, AuthError: its server can't be asked.
    """
    record = records.find(words)
    if record is not None and not _has_profile(record, profiles):
        return Removal(
            record.run, None, "unknown", f"No profile leads to {record.place.server} any more"
        )
    try:
        found = await find_run(words, records, profiles)
    except JrcError as error:
        if record is None or not by_force:
            raise
        return Removal(record.run, None, "unknown", error.message.rstrip("."))
    state = await _state(found)
    return Removal(found.run, found, state, _loses(found, state))


async def remove_run(removal: Removal, records: RunRecords) -> None:
    """Remove it.

    Raises:
        JrcError: the server does not delete what it has of it.
    """
    found = removal.found
    if found is not None and (found.remote is not None or found.kernel_id):
        async with open_profile(found.profile) as server:
            await _delete(server, found)
    records.remove(removal.run)


async def _delete(server: "ServerClient", found: FoundRun) -> None:
    await delete_run(server, found, await journal_path(server, found))


async def _state(found: FoundRun) -> str:
    async with asked(found.profile, _SECONDS) as server:
        runs = {run.run: run for run in await survey(server, ask=[found.run])}
    remote = runs.get(found.run)
    return "gone" if remote is None else state_name(remote)


def _loses(found: FoundRun, state: str) -> str:
    whose = "" if found.is_mine else f" It is {found.owner}'s."
    record = found.record
    if record is not None and record.is_followed:
        return f"It is followed on this computer just now, and its kernel ends.{whose}"
    match state:
        case "gone":
            return ""
        case "running" | "waiting":
            return f"It still runs: it is stopped, and what it printed is lost.{whose}"
        case _:
            return f"What it printed was not fetched yet, and is lost.{whose}"


def _has_profile(record: RunRecord, profiles: Sequence[Profile]) -> bool:
    try:
        profile_of(record, profiles)
    except ConfigError:
        return False
    return True


async def delete_run(
    server: "ServerClient",
    found: FoundRun,
    path: str,
    who_needs_it: Callable[[], Awaitable[str]] | None = None,
) -> None:
    """Delete what a server has of a run: its kernel, if it was started for it, and its journal.

    Args:
        server: where.
        found: the run.
        path: of its journal below the server's root; empty for none that is served.
        who_needs_it: who needs the journal by now; nobody where it returns an empty string. The
            end of a kernel takes seconds, and who began to follow meanwhile has only the journal.
    """
    if found.kernel_id and (not path or not found.session_id):
        # A kernel that stays, or that has a journal which the server does not serve.
        try:
            await forget_run(server, found.kernel_id, found.run)
        except UnreachableError:
            # One that answers nothing ends all the same, if it is the run's own.
            if not found.session_id:
                raise
    if found.session_id:
        await server.delete_session(found.session_id)
        if who_needs_it is not None and await who_needs_it():
            return
    await delete_journal(server, path)
