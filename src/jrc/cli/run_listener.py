"""What a run shows: to a person at a terminal, or to a program that reads JSON lines."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime

from jrc.cli.local_stdin import END_OF_FILE, LocalStdin
from jrc.cli.shown import Shown
from jrc.cli.terminal import STARTED, Terminal
from jrc.errors import process_code
from jrc.run.events import (
    CellFinished,
    CellOutput,
    CellStarted,
    KernelReady,
    Notice,
    RunDetached,
    RunEvent,
    RunFinished,
    RunStarted,
    WidgetChanged,
)
from jrc.tasks import in_daemon_thread

_LONG = 1.0
"""Seconds of a cell that are worth a line behind its output."""


class TerminalListener:
    """Remote stdout on stdout, remote stderr and all talk on stderr, and one live line.

    Args:
        terminal: where to.
        quiet: show what the cells show and what goes wrong, and nothing else.
        stdin: what the remote code reads; None where it can ask nobody.
        unsaved: what saves an image where the outputs are not saved.
        follows: the run began before this command, whose time is not the run's.
    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        quiet: bool = False,
        stdin: LocalStdin | None = None,
        unsaved: str = "-o FILE saves it",
        follows: bool = False,
    ) -> None:
        self._terminal = terminal
        self._quiet = quiet
        self._follows = follows
        total = None if follows else STARTED
        self._shown = Shown(terminal, apart=True, saved_in=None, total=total)
        self._shown.unsaved = unsaved
        self.live = self._shown.live
        self.can_answer = stdin is not None
        self._stdin = stdin
        self._where: RunStarted | None = None
        self._script = False

    def on_event(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                self._begin(event)
            case KernelReady():
                self._say_where(event)
            case CellStarted():
                self._begin_cell(event)
            case CellOutput():
                self._shown.output(event)
            case WidgetChanged():
                self._shown.widget(event.model_id, event.text)
            case CellFinished():
                self._finish_cell(event)
            case Notice(kind="exited") if self._quiet:
                pass
            case Notice(kind="kernel-died"):
                # The error that ends the command says it.
                pass
            case Notice():
                self._terminal.say(f"jrc: {event.text}")
                self.live.draw()
            case RunDetached():
                self.close()
                self._terminal.say(
                    f"jrc: the run {event.run} goes on without you. Come back: {event.attach} "
                    f"(end it: jrc cancel {event.run})"
                )
            case RunFinished():
                self._finish(event)

    @asynccontextmanager
    async def showing(self) -> AsyncIterator[None]:
        """Keep the clock of the live line going while the block runs."""

        async def tick() -> None:
            while True:
                await asyncio.sleep(1)
                self.live.draw()

        self._show_live("starting")
        ticking = asyncio.create_task(tick(), name="live-line")
        try:
            yield
        finally:
            ticking.cancel()
            self.close()

    def begun(self, run: RunDetached) -> None:
        """The run was begun, and nobody stays with it: its id is what the command was asked for."""
        self.live.hide()
        self._terminal.data(run.run)
        self._terminal.say(f"jrc: the run goes on without you. See what it does: {run.attach}")

    def close(self) -> None:
        """Nothing is shown any more but what is final."""
        self._shown.finish()
        self.live.hide()

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        if self._stdin is None:
            return None
        self._shown.head()
        if self._stdin.kind != "terminal":
            return await in_daemon_thread(self._stdin.answer, prompt, hidden, name="prompt")
        with self.live.away(), _same_terminal_after():
            answer = await in_daemon_thread(self._stdin.answer, prompt, hidden, name="prompt")
            if answer != END_OF_FILE:
                self._terminal.err.place.answered()
        return answer

    def _begin(self, event: RunStarted) -> None:
        _note_kind(self._stdin, event)
        self._where = event
        self._script = event.kind == "script"
        self._shown.apart = not self._script
        self._shown.saved_in = event.output

    def _say_where(self, kernel: KernelReady | None) -> None:
        """Once, when it is known: before the first output."""
        where, self._where = self._where, None
        if where is None or self._quiet:
            return
        place = "an embedded server on this machine (no profile: jrc login URL)"
        if where.profile:
            place = f"{where.profile} ({where.server})"
        words = [f"{where.document} on {place}"]
        if where.kernel_name:
            words.append(f"kernel {where.kernel_name}")
        if kernel is not None and kernel.language_version:
            words.append(f"{kernel.language.capitalize()} {kernel.language_version}")
        self._terminal.say(f"jrc: {', '.join(words)}")

    def _begin_cell(self, event: CellStarted) -> None:
        self._say_where(None)
        heading = f"{_mark(event)} {event.title}".rstrip()
        self._shown.begin(event.cell)
        if not (self._script or self._quiet):
            self._shown.heading = heading
        ago = _seconds_since(event.started) if self._follows else 0.0
        self._show_live(event.title if self._script else heading, ago=ago)

    def _finish_cell(self, event: CellFinished) -> None:
        self._shown.finish()
        heading, self._shown.heading = self._shown.heading, ""
        seconds = f"{event.seconds:.1f} s"
        if heading:
            self._terminal.mark(f"{heading}  {seconds}")
        elif event.seconds >= _LONG and not (self._script or self._quiet):
            self._terminal.mark(f"{_mark(event)} {seconds}")
        self.live.draw()

    def _finish(self, event: RunFinished) -> None:
        self.close()
        if event.status != "ok" or self._quiet:
            return
        code = process_code(event.exit_code)
        done = f"exit code {code}" if code else "done"
        if not self._follows:
            took = f"{time.monotonic() - STARTED:.1f} s"
            done += f" after {took}" if code else f" in {took}"
        place = f", saved in {event.output}" if event.output else ""
        self._terminal.say(f"jrc: {done}{place}")

    def _show_live(self, text: str, *, ago: float = 0.0) -> None:
        if not self._quiet:
            self.live.show(text, ago=ago)


def _mark(event: CellStarted | CellFinished) -> str:
    """What stands before a cell's title; injected parameters are no cell that anybody counts."""
    return f"[{event.number}/{event.total}]" if event.number else "[parameters]"


def _seconds_since(started: str) -> float:
    """Seconds since a time of the kernel's clock; 0 where that clock is ahead of ours."""
    try:
        return max(time.time() - datetime.fromisoformat(started).timestamp(), 0.0)
    except (ValueError, OverflowError):
        return 0.0


_FAILURES_OF_JRC = ("timeout", "kernel-died", "output-lost", "failed")
"""How a run ends whose exit code is not the remote code's."""


class JsonListener:
    """One JSON object a line on stdout; ``event`` names its kind, the other keys its fields."""

    def __init__(
        self, terminal: Terminal, stdin: LocalStdin | None = None, *, exit_code_base: int = 0
    ) -> None:
        self._terminal = terminal
        self._exit_code_base = exit_code_base
        self._stdin = stdin
        self.can_answer = stdin is not None

    def on_event(self, event: RunEvent) -> None:
        if isinstance(event, RunStarted):
            _note_kind(self._stdin, event)
        elif isinstance(event, RunFinished):
            base = self._exit_code_base if event.status in _FAILURES_OF_JRC else 0
            event = event._replace(exit_code=process_code(event.exit_code + base))
        self._terminal.json({"event": _event_name(event), **event._asdict()})

    @asynccontextmanager
    async def showing(self) -> AsyncIterator[None]:
        """Nothing is shown between two events."""
        yield

    def begun(self, run: RunDetached) -> None:
        """The run was begun, and nobody stays with it."""
        self.on_event(run)

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        if self._stdin is None:
            return None
        return await in_daemon_thread(self._stdin.answer, prompt, hidden, name="prompt")


def _note_kind(stdin: LocalStdin | None, run: RunStarted) -> None:
    if stdin is not None:
        stdin.in_pieces = run.kind != "notebook"


def _event_name(event: RunEvent) -> str:
    """``CellStarted`` is ``cell-started``."""
    name = type(event).__name__
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


@contextmanager
def _same_terminal_after() -> Iterator[None]:
    """The terminal shows what is typed again, also where a hidden question was left."""
    try:
        import termios

        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
    except (ImportError, OSError, ValueError, AttributeError):
        yield
        return
    except termios.error:
        yield
        return
    try:
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(number, termios.TCSADRAIN, before)
