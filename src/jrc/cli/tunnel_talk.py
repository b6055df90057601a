"""Shows how a tunnel comes up: one live line on a terminal, otherwise a line for each state."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from jrc.cli.status_line import LiveLine
from jrc.cli.terminal import Terminal

if TYPE_CHECKING:
    from jrc.tunnel.status import KeeperStatus


class TunnelTalk:
    """A ``Progress`` for people; a context manager that leaves no live line behind.

    A tunnel that is tried again and again goes through the same states each time. So a log gets
    each sentence once, and the live line keeps the last cause while the next try begins.

    Args:
        terminal: where to show it.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._line = LiveLine(terminal)
        self._shown = ""
        self._said: set[str] = set()

    def __call__(self, status: "KeeperStatus") -> None:
        """Show a state, unless it is shown already."""
        text = in_words(status)
        if self._terminal.live:
            self._show(text)
            if status.phase == "ready":
                self._line.hide()
        elif text not in self._said:
            self._said.add(text)
            self._terminal.say(text)

    def _show(self, text: str) -> None:
        if text == self._shown:
            self._line.draw()
        else:
            self._shown = text
            self._line.show(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._line.hide()


def in_words(status: "KeeperStatus") -> str:
    """What the keeper is doing, in a sentence."""
    # Imported late: help and completion need none of it.
    from jrc.tunnel.machine import Phase

    target = status.spec.route.target
    if status.note:
        return f"The cluster's login says: {status.note}"
    if status.phase is Phase.READY:
        return f"The tunnel to pod {status.pod} is up."
    if status.cause and status.phase is Phase.FAILED:
        return status.cause.message
    if status.cause and status.phase is not Phase.PROBING:
        return f"{status.cause.message} Trying again …"
    match status.phase:
        case Phase.RESOLVING:
            return f"Looking for a pod of {target} …"
        case Phase.FORWARDING:
            return f"Forwarding to pod {status.pod} …"
        case Phase.PROBING:
            return f"Waiting for Jupyter in pod {status.pod} …"
        case _:
            return "Starting the tunnel …"
