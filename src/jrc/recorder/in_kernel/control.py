"""The recorder's answers on the control channel, and its installation."""

from __future__ import annotations

import os
import re
from typing import Any, Callable

from jrc.recorder.in_kernel.archive import Archive, Run
from jrc.recorder.in_kernel.frames import (
    ATTRIBUTE,
    MESSAGE_PREFIX,
    METADATA_KEY,
    RECORDER_VERSION,
    reason_of,
)
from jrc.recorder.in_kernel.manners import become_a_runs_own
from jrc.recorder.in_kernel.recorder import RECORDER_LAYOUT, Recorder
from jrc.recorder.in_kernel.storage import JournalFile

DEFAULT_MEMORY = 64 << 20
DEFAULT_SPOOL = 2 << 30
MOST_RANGES = 1000
MOST_REPLAY_BYTES = 64 << 20

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
"""It names files, and goes into JSON as it is."""

Handler = Callable[[Any, Any, Any], None]


class Control:
    """What clients can ask: one method for each message type.

    Each takes the content of a ``jrc_<name>_request`` and returns content and buffers of the
    ``jrc_<name>_reply``. The kernel calls it in its control thread, also while a cell runs.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def handlers(self) -> dict[str, Handler]:
        """Message handlers as ipykernel calls them."""
        names = ("replay", "state", "journal", "cancel", "forget", "remove")
        return {MESSAGE_PREFIX + name + "_request": self._handler(name) for name in names}

    def _handler(self, name: str) -> Handler:
        method = getattr(self, "_" + name)

        def handle(stream: Any, ident: Any, parent: Any) -> None:
            recorder = self._recorder
            try:
                content, buffers = method(parent["content"])
                content["status"] = "ok"
            except Exception as error:
                content = {"status": "error", "ename": type(error).__name__, "evalue": str(error)}
                buffers = []
            content.update(identity(recorder))
            reply = MESSAGE_PREFIX + name + "_reply"
            session = recorder.session
            session.send(stream, reply, content, parent=parent, ident=ident, buffers=buffers)

        return handle

    def _run(self, content: Any) -> Run:
        run_id = content["run"]
        run = self._recorder.archive.runs.get(run_id)
        if run is None:
            raise LookupError(f"the recorder has no run {run_id!r}")
        return run

    def _replay(self, content: Any) -> Any:
        """Acknowledge, and send again what is asked for, as far as it fits."""
        run = self._run(content)
        archive = self._recorder.archive
        with archive.lock:
            if content.get("acknowledge"):
                archive.release(run, int(content["acknowledge"]))
            ranges = [
                (max(1, int(start)), run.count + 1 if stop is None else int(stop))
                for start, stop in content["ranges"][:MOST_RANGES]
            ]
            most = min(int(content["max_bytes"]), MOST_REPLAY_BYTES)
            batch = archive.replay(run, ranges, int(content.get("offset", 0)), most)
            state = self._recorder.state_of(run)
        state.update(first=batch.first, missing=batch.missing, next=batch.next)
        return state, [b"".join(batch.pieces)] if batch.pieces else []

    def _state(self, content: Any) -> Any:
        """All runs, or one with its requests."""
        recorder = self._recorder
        if content.get("run") is None:
            with recorder.archive.lock:
                runs = list(recorder.archive.runs.values())
            return {"runs": [recorder.state_of(run) for run in runs]}, []
        run = self._run(content)
        with recorder.archive.lock:
            requests = [
                {"id": msg_id, "state": each.state, "status": each.status, "fields": each.fields}
                for msg_id, each in run.requests.items()
            ]
        return {"runs": [recorder.state_of(run)], "requests": requests}, []

    def _journal(self, content: Any) -> Any:
        """Write a journal from now on; what is still kept of the run goes in first."""
        recorder = self._recorder
        run = self._run(content)
        with recorder.archive.lock:
            if run.journal is None:
                journal, error = open_journal(recorder, run.id, content)
                run.journal_error = error
                if journal is not None:
                    recorder.archive.start_journal(run, journal)
        recorder.note(run, {"opened": run.opened})
        return recorder.state_of(run), []

    def _cancel(self, content: Any) -> Any:
        """Requests of the run that did not begin yet are answered ``aborted``.

        A run that is over stays what it is.
        """
        run = self._run(content)
        with self._recorder.archive.lock:
            if not run.stopped and not run.complete:
                run.stopped = "cancelled"
                self._recorder.note(run, {"cancelled": True})
        return {"run": run.id, "stopped": run.stopped}, []

    def _forget(self, content: Any) -> Any:
        """Free everything of a run."""
        run = self._run(content)
        self._recorder.forget(run, bool(content.get("delete_journal")))
        return {"run": run.id}, []

    def _remove(self, content: Any) -> Any:
        """Take the recorder out of the kernel, unless somebody still has a run in it."""
        recorder = self._recorder
        runs = list(recorder.archive.runs)
        if runs and not content.get("force"):
            raise RuntimeError(f"there are {len(runs)} runs in it")
        recorder.flushes.publish_waiting()
        recorder.unhook()
        for name in self.handlers():
            recorder.kernel.control_handlers.pop(name, None)
        delattr(recorder.kernel, ATTRIBUTE)
        recorder.archive.close()
        return {"removed": True}, []


def identity(recorder: Recorder) -> dict[str, Any]:
    """What every answer of the recorder says."""
    return {
        "version": recorder.version,
        "protocol": recorder.protocol,
        "instance": recorder.instance,
        "disabled": recorder.reason,
    }


def take_over(old: Any, kernel: Any) -> Recorder:
    """Put a newer recorder in the place of an older one; its runs go on."""
    # Before the lock is held, which the I/O thread may need for it.
    old.flushes.publish_waiting()
    with old.archive.lock:
        new = Recorder(kernel, old.archive.memory_limit, old.archive.spool_limit)
        new.instance = old.instance
        if old.layout == RECORDER_LAYOUT:
            new.archive = old.archive
            new.archive.__class__ = Archive
            for run in new.archive.runs.values():
                run.__class__ = Run
            new.requests = old.requests
        else:
            new.archive.lock = old.archive.lock
            for run_id, run in old.archive.runs.items():
                kept = new.archive.open_run(run_id, None)
                kept.first = run.count + 1
                kept.gone = run.count
        if hasattr(old, "turns"):
            new.turns.take_over(old.turns)
        old.unhook()
        old.successor = new
        new.hook(Control(new).handlers())
    return new


def find_or_make(kernel: Any, options: dict[str, Any]) -> Recorder:
    """The kernel's recorder, of this version or a newer one."""
    present = getattr(kernel, ATTRIBUTE, None)
    if present is not None and present.version >= RECORDER_VERSION:
        recorder: Recorder = present
        return recorder
    if kernel.session.pack({}) != b"{}":
        raise RuntimeError("its messages are not JSON")
    if present is not None:
        recorder = take_over(present, kernel)
    else:
        memory = int(options.get("memory") or DEFAULT_MEMORY)
        spool = int(options.get("spool") or DEFAULT_SPOOL)
        recorder = Recorder(kernel, memory, spool)
        recorder.hook(Control(recorder).handlers())
    recorder.install_here = install_here
    setattr(kernel, ATTRIBUTE, recorder)
    return recorder


