"""What a run expects of a kernel beside its messages: streams that work, ``exit`` that exits.

A cell that closes ``sys.stdout``, or leaves a closed file there, would end the kernel's answers. A
kernel that a run started for itself also keeps out of the person's history, and its ``exit(n)``
raises SystemExit, as python's does; IPython's own ends the kernel while later cells still run.
"""

from __future__ import annotations

import sys
import threading
import warnings
from typing import Any

from jrc.recorder.in_kernel.frames import Hooks

_STREAMS = ("stdout", "stderr")


class Streams:
    """Keeps the standard streams of a kernel usable. In place as long as the recorder is."""

    def __init__(self, kernel: Any) -> None:
        self._events = getattr(kernel.shell, "events", None)
        self._own: dict[str, Any] = {}

    def hook(self, hooks: Hooks) -> None:
        for name in _STREAMS:
            stream = getattr(sys, name, None)
            if not hasattr(stream, "pub_thread"):
                continue
            self._own[name] = stream
            hooks.replace(stream, "close", _flush_of(stream))
        if self._events is not None:
            self._events.register("post_execute", self.put_back)

    def unhook(self) -> None:
        if self._events is not None and self.put_back in self._events.callbacks["post_execute"]:
            self._events.unregister("post_execute", self.put_back)

    def put_back(self) -> None:
        """A stream that can't be flushed makes way for the kernel's own."""
        for name, own in self._own.items():
            try:
                stream = getattr(sys, name)
                if stream is not None:
                    stream.flush()
            except Exception:
                setattr(sys, name, own)


def _flush_of(stream: Any) -> Any:
    def jrc_close() -> None:
        stream.flush()

    return jrc_close


def become_a_runs_own(kernel: Any) -> None:
    """Make a kernel that a run started for itself what a run expects."""
    shell = kernel.shell
    _keep_no_history(shell)
    _exit_as_python(shell)


def _keep_no_history(shell: Any) -> None:
    """Write nothing to the history that all kernels and terminals of this person share."""
    history = shell.history_manager
    if history is None or str(history.hist_file) == ":memory:":
        return
    history.enabled = False
    # Its start is in there already. Not here: the disk may be slow, and the cells wait.
    entry = (str(history.hist_file), history.session_number)
    threading.Thread(target=_forget_session, args=entry, name="jrc-history", daemon=True).start()


def _forget_session(file: str, session: Any) -> None:
    try:
        import sqlite3

        database = sqlite3.connect(file)
        try:
            with database:
                database.execute("DELETE FROM sessions WHERE session = ?", (session,))
        finally:
            database.close()
    except Exception:
        return


def _exit_as_python(shell: Any) -> None:
    def jrc_exit(_self: Any, code: Any = None, **_: Any) -> None:
        raise SystemExit(*(() if code is None else (code,)))

    # Of IPython's kind: it calls one that stands alone on a line.
    leave = type("Exit", (type(shell.exiter),), {"__call__": jrc_exit})(shell)
    for name in ("exit", "quit"):
        if shell.user_ns.get(name) is shell.exiter:
            shell.user_ns[name] = shell.user_ns_hidden[name] = leave
    warnings.filterwarnings("ignore", message="To exit: use 'exit', 'quit', or Ctrl-D")
