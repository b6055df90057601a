"""Make sure that a profile's tunnel is up, ask for its status, end it: for all other rooms."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard
from urllib.parse import urlsplit

from jrc.errors import DeadlineError, JrcError, UnreachableError, UsageError
from jrc.profile.environment import for_programs
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.tunnel.cause import Cause, CauseError, completed
from jrc.tunnel.machine import Phase
from jrc.tunnel.status import (
    LOCKED_OUT,
    KeeperFiles,
    KeeperStatus,
    Spec,
    Traffic,
    crashed,
    encode_orders,
)

CONNECT_SECONDS = 120.0
"""How long to wait for a tunnel: a pod may have to be scheduled and Jupyter to start."""

PATIENCE_SECONDS = 8.0
"""How long to wait where a person has to act before the tunnel can come up."""

STOP_SECONDS = 10.0
"""How long a keeper may take to end before it is killed, and then again."""

_STARTS = 3
"""How many keepers may die before we give up."""

_POLL_SECONDS = 0.05
_AGAIN_SECONDS = 1.0
"""How often a state is reported again while it lasts, so that a clock can be shown."""

_DETACHED = 0
if sys.platform == "win32":
    _DETACHED = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
_LOG_BYTES = 1024 * 1024

Progress = Callable[[KeeperStatus], None]

_started: list["subprocess.Popen[bytes]"] = []
"""The keepers that this process started: kept so that it can reap them."""


def spec_of(profile: Profile) -> Spec:
    """The tunnel of a profile.

    Raises:
        UsageError: its server is reached without one.
    """
    if profile.kubernetes is None:
        raise UsageError(f"Profile {profile.name!r} needs no tunnel: its server is {profile.url}")
    parts = urlsplit(profile.url)
    return Spec(profile.name, profile.kubernetes, parts.port or 0, parts.path or "/")


async def ensure_keeper(
    spec: Spec,
    paths: Paths,
    *,
    on_progress: Progress | None = None,
    deadline: float = CONNECT_SECONDS,
    patience: float = PATIENCE_SECONDS,
    hold: bool = False,
) -> KeeperStatus:
    """Make sure that a profile's tunnel is up.

    Args:
        spec: the profile's tunnel.
        paths: where keepers leave their files.
        on_progress: called with each new state while it is not ready, every second while it lasts,
            and then once more.
        deadline: seconds until the tunnel must be ready.
        patience: seconds to wait for what seldom passes by itself: see ``Cause.seldom_passes``.
        hold: keep it until ``stop_keeper``, even when it is not used.

    Returns:
        the status of the ready tunnel; its ``url`` is where the server answers.

    Raises:
        DeadlineError: it did not become ready in time; the message says what stood in the way.
        JrcError: it can't become ready, or not before a person acts; another class for each kind
            of cause.
    """
    files = KeeperFiles.of(paths, spec.profile)
    files.prepare()
    found = files.read()
    ours = found is None or not found.runs()
    try:
        async with asyncio.timeout(deadline):
            status = await _until_ready(spec, files, on_progress, patience)
    except TimeoutError as error:
        failure = _overdue(files.read(), spec, deadline)
        if ours:
            # It was not there before, and no other command asked for it.
            await asyncio.to_thread(_stop, files)
        raise failure from error
    except CauseError as error:
        if ours:
            await asyncio.to_thread(_give_up, files, error.cause)
        raise failure_of(error.cause, spec) from error
    if hold:
        files.hold(True)
    return status


async def restart_keeper(spec: Spec, paths: Paths) -> None:
    """Start another keeper in place of one that is gone, unless it was ended on purpose.

    Raises:
        JrcError: it does not start.
    """
    await _start(spec, KeeperFiles.of(paths, spec.profile), time.time(), again=True)


def keeper_status(profile: str, paths: Paths) -> KeeperStatus | None:
    """The status of a profile's keeper; None when there is none.

    A keeper that is gone has failed: for the cause that it left, or it crashed.
    """
    status = KeeperFiles.of(paths, profile).read()
    if status is None or status.runs() or status.phase is Phase.FAILED:
        return status
    return crashed(status)


def is_ready(spec: Spec, paths: Paths) -> bool:
    """Whether the tunnel is up and can be used at once."""
    files = KeeperFiles.of(paths, spec.profile)
    status = files.read()
    return _serves(status, spec, files) and status.phase is Phase.READY


def stop_keeper(profile: str, paths: Paths) -> bool:
    """End a profile's keeper, and wait until it is gone.

    Returns:
        whether there was one.

    Raises:
        UnreachableError: it does not end.
    """
    files = KeeperFiles.of(paths, profile)
    # First, so that a command that uses the tunnel does not take this for a crash.
    files.mark_ended(True)
    files.hold(False)
    if not files.folder.exists():
        return False
    from filelock import FileLock

    # With the lock, a keeper that is being started now is not overlooked.
    with FileLock(files.start_lock):
        return _stop(files)


def _give_up(files: KeeperFiles, cause: Cause) -> None:
    """End a keeper that was started in vain, and leave the cause for ``jrc status``."""
    status = files.read()
    if _stop(files) and status:
        now = time.time()
        files.write(replace(status, phase=Phase.FAILED, since=now, cause=cause, note=""))


def _stop(files: KeeperFiles) -> bool:
    status = files.read()
    if status is None or not status.runs():
        files.forget()
        return False
    for sign in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        # On Windows both end the process at once, and its job object ends kubectl.
        with contextlib.suppress(OSError):
            os.kill(status.pid, sign)
        give_up = time.monotonic() + STOP_SECONDS
        while status.runs() and time.monotonic() < give_up:
            time.sleep(_POLL_SECONDS)
        if not status.runs():
            files.forget()
            _reap()
            return True
    raise UnreachableError(
        f"The tunnel's background process {status.pid} does not end.",
        hint="End it with the tools of your system.",
    )


async def _until_ready(
    spec: Spec, files: KeeperFiles, on_progress: Progress | None, patience: float
) -> KeeperStatus:
    began, give_up = time.time(), time.monotonic() + patience
    starts = 0
    woken = False
    reported: KeeperStatus | None = None
    reported_at = 0.0
    while True:
        status = files.read()
        if status and status.cause and _gave_up(status, began):
            # This counts for every command that waits, not only for the one that started it.
            raise failure_of(status.cause, spec)
        if not _serves(status, spec, files):
            if starts == _STARTS:
                raise _died(files)
            starts += await _start(spec, files, began)
            continue
        if status.phase is Phase.READY:
            if on_progress and reported:
                on_progress(status)
            return status
        if not woken and status.phase is Phase.WAITING and status.since < began:
            # The cause from before may have passed.
            woken = True
            await _wake(status)
        elif time.monotonic() >= give_up and (cause := _hopeless(status, began)):
            raise CauseError(cause)
        changed = reported is None or _without_traffic(status) != _without_traffic(reported)
        due = time.monotonic() - reported_at >= _AGAIN_SECONDS
        if on_progress and (changed or due):
            reported, reported_at = status, time.monotonic()
            on_progress(status)
        await asyncio.sleep(_POLL_SECONDS)


def _hopeless(status: KeeperStatus, began: float) -> Cause | None:
    """A cause since then that is not worth waiting for, though the keeper goes on trying."""
    cause = status.cause if status.phase is Phase.WAITING and status.since >= began else None
    return cause if cause and (cause.seldom_passes or cause.fatal) else None


async def _wake(status: KeeperStatus) -> None:
    """Connect to a keeper that waits: it then tries at once, as for every client."""
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", status.port)
        writer.close()


async def _start(spec: Spec, files: KeeperFiles, began: float, *, again: bool = False) -> bool:
    """Start a keeper and wait for its first status.

    Args:
        spec: what to keep.
        files: where it writes its status.
        began: since when a command waits for it.
        again: in place of one that is gone; not if that one was ended on purpose.

    Returns:
        False when another process did it, or tried it and failed since ``began``.
    """
    async with _alone(files):
        if again and files.ended:
            return False
        files.mark_ended(False)
        status = files.read()
        if _serves(status, spec, files) or (
            status and status.spec == spec and _gave_up(status, began)
        ):
            return False
        if status and status.runs():
            # The profile has changed since, or jrc.
            await asyncio.to_thread(_stop, files)
        process = _spawn(spec, files)
        while (code := process.poll()) is None:
            status = files.read()
            if status and status.pid == process.pid:
                break
            await asyncio.sleep(_POLL_SECONDS)
        if code not in (None, 0, 1, LOCKED_OUT):
            raise _died(files)
        return True


def _serves(status: KeeperStatus | None, spec: Spec, files: KeeperFiles) -> TypeGuard[KeeperStatus]:
    """Whether a keeper runs, keeps exactly this tunnel, and can prove that it is the keeper.

    One that an earlier version of jrc has started has no key, or one for another kind of proof.
    """
    return status is not None and status.spec == spec and files.key() is not None and status.runs()


def _gave_up(status: KeeperStatus, began: float) -> bool:
    """Whether a keeper has failed since then; an earlier cause may have passed."""
    return status.phase is Phase.FAILED and status.since >= began


@asynccontextmanager
async def _alone(files: KeeperFiles) -> AsyncIterator[None]:
    """Hold the lock under which keepers are started."""
    from filelock import FileLock, Timeout

    lock = FileLock(files.start_lock)
    while True:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            await asyncio.sleep(_POLL_SECONDS)
        else:
            break
    try:
        yield
    finally:
        lock.release()


def _spawn(spec: Spec, files: KeeperFiles) -> "subprocess.Popen[bytes]":
    """Start the keeper's process: apart from this one, its terminal and its folder."""
    _reap()
    if files.log.exists() and files.log.stat().st_size > _LOG_BYTES:
        files.log.replace(files.log.with_suffix(".old.log"))
    log = os.open(files.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        # -P: nothing that lies in a folder of that moment is taken for one of our modules.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jrc.tunnel.keeper"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=Path.home(),
            env=for_programs(os.environ),
            creationflags=_DETACHED,
            start_new_session=os.name == "posix",
        )
    finally:
        os.close(log)
    assert process.stdin
    with contextlib.suppress(OSError), process.stdin as pipe:
        pipe.write(encode_orders(spec, files).encode() + b"\n")
    _started.append(process)
    return process


