"""The runs on a server, found by its sessions and by the journals among its files."""

import asyncio
import re
import time
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jrc.errors import JrcError, NotFoundError
from jrc.recorder.journal import JOURNAL_SUFFIX, STATE_SUFFIX, read_journal
from jrc.recorder.protocol import JOURNAL_FOLDER
from jrc.runs.questions import executed, state_of_run
from jrc.server.contents import Entry, list_folder, read_file
from jrc.server.models import KernelModel, SessionModel
from jrc.shapes import parse, text_at

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

_SESSION = re.compile(r"jrc/(?P<owner>[^/]+@[^/]+)/(?P<document>.+\.\w+)-(?P<run>[0-9a-f]{8})$")

FOLDERS = (JOURNAL_FOLDER, f"jrc/{JOURNAL_FOLDER}")
"""A kernel starts in the nearest folder of its session's path that exists on the server."""

_AT_ONCE = 8
_QUIET_SECONDS = 5.0
"""How long nothing may change before the kernel itself is asked."""

_KERNEL_SECONDS = 2.0
"""How long the kernel has to answer. Inside one long call of C code, it does not answer."""

_LARGEST_STATE = 1 << 20
_LARGEST_JOURNAL = 4 << 20


@dataclass(frozen=True)
class RemoteRun:
    """What a server says of a run.

    Attributes:
        run: its id.
        owner: who began it, ``user@host``; empty if that is not known.
        document: file name of the document.
        name: the name that a user gave it; empty if none is known.
        session_id, session_path: of the session that owns its kernel; empty if there is none.
        kernel: its kernel; None if the kernel is gone.
        journal: the file of the journal; None if there is none.
        state: what the recorder wrote beside the journal; empty if there is nothing.
        changed: POSIX time of the last change, in seconds; 0 if it is not known.
        executed: how many cells of a run that stopped early were executed; None if that is not
            known.
        abandoned: the run has not ended, but its kernel was restarted and does not know it.
    """

    run: str
    owner: str = ""
    document: str = ""
    name: str = ""
    session_id: str = ""
    session_path: str = ""
    kernel: KernelModel | None = None
    journal: Entry | None = None
    state: Mapping[str, Any] = field(default_factory=dict)
    changed: float = 0.0
    executed: int | None = None
    abandoned: bool = False


async def survey(
    server: "ServerClient", *, states: bool = True, ask: Container[str] = ()
) -> list[RemoteRun]:
    """All runs on the server, of all users.

    Args:
        server: the server.
        states: read the state files as well.
        ask: the runs whose kernels may be asked if there is no such file. When another client
            connects, a server drops what it buffers for a client that was cut off; with a recorder
            nothing is lost by that.

    Raises:
        AuthError, UnreachableError, ProtocolError: the server can't be asked.
    """
    sessions, files = await asyncio.gather(server.sessions(), _files(server))
    runs = {run.run: run for run in map(_of_session, sessions) if run is not None}
    for name, entry in files.items():
        if name.endswith(JOURNAL_SUFFIX):
            run = name.removesuffix(JOURNAL_SUFFIX)
            runs[run] = replace(runs.get(run, RemoteRun(run)), journal=entry)
    if states:
        limit = asyncio.Semaphore(_AT_ONCE)
        found = await asyncio.gather(
            *(
                _with_state(server, run, files.get(run.run + STATE_SUFFIX), limit, run.run in ask)
                for run in runs.values()
            )
        )
        runs = {run.run: run for run in found}
    return list(runs.values())


async def _files(server: "ServerClient") -> dict[str, Entry]:
    """The files in the folders of journals, by name; none on a server that serves no files."""
    try:
        folders = await asyncio.gather(*(list_folder(server, folder) for folder in FOLDERS))
    except JrcError:
        return {}
    return {entry.name: entry for folder in folders for entry in folder}


def _of_session(session: SessionModel) -> RemoteRun | None:
    match = _SESSION.match(session.path)
    if match is None:
        return None
    return RemoteRun(
        match["run"],
        owner=match["owner"],
        document=match["document"],
        session_id=session.id,
        session_path=session.path,
        kernel=session.kernel,
    )


async def _with_state(
    server: "ServerClient",
    run: RemoteRun,
    entry: Entry | None,
    limit: asyncio.Semaphore,
    may_ask: bool,
) -> RemoteRun:
    if entry is None or entry.size > _LARGEST_STATE:
        if not may_ask or run.kernel is None:
            return run
        async with limit:
            return await _from_kernel(server, run, run.kernel)
    async with limit:
        state = await _read_state(server, entry)
        if state is None:
            return run
        abandoned = bool(state.get("running")) and await _is_abandoned(server, run, entry)
    return replace(
        run,
        owner=run.owner or text_at(state, "last", "owner"),
        document=run.document or text_at(state, "last", "document"),
        name=text_at(state, "last", "name"),
        state=state,
        changed=max(entry.modified, 0.0 if run.journal is None else run.journal.modified),
        executed=await _executed(server, run.journal) if state.get("stopped") else None,
        abandoned=abandoned,
    )


async def _from_kernel(server: "ServerClient", run: RemoteRun, kernel: KernelModel) -> RemoteRun:
    """The run with its state from the kernel's recorder, if that answers."""
    try:
        known = await state_of_run(server, kernel.id, run.run, seconds=_KERNEL_SECONDS)
    except JrcError:
        return run
    if known is None:
        return replace(run, abandoned=True)
    return replace(
        run,
        name=text_at(known.runs[0].last, "name"),
        state=asdict(known.runs[0]),
        changed=0.0 if kernel.last_activity is None else kernel.last_activity.timestamp(),
        executed=executed(known),
    )


async def _read_state(server: "ServerClient", entry: Entry) -> dict[str, Any] | None:
    try:
        state = parse(await read_file(server, entry.path))
    except (NotFoundError, ValueError):
        return None
    return state if isinstance(state, dict) else None


async def _is_abandoned(server: "ServerClient", run: RemoteRun, entry: Entry) -> bool:
    """Whether the kernel has forgotten the run: the server restarted it.

    The state that the server reports is not enough. A kernel that died in its first seconds is
    restarted with other ports, and stays "busy" for a jupyter_server 2 until a client connects.
    """
    if run.kernel is None:
        return False
    quiet = time.time() - max(entry.modified, run.journal.modified if run.journal else 0.0)
    if run.kernel.state == "busy" and quiet < _QUIET_SECONDS:
        return False
    try:
        known = await state_of_run(server, run.kernel.id, run.run, seconds=_KERNEL_SECONDS)
    except JrcError:
        return False
    return known is None


async def _executed(server: "ServerClient", entry: Entry | None) -> int | None:
    """The state also counts the cells that were refused; the journal tells them apart."""
    if entry is None or entry.size > _LARGEST_JOURNAL:
        return None
    try:
        journal = read_journal(await read_file(server, entry.path))
    except JrcError:
        return None
    return sum(bool(each.status) and each.status != "aborted" for each in journal.requests.values())
