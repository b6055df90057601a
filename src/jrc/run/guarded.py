"""A listener that can't end the run that it listens to."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jrc.run.events import RunEvent
    from jrc.run.progress import Listener

log = logging.getLogger("jrc.run")


class Guarded:
    """Passes events on; what goes wrong there is logged, and the run goes on.

    Args:
        listener: who is told.
    """

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener

    @property
    def can_answer(self) -> bool:
        return self._listener.can_answer

    def on_event(self, event: "RunEvent") -> None:
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


def _note(what: str, error: Exception) -> None:
    log.warning("%s: %r", what, error)
    log.debug("where it failed", exc_info=error)
