"""Find a run by the beginning of its id: in the records of this computer, then on the servers."""

import asyncio
import logging
import shlex
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from jrc.errors import ConfigError, JrcError, NotFoundError, UnreachableError
from jrc.profile.model import Profile
from jrc.profile.owner import user_name
from jrc.recorder.journal import JOURNAL_SUFFIX, Journal, read_journal
from jrc.runs.records import RunRecord, RunRecords, choose_run, no_such_run
from jrc.runs.server_runs import RemoteRun, survey
from jrc.server.contents import (
    delete_file,
    find_file,
    list_folder,
    read_file,
    rename_file,
    wipe_file,
)
from jrc.server.open import open_profile
from jrc.server.orphans import Orphans

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.runs.lookup")

_RETIRED = "retired"
"""Ends the name of a journal that is being deleted. One that was left so goes with the next."""

SERVER_SECONDS = 10.0
"""How long a server has to list its runs."""

TUNNEL_SECONDS = 120.0
"""How long the server of a run on record has: its tunnel may have to be brought up."""


@dataclass(frozen=True)
class FoundRun:
    """One run, and where it is.

    Attributes:
        run: its id.
        profile: the profile of its server.
        record: what this computer remembers of it; None on another computer.
        remote: what the server says of it; None if the server does not know it.
        keeps_kernel: a kernel that was started for it stays when it is removed.
    """

    run: str
    profile: Profile
    record: RunRecord | None
    remote: RemoteRun | None
    keeps_kernel: bool = False

    @property
    def kernel_id(self) -> str:
        """Id of the kernel; empty if the kernel is gone."""
        if self.remote is not None and self.remote.kernel is not None:
            return self.remote.kernel.id
        # A kernel that somebody else started has no session of ours.
        record = self.record
        return record.place.kernel_id if record is not None and not record.place.session_id else ""

    @property
    def session_id(self) -> str:
        """Id of the session that owns the kernel; empty if there is none."""
        return "" if self.remote is None else self.remote.session_id

    @property
    def session_path(self) -> str:
        """Path of that session."""
        return "" if self.remote is None else self.remote.session_path

    @property
    def owner(self) -> str:
        """Who began it, ``user@host``; empty if that is not known."""
        if self.remote is not None and self.remote.owner:
            return self.remote.owner
        return "" if self.record is None else self.record.owner

    @property
    def is_mine(self) -> bool:
        """The user began it, on this computer or on another one."""
        return self.record is not None or self.owner.rpartition("@")[0] == user_name()


async def find_run(
    prefix: str,
    records: RunRecords,
    profiles: Sequence[Profile],
    *,
    seconds: float = SERVER_SECONDS,
) -> FoundRun:
    """The run that the user means.

    Args:
        prefix: its name, its id, or a beginning of the id that no other run has.
        records: the records of this computer, which come first.
        profiles: the servers to ask.
        seconds: how long each server has to answer.

    Raises:
        NotFoundError: there is no such run, or there are several.
        UnreachableError, AuthError: the server of a run on record does not answer.
    """
    record = records.find(prefix)
    if record is not None:
        profile = profile_of(record, profiles)
        async with asked(profile, TUNNEL_SECONDS, bring_up=True) as server:
            runs = {run.run: run for run in await survey(server, states=False)}
        return FoundRun(record.run, profile, record, runs.get(record.run))
    # The name of a run is in its state.
    states = not set(prefix) <= set("0123456789abcdef")
    found: list[FoundRun] = []
    trouble: list[JrcError] = []
    for profile, answer in zip(
        profiles,
        await asyncio.gather(*(runs_at(profile, seconds, states=states) for profile in profiles)),
        strict=True,
    ):
        if isinstance(answer, JrcError):
            trouble.append(answer)
        else:
            found += [FoundRun(run.run, profile, None, run) for run in answer]
    run = choose_run(prefix, {each.run: each.remote.name if each.remote else "" for each in found})
    if run is None:
        raise no_such_run(prefix, trouble=trouble)
    return next(each for each in found if each.run == run)