def open_run(recorder: Recorder, options: dict[str, Any]) -> Run:
    """The run that is asked for: found, or made."""
    run_id = str(options["run"])
    if not RUN_ID.match(run_id):
        raise ValueError(f"this can't be the id of a run: {run_id!r}")
    with recorder.archive.lock:
        run = recorder.archive.runs.get(run_id)
        if run is not None:
            return run
        journal, journal_error = open_journal(recorder, run_id, options)
        run = recorder.archive.open_run(run_id, journal)
        run.journal_error = journal_error
    recorder.note(run, {"opened": run.opened})
    return run


def open_journal(
    recorder: Recorder, run_id: str, options: dict[str, Any]
) -> tuple[JournalFile | None, str]:
    """A new journal in the folder that ``options`` name, if they do; or why there is none."""
    if not options.get("journal"):
        return None, ""
    about = {"about": options.get("about") or {}, "run": run_id}
    about.update(identity(recorder))
    folder = os.path.join(starting_folder(), str(options["journal"]))
    try:
        return JournalFile(folder, run_id, recorder.archive.spool_limit, about), ""
    except OSError as error:
        return None, str(error)


def starting_folder() -> str:
    """The folder that the kernel was started in, wherever the person's code went since."""
    session_name = os.environ.get("JPY_SESSION_NAME", "")
    folder = os.path.dirname(session_name)
    return folder if os.path.isabs(folder) and os.path.isdir(folder) else os.getcwd()


def answer_in_metadata(kernel: Any, answer: dict[str, Any]) -> None:
    """Add the answer to the metadata of the reply to the request that runs now."""
    request = kernel.get_parent("shell")["header"]["msg_id"]
    own = vars(kernel).get("finish_metadata")
    finish_metadata = kernel.finish_metadata

    def jrc_finish_metadata(parent: Any, metadata: Any, reply_content: Any) -> Any:
        metadata = finish_metadata(parent, metadata, reply_content)
        if parent["header"]["msg_id"] == request:
            metadata[METADATA_KEY] = answer
            if vars(kernel).get("finish_metadata") is jrc_finish_metadata:
                delattr(kernel, "finish_metadata")
                if own is not None:
                    kernel.finish_metadata = own
        return metadata

    kernel.finish_metadata = jrc_finish_metadata


def own(kernel: Any) -> None:
    """What a run can do without must not cost it the recorder."""
    try:
        become_a_runs_own(kernel)
    except Exception:
        return


def install_here(options: dict[str, Any]) -> None:
    """Install the recorder in the kernel that executes this, and open a run.

    Whatever happens, no exception gets out: the reply's metadata says what became of it, and a
    kernel that is no ipykernel says nothing.
    """
    kernel = None
    try:
        from IPython import get_ipython

        kernel = get_ipython().kernel
        recorder = find_or_make(kernel, options)
        if options.get("own"):
            own(kernel)
        run = open_run(recorder, options)
        answer = dict(recorder.state_of(run), installed=True, folder=starting_folder())
        answer.update(identity(recorder))
    except Exception as error:
        answer = {"installed": False, "reason": reason_of(error)}
    try:
        answer_in_metadata(kernel, answer)
    except Exception:
        return
