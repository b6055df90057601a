"""Files that are replaced in one step, and the locks that guard them between processes."""

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from jrc.errors import ConfigError

LOCK_DEADLINE = 10.0
"""Seconds to wait for another jrc process that holds a file."""

REPLACE_DEADLINE = 2.0
"""Seconds during which Windows may refuse to replace a file that a reader has open."""

# Windows refuses to replace a file while a reader, often a virus scanner, has it open.
_READERS_BLOCK_REPLACE = os.name == "nt"


class Seen(NamedTuple):
    """What distinguishes one content of a file from the next, without reading it."""

    inode: int
    size: int
    changed: int

    @property
    def mark(self) -> str:
        """The same as text."""
        return f"{self.inode}-{self.size}-{self.changed}"


def seen(path: Path) -> Seen | None:
    """How a file looks now; None when there is none, or none that can be looked at."""
    try:
        return _seen(path.stat())
    except OSError:
        return None


def _seen(found: os.stat_result) -> Seen:
    return Seen(found.st_ino, found.st_size, found.st_mtime_ns)


def write_atomically(path: Path, data: bytes | str, *, private: bool = False) -> None:
    """Replace a file's content so that a reader sees the old or the new one, never a part.

    A symbolic link is followed: the file that it names is replaced, the link stays. An existing
    file keeps its mode. A missing folder is created. What is not a file (``/dev/stdout``, a pipe)
    is written to.

    Args:
        path: the file.
        data: its whole new content; text is stored as UTF-8, line ends unchanged.
        private: only the owner may read it: mode 0600, a new folder 0700.

    Raises:
        ConfigError: the file can't be written. It is as it was.
    """
    content = data.encode() if isinstance(data, str) else data
    try:
        # realpath names what is there even for /dev/stdout, so the kind is asked before it.
        found = _stat(path)
        kind = None if found is None else found.st_mode
        if kind is not None and not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            path.write_bytes(content)
            return
        create_folder(Path(os.path.realpath(path)).parent, private=private)
        replace_content(path, [content], private=private)
    except OSError as error:
        raise _unwritable(path, error) from error


def replace_content(
    path: Path,
    chunks: Iterable[bytes],
    *,
    private: bool = False,
    sync: bool = True,
    expected: tuple[Seen | None] | None = None,
) -> Seen | None:
    """Replace a regular file's content in one step; ``write_atomically`` says what that means.

    A file with several names (hard links) can't be replaced under all of them. Its content is
    written over, from a complete copy beside it, which stays where that fails.

    Args:
        path: the file; its folder exists.
        chunks: its whole new content, taken one after the other.
        private: mode 0600.
        sync: wait until it is on the disk, so that it survives a power cut.
        expected: how the file must look for it, tested at the last moment; None for no matter.

    Returns:
        how the file looks now; None when it was not as expected, and is as it was.

    Raises:
        OSError: the file can't be written. It is as it was, or the message names the copy.
    """
    target = Path(os.path.realpath(path))
    found = _stat(target)
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a file")
    # A rename needs no right on the file that it replaces; a read-only file means "hands off".
    if found is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is read-only")
    mode = 0o600 if private else 0o666 if found is None else stat.S_IMODE(found.st_mode)
    # A name of its own, not the target's with a suffix: that could be too long for the system.
    temporary = target.parent / f".jrc-{os.urandom(8).hex()}.tmp"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    handle = os.open(temporary, flags, mode | stat.S_IWUSR)
    try:
        with os.fdopen(handle, "wb") as file:
            if found is not None:
                _own_as(temporary, found, mode)
            file.writelines(chunks)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        now = _stat(target)
        if expected is not None and (None if now is None else _seen(now)) != expected[0]:
            temporary.unlink()
            return None
        if now is not None and now.st_nlink > 1:
            return _write_over(temporary, target, sync=sync)
        _replace(temporary, target)
    except _CopyKept:
        raise
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return _seen(target.stat())


class _CopyKept(OSError):  # noqa: N818  it is an OSError to everybody else
    """A file could be written in part only; the message names its complete copy."""


def _own_as(temporary: Path, found: os.stat_result, mode: int) -> None:
    """Give a new file the mode and, where that is allowed, the owner of the old one."""
    if hasattr(os, "chown"):
        mine = temporary.stat()
        if (mine.st_uid, mine.st_gid) != (found.st_uid, found.st_gid):
            with suppress(OSError):
                os.chown(temporary, found.st_uid, found.st_gid)
    temporary.chmod(mode)


def _write_over(copy: Path, target: Path, *, sync: bool) -> Seen:
    """Write a file's new content over the old one, under all of its names."""
    import shutil

    try:
        with copy.open("rb") as source, target.open("r+b") as file:
            shutil.copyfileobj(source, file, 1 << 20)
            file.truncate()
            file.flush()
            if sync:
                os.fsync(file.fileno())
    except BaseException as error:
        kept = target.with_name(f"{target.stem[:200]}.{copy.stem[5:13]}{target.suffix}")
        copy.replace(kept)
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise _CopyKept(error.errno, f"{reason}; its whole content is in {kept}") from error
        raise
    copy.unlink()
    return _seen(target.stat())


def create_folder(folder: Path, *, private: bool = False) -> None:
    """Create a folder and its missing parents, all with mode 0700 when private.

    Raises:
        OSError: it can't be created.
    """
    if folder.is_dir():
        return
    create_folder(folder.parent, private=private)
    folder.mkdir(mode=0o700 if private else 0o777, exist_ok=True)


@contextmanager
def locked(path: Path, *, deadline: float = LOCK_DEADLINE) -> Iterator[None]:
    """Hold the lock of a file that several jrc processes read, change and write.

    The lock is a hidden file beside it, because the file itself is replaced. A missing folder is
    created with mode 0700.

    Args:
        path: the file.
        deadline: seconds to wait for another holder.

    Raises:
        ConfigError: somebody else kept the lock, or the folder can't be written.
    """
    from filelock import FileLock, Timeout

    target = Path(os.path.realpath(path))
    lock = FileLock(target.with_name(f".{target.name}.lock"), timeout=deadline)
    try:
        create_folder(target.parent, private=True)
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            f"Can't change {path}: another jrc has held it for {deadline:g} s.",
            hint="Wait for that command to end, or stop it, and try again.",
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _replace(source: Path, target: Path) -> None:
    give_up = time.monotonic() + REPLACE_DEADLINE
    while True:
        try:
            source.replace(target)
        except PermissionError:
            if not _READERS_BLOCK_REPLACE or time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        else:
            return


def _unwritable(path: Path, error: OSError) -> ConfigError:
    reason = error.strerror or str(error) or type(error).__name__
    return ConfigError(
        f"Can't write {path}: {reason[0].lower()}{reason[1:]}.",
        hint="Check the free space and the permissions of its folder.",
    )
