"""Runs a script inside a remote kernel as ``python FILE ARGS`` would run it there.

The text of this file is sent to the kernel behind ``streams_in_kernel``, with a call of ``run``
behind it. So it needs nothing but the standard library, works from Python 3.8 on, and leaves
nothing behind in the user's namespace: it is executed in a namespace of its own.

As with ``python FILE``: a ``__main__`` of its own, ``sys.argv``, ``sys.path[0]``, ``exit``, the
standard streams, no event loop that already runs, ``sys.excepthook``, ``breakpoint``, and an end
that waits for the threads and processes that still work, calls what was registered with ``atexit``
and lets go of the script's objects. A forked process ends where the script ends. Two things differ:
what a module of the standard library registered with ``atexit`` runs when the kernel ends, and an
uncaught exception is reported without waiting for threads.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import gc
import io
import linecache
import os
import re
import shutil
import sys
import tempfile
import threading
import traceback
import types
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from jrc.notebook.streams_in_kernel import script_streams

_KERNELS = (
    *("asyncio", "concurrent", "logging", "multiprocessing", "threading", "weakref"),
    *("IPython", "comm", "debugpy", "ipykernel", "jupyter_client", "tornado", "traitlets", "zmq"),
)
"""Packages that a kernel needs after the script: what they register waits for the kernel's end. The
collector of pyzmq, made for the first large message, can't be used again once it was called."""

EXIT_ATTRIBUTE = "_jrc_exit_code"
"""Where in ``sys`` the exit code waits for the expression that the client sends along."""


def run(source: str, path: str, argv: list[str], stdin: str) -> None:
    """Run a script to its end.

    Args:
        source: its text.
        path: the name of its file on the client's machine; there need not be one here.
        argv: ``sys.argv`` for it.
        stdin: what its ``sys.stdin`` is: see ``streams_in_kernel``.

    Raises:
        Exception: a stand-in for what the script raised. The kernel reports its name, its text
            and the traceback that ``python`` would have printed.
    """
    code, failure = 0, None
    process = os.getpid()
    before = set(threading.enumerate())
    with contextlib.ExitStack() as stack:
        stack.enter_context(_nothing_on_stdin())
        stack.enter_context(script_streams(stdin))
        main = stack.enter_context(_MainModule(source, path))
        stack.enter_context(_interpreter_state(argv))
        stack.enter_context(_source_lines(source, path))
        stack.enter_context(_outside_of_the_event_loop())
        at_exit = stack.enter_context(_AtExit())
        hook = sys.excepthook
        try:
            try:
                exec(compile(source, path, "exec", dont_inherit=True), main.names)  # noqa: S102
            except SystemExit as error:
                code = _exit_code(error)
            if os.getpid() == process:
                _wait_for_work(before)
            at_exit.call()
            _flush_files(main.names)
        except BaseException as error:  # noqa: BLE001 - whatever a script may raise
            _hide_our_frames(error)
            if sys.excepthook is not hook and _reported_by_hook(error):
                code = 1
            else:
                failure = _stand_in(error, source)
            with contextlib.suppress(OSError):
                at_exit.call()
                _flush_files(main.names)
        main.let_go()
        if os.getpid() != process:
            _end_process(code, failure)
    if failure is not None:
        raise failure
    setattr(sys, EXIT_ATTRIBUTE, code)


@contextlib.contextmanager
def _nothing_on_stdin() -> Iterator[None]:
    """What child processes of the script find on their stdin, however the kernel was started.

    The script itself reads the stdin of its client, which only Python code can reach. A pipe that
    nobody writes to, or a terminal, would let a child process wait for ever.
    """
    try:
        kept = os.dup(0)
    except OSError:
        kept = None
    nothing = os.open(os.devnull, os.O_RDONLY)
    if nothing:
        os.dup2(nothing, 0)
        os.close(nothing)
    try:
        yield
    finally:
        if kept is not None:
            os.dup2(kept, 0)
            os.close(kept)


def _end_process(code: int, failure: _StandIn | None) -> None:
    """End a forked process, which must not go on in the kernel's loop."""
    with contextlib.suppress(Exception):
        if failure is not None:
            print("\n".join(failure.lines), file=sys.stderr)
            code = 1
        sys.stdout.flush()
    os._exit(code & 0xFF)


