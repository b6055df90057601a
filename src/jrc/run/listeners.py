"""Listeners between a run and the listener that shows it."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from jrc.run.events import (
    CellFinished,
    CellOutput,
    CellStarted,
    Notice,
    RunDetached,
    RunEvent,
    RunFinished,
    RunStarted,
    WidgetChanged,
)

if TYPE_CHECKING:
    from jrc.run.progress import Listener

log = logging.getLogger("jrc.run")

_OF_A_CELL = CellStarted | CellOutput | WidgetChanged | CellFinished


class Guarded:
    """Passes events on. Errors of the listener are logged, and can't end the run.

    Args:
        listener: gets the events.

    Attributes:
        awaits_end: a run has started, and its last event has not come yet.
    """

    def __init__(self, listener: "Listener") -> None:
        self.awaits_end = False
        self._listener = listener

    @property
    def can_answer(self) -> bool:
        return self._listener.can_answer

    def on_event(self, event: RunEvent) -> None:
        if isinstance(event, RunStarted | RunFinished | RunDetached):
            self.awaits_end = isinstance(event, RunStarted)
        try:
            self._listener.on_event(event)
        except Exception as error:  # noqa: BLE001  no error of a listener may end the run
            _note(f"a listener failed at {type(event).__name__}", error)

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        try:
            return await self._listener.ask(prompt, hidden=hidden)
        except Exception as error:  # noqa: BLE001
            _note("a listener failed to ask", error)
            return None


class Gate:
    """Passes events on while it is open. Events of the run as a whole always pass.

    Args:
        listener: gets the events.
        is_open: whether what happens now is new to the listener.
        known: the notices that the listener has got; this class adds to it.
        losses: notices of lost output, which are held back because a journal may have that output;
            this class adds to it.
    """

    def __init__(
        self,
        listener: "Listener",
        is_open: Callable[[], bool],
        known: set[RunEvent],
        losses: list[Notice],
    ) -> None:
        self._listener = listener
        self._is_open = is_open
        self._known = known
        self._losses = losses
        self._running: CellStarted | None = None

    @property
    def can_answer(self) -> bool:
        return self._listener.can_answer

    def on_event(self, event: RunEvent) -> None:
        if isinstance(event, Notice) and event.kind in ("kernel", "kernel-died"):
            # A run does not end with its kernel: there may be a journal.
            return
        if isinstance(event, Notice):
            if event.kind == "output-lost":
                self._losses.append(event)
            elif event not in self._known:
                self._known.add(event)
                self._listener.on_event(event)
        elif not isinstance(event, _OF_A_CELL):
            self._listener.on_event(event)
        elif self._is_open():
            if self._running is not None and not isinstance(event, CellStarted):
                self._listener.on_event(self._running)
            self._running = None
            self._listener.on_event(event)
        elif isinstance(event, CellStarted):
            self._running = event
        elif isinstance(event, CellFinished):
            self._running = None

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        return await self._listener.ask(prompt, hidden=hidden)


def _note(what: str, error: Exception) -> None:
    log.warning("%s: %r", what, error)
    log.debug("where it failed", exc_info=error)
