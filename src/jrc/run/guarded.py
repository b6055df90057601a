"""A listener that can't end the run that it listens to."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jrc.run.account import Listener
    from jrc.run.events import RunEvent

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
        except Exception:
            log.exception("a listener failed at %s", type(event).__name__)

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        try:
            return await self._listener.ask(prompt, hidden=hidden)
        except Exception:
            log.exception("a listener failed to ask")
            return None
