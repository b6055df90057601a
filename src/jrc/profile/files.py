"""Files that are replaced in one step, and the locks that guard them between processes."""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TextIO

from jrc.errors import ConfigError

LOCK_DEADLINE = 10.0
"""Seconds to wait for another jrc process that holds a file."""

REPLACE_DEADLINE = 2.0
"""Seconds during which Windows may refuse to replace a file that a reader has open."""

_MOST_LINKS = 40
"""As many as Linux follows."""

# Windows refuses to replace a file while a reader, often a virus scanner, has it open.
_READERS_BLOCK_REPLACE = os.name == "nt"

# A real path has no link at its end and is no pipe, unless somebody has put one there meanwhile.
_AS_IT_IS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class NotOurs(PermissionError):  # noqa: N818  it is an OSError to everybody else
    """Another user may have left, in a folder of everybody, what would be written to."""


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


def rights_of(path: Path) -> int:
    """Who may read and write a file, as a mode that what is made from it must not exceed.

    Returns:
        the mode without the right to execute; 0666 where there is no such file.
    """
    try:
        return stat.S_IMODE(path.stat().st_mode) & 0o666
    except OSError:
        return 0o666


def write_atomically(
    path: Path, data: bytes | str, *, private: bool = False, most: int = 0o666
) -> None:
    """Replace a file's content so that a reader sees the old or the new one, never a part.

    A symbolic link is followed: the file that it names is replaced, the link stays. An existing
    file keeps its mode. A missing folder is created. What is not a file (``/dev/stdout``, a pipe)
    is written to. What another user left in a folder that everybody can write is refused.

    Args:
        path: the file.
        data: its whole new content; text is stored as UTF-8, line ends unchanged.
        private: only the owner may read it: mode 0600, a new folder 0700, whatever the umask.
        most: the mode of a new file, which the umask may narrow further.

    Raises:
        ConfigError: the file can't be written. It is as it was.
    """
    content = data.encode() if isinstance(data, str) else data
    try:
        target = real_path(path)
        if not (_is_file(path) or path.is_dir()):
            with open(path, "wb", opener=_opener(path, target, is_file=False)) as file:
                file.write(content)
            return
        create_folder(target.parent, private=private)
        _replace_content(target, [content], private=private, most=most)
    except OSError as error:
        raise _unwritable(path, error) from error


def real_path(path: Path) -> Path:
    """The file behind all links, none of which another user may have left for us.

    In a folder that everybody can write, as ``/tmp``, what another user made is not followed and
    not written to: a link there may name a file of ours, and a file or a pipe may be one that
    others read. Linux says the same where ``fs.protected_symlinks`` and ``protected_regular`` are
    on, but not to root, nor about files that are replaced.

    Raises:
        OSError: something on the way is another user's, or the links have no end.
    """
    if not hasattr(os, "geteuid"):
        return Path(os.path.realpath(path))
    start = path if path.is_absolute() else Path.cwd() / path
    waiting = [*reversed(start.parts[1:])]
    done = Path(start.anchor)
    links = 0
    while waiting:
        name = waiting.pop()
        step = done.parent if name == ".." else done / name
        try:
            found = step.lstat()
        except (FileNotFoundError, NotADirectoryError):
            done = step
            continue
        if name != ".." and not stat.S_ISDIR(found.st_mode):
            _refuse_foreign(step, found, asked=start)
        if not stat.S_ISLNK(found.st_mode):
            done = step
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        goal = step.readlink()
        if goal.is_absolute():
            done = Path(goal.anchor)
        waiting += reversed(goal.parts[1:] if goal.is_absolute() else goal.parts)
    return done


def _refuse_foreign(step: Path, found: os.stat_result, asked: Path) -> None:
    """Raise where another user made this in a folder that everybody can write."""
    if not hasattr(os, "geteuid"):
        return
    folder = step.parent.stat()
    if not (folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH):
        return
    place = "in a folder that everybody can write"
    name = "it" if step == asked else str(step)
    # Anybody can give a file of ours a name there.
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        raise NotOurs(errno.EACCES, f"{name} has other names, and is {place}")
    if found.st_uid not in (os.geteuid(), folder.st_uid):
        what = "link" if stat.S_ISLNK(found.st_mode) else "file"
        raise NotOurs(errno.EACCES, f"{name} is another user's {what}, {place}")