async def runs_at(
    profile: Profile, seconds: float, *, states: bool = True, ask: Container[str] = ()
) -> list[RemoteRun] | JrcError:
    """The runs on the server of a profile, or why it can't be asked.

    Args:
        profile: the profile.
        seconds: how long the server has to answer.
        states, ask: as in ``survey``.
    """
    try:
        async with asked(profile, seconds) as server:
            return await survey(server, states=states, ask=ask)
    except JrcError as error:
        return error


@asynccontextmanager
async def asked(
    profile: Profile, seconds: float, *, bring_up: bool = False
) -> "AsyncIterator[ServerClient]":
    """The server of a profile, for questions that must not take long and change nothing there.

    Args:
        profile: the profile.
        seconds: how long the whole may take.
        bring_up: bring up the tunnel, and the user's server on a hub, if they are down.

    Raises:
        UnreachableError: it took too long.
    """
    try:
        async with (
            asyncio.timeout(seconds) as deadline,
            open_profile(profile, bring_up=bring_up, orphans=Orphans.LEAVE) as server,
        ):
            yield server
            # The server has answered. What the caller does besides has a deadline of its own.
            deadline.reschedule(None)
    except TimeoutError as error:
        raise UnreachableError(
            f"The server of the profile '{profile.name}' did not answer within {seconds:.0f} s."
        ) from error


def profile_of(record: RunRecord, profiles: Sequence[Profile]) -> Profile:
    """The profile of a run on record: by its name, else by the server's URL.

    Raises:
        ConfigError: the profile does not exist any more.
    """
    for profile in profiles:
        if profile.name == record.place.profile:
            return profile
    for profile in profiles:
        if profile.url.rstrip("/") == record.place.server.rstrip("/"):
            return profile
    raise ConfigError(
        f"The run {record.run} is on {record.place.server}, and no profile leads there.",
        hint=f"jrc login {shlex.quote(record.place.server)}",
    )


async def read_journal_at(server: "ServerClient", path: str) -> Journal | None:
    """The journal at this path; None when there is none.

    Raises:
        WireError: it is damaged.
        AuthError, UnreachableError: the server does not answer.
    """
    if not path:
        return None
    try:
        return read_journal(await read_file(server, path))
    except NotFoundError:
        return None


async def delete_journal(server: "ServerClient", path: str) -> None:
    """Delete a run's journal, and the files beside it that belong to the run.

    Where the server has a trash, the files that get there are empty.

    The folder stays, even when it is empty: a server deletes a folder with everything in it, and
    another run may have begun its journal there since.

    Args:
        server: the server that it is on.
        path: path of the journal below the server's root; empty for none.
    """
    if not path:
        return
    folder, _, name = path.rpartition("/")
    run = name.removesuffix(JOURNAL_SUFFIX)
    beside = [
        entry
        for entry in (await list_folder(server, folder) if folder else [])
        if entry.name != name
        and (entry.name.startswith((f"{run}.", f"{run}-")) or entry.name.endswith(f"-{_RETIRED}"))
    ]
    # The journal goes first: the other files say who needs it. Under another name nobody reads it
    # half emptied.
    retired = f"{path.removesuffix(JOURNAL_SUFFIX)}-{_RETIRED}"
    try:
        await rename_file(server, path, retired)
    except NotFoundError:
        retired = ""
    except JrcError as error:
        log.info("%s is not renamed: %s", path, error)
        retired = path
    await asyncio.gather(
        *([wipe_file(server, retired)] if retired else []),
        *(
            wipe_file(server, entry.path) if entry.size else delete_file(server, entry.path)
            for entry in beside
        ),
    )


async def journal_path(server: "ServerClient", found: FoundRun) -> str:
    """Path of a run's journal below the server's root; empty if there is none."""
    if found.remote is not None and found.remote.journal is not None:
        return found.remote.journal.path
    if found.record is None or not found.record.place.journal:
        return ""
    return await served_path(server, found.record.place.journal)


async def served_path(server: "ServerClient", path: str) -> str:
    """The path below the server's root of a file, from its absolute path; empty if not served.

    Clients do not know the root of a server, so each end of the absolute path is tried.
    """
    windows = "\\" in path or path[1:2] == ":"
    parts = (PureWindowsPath(path) if windows else PurePosixPath(path)).parts[1:]
    for start in range(len(parts) - 2, -1, -1):
        below = "/".join(parts[start:])
        if await find_file(server, below) is not None:
            return below
    return ""
