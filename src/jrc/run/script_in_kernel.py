"""Runs a script inside a remote kernel as ``python FILE ARGS`` would run it there.

The text of this file is sent to the kernel with a call of ``run`` behind it. So it needs nothing
but the standard library, works from Python 3.8 on, and leaves nothing behind in the user's
namespace: it is executed in a namespace of its own.

As with ``python FILE``: a ``__main__`` of its own, ``sys.argv``, ``sys.path[0]``, ``exit``, no
event loop that already runs, ``sys.excepthook``, and an end that waits for the threads and
processes that still work. Two things differ: ``atexit`` functions run when the kernel ends, and an
uncaught exception is reported at once, without waiting for threads.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import linecache
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

EXIT_ATTRIBUTE = "_jrc_exit_code"
"""Where in ``sys`` the exit code waits for the expression that the client sends along."""


def run(source: str, path: str, argv: list[str]) -> None:
    """Run a script to its end.

    Args:
        source: its text.
        path: the name of its file on the client's machine; there need not be one here.
        argv: ``sys.argv`` for it.

    Raises:
        Exception: a stand-in for what the script raised. The kernel reports its name, its text
            and the traceback that ``python`` would have printed.
    """
    code, failure = 0, None
    before = set(threading.enumerate())
    with contextlib.ExitStack() as stack:
        main = stack.enter_context(_main_module(source, path))
        stack.enter_context(_interpreter_state(argv))
        stack.enter_context(_source_lines(source, path))
        stack.enter_context(_outside_of_the_event_loop())
        hook = sys.excepthook
        try:
            try:
                exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)  # noqa: S102
            except SystemExit as error:
                code = _exit_code(error)
            _wait_for_work(before)
            _flush_files(main)
        except BaseException as error:  # noqa: BLE001 - whatever a script may raise
            error.__traceback__ = _without_our_frames(error.__traceback__)
            if sys.excepthook is not hook and _reported_by_hook(error):
                code = 1
            else:
                failure = _stand_in(error, source)
            with contextlib.suppress(OSError):
                _flush_files(main)
    if failure is not None:
        raise failure
    setattr(sys, EXIT_ATTRIBUTE, code)


@contextlib.contextmanager
def _main_module(source: str, path: str) -> Iterator[types.ModuleType]:
    """A fresh module that is ``__main__`` meanwhile, for pickle, dataclasses and imports of it."""
    copies: list[str] = []

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

    main = Main("__main__")
    if path != "<stdin>":
        main.__file__ = path
    main.__dict__["__builtins__"] = builtins
    kernels_own = sys.modules["__main__"]
    sys.modules["__main__"] = main
    try:
        yield main
    finally:
        sys.modules["__main__"] = kernels_own
        for copy in copies:
            shutil.rmtree(Path(copy).parent, ignore_errors=True)


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
    kept = {name: getattr(sys, name) for name in ("argv", "path", "stdin", "stdout", "stderr")}
    search_path = list(sys.path)
    own_exits = {name: vars(builtins).get(name) for name in ("exit", "quit")}
    folder = str(Path.cwd())
    if sys.path and sys.path[0] in ("", folder):
        del sys.path[0]
    sys.path.insert(0, folder)
    sys.argv = list(argv)
    # IPython hides the ones of `site`; its own end the kernel.
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in ("stdout", "stderr"):
            with contextlib.suppress(Exception):
                getattr(sys, name).flush()
        for name, value in kept.items():
            setattr(sys, name, value)
        sys.path[:] = search_path
        for name, value in own_exits.items():
            setattr(builtins, name, value)
            if value is None:
                delattr(builtins, name)


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


def _flush_files(main: types.ModuleType) -> None:
    """Write out the files that the script left open, as an interpreter does at its end."""
    for value in list(vars(main).values()):
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


def _without_our_frames(tb: types.TracebackType | None) -> types.TracebackType | None:
    while tb is not None and tb.tb_frame.f_globals is globals():
        tb = tb.tb_next
    return tb


def _reported_by_hook(error: BaseException) -> bool:
    """Whether the script's own ``sys.excepthook`` reported its error."""
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except Exception:  # noqa: BLE001 - the error itself is reported instead
        return False
    return True


def _stand_in(error: BaseException, source: str) -> Exception:
    """An exception that looks to the kernel like ``error`` and renders as ``python`` prints it.

    Raising the error itself would show the frames of the kernel, and a ``SyntaxError`` or an
    exception group would be rendered in ways of IPython's own.
    """
    lines = _rendered(error, source)
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - whatever a script's __str__ may raise
        text = ""
    body: dict[str, Callable[[object], object]] = {
        "_render_traceback_": lambda _: lines,
        "__str__": lambda _: text,
    }
    stand_in: Exception = type(type(error).__name__, (Exception,), body)()
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