def _reap() -> None:
    """Ask for the keepers that this process started: one that ended is a zombie until then."""
    _started[:] = [process for process in _started if process.poll() is None]


def _without_traffic(status: KeeperStatus) -> KeeperStatus:
    """A status without what changes all the time."""
    return replace(status, traffic=Traffic())


def failure_of(cause: Cause, spec: Spec) -> JrcError:
    """A cause as the error of a command, with a hint that can be typed as it is printed."""
    return cause.error(spec.profile, spec.route)


def _overdue(status: KeeperStatus | None, spec: Spec, deadline: float) -> JrcError:
    cause = status.cause if status else None
    if cause and cause.unreachable:
        return failure_of(cause, spec)
    why = f" {cause.message}" if cause else f" It was still {status.phase}." if status else ""
    return DeadlineError(
        f"The tunnel to {spec.route.target} was not ready within {deadline:g} s.{why}",
        hint=(completed(cause.hint, spec.profile, spec.route) if cause else "") or None,
    )


def _died(files: KeeperFiles) -> UnreachableError:
    return UnreachableError(
        "The tunnel's background process ended at its start.", hint=f"Its log is {files.log}."
    )


def keepers(paths: Paths) -> list[str]:
    """The profiles that have left a tunnel's files, running or not."""
    folder = paths.state / "tunnels"
    return sorted(file.parent.name for file in folder.glob("*/keeper.json"))
