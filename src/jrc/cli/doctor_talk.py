"""What ``jrc doctor`` shows while it checks: a line for each check, when it is done."""

import asyncio
from types import TracebackType
from typing import Self

from jrc.cli.status_line import LiveLine
from jrc.cli.terminal import Terminal
from jrc.doctor.check import Check, Result, Verdict
from jrc.doctor.redact import Redactor
from jrc.doctor.report import Report, line, remedy_line, summary, verdict_cell
from jrc.server.credential_command import given_secrets

_COLOURS = {
    Verdict.OK: "32",
    Verdict.WARNING: "33",
    Verdict.FAILED: "1;31",
    Verdict.SKIPPED: "2",
}


class DoctorTalk:
    """Shows the results; a context manager that leaves no live line behind.

    Args:
        terminal: where to show them.
        json: only the report at the end, as JSON.

    Attributes:
        redactor: what takes secrets out of all that is shown.
    """

    def __init__(self, terminal: Terminal, *, json: bool) -> None:
        self._terminal = terminal
        self._json = json
        self._live = LiveLine(terminal)
        self._clock: asyncio.Task[None] | None = None
        self.redactor = Redactor()

    def on_start(self, check: Check) -> None:
        """A check begins."""
        self._live.show(f"checking {check.name} …")
        if self._clock is None and self._terminal.live:
            self._clock = asyncio.create_task(self._tick(), name="live-line")

    def on_result(self, result: Result) -> None:
        """A check is done."""
        self._live.hide()
        self.redactor.learn(given_secrets())
        if self._json:
            return
        verdict = verdict_cell(result.finding.verdict)
        text = f"  {self.redactor.text(line(result))}"
        self._terminal.data(text, marked=(verdict, _COLOURS[result.finding.verdict]))
        if remedy := remedy_line(result):
            self._terminal.data(self.redactor.text(remedy))

    def on_end(self, report: Report) -> None:
        """All checks are done."""
        if self._json:
            self._terminal.json(self.redactor.value(report.as_json()))
        else:
            self._terminal.data(summary(report.results))

    def say(self, text: str) -> None:
        """A line beside the report."""
        self._terminal.say(self.redactor.text(text))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._live.draw()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._live.hide()
