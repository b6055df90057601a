"""A note of each remote session, so that one whose relay was killed is found again.

A run leaves one for a kernel that it could not delete.

A relay holds the lock of its record while it lives, and the system frees the lock when it ends, no
matter how. So a record whose lock can be taken is an orphan. A process id would not tell: relays
in containers share the folder but not the numbers.
"""

import asyncio
import json
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from jrc.errors import ConfigError, JrcError
from jrc.profile.files import create_folder, write_atomically
from jrc.profile.paths import Paths
from jrc.shapes import Reader, parse, state_of
from jrc.tunnel.processes import boot_id

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.server.orphans")

LATEST_START = 600.0
"""Seconds after which no server starts a kernel any more that a killed relay asked for."""

SEARCH_DEADLINE = 20.0
"""Seconds for the end of all orphans on a server. What is left is the next command's work."""

LEAVE_DEADLINE = 2.0
"""Seconds that a command which is done waits for it. The server goes on without us, too."""


class Orphans(Enum):
    """What a command does about the orphans on the server that it works with."""

    FIRST = auto()  # remove them, then begin
    BESIDE = auto()  # remove them while it works
    LEAVE = auto()


class Record(NamedTuple):
    """A session on a server that a relay created, or was about to create.

    Attributes:
        base_url: of the server.
        session_path: of the session; unique.
        session_id: empty while the server has not answered.
        created: when the record was made, in seconds since the start of the computer it runs on.
        boot: that start, as ``boot_id`` says it.
        host: where the relay runs. For people.
        pid: of the relay. For people.
        why: the kernel is to be deleted, as the end of a sentence.
    """

    base_url: str
    session_path: str
    session_id: str = ""
    created: float = 0.0
    boot: str = ""
    host: str = ""
    pid: int = 0
    why: str = "its editor was killed"


