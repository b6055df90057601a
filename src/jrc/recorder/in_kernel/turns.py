"""One shell request after the other, also where a cell runs the event loop of its own kernel.

``nest_asyncio`` and its like run the loop inside of a cell. ipykernel 7 then takes the next request
from its queue, can't enter the context that the cell is in, and drops the request: what any client
sent while such a cell ran is lost. Libraries that poll for widget events take requests out of turn,
too. So a request waits here until the one before it is done; only then does ipykernel see it.
ipykernel 6 keeps such a queue itself.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections import deque
from typing import Any, Callable

from jrc.recorder.in_kernel.frames import DELIMITER, Hooks

_COMMS = ("comm_open", "comm_msg", "comm_close")
_STEPS = 4
"""Of the event loop, after which ipykernel has queued what it had received before."""


class Turns:
    """The queue in front of a kernel's main shell. All of it happens in the kernel's main thread.

    Args:
        kernel: the kernel.
        failed: called with an exception in here.

    Attributes:
        settled: nothing can be dropped any more of what arrived before this was here.
        current: the request that ipykernel has now.
        waiting: the frames of those behind it.
        successor: of a newer recorder that took over.
    """

    def __init__(self, kernel: Any, failed: Callable[[Exception], None]) -> None:
        self._kernel = kernel
        self._failed = failed
        self._pass_on: Any = None
        self._comms = 0
        self.settled = True
        self.current: Any = None
        self.waiting: deque[Any] = deque()
        self.successor: Turns | None = None

    def hook(self, hooks: Hooks) -> None:
        """Stand in front of the main shell of an ipykernel 7; do nothing in any other kernel."""
        manager = getattr(getattr(self._kernel, "shell_channel_thread", None), "manager", None)
        stream = getattr(getattr(manager, "_shell_channel_to_main", None), "to_stream", None)
        callback = getattr(stream, "_recv_callback", None)
        if callback is None:
            return
        self._pass_on = callback
        self.settled = False
        hooks.replace(stream, "_recv_callback", self._received)

    def take_over(self, old: Turns) -> None:
        """Go on with the queue of an older recorder, whose hook is gone."""
        old.successor = self
        self._pass_on = old._pass_on
        self._comms, self.waiting = old._comms, old.waiting
        if old.current is not None:
            self._follow(old.current)

    async def settle(self, then: Callable[[], Any]) -> Any:
        """Let requests into ipykernel's own queue that arrived before this one was there."""
        self.settled = True
        for _ in range(_STEPS):
            await asyncio.sleep(0)
        answer = then()
        return await answer if inspect.isawaitable(answer) else answer

    def _received(self, frames: Any) -> Any:
        try:
            if is_comm(frames):
                # A cell that awaits gets what widgets say meanwhile; one that blocks can't.
                waits = self._comms > 0 or self._is_nested()
                self._comms += waits
            else:
                waits = self.current is not None
            if waits:
                self.waiting.append(frames)
                return None
        except Exception as error:
            self._failed(error)
        return self._begin(frames)

    def _begin(self, frames: Any) -> Any:
        task = asyncio.ensure_future(self._pass_on(frames))
        if not is_comm(frames):
            self._follow(task)
        return task

    def _follow(self, task: Any) -> None:
        self.current = task
        task.add_done_callback(self._ended)

    def _ended(self, task: Any) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._kernel.log.error("A shell request failed: %r", task.exception())
        if self.successor is not None or task is not self.current:
            return
        self.current = None
        self._comms = 0
        while self.waiting and self.current is None:
            self._begin(self.waiting.popleft())
        self._comms = sum(map(is_comm, self.waiting))

    def _is_nested(self) -> bool:
        """Whether this is called from within a request that is executed now."""
        code = type(self._kernel).dispatch_shell.__code__
        frame: Any = sys._getframe()
        while frame is not None and frame.f_code is not code:
            frame = frame.f_back
        return frame is not None


def is_comm(frames: Any) -> bool:
    """Whether these frames, as a ``ZMQStream`` gives them, are a message to a widget."""
    for at, frame in enumerate(frames):
        if len(frame) == len(DELIMITER) and bytes(frame) == DELIMITER:
            return json.loads(bytes(frames[at + 2])).get("msg_type") in _COMMS
    return False
