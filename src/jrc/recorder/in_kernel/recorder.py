"""The hooks that make an ipykernel number and keep what it publishes for the requests of a run.

One sequence for each run, over three channels: what goes out on iopub, the ``execute_reply`` and
the ``input_request``. Each such message says ``{"jrc": {"run": ..., "n": ...}}`` in its metadata.

What is published passes through the kernel's I/O thread; there it is numbered, so that the order
of the numbers is the order on the wire, no other thread waits, and no interrupt of the person's
code can come. Replies and questions are numbered in the thread that sends them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import OrderedDict
from typing import Any, Callable

from jrc.recorder.in_kernel.archive import MOST_REQUESTS, Archive, Request, Run
from jrc.recorder.in_kernel.flushes import Flushes, wait_for_thread
from jrc.recorder.in_kernel.frames import (
    AGAIN_KEY,
    MESSAGE_PREFIX,
    METADATA_KEY,
    RECORDER_PROTOCOL,
    RECORDER_VERSION,
    Hooks,
    captures,
    code_of,
    delimiter_index,
    fields_of,
    reason_of,
    stamped,
    with_reason,
)
from jrc.recorder.in_kernel.manners import Streams
from jrc.recorder.in_kernel.records import IOPUB, SHELL, STDIN
from jrc.recorder.in_kernel.turns import Turns

RECORDER_LAYOUT = 1

_OURS = ("run", "code", "packed", "ahead")
_KEPT = {"execute_reply": SHELL, "input_request": STDIN}
_SHUTDOWN = "shutdown_request"
_TOGETHER_SECONDS = 15.0
_MOST_PARENTS = 256
_STATE_DELAY_SECONDS = 0.25
_NUMBERED_SECONDS = 1.0


class Unpublished:
    """Marks the parent of a message that is not sent: see ``Recorder._run_of``."""


UNPUBLISHED = Unpublished()


class Recorder:
    """The recorder of one kernel.

    Attributes:
        instance: random; another one after a restart of the kernel.
        active: false after the first exception in here, for good, and after the removal.
        reason: that exception.
        successor: the newer recorder that took over.
        flushes: what becomes of flushed text.
        turns: the queue in front of the main shell.
        install_here: what the next client calls to open a run; it need not bring the text again.
    """

    version = RECORDER_VERSION
    protocol = RECORDER_PROTOCOL
    layout = RECORDER_LAYOUT

    def __init__(self, kernel: Any, memory_limit: int, spool_limit: int) -> None:
        self.kernel = kernel
        self.session = kernel.session
        self.thread = kernel.iopub_thread
        self.pid = os.getpid()
        self.instance = os.urandom(8).hex()
        self.archive = Archive(memory_limit, spool_limit)
        self.active = True
        self.reason = ""
        self.successor: Recorder | None = None
        self.install_here: Callable[[dict[str, Any]], None] | None = None
        self.requests: OrderedDict[str, tuple[Run, Request]] = OrderedDict()
        self._parents: dict[bytes, Any] = {}
        self._state_due: set[str] = set()
        self._hooks = Hooks()
        self._shutdown: tuple[Any, Any] = (None, None)
        self._asked: dict[int, str] = {}
        self.flushes = Flushes(self.thread, self._is_recorded, self.disable)
        self.streams = Streams(kernel)
        self.turns = Turns(kernel, self.disable)

    def hook(self, control: dict[str, Callable[[Any, Any, Any], None]]) -> None:
        """Start to record.

        Args:
            control: handlers by message type, for the control channel.
        """
        # The first: from _hook_iopub on, a kernel that does not know such a request says nothing.
        self.kernel.control_handlers.update(control)
        self._hook_iopub()
        self._hook_send()
        self._hook_requests()
        self._hook_input()
        self._hook_shutdown()
        self.flushes.hook(self._hooks, (sys.stdout, sys.stderr))
        self.streams.hook(self._hooks)
        self.turns.hook(self._hooks)

    def unhook(self) -> None:
        """Stop to record. The control handlers are left to the caller."""
        self.active = False
        self._hooks.restore()
        self.streams.unhook()
        shutdown, hook = self._shutdown
        if hook is not None and self.kernel.control_handlers.get(_SHUTDOWN) is hook:
            self.kernel.control_handlers[_SHUTDOWN] = shutdown

    def disable(self, error: Exception) -> None:
        """From now on the kernel behaves as if there were no recorder, except that it says why."""
        self.active = False
        self.reason = reason_of(error)

    def note(self, run: Run, fields: dict[str, Any]) -> None:
        """Append a note to the journal of a run, and bring its state file up to date."""
        if run.journal is not None:
            self.thread.schedule(lambda: self._write_note(run, fields))

    def _hook_iopub(self) -> None:
        really_send = self.thread._really_send

        def jrc_really_send(frames: Any, *args: Any, **kwargs: Any) -> Any:
            # A forked child sends through its own copy of us, to the parent's I/O thread.
            if self.active and os.getpid() == self.pid:
                frames = self._published(frames)
                if frames is None:
                    return None
            return really_send(frames, *args, **kwargs)

        self._hooks.replace(self.thread, "_really_send", jrc_really_send)
        io_thread = self.thread.thread
        if hasattr(io_thread, "_tstate_lock"):
            # In Python 3.9 to 3.12 an interrupt inside is_alive() can make it report of
            # a living thread for ever that it has ended. ipykernel would then write to its socket
            # from two threads, and tear messages.
            self._hooks.replace(io_thread, "is_alive", lambda: not io_thread._is_stopped)

    def _hook_send(self) -> None:
        send = self.session.send

        def jrc_send(stream: Any, msg_or_type: Any, *args: Any, **kwargs: Any) -> Any:
            if type(msg_or_type) is str and msg_or_type in _KEPT and os.getpid() == self.pid:
                return self._send_kept(send, stream, msg_or_type, *args, **kwargs)
            return send(stream, msg_or_type, *args, **kwargs)

        self._hooks.replace(self.session, "send", jrc_send)

    def _hook_requests(self) -> None:
        set_parent, should_handle = self.kernel.set_parent, self.kernel.should_handle

        def jrc_set_parent(ident: Any, parent: Any, *args: Any, **kwargs: Any) -> Any:
            if self.active:
                try:
                    self._arrived(parent)
                except Exception as error:
                    self.disable(error)
            return set_parent(ident, parent, *args, **kwargs)

        def jrc_should_handle(stream: Any, msg: Any, idents: Any) -> Any:
            verdict = "handle"
            if self.active:
                try:
                    verdict = self._verdict(msg)
                except Exception as error:
                    self.disable(error)
            if verdict == "handle":
                if not self.turns.settled:
                    return self.turns.settle(lambda: should_handle(stream, msg, idents))
                return should_handle(stream, msg, idents)
            if verdict in ("abort", "again"):
                self._answer_aborted(stream, msg, idents, again=verdict == "again")
            return False

        do_execute = self.kernel.do_execute

        async def jrc_do_execute(*args: Any, **kwargs: Any) -> Any:
            last = getattr(sys, "last_value", None)
            try:
                reply = do_execute(*args, **kwargs)
                return await reply if hasattr(reply, "__await__") else reply
            except Exception as error:
                return self._failed(error, last)

        self._hooks.replace(self.kernel, "do_execute", jrc_do_execute)
        self._hooks.replace(self.kernel, "set_parent", jrc_set_parent)
        self._hooks.replace(self.kernel, "should_handle", jrc_should_handle)

    def _failed(self, error: Exception, last: Any) -> Any:
        """The reply for a cell whose error broke ipykernel itself, which would never answer.

        A ``_render_traceback_`` that returns no text does that. Without a reply nobody knows that
        the cell failed, and the next one would run.

        Args:
            error: what ipykernel raised.
            last: the last error of the person's code before this cell.
        """
        if not self._is_recorded(self.kernel.get_parent("shell")["header"]):
            raise error
        own = getattr(sys, "last_value", None)
        shown = error if own is None or own is last else own
        return {
            "status": "error",
            "execution_count": self.kernel.execution_count,
            "ename": type(shown).__name__,
            "evalue": str(shown),
            "traceback": [],
            "user_expressions": {},
            "payload": [],
        }

    def _hook_input(self) -> None:
        ask = getattr(self.kernel, "_input_request", None)
        if ask is None:
            return

        def jrc_input_request(*args: Any, **kwargs: Any) -> Any:
            # IPython leaves such a frame out of the traceback of the code that asked.
            __tracebackhide__ = True
            self._asked[threading.get_ident()] = ""
            try:
                return ask(*args, **kwargs)
            finally:
                self._asked.pop(threading.get_ident(), None)
                for run in list(self.archive.runs.values()):
                    run.asking = 0

        receive = self.session.recv

        def jrc_receive(*args: Any, **kwargs: Any) -> Any:
            idents, message = receive(*args, **kwargs)
            if self.active and self._answers_another(message):
                # ipykernel waits on.
                return None, None
            return idents, message

        self._hooks.replace(self.kernel, "_input_request", jrc_input_request)
        self._hooks.replace(self.session, "recv", jrc_receive)

    def _answers_another(self, message: Any) -> bool:
        """Whether this answers a question that is over: it came late, or from another client.

        One that does not name its question may be for any.
        """
        parent = (message or {}).get("parent_header") or {}
        asked = self._asked.values()
        if parent.get("msg_type") != "input_request" or "" in asked:
            return False
        return parent.get("msg_id") not in asked

    def _hook_shutdown(self) -> None:
        shutdown = self.kernel.control_handlers.get(_SHUTDOWN)
        if shutdown is None:
            return

        def jrc_shutdown(*args: Any, **kwargs: Any) -> Any:
            if self.active:
                try:
                    self._end_runs()
                except Exception as error:
                    self.disable(error)
            return shutdown(*args, **kwargs)

        self.kernel.control_handlers[_SHUTDOWN] = jrc_shutdown
        self._shutdown = (shutdown, jrc_shutdown)

    def _end_runs(self) -> None:
        """Note that the kernel is ended from outside.

        A server interrupts a kernel before it asks it to shut down. Without this note it looks as
        if the person's code had been interrupted, and nothing else.
        """
        now, beat = time.time(), time.monotonic()
        with self.archive.lock:
            for run in list(self.archive.runs.values()):
                together = beat - run.interrupted < _TOGETHER_SECONDS
                over = run.complete or bool(run.stopped)
                run.ending = not over or (together and run.stopped in ("", "failed"))
                if run.journal is None or run.journal_error:
                    continue
                # Here and now: the I/O thread may not come to it any more.
                if run.ending:
                    run.journal.note({"ending": now})
                run.journal.write_state(self.state_of(run))

    def _published(self, frames: Any) -> Any:
        """What to send instead of ``frames``; None for nothing."""
        try:
            run, frames = self._number(frames)
            if run is not None:
                self.archive.settle(run)
        except Exception as error:
            self.disable(error)
        return frames

    def _number(self, frames: Any) -> tuple[Run | None, Any]:
        at = delimiter_index(frames)
        if at is None:
            return None, frames
        run = self._run_of(frames[at + 3])
        if run is None:
            return None, frames
        if run is UNPUBLISHED:
            return None, None
        with self.archive.lock:
            if self.successor is not None:
                return self.successor._number(frames)
            metadata = stamped(frames[at + 4], run.id, run.count + 1)
            signed = [frames[at + 2], frames[at + 3], metadata, frames[at + 5]]
            numbered = [*frames[: at + 1], self.session.sign(signed), *signed, *frames[at + 6 :]]
            self.archive.append(run, IOPUB, numbered[at + 2 :])
            if captures(frames[at + 2], frames[at + 5]):
                run.captured = True
        return run, numbered

    def _run_of(self, parent: Any) -> Any:
        """The run that a message with this parent header belongs to; None for none.

        The busy and idle of our own control requests are not published: a server takes any idle
        for the state of the kernel, and may cull a kernel that works silently.
        """
        parent = bytes(parent)
        try:
            return self._parents[parent]
        except KeyError:
            pass
        header = json.loads(parent)
        run: Any = None
        if str(header.get("msg_type", "")).startswith(MESSAGE_PREFIX):
            run = UNPUBLISHED
        elif header.get("msg_id") in self.requests:
            run = self.requests[header["msg_id"]][0]
        if len(self._parents) >= _MOST_PARENTS:
            self._parents.clear()
        self._parents[parent] = run
        return run

    def _is_recorded(self, header: Any) -> bool:
        return self.active and os.getpid() == self.pid and header.get("msg_id") in self.requests

    def forget(self, run: Run, delete_journal: bool) -> None:
        """Drop a run: what its requests publish from now on is not recorded."""
        with self.archive.lock:
            self.archive.forget(run.id, delete_journal)
            for msg_id in run.requests:
                self.requests.pop(msg_id, None)
            self._parents.clear()

    def _arrived(self, parent: Any) -> None:
        """Note a request of a run, before the kernel publishes its busy."""
        fields = fields_of(parent)
        if fields is None:
            return
        msg_id = parent["header"]["msg_id"]
        with self.archive.lock:
            run = self.archive.runs.get(fields["run"])
            if run is None or msg_id in self.requests:
                return
            public = {key: fields[key] for key in fields if key not in _OURS}
            request = run.requests[msg_id] = Request(public)
            self.requests[msg_id] = (run, request)
            while len(self.requests) > MOST_REQUESTS:
                oldest, (its_run, _) = self.requests.popitem(last=False)
                its_run.requests.pop(oldest, None)
        self.note(run, {"request": msg_id, "fields": public})

    def _verdict(self, msg: Any) -> str:
        """What to do with a request: ``handle``, ``abort``, ``ignore``, or ask for it ``again``.

        One that was sent ahead of the client's answers to what comes before it is asked for again
        where such an answer matters, unless the run has a journal: then nobody may be there.

        A request that carries its code in our metadata, and none in its content, is executed by
        nobody but us: not without the recorder, not after a restart, not in a run that failed.
        """
        fields = fields_of(msg)
        if fields is None:
            return "handle"
        has_code = "code" in fields or "packed" in fields
        guarded = has_code and msg["header"]["msg_type"] == "execute_request"
        run = self.archive.runs.get(fields["run"])
        if run is None:
            return "abort" if guarded else "handle"
        request = run.requests.get(msg["header"]["msg_id"])
        if request is None:
            return "handle"
        if request.state != "arrived":
            return "ignore"
        if run.stopped and (guarded or run.stopped == "cancelled"):
            return "abort"
        if guarded and fields.get("ahead") and run.captured and run.journal is None:
            return "again"
        request.state = "running"
        if guarded:
            request.guarded = True
            msg["content"]["code"] = code_of(msg, fields)
        return "handle"

    def _answer_aborted(self, stream: Any, msg: Any, idents: Any, again: bool = False) -> None:
        try:
            content = {"status": "aborted"}
            metadata = {"status": "aborted", AGAIN_KEY: again}
            self.session.send(
                stream, "execute_reply", content, parent=msg, ident=idents, metadata=metadata
            )
            if again:
                self.requests[msg["header"]["msg_id"]][1].state = "again"
        except Exception as error:
            self.disable(error)

    def _send_kept(
        self,
        send: Any,
        stream: Any,
        msg_type: str,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
    ) -> Any:
        """``Session.send`` for a reply or a question, which is kept before it goes out."""
        message = None
        if self.active:
            try:
                message = self._keep(msg_type, content, parent, header, metadata)
            except Exception as error:
                self.disable(error)
        if message is not None:
            return send(stream, message, ident=ident, buffers=buffers, track=track)
        if self.reason:
            metadata = with_reason(parent, metadata, self.reason)
        return send(stream, msg_type, content, parent, ident, buffers, track, header, metadata)

    def _keep(self, msg_type: str, content: Any, parent: Any, header: Any, metadata: Any) -> Any:
        known = self.requests.get((parent or {}).get("header", {}).get("msg_id"))
        if known is None:
            return None
        run, request = known
        message = self.session.msg(msg_type, content, parent, header, metadata)
        self._wait_for_published()
        with self.archive.lock:
            if self.successor is not None:
                return self.successor._keep(msg_type, content, parent, header, metadata)
            if msg_type == "execute_reply":
                self._replied(run, request, parent, content)
            stamp = {"run": run.id, "n": run.count + 1}
            if run.stopped == "cancelled":
                stamp["stopped"] = run.stopped
            message["metadata"][METADATA_KEY] = stamp
            frames = self.session.serialize(message)
            self.archive.append(run, _KEPT[msg_type], frames[2:])
            if msg_type == "input_request":
                run.asking = run.count
                self._asked[threading.get_ident()] = message["header"]["msg_id"]
        self.note(run, {})
        return message

    def _wait_for_published(self) -> None:
        """Wait until the I/O thread numbered what this thread published before.

        An interrupt here came too late for the person's code: raised, it would only
        cost the reply.
        """
        try:
            self.flushes.publish_waiting()
            wait_for_thread(self.thread, _NUMBERED_SECONDS)
        except KeyboardInterrupt:
            return

    def _replied(self, run: Run, request: Request, parent: Any, content: Any) -> None:
        request.state = "done"
        request.status = status = str(content.get("status"))
        if content.get("ename") == "KeyboardInterrupt":
            run.interrupted = time.monotonic()
        if run.stopped or not request.guarded:
            return
        if status == "error" and parent["content"].get("stop_on_error", True):
            well = content.get("ename") == "SystemExit" and content.get("evalue") in ("", "0")
            run.stopped = "exited" if well else "failed"
        elif status == "aborted":
            run.stopped = "aborted"

    def _write_note(self, run: Run, fields: dict[str, Any]) -> None:
        try:
            with self.archive.lock:
                if run.journal is None or run.journal_error:
                    return
                if fields:
                    run.journal.note(fields)
                self.archive.settle(run)
                if run.id not in self._state_due:
                    self._state_due.add(run.id)
                    loop = self.thread.io_loop
                    loop.call_later(_STATE_DELAY_SECONDS, self._write_state, run)
        except Exception as error:
            self.disable(error)

    def _write_state(self, run: Run) -> None:
        self._state_due.discard(run.id)
        try:
            with self.archive.lock:
                if run.journal is not None and run.id in self.archive.runs:
                    run.journal.write_state(self.state_of(run))
        except OSError as error:
            run.journal_error = str(error)
        except Exception as error:
            self.disable(error)

    def state_of(self, run: Run) -> dict[str, Any]:
        """What there is to say about a run, without its requests."""
        with self.archive.lock:
            states = [request.state for request in run.requests.values()]
            last = next(reversed(run.requests.values()), None)
            return {
                "run": run.id,
                "instance": self.instance,
                "opened": run.opened,
                "count": run.count,
                "gone": run.gone,
                "running": states.count("running"),
                "done": states.count("done"),
                "last": None if last is None else last.fields,
                "stopped": run.stopped,
                "asking": run.asking,
                "ending": run.ending,
                "journaled": run.journaled,
                "journal": None if run.journal is None else run.journal.path,
                "journal_error": run.journal_error,
            }