class _MainModule:
    """A fresh module that is ``__main__`` meanwhile, for pickle, dataclasses and imports of it.

    Attributes:
        names: the module's namespace.
    """

    def __init__(self, source: str, path: str) -> None:
        copies: list[str] = []
        # Before the module is made: the search for garbage at its end passes over what was there.
        gc.freeze()

        class Main(types.ModuleType):
            @property
            def __file__(self) -> str:
                # A process that multiprocessing spawns runs the file again: it must find one.
                if sys._getframe(1).f_globals.get("__name__", "").endswith(".spawn"):
                    copies[:] = copies or [_copy_of(source, path)]
                    return copies[0]
                if "__file__" not in self.__dict__:
                    raise AttributeError("__file__")
                return str(self.__dict__["__file__"])

            @__file__.setter
            def __file__(self, value: str) -> None:
                self.__dict__["__file__"] = value

        self._copies = copies
        self._module: types.ModuleType | None = Main("__main__")
        self._kernels_own = sys.modules["__main__"]
        self.names: dict[str, Any] = self._module.__dict__
        self.names["__builtins__"] = builtins
        if path != "<stdin>":
            self.names["__file__"] = path

    def __enter__(self) -> _MainModule:
        assert self._module is not None
        sys.modules["__main__"] = self._module
        return self

    def __exit__(self, *_: object) -> None:
        sys.modules["__main__"] = self._kernels_own
        gc.unfreeze()
        for copy in self._copies:
            shutil.rmtree(Path(copy).parent, ignore_errors=True)

    def let_go(self) -> None:
        """End the life of the script's objects while they can still print, in ``__del__``."""
        sys.modules["__main__"] = self._kernels_own
        self._module = None
        self.names = {}
        gc.collect()


class _AtExit:
    """What the script registers with ``atexit`` is called at its end, not at the kernel's."""

    def __init__(self) -> None:
        self._callbacks: list[tuple[Callable[..., object], Any, Any]] = []
        self._really = atexit.register, atexit.unregister

    def __enter__(self) -> _AtExit:
        register: Any = self._register
        atexit.register, atexit.unregister = register, self._unregister
        return self

    def __exit__(self, *_: object) -> None:
        atexit.register, atexit.unregister = self._really

    def call(self) -> None:
        """Call what was registered, the last first. An error is printed, and ends nothing."""
        while self._callbacks:
            function, args, options = self._callbacks.pop()
            try:
                function(*args, **options)
            except BaseException as error:  # noqa: BLE001 - whatever a script may raise
                if isinstance(error, SystemExit):
                    continue
                print(f"Exception ignored in atexit callback: {function!r}", file=sys.stderr)
                _hide_our_frames(error)
                traceback.print_exception(type(error), error, error.__traceback__)

    def _register(self, function: Callable[..., object], *args: Any, **options: Any) -> Any:
        module = str(sys._getframe(1).f_globals.get("__name__", ""))
        if module.partition(".")[0] in _KERNELS:
            return self._really[0](function, *args, **options)
        self._callbacks.append((function, args, options))
        return function

    def _unregister(self, function: Callable[..., object]) -> None:
        self._callbacks = [each for each in self._callbacks if each[0] != function]
        self._really[1](function)


def _copy_of(source: str, path: str) -> str:
    """A file with the script's name and text, alone in a new folder."""
    copy = Path(tempfile.mkdtemp(prefix="jrc-")) / path.replace("\\", "/").rpartition("/")[2]
    # The client decoded the file as its coding cookie says; the copy is UTF-8.
    cookie = re.compile(r"\A(#.*\n)?([ \t\f]*#.*?coding[:=][ \t]*)[-\w.]+", re.ASCII)
    copy.write_bytes(cookie.sub(r"\1\2utf-8", source).encode())
    return str(copy)


@contextlib.contextmanager
def _interpreter_state(argv: list[str]) -> Iterator[None]:
    """What a script finds in ``sys`` and ``builtins`` and may change; put back afterwards."""
    kept = {name: getattr(sys, name) for name in ("argv", "path", "breakpointhook")}
    search_path, tracing = list(sys.path), sys.gettrace()
    own_exits = {name: vars(builtins).get(name) for name in ("exit", "quit")}
    folder = str(Path.cwd())
    if sys.path and sys.path[0] in ("", folder):
        del sys.path[0]
    sys.path.insert(0, folder)
    sys.argv = list(argv)
    # IPython hides the ones of `site`; its own end the kernel.
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
    sys.breakpointhook = _breakpoint
    try:
        yield
    finally:
        if sys.gettrace() is not tracing:
            sys.settrace(tracing)
        for name, value in kept.items():
            setattr(sys, name, value)
        sys.path[:] = search_path
        for name, value in own_exits.items():
            setattr(builtins, name, value)
            if value is None:
                delattr(builtins, name)


def _breakpoint(*args: Any, **options: Any) -> Any:
    """``breakpoint()`` as in python. A kernel's own waits for a debugger that is not there."""
    if os.environ.get("PYTHONBREAKPOINT"):
        return sys.__breakpointhook__(*args, **options)
    import pdb

    # The kernel puts a debugger of IPython's in the place of this one.
    plain = getattr(pdb.Pdb, "__mro__", ())
    debugger = next(each for each in plain if each.__module__ == "pdb")
    debugger(skip=[__name__], nosigint=True).set_trace(sys._getframe(1))
    return None


@contextlib.contextmanager
def _source_lines(source: str, path: str) -> Iterator[None]:
    """Let tracebacks, warnings and ``inspect`` find the lines of a file that is not here."""
    before = linecache.cache.get(path)
    lines = [line + "\n" for line in source.split("\n")]
    # Without a modification time the entry is never compared with a file.
    linecache.cache[path] = (len(source), None, lines, path)
    try:
        yield
    finally:
        if before is None:
            linecache.cache.pop(path, None)
        else:
            linecache.cache[path] = before


