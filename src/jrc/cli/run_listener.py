"""What a run shows: to a person at a terminal, or to a program that reads JSON lines."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from jrc.cli.live import LiveLine
from jrc.cli.local_stdin import LocalStdin
from jrc.cli.rendering import as_text, image_type, strip_ansi
from jrc.cli.terminal import Terminal
from jrc.run.events import (
    CellFinished,
    CellOutput,
    CellStarted,
    Notice,
    RunDetached,
    RunEvent,
    RunFinished,
    RunStarted,
)


class TerminalListener:
    """Remote stdout on stdout, remote stderr and all talk on stderr, and one live line.

    Args:
        terminal: where to.
        saved_in: the file that will hold the outputs; None when they are not saved.
        stdin: what the remote code reads; None where it can ask nobody.
    """

    def __init__(
        self, terminal: Terminal, *, saved_in: str | None, stdin: LocalStdin | None = None
    ) -> None:
        self._terminal = terminal
        self._saved_in = saved_in
        self.live = LiveLine(terminal)
        self.can_answer = stdin is not None
        self._stdin = stdin
        self._started_at = time.monotonic()
        self._images = 0

    def on_event(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                self._started_at = time.monotonic()
                self.live.show("starting")
            case CellStarted():
                self.live.show(f"cell {event.number}/{event.total}  {_first_line(event.source)}")
            case CellOutput():
                self._output(event.output)
            case CellFinished():
                self._finish_images()
                self.live.draw()
            case Notice():
                self.live.start_line()
                self._terminal.say(f"jrc: {event.text}")
                self.live.draw()
            case RunDetached():
                self.live.start_line()
                self.live.hide()
                self._terminal.say(
                    f"jrc: the run {event.run} goes on without you. Come back: {event.attach}"
                )
            case RunFinished(status="ok"):
                self.live.hide()
                seconds = time.monotonic() - self._started_at
                place = f", saved in {event.output}" if event.output else ""
                self._terminal.say(f"jrc: done in {seconds:.1f} s{place}")

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        if self._stdin is None:
            return None
        if self._stdin.kind == "terminal":
            self.live.before_output()
        return await in_daemon_thread(self._stdin.answer, prompt, hidden)

    def _output(self, output: dict[str, Any]) -> None:
        kind = output["output_type"]
        if kind == "stream":
            self._write(str(output["text"]), error=output["name"] == "stderr")
        elif kind == "error":
            self._write("\n".join(output["traceback"]) + "\n", error=True)
        elif kind in ("display_data", "execute_result", "update_display_data"):
            self._display(output.get("data", {}))

    def _display(self, data: dict[str, Any]) -> None:
        text = as_text(data)
        if text:
            self._write(text + "\n", error=False)
        image = image_type(data)
        if image is None:
            return
        self._images += 1
        if self._images == 1:
            place = f"saved in {self._saved_in}" if self._saved_in else "-o FILE saves it"
            self._write(f"[{image}: {place}]\n", error=True)

    def _finish_images(self) -> None:
        """A cell may show hundreds: one line for the first, one for the rest."""
        if self._images > 1:
            self._write(f"[and {self._images - 1} more]\n", error=True)
        self._images = 0

    def _write(self, text: str, *, error: bool) -> None:
        self.live.before_output()
        colored = self._terminal.color_err if error else self._terminal.color_out
        self._terminal.write(text if colored else strip_ansi(text), error=error)
        self.live.after_output(text)
        self.live.draw()


class JsonListener:
    """One JSON object a line on stdout; ``event`` names its kind, the other keys its fields."""

    def __init__(self, terminal: Terminal, stdin: LocalStdin | None = None) -> None:
        self._terminal = terminal
        self._stdin = stdin
        self.can_answer = stdin is not None

    def on_event(self, event: RunEvent) -> None:
        self._terminal.json({"event": _event_name(event), **event._asdict()})

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        if self._stdin is None:
            return None
        return await in_daemon_thread(self._stdin.answer, prompt, hidden)


def _event_name(event: RunEvent) -> str:
    """``CellStarted`` is ``cell-started``."""
    name = type(event).__name__
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


def _first_line(source: str) -> str:
    """The first line of code that says something."""
    lines = [line.strip() for line in source.splitlines()]
    return next((line for line in lines if line and not line.startswith("#")), "")


_T = TypeVar("_T")


async def in_daemon_thread(function: Callable[..., _T], *args: Any) -> _T:
    """Call ``function`` in a thread that does not keep the process alive.

    A thread of the event loop's pool would: a person who presses Ctrl-C at a prompt would have to
    press Enter as well.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def deliver(act: Callable[[], None]) -> None:
        if not future.done():
            act()

    def work() -> None:
        try:
            act = partial(future.set_result, function(*args))
        except Exception as error:  # noqa: BLE001  it is raised again where it is awaited
            act = partial(future.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(deliver, act)

    threading.Thread(target=work, name="jrc-prompt", daemon=True).start()
    return await future
