"""Listeners that stand between a run and the one that shows it."""

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
    """Passes events on, and can't end the run that it listens to: what goes wrong is logged.

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
        except Exception as error:  # noqa: BLE001  whatever it is, the run is worth more
            _note(f"a listener failed at {type(event).__name__}", error)

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        try:
            return await self._listener.ask(prompt, hidden=hidden)
        except Exception as error:  # noqa: BLE001
            _note("a listener failed to ask", error)
            return None


class Gate:
    """Passes events on once it is open; what concerns the run as a whole passes always.

    Args:
        listener: who is told.
        is_open: whether what happens now is new to the listener.
        told: the notices that the listener knows; grows.
        losses: the notices of lost output that wait: a journal may have it; grows.
    """

    def __init__(
        self,
        listener: "Listener",
        is_open: Callable[[], bool],
        told: set[RunEvent],
        losses: list[Notice],
    ) -> None:
        self._listener = listener
        self._is_open = is_open
        self._told = told
        self._losses = losses
        self._running: CellStarted | None = None

    @property
    def can_answer(self) -> bool:
        return self._listener.can_answer

    def on_event(self, event: RunEvent) -> None:
        if isinstance(event, Notice) and event.kind in ("kernel", "kernel-died"):
            # That its kernel is gone is not yet the end of a run: its journal may know better.
            return
        if isinstance(event, Notice):
            if event.kind == "output-lost":
                self._losses.append(event)
            elif event not in self._told:
                self._told.add(event)
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
