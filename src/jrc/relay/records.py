"""A note of each remote session, so that one is found again whose relay was killed without a word.

A relay holds the lock of its record while it lives, and the system frees the lock when it ends, no
matter how. So a record whose lock can be taken is an orphan. A process id would not tell: relays
in containers share the folder but not the numbers.
"""

import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from jrc.errors import ConfigError, JrcError
from jrc.profile.files import create_folder, write_atomically
from jrc.profile.paths import Paths

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.relay.records")

LATEST_START = 600.0
"""Seconds after which no server starts a kernel any more that a killed relay asked for."""


@dataclass(frozen=True)
class Record:
    """A session on a server that a relay created, or was about to create.

    Attributes:
        base_url: of the server.
        session_path: of the session; unique.
        session_id: empty while the server has not answered.
        created: when the record was made, in seconds of the system's clock.
        host: where the relay runs. For people.
        pid: of the relay. For people.
    """

    base_url: str
    session_path: str
    session_id: str = ""
    created: float = 0.0
    host: str = ""
    pid: int = 0


class RecordFile:
    """The record of this process: a file, and the lock that says that the process lives.

    Args:
        paths: where it is written.
        base_url: of the server.
        session_path: of the session that will be created there.

    Raises:
        ConfigError: it can't be written.
    """

    def __init__(self, paths: Paths, base_url: str, session_path: str) -> None:
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
            created=time.time(),
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        self._write()

    @property
    def session_path(self) -> str:
        return self._record.session_path

    def created(self, session_id: str) -> None:
        """The server has created the session."""
        self._record = replace(self._record, session_id=session_id)
        self._write()

    def remove(self) -> None:
        """The session is no more."""
        _remove(self._path)

    def release(self) -> None:
        """This process will not use it any more. A record that is still there is an orphan now."""
        self._lock.release()
        if not self._path.exists():
            _remove(_lock_path(self._path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _write(self) -> None:
        write_atomically(self._path, json.dumps(asdict(self._record)), private=True)


async def remove_orphans(server: "ServerClient", *, paths: Paths | None = None) -> list[str]:
    """Delete the sessions on this server whose relay was killed, and their kernels.

    Args:
        server: only what was created there is looked at.
        paths: where the records are; None for the person's own folders.

    Returns:
        the paths of the deleted sessions.
    """
    removed = []
    for path, record in _records(paths or Paths.from_environment()):
        if record.base_url != server.address.base_url:
            continue
        lock = _lock_of(path)
        if not _taken(lock):
            continue
        try:
            if await _delete(server, record):
                _remove(path)
                removed.append(record.session_path)
        except (JrcError, OSError) as error:
            log.info("the orphan %s stays for now: %s", record.session_path, error)
        finally:
            lock.release()
            if not path.exists():
                _remove(_lock_path(path))
    return removed


async def _delete(server: "ServerClient", record: Record) -> bool:
    """Delete the session of a record; False where it may still be about to appear."""
    ids = [record.session_id]
    if not record.session_id:  # killed between the request and its answer
        ids = [s.id for s in await server.sessions() if s.path == record.session_path]
    for session_id in ids:
        await server.delete_session(session_id)
    return bool(ids) or time.time() - record.created > LATEST_START


def _records(paths: Paths) -> Iterator[tuple[Path, Record]]:
    for path in sorted(_folder(paths).glob("*.json")):
        try:
            fields = json.loads(path.read_bytes())
            yield path, Record(**fields)
        except (OSError, ValueError, TypeError) as error:
            log.info("the record %s can't be read: %s", path, error)


def _taken(lock: "BaseFileLock") -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError, NotImplementedError):
        return False
    return True


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