class RecordFile:
    """The record of this process: a file, and the lock that says that the process lives.

    Args:
        paths: where it is written.
        base_url: of the server.
        session_path: of the session that will be created there.

    Raises:
        ConfigError: it can't be written.
    """

    def __init__(self, paths: Paths, base_url: str, session_path: str, **why: str) -> None:
        self._path = _folder(paths) / f"{secrets.token_hex(8)}.json"
        self._lock = _lock_of(self._path)
        try:
            create_folder(self._path.parent, private=True)
            self._lock.acquire()
        except OSError as error:
            raise ConfigError(
                f"Can't write {self._path.parent}: {error.strerror or error}.",
                hint="Check the free space and the permissions of this folder.",
            ) from error
        self._record = Record(
            base_url,
            session_path,
            created=time.monotonic(),
            boot=boot_id(),
            host=socket.gethostname(),
            pid=os.getpid(),
            **why,
        )
        self._write()

    @property
    def session_path(self) -> str:
        return self._record.session_path

    def created(self, session_id: str) -> None:
        """The server has created the session."""
        self._record = self._record._replace(session_id=session_id)
        self._write()

    def remove(self) -> None:
        """The session is no more."""
        _remove(self._path)

    def release(self) -> None:
        """This process will not use it any more. A record that is still there is an orphan now."""
        _release(self._lock, self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _write(self) -> None:
        write_atomically(self._path, json.dumps(self._record._asdict()), private=True)


def leave_for_later(base_url: str, session_path: str, session_id: str, why: str) -> bool:
    """Let the next jrc command that reaches a server delete a session there, and its kernel.

    Args:
        base_url: of the server.
        session_path: of the session; unique.
        session_id: empty where the server did not say whether it has created the session.
        why: it is to be deleted, as the end of a sentence.

    Returns:
        whether there is a note of it now.
    """
    try:
        with RecordFile(Paths.from_environment(), base_url, session_path, why=why) as record:
            if session_id:
                record.created(session_id)
    except (JrcError, OSError) as error:
        log.info("no note of the session %s: %s", session_path, error)
        return False
    return True


@asynccontextmanager
async def orphans_removed(
    server: "ServerClient",
    paths: Paths,
    when: Orphans = Orphans.BESIDE,
    tell: Callable[[str], None] = log.info,
) -> AsyncIterator[None]:
    """Remove the orphans on a server before or while the block works there. It never fails.

    Without a record nothing is asked.

    Args:
        server: where.
        paths: where the records are.
        when: before or beside the block.
        tell: called with a line for each orphan that is gone.
    """
    if when is Orphans.LEAVE or not any(_record_files(paths)):
        yield
        return
    task = asyncio.create_task(_remove_and_tell(server, paths, tell), name="orphans")
    try:
        if when is Orphans.FIRST:
            await asyncio.wait({task})
        yield
        await asyncio.wait({task}, timeout=LEAVE_DEADLINE)
    finally:
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(outcome, Exception):
            log.info("not all orphans were removed: %s", str(outcome) or "the time is up")


async def _remove_and_tell(
    server: "ServerClient", paths: Paths, tell: Callable[[str], None]
) -> None:
    async with asyncio.timeout(SEARCH_DEADLINE):
        for record in await _remove_all(server, paths):
            tell(f"Deleted the kernel of {record.session_path}: {record.why}.")


async def remove_orphans(server: "ServerClient", *, paths: Paths | None = None) -> list[str]:
    """Delete the sessions on this server whose relay was killed, and their kernels.

    Args:
        server: only what was created there is looked at.
        paths: where the records are; None for the person's own folders.

    Returns:
        the paths of the deleted sessions.
    """
    removed = await _remove_all(server, paths or Paths.from_environment())
    return [record.session_path for record in removed]


async def _remove_all(server: "ServerClient", paths: Paths) -> list[Record]:
    records = _records(paths)
    here = [each for each in records if each[1].base_url == server.address.base_url]
    removed = await asyncio.gather(*(_remove_orphan(server, *each) for each in here))
    return [record for (_, record), done in zip(here, removed, strict=True) if done]


async def _remove_orphan(server: "ServerClient", path: Path, record: Record) -> bool:
    """Delete the session of a record if it is an orphan. Returns whether there was one."""
    lock = _lock_of(path)
    if not _taken(lock):
        return False
    try:
        deleted = await _delete(server, record)
        if deleted or _at_least_ago(path, record) > LATEST_START:
            _remove(path)
        return deleted
    except (JrcError, OSError) as error:
        log.info("the orphan %s stays for now: %s", record.session_path, error)
        return False
    finally:
        _release(lock, path)


async def _delete(server: "ServerClient", record: Record) -> bool:
    """Delete the session of a record; False where there is none yet."""
    ids = [record.session_id]
    if not record.session_id:  # killed between the request and its answer
        ids = [s.id for s in await server.sessions() if s.path == record.session_path]
    for session_id in ids:
        await server.delete_session(session_id)
    return bool(ids)


def _at_least_ago(path: Path, record: Record) -> float:
    """How long ago a record was made, or less, in seconds, while its lock is held."""
    if record.boot and record.boot == boot_id():
        # No clock that a person sets is asked.
        return time.monotonic() - record.created
    # Another computer may have made it: only the clock of the folder that they share says when.
    lock = _lock_path(path)
    try:
        os.utime(lock)
        return lock.stat().st_mtime - path.stat().st_mtime
    except OSError:
        return 0.0


def _records(paths: Paths) -> Iterator[tuple[Path, Record]]:
    for path in sorted(_record_files(paths)):
        try:
            yield path, _record(state_of(parse(path.read_bytes())))
        except (OSError, ValueError) as error:
            log.info("the record %s can't be read: %s", path, error)


def _record(read: Reader) -> Record:
    return Record(
        base_url=read.field("base_url").text(),
        session_path=read.field("session_path").text(),
        session_id=read.field("session_id").text(""),
        created=read.field("created").real(0.0),
        boot=read.field("boot").text(""),
        host=read.field("host").text(""),
        pid=read.field("pid").number(0),
        why=read.field("why").text(Record._field_defaults["why"]),
    )


def _record_files(paths: Paths) -> Iterator[Path]:
    return _folder(paths).glob("*.json")


def _taken(lock: "BaseFileLock") -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):
        # The last: a file system without locks. Then nobody can tell orphans, and none is removed.
        return False
    return True


def _release(lock: "BaseFileLock", path: Path) -> None:
    """Give up the lock of a record; its file goes with the record."""
    lock.release()
    if not path.exists():
        _remove(_lock_path(path))


def _lock_of(path: Path) -> "BaseFileLock":
    from filelock import FileLock

    return FileLock(_lock_path(path))


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _folder(paths: Paths) -> Path:
    return paths.state / "relays"
