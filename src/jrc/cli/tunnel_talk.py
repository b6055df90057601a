"""Tells a person how a tunnel comes up: one live line on a terminal, else a line a state."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from jrc.cli.live import LiveLine
from jrc.cli.terminal import Terminal

if TYPE_CHECKING:
    from jrc.tunnel.status import KeeperStatus


class TunnelTalk:
    """A ``Progress`` that speaks; a context manager that leaves no live line behind.

    Args:
        terminal: where to speak.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._line = LiveLine(terminal)
        self._last = ""

    def __call__(self, status: "KeeperStatus") -> None:
        """Tell a state, unless it was told."""
        text = in_words(status)
        if text == self._last:
            return
        self._last = text
        if self._terminal.live:
            self._line.show(text)
            if status.phase == "ready":
                self._line.hide()
        else:
            self._terminal.say(text)

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
    """What the keeper does at the moment."""
    # Imported late: help and completion need none of it.
    from jrc.tunnel.machine import Phase

    target = status.spec.route.target
    if status.note:
        return f"The cluster's login says: {status.note}"
    match status.phase:
        case Phase.RESOLVING:
            return f"Looking for a pod of {target} …"
        case Phase.FORWARDING:
            return f"Forwarding to pod {status.pod} …"
        case Phase.PROBING:
            return f"Waiting for Jupyter in pod {status.pod} …"
        case Phase.READY:
            return f"The tunnel to pod {status.pod} is up."
        case Phase.WAITING if status.cause:
            return f"{status.cause.message} Trying again …"
        case Phase.FAILED if status.cause:
            return status.cause.message
        case _:
            return "Starting the tunnel …"