def replace_content(
    path: Path,
    chunks: Iterable[bytes],
    *,
    private: bool = False,
    most: int = 0o666,
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
        most: the mode of a new file, which the umask may narrow further.
        sync: wait until it is on the disk, so that it survives a power cut.
        expected: how the file must look for it, tested at the last moment; None for no matter.

    Returns:
        how the file looks now; None when it was not as expected, and is as it was.

    Raises:
        OSError: the file can't be written. It is as it was, or the message names the copy.
    """
    return _replace_content(
        real_path(path), chunks, private=private, most=most, sync=sync, expected=expected
    )


def _replace_content(
    target: Path,
    chunks: Iterable[bytes],
    *,
    private: bool,
    most: int,
    sync: bool = True,
    expected: tuple[Seen | None] | None = None,
) -> Seen | None:
    found = _writable(target)
    # A name of its own, not the target's with a suffix: that could be too long for the system.
    temporary = target.parent / f".jrc-{os.urandom(8).hex()}.tmp"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    # From its first byte the new file is open to nobody who may not read it in the end.
    first = most | stat.S_IWUSR if found is None and not private else 0o600
    handle = os.open(temporary, flags, first)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(chunks)
            if private:
                temporary.chmod(0o600)
            elif found is not None:
                _own_as(temporary, found)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        now = _lstat(target)
        if expected is not None and (None if now is None else _seen(now)) != expected[0]:
            temporary.unlink()
            return None
        if now is not None and now.st_nlink > 1 and found is not None and _same(found, now):
            return _write_over(temporary, target, found, sync=sync)
        _replace(temporary, target)
    except _CopyKept:
        raise
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return _seen(target.stat())


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether both are the same file, with as many names: nobody has put another one there."""
    return (one.st_dev, one.st_ino, one.st_nlink) == (other.st_dev, other.st_ino, other.st_nlink)


class _CopyKept(OSError):  # noqa: N818  it is an OSError to everybody else
    """A file could be written in part only; the message names its complete copy."""


def _own_as(temporary: Path, found: os.stat_result) -> None:
    """Give a new file the mode and, where that is allowed, the owner and the group of the old one.

    Where the group can't be kept, its rights go: another group would get them.
    """
    mode = stat.S_IMODE(found.st_mode)
    if hasattr(os, "chown"):
        mine = temporary.stat()
        if (mine.st_uid, mine.st_gid) != (found.st_uid, found.st_gid):
            try:
                os.chown(temporary, found.st_uid, found.st_gid)
            except OSError:
                if mine.st_gid != found.st_gid:
                    mode &= ~stat.S_IRWXG
    temporary.chmod(mode)


def _write_over(copy: Path, target: Path, found: os.stat_result, *, sync: bool) -> Seen:
    """Write a file's new content over the old one, under all of its names."""
    import shutil

    try:
        with (
            copy.open("rb") as source,
            open(
                target, "r+b", opener=lambda name, flags: os.open(name, flags | _AS_IT_IS)
            ) as file,
        ):
            if not _same(found, os.fstat(file.fileno())):
                raise _swapped()
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

    try:
        target = real_path(path)
        # The file that everybody may write could be held, or filled, by everybody.
        lock = FileLock(target.with_name(f".{target.name}.lock"), timeout=deadline, mode=0o600)
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


def _writable(target: Path) -> os.stat_result | None:
    """A file that may be replaced; None where there is none.

    Raises:
        OSError: it may not.
    """
    found = _lstat(target)
    if found is None:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a file")
    _refuse_foreign(target, found, asked=target)
    # A rename needs no right on the file that it replaces; a read-only file means "hands off".
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is read-only")
    return found


def open_to_write(path: Path, *, most: int) -> TextIO:
    """Open a file for output that is written bit by bit: UTF-8, line ends unchanged.

    What is not a file (``/dev/stderr``, a pipe) is written to as it is.

    Args:
        path: the file.
        most: the mode of a new file, which the umask may narrow further.

    Raises:
        OSError: it can't be written, or another user left it in a folder that everybody can write.
    """
    return open(
        path,
        "w",
        opener=_opener(path, real_path(path), is_file=_is_file(path), most=most),
        encoding="utf-8",
        errors="backslashreplace",
        newline="",
    )


def _opener(
    path: Path, target: Path, *, is_file: bool, most: int = 0o666
) -> Callable[[str, int], int]:
    """What ``open`` takes to open what was looked at, and nothing that was put there since.

    Args:
        path: the name of what is not a file.
        target: the real path, for a file.
        is_file: whether it is one, or is to be.
        most: the mode of a new file.
    """

    def opened(_: str, flags: int) -> int:
        # Nothing is made or emptied before it is known what it is.
        flags &= ~(os.O_TRUNC | os.O_CREAT)
        if is_file:
            handle = os.open(target, flags | os.O_CREAT | _AS_IT_IS, most)
        else:
            handle = os.open(path, flags)
        try:
            found = os.fstat(handle)
            if stat.S_ISREG(found.st_mode) != is_file:
                raise _swapped()
            _refuse_foreign(target, found, asked=target)
            if is_file:
                os.ftruncate(handle, 0)
        except BaseException:
            os.close(handle)
            raise
        return handle

    return opened


def _swapped() -> OSError:
    return OSError(errno.EBUSY, "another file has taken its place")


def private_opener(name: str, flags: int) -> int:
    """What ``open`` takes to make a file that only its owner may read."""
    return os.open(name, flags, 0o600)


def _is_file(path: Path) -> bool:
    """Whether there is a file, or can be one: a device, a pipe and a folder are none.

    The given path is asked: the real path of ``/dev/stdout`` may name nothing.
    """
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


def _lstat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
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


def unwritten(what: object, error: OSError) -> str:
    """The sentence about a file that can't be written."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"Can't write {what}: {reason[0].lower()}{reason[1:]}."


def way_out(error: OSError) -> str:
    """What to do about a file that can't be written."""
    if isinstance(error, NotOurs):
        return "Choose a folder that only you can write."
    return "Check the free space and the permissions of its folder."


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(unwritten(path, error), hint=way_out(error))