@contextlib.contextmanager
def _outside_of_the_event_loop() -> Iterator[None]:
    """Hide the loop in which the kernel executes code, so that ``asyncio.run`` works."""
    asyncio = sys.modules.get("asyncio")
    loop = asyncio._get_running_loop() if asyncio else None
    if asyncio is None or loop is None:
        yield
        return
    task = asyncio.current_task()
    # From 3.14 on a main thread has no loop until it makes one, and policies are deprecated.
    policy = asyncio.get_event_loop_policy() if sys.version_info < (3, 14) else None
    if task is not None:
        asyncio._leave_task(loop, task)
    asyncio._set_running_loop(None)
    if policy is None:
        asyncio.set_event_loop(None)
    else:
        asyncio.set_event_loop_policy(None)
    try:
        yield
    finally:
        if policy is None:
            asyncio.set_event_loop(loop)
        else:
            asyncio.set_event_loop_policy(policy)
        asyncio._set_running_loop(loop)
        if task is not None:
            asyncio._enter_task(loop, task)


def _wait_for_work(before: set[threading.Thread]) -> None:
    """Wait for what the script started, as an interpreter does at its end.

    Args:
        before: the threads of the kernel itself.
    """
    _end_pools("concurrent.futures.thread", "_shutdown", "_threads_queues", before)
    _end_pools("concurrent.futures.process", "_global_shutdown", "_threads_wakeups", before)
    for thread in threading.enumerate():
        if thread not in before and not thread.daemon:
            thread.join()
    multiprocessing = sys.modules.get("multiprocessing")
    for process in multiprocessing.active_children() if multiprocessing else ():
        if not process.daemon:
            process.join()


def _end_pools(module: str, flag: str, registry: str, before: set[threading.Thread]) -> None:
    """Let the pools that nobody shut down finish what they were given, and end.

    Their threads wait for more for ever, unless ``flag`` says that the interpreter ends.

    Source: CPython ``concurrent/futures/thread.py`` and ``process.py``, ``_python_exit``.
    """
    pools = sys.modules.get(module)
    handles = {
        thread: handle
        for thread, handle in list(getattr(pools, registry, {}).items())
        if thread not in before
    }
    if not handles:
        return
    setattr(pools, flag, True)
    try:
        for handle in handles.values():
            handle.wakeup() if hasattr(handle, "wakeup") else handle.put(None)
        for thread in handles:
            thread.join()
    finally:
        setattr(pools, flag, False)


def _flush_files(names: dict[str, Any]) -> None:
    """Write out the files that the script left open, as an interpreter does at its end."""
    for value in list(names.values()):
        if isinstance(value, io.IOBase) and not value.closed and value.writable():
            value.flush()


def _exit_code(error: SystemExit) -> int:
    """The exit code that ``sys.exit(…)`` asks for; what is not a number goes to stderr."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return int(error.code) if -(2**31) <= error.code < 2**32 else -1
    print(error.code, file=sys.stderr, flush=True)
    return 1


def _hide_our_frames(error: BaseException | None) -> None:
    """Take what runs in this file out of the traceback of an error, and of those behind it."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        waiting += [error.__cause__, error.__context__]
        frames = [
            tb for tb in _chain(error.__traceback__) if tb.tb_frame.f_globals is not globals()
        ]
        for tb, behind in zip(frames, [*frames[1:], None]):
            tb.tb_next = behind
        error.__traceback__ = frames[0] if frames else None


def _chain(tb: types.TracebackType | None) -> Iterator[types.TracebackType]:
    while tb is not None:
        yield tb
        tb = tb.tb_next


def _reported_by_hook(error: BaseException) -> bool:
    """Whether the script's own ``sys.excepthook`` reported its error."""
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except Exception:  # noqa: BLE001 - the error itself is reported instead
        return False
    return True


class _StandIn(Exception):  # noqa: N818 - it takes the name of what it stands for
    """An exception that looks to the kernel like another, and renders as ``python`` prints it.

    Raising the error itself would show the frames of the kernel, and a ``SyntaxError`` or an
    exception group would be rendered in ways of IPython's own.
    """

    lines: list[str]
    text: str

    def _render_traceback_(self) -> list[str]:
        return self.lines

    def __str__(self) -> str:
        return self.text


def _stand_in(error: BaseException, source: str) -> _StandIn:
    stand_in: _StandIn = type(type(error).__name__, (_StandIn,), {})()
    stand_in.lines = _rendered(error, source)
    try:
        stand_in.text = str(error)
    except Exception:  # noqa: BLE001 - whatever a script's __str__ may raise
        stand_in.text = ""
    return stand_in


def _rendered(error: BaseException, source: str) -> list[str]:
    if error.__traceback__ is not None:
        parts = traceback.format_exception(type(error), error, error.__traceback__)
    else:
        # It did not compile, or its end was interrupted.
        if isinstance(error, SyntaxError) and error.text is None and error.lineno:
            error.text = "".join(source.split("\n")[error.lineno - 1 : error.lineno])
        parts = traceback.format_exception_only(type(error), error)
    return "".join(parts).rstrip("\n").split("\n")
