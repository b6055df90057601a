"""Child processes that do not outlive this one, and whether another process still runs.

A child ends with us, however we end. Linux: the parent-death signal. Windows: a job object that
ends its members when its last handle is closed. Elsewhere: a shell between us and the child waits
for the end of a pipe that only we hold.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jrc.profile.environment import for_programs
from jrc.tasks import to_the_end

STOP_SECONDS = 2.0
"""How long a child may take to end after SIGTERM."""

_PIPE_SECONDS = 0.5
"""How long after a child's end its output may go on."""

_LINE_BYTES = 16 * 1024
_BUFFERED = 64 * 1024
_PR_SET_PDEATHSIG = 1

_GUARD = """
exec 3<&0
"$@" </dev/null 3<&- & child=$!
(cat <&3 >/dev/null; kill -9 $child) 2>/dev/null & guard=$!
exec 3<&-
wait $child; status=$?
kill $guard 2>/dev/null
exit $status
"""


class Child:
    """A running child in a process group of its own, with nothing on its stdin.

    Who starts one ends it with ``stop`` or ``end``. Both reap it, and then its streams have ended,
    too; also when they are cancelled.
    """

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: "_Protocol") -> None:
        assert protocol.stdout
        self._transport = transport
        self._protocol = protocol
        self.stdout: asyncio.StreamReader = protocol.stdout
        self.stderr: asyncio.StreamReader = protocol.stderr or asyncio.StreamReader()

    @classmethod
    async def start(
        cls, argv: Sequence[str], environment: Mapping[str, str], *, ignore_errors: bool = False
    ) -> "Child":
        """Start a program.

        Args:
            argv: the program and its arguments.
            environment: all its variables.
            ignore_errors: its stderr is not read.

        Raises:
            OSError: it can't be started.
        """
        started: list[Child] = []

        async def begin() -> None:
            started.append(await cls._begin(argv, environment, ignore_errors))

        try:
            await to_the_end(begin())
        except asyncio.CancelledError:
            for child in started:
                await child.end()
            raise
        return started[0]

    @classmethod
    async def _begin(
        cls, argv: Sequence[str], environment: Mapping[str, str], ignore_errors: bool
    ) -> "Child":
        transport, protocol = await asyncio.get_running_loop().subprocess_exec(
            _Protocol,
            *_guarded(argv),
            stdin=subprocess.PIPE if _needs_guard() else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if ignore_errors else subprocess.PIPE,
            env=dict(environment),
            **_options(),
        )
        if sys.platform == "win32":
            _join_job(transport.get_pid())
        return cls(transport, protocol)

    @property
    def pid(self) -> int:
        return self._transport.get_pid()

    @property
    def ended(self) -> bool:
        """It is known to have ended."""
        return self._transport.get_returncode() is not None

    async def wait(self) -> int:
        """The exit code, once it ended. What it wrote last may still be on its way."""
        await asyncio.shield(self._protocol.exited)
        code = self._transport.get_returncode()
        assert code is not None
        return code

    async def stop(self, patience: float = STOP_SECONDS) -> None:
        """End it with everything that it started, unless it ended.

        Args:
            patience: seconds until it is killed.
        """
        self._signal(forced=False)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self.wait()
        finally:
            await self.end()

    async def end(self) -> None:
        """End it now, without a chance to clean up."""
        self._signal(forced=True)
        await to_the_end(self._reap())

    async def _reap(self) -> None:
        """Wait for its end, and close the pipes."""
        try:
            await self.wait()
            # What it wrote last is still read, unless a program that it started holds the pipes.
            await asyncio.wait(self._protocol.silent.values(), timeout=_PIPE_SECONDS)
        finally:
            self._transport.close()

    def _signal(self, *, forced: bool) -> None:
        """Send a signal to the whole group."""
        if self.ended:
            return
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._transport.kill()
            else:
                os.killpg(self.pid, signal.SIGKILL if forced else signal.SIGTERM)


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """The streams of a child, and two moments in its life.

    Attributes:
        exited: it has ended. ``asyncio.subprocess.Process.wait`` waits for the pipes, too.
        silent: its stdout, or its stderr, has ended: one future for each.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(limit=_BUFFERED, loop=loop)
        self.exited: asyncio.Future[None] = loop.create_future()
        self.silent: dict[int, asyncio.Future[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        for number, stream in ((1, self.stdout), (2, self.stderr)):
            if stream:
                self.silent[number] = asyncio.get_running_loop().create_future()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set_result(None)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        super().pipe_connection_lost(fd, exc)
        if fd in self.silent:
            self.silent[fd].set_result(None)


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """The lines of a child's output; one that is too long comes in pieces."""
    rest = b""
    while chunk := await stream.read(_LINE_BYTES):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")
        if len(rest) > _LINE_BYTES:
            yield rest.decode(errors="replace")
            rest = b""
    if rest:
        yield rest.decode(errors="replace")


def _needs_guard() -> bool:
    return sys.platform not in ("linux", "win32")


def _guarded(argv: Sequence[str]) -> Sequence[str]:
    return ("/bin/sh", "-c", _GUARD, "jrc", *argv) if _needs_guard() else argv


def _options() -> dict[str, Any]:
    """What ``Popen`` needs so that the child has its own group and dies with us."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    elif sys.platform == "linux":  # noqa: RET505  mypy takes what follows a return as never run
        return {"process_group": 0, "preexec_fn": _dies_with(os.getpid())}
    else:
        return {"process_group": 0}


if sys.platform == "linux":

    def _dies_with(parent: int) -> Callable[[], None]:
        """What the child runs before its program: it asks for the parent-death signal."""
        # Loaded before the fork: the child must not take a lock that another thread holds.
        import ctypes

        prctl = ctypes.CDLL(None).prctl
        kill = int(signal.SIGKILL)

        def ask() -> None:
            prctl(_PR_SET_PDEATHSIG, kill)
            # The parent may have died before the request.
            if os.getppid() != parent:
                os._exit(1)

        return ask


if sys.platform == "win32":
    from jrc.tunnel import windows

    @cache
    def _job() -> int:
        """One job a process; its handle stays open as long as this process lives."""
        return windows.create_kill_on_close_job()

    def _join_job(pid: int) -> None:
        windows.assign(_job(), pid)


def start_time(pid: int) -> str:
    """When a process started, as an opaque text; empty when it does not run (any more).

    A process's number is used again after its end: number and start together are unique.
    """
    if sys.platform == "win32":
        from jrc.tunnel import windows

        return windows.creation_time(pid)
    else:  # noqa: RET505  mypy takes what follows a return as never run
        return _from_proc(pid) if Path("/proc/self/stat").exists() else _from_ps(pid)


def _from_proc(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # "pid (name) state ppid …": the name may hold anything, a closing parenthesis too.
    fields = stat.rpartition(")")[2].split()
    # proc(5): field 3 is the state, field 22 the start time in ticks since boot.
    if len(fields) < 20 or fields[0] in ("Z", "X"):
        return ""
    return f"{boot_id()}.{fields[19]}"


def boot_id() -> str:
    """What this computer's start is called, on Linux; empty elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _from_ps(pid: int) -> str:
    command = ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)]
    environment = for_programs(os.environ, LC_ALL="C")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    state, _, started = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()
