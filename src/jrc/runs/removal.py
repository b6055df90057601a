"""Remove runs: from their server, and from the records of this computer."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jrc.errors import ConfigError, JrcError, UnreachableError
from jrc.kernel.session import keep_session
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
    """One run to remove.

    Attributes:
        run: its id.
        found: where it is; None if only this computer knows of it.
        state: its state, as ``jrc runs`` shows it.
        loses: what is lost with it, as a sentence; empty for nothing.
    """

    run: str
    found: FoundRun | None
    state: str
    loses: str


async def plan_removal(
    words: str, records: RunRecords, profiles: Sequence[Profile], *, by_force: bool
) -> Removal:
    """What the removal of a run would do.

    Args:
        words: its id, a beginning of its id, or its name.
        records: the records of this computer.
        profiles: the servers to ask.
        by_force: forget the run even if its server can't be asked.

    Raises:
        NotFoundError: there is no such run, or there are several.
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
    """Remove a run.

    Raises:
        JrcError: the server does not delete it.
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
    """Delete what a server has of a run: its journal, and the kernel that was started for it.

    Args:
        server: the server.
        found: the run.
        path: path of its journal below the server's root; empty if none is served.
        who_needs_it: returns who needs the journal; empty for nobody. Ending a kernel takes
            seconds, and a client that begins to follow meanwhile has only the journal.
    """
    stays = found.keeps_kernel or not found.session_id
    if found.kernel_id and (stays or not path):
        # The kernel stays, or has a journal that the server does not serve.
        try:
            await forget_run(server, found.kernel_id, found.run)
        except UnreachableError:
            # A kernel of the run ends even if it does not answer.
            if stays:
                raise
    if found.session_id:
        await release_kernel(server, found)
        if who_needs_it is not None and await who_needs_it():
            return
    await delete_journal(server, path)


async def release_kernel(server: "ServerClient", found: FoundRun) -> None:
    """End the kernel that was started for a run, unless the run keeps it."""
    if found.keeps_kernel:
        await keep_session(server, found.session_id, found.session_path)
    else:
        await server.delete_session(found.session_id)
