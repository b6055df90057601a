"""Text that is flushed in a flood leaves the kernel in fewer messages.

ipykernel's ``OutStream.flush`` makes one message and waits for the I/O thread, each time. A loop
of ``print(..., flush=True)`` spends nearly all of its time there, and a server forwards no more
than 1000 messages a second. So the first flushes are done at once, and one that comes while the
allowance is used up waits for its successors: a hundredth of a second, or 64 KiB. The order stays:
whatever else is published, on iopub or as a reply, has the waiting text sent before it.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Any, Callable, Iterable

from jrc.recorder.in_kernel.frames import Hooks

_FLUSHES = 100
_FLUSHES_PER_SECOND = 100.0
_WAIT_SECONDS = 0.01
_MOST_CHARACTERS = 1 << 16
_FLUSH_SECONDS = 10.0


class Allowance:
    """A token bucket: so many at once, and so many a second."""

    def __init__(self, most: float, per_second: float) -> None:
        self._most = self._left = most
        self._per_second = per_second
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Whether there was one left."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def wait_for_thread(thread: Any, seconds: float) -> bool:
    """Wait until a kernel's I/O thread has done all that it was given before.

    ipykernel waits for a ``threading.Event``. An interrupt there, in code that is
    Python itself, can leave the event's inner lock taken: the I/O thread then waits for ever to set
    the event, and the kernel never says anything again. This lock is taken in one step or not.

    Returns:
        whether it did so in time.
    """
    done = threading.Lock()
    done.acquire()
    thread.schedule(done.release)
    return done.acquire(timeout=seconds)


class FlushedStream:
    """One of a kernel's two output streams, an ``OutStream`` of ipykernel 6.29 or later.

    Two threads use it without a lock: the I/O thread publishes, any other writes and flushes. Each
    flush that waits leaves a new object in ``_asked``; the I/O thread moves what it found there
    to ``_done`` after it published. So what came in between is never taken for published.

    Attributes:
        publishing: whether the I/O thread takes the text in this moment.
    """

    def __init__(self, stream: Any, hooks: Hooks, flush: Callable[[FlushedStream], None]) -> None:
        self.publishing = False
        self._stream = stream
        self._publish: Callable[[], None] = stream._flush
        self._asked = self._done = object()
        self._timed_at = -_WAIT_SECONDS
        hooks.replace(stream, "flush", lambda: flush(self))
        hooks.replace(stream, "_flush", self.publish)

    @staticmethod
    def fits(stream: Any, thread: Any) -> bool:
        """Whether this is a stream that can be treated so."""
        names = ("_flush", "_buffers", "_buffer_lock", "parent_header")
        return getattr(stream, "pub_thread", None) is thread and all(
            hasattr(stream, name) for name in names
        )

    @property
    def parent_header(self) -> Any:
        """The header of the request that this thread writes for."""
        return self._stream.parent_header

    @property
    def waits(self) -> bool:
        """Whether a flush waits that was not published."""
        return self._asked is not self._done

    def size(self) -> int:
        """How many characters are written and not published."""
        with self._stream._buffer_lock:
            return sum(buffer.tell() for buffer in self._stream._buffers.values())

    def nothing_to_do(self, size: int) -> bool:
        """Whether all is published, given a ``size`` that was taken before."""
        return not size and not self.publishing

    def flush_now(self) -> None:
        """What ipykernel's flush does; an interrupt in here breaks nothing."""
        thread = self._stream.pub_thread
        alive = thread.thread is not None and thread.thread.is_alive()
        if not alive or thread.thread.ident == threading.get_ident():
            self.publish()
            return
        thread.schedule(self.publish)
        wait_for_thread(thread, _FLUSH_SECONDS)

    def wait(self, thread: Any, now: float) -> None:
        """Let the flush wait for its successors."""
        self._asked = object()
        # By the clock, and not by what the timer left behind: an interrupt may come between the
        # lines. Then the text leaves with ipykernel's own timer.
        if now - self._timed_at >= _WAIT_SECONDS:
            self._timed_at = now
            thread.schedule(lambda: thread.io_loop.call_later(_WAIT_SECONDS, self._time_is_over))

    def _time_is_over(self) -> None:
        if self.waits:
            self.publish()

    def publish(self) -> None:
        """Instead of ipykernel's ``_flush``: the I/O thread takes what was written and sends it."""
        self.publishing = True
        try:
            asked = self._asked
            self._publish()
            self._done = asked
        finally:
            self.publishing = False


class Flushes:
    """What becomes of the flushes of a kernel.

    Args:
        thread: the kernel's I/O thread.
        is_ours: whether the request with this header is recorded; the flushes of others never
            wait for their successors.
        failed: called with an exception in here.

    Attributes:
        allowance: of flushes that do not wait.
    """

    def __init__(
        self, thread: Any, is_ours: Callable[[Any], bool], failed: Callable[[Exception], None]
    ) -> None:
        self._thread = thread
        self._is_ours = is_ours
        self._failed = failed
        self.allowance = Allowance(_FLUSHES, _FLUSHES_PER_SECOND)
        self._streams: list[FlushedStream] = []

    def hook(self, hooks: Hooks, streams: Iterable[Any]) -> None:
        """Take these streams, where they are ipykernel's and new enough."""
        for stream in streams:
            if FlushedStream.fits(stream, self._thread):
                self._streams.append(FlushedStream(stream, hooks, self._flush))
        if not self._streams:
            return
        send_multipart = self._thread.send_multipart

        def jrc_send_multipart(*args: Any, **kwargs: Any) -> Any:
            self.publish_waiting()
            return send_multipart(*args, **kwargs)

        hooks.replace(self._thread, "send_multipart", jrc_send_multipart)
        # A forked child has a copy of the text that waits, and would send it once more.
        if hasattr(os, "register_at_fork"):
            ours = weakref.ref(self)
            os.register_at_fork(before=lambda: _before_fork(ours()))

    def publish_waiting(self) -> None:
        """Have published what waits, in this moment."""
        try:
            for stream in self._streams:
                if stream.waits and not self._is_publishing_here(stream):
                    stream.flush_now()
        except Exception as error:
            self._failed(error)

    def _is_publishing_here(self, stream: FlushedStream) -> bool:
        """Whether it is its own message that is on the way: more text must not overtake it."""
        return stream.publishing and threading.get_ident() == self._thread.thread.ident

    def _flush(self, stream: FlushedStream) -> None:
        try:
            now = time.monotonic()
            if self._is_ours(stream.parent_header) and not self.allowance.take(now):
                size = stream.size()
                if stream.nothing_to_do(size):
                    return
                # Where the other stream waits, this flush does not: the other's text is sent
                # before its message.
                alone = not any(each.waits for each in self._streams if each is not stream)
                if size < _MOST_CHARACTERS and alone:
                    stream.wait(self._thread, now)
                    return
        except Exception as error:
            self._failed(error)
        stream.flush_now()


def _before_fork(flushes: Flushes | None) -> None:
    if flushes is not None:
        flushes.publish_waiting()
