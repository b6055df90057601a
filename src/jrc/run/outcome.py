"""How a run ended, as an exit code or an error with a sentence and a hint."""

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from jrc.errors import (
    DeadlineError,
    ExitCode,
    InterruptedByUserError,
    JrcError,
    KernelDiedError,
    OutputLostError,
    RemoteError,
)
from jrc.notebook.document import Document
from jrc.notebook.repair import valid_traceback
from jrc.notebook.script import exit_code_from_reply
from jrc.run.events import RunFinished
from jrc.run.progress import Listener, Result

if TYPE_CHECKING:
    from pathlib import Path

_NOBODY_TO_ASK = (
    "The code asks a question: begin the run at a terminal. A detached one waits until you "
    "attach to it."
)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ARROW = re.compile(r"^-+> (\d+) ?(.*)$")


class Ending(NamedTuple):
    """Tells how a run of a document ended.

    Attributes:
        document: what was executed.
        output: the file that holds the result; None when nothing was saved.
        cell_timeout: seconds for one cell.
        allow_loss: lost output is no failure.
        go_on: what to type to go on, without ``--from``; empty when the kernel is not kept.
    """

    document: Document
    output: "Path | None"
    cell_timeout: float | None = None
    allow_loss: bool = False
    go_on: str = ""

    def conclude(self, run: str, result: Result, listener: Listener) -> int:
        """Say how the run ended.

        Args:
            run: its id.
            result: how its cells ended.
            listener: hears the last event.

        Returns:
            the exit code of a run without a failure.

        Raises:
            JrcError: its failure.
        """
        failure = self.failure(result)
        code = int(self.exit_code(result) if failure is None else failure.exit_code)
        output = None if self.output is None else str(self.output)
        listener.on_event(RunFinished(run, self.status(result), code, output, result.lost))
        if failure is not None:
            raise failure
        return code

    def exit_code(self, result: Result) -> int:
        """Of a run without a failure: a script's own, else 0."""
        if self.document.kind == "notebook" or result.reply is None:
            return ExitCode.OK
        return exit_code_from_reply(result.reply) or ExitCode.OK

    def status(self, result: Result) -> str:
        """As in ``events.RunFinished``: also where all cells went well, and output was lost."""
        lost = result.status == "ok" and result.lost and not self.allow_loss
        return "output-lost" if lost else result.status

    def failure(self, result: Result) -> JrcError | None:
        """The error that a run ends with; None when all is well."""
        hint = None if self.output is None else f"What arrived is saved in {self.output}."
        name = self._name(result)
        match result.status:
            case "error":
                return RemoteError(
                    self._error_sentence(result),
                    hint=self._how_to_go_on(result),
                    exit_code=self._code_of_error(result),
                )
            case "timeout":
                limit = f"{self.cell_timeout:g} s"
                return DeadlineError(f"{name} ran longer than {limit}.", hint=hint)
            case "aborted":
                return RemoteError(
                    f"{name} was aborted: somebody cancelled the run or interrupted the kernel.",
                    hint=hint,
                )
            case "cancelled":
                return InterruptedByUserError(self._cancelled_sentence(result), hint=hint)
            case "interrupted":
                return InterruptedByUserError("Interrupted.", hint=hint)
            case "kernel-died":
                return KernelDiedError(f"{name}: {result.reason}", hint=hint)
        if result.lost and not self.allow_loss:
            return OutputLostError(
                f"The run is complete, but output was lost: {result.lost[0]}"
                if result.status == "ok"
                else result.lost[0],
                hint=hint,
            )
        return None

    def _code_of_error(self, result: Result) -> int:
        """130 for a script that raises KeyboardInterrupt, as a shell tells of python; else 1."""
        script = self.document.kind != "notebook"
        code = exit_code_from_reply(result.reply or {}) if script else None
        return code or ExitCode.REMOTE_FAILED

    def _how_to_go_on(self, result: Result) -> str | None:
        saved = None if self.output is None else f"What arrived is saved in {self.output}."
        if (result.reply or {}).get("ename") == "StdinNotImplementedError":
            return f"{saved or ''} {_NOBODY_TO_ASK}".strip()
        if not self.go_on or result.cell is None:
            return saved
        command = f"{self.go_on} --from {max(result.cell.number, 1)}"
        return f"{saved or ''} Fix the cell and go on with: {command}".strip()

    def _cancelled_sentence(self, result: Result) -> str:
        where = ""
        if result.cell is not None and result.cell.number and self.document.kind != "script":
            where = f", in cell {result.cell.number}"
        return f"The run of {self.document.path.name} was cancelled{where}."

    def _name(self, result: Result) -> str:
        if result.cell is None or self.document.kind == "script":
            return self.document.path.name
        if not result.cell.number:
            return f"The cell with the parameters of {self.document.path.name}"
        return f"Cell {result.cell.number} of {self.document.path.name}"

    def _error_sentence(self, result: Result) -> str:
        what = error_sentence(result.reply or {})
        name = self._name(result)
        cell = result.cell
        line = None
        if cell is not None and self.document.kind != "script":
            line = failing_line(valid_traceback((result.reply or {}).get("traceback")))
        if line is None or cell is None:
            return f"{name} failed: {what}"
        start = next(c.line for c in self.document.cells if c.index == cell.index)
        number = line.number if not start else start + line.number - 1
        return f"{name} failed at line {number} ({line.text}): {what}"


class FailingLine(NamedTuple):
    """The line of a cell that raised.

    Attributes:
        number: from 1, in the cell.
        text: the code.
    """

    number: int
    text: str


def failing_line(traceback: list[str]) -> FailingLine | None:
    """The line that an IPython traceback points to in the cell itself.

    Args:
        traceback: as in an ``error`` output: blocks of text with terminal colours.
    """
    in_cell = False
    for line in _ANSI.sub("", "\n".join(traceback)).splitlines():
        if line.startswith(("Cell In", "Input In", "<ipython-input")):
            in_cell = True
        elif line.startswith("File "):
            in_cell = False
        match = _ARROW.match(line)
        if match is not None and in_cell:
            return FailingLine(int(match[1]), match[2].strip())
    return None


def error_sentence(reply: dict[str, Any]) -> str:
    """``ename: evalue`` of an ``execute_reply``, shortened to what fits a line."""
    if reply.get("ename") == "EOFError" and not reply.get("evalue"):
        return "EOFError: the code asked for input, and there is none on stdin"
    # A bash kernel gives an exit status, and no name.
    text = f"{reply.get('ename') or 'Error'}: {reply.get('evalue', '')}".strip().rstrip(":")
    first = _ANSI.sub("", text).partition("\n")[0]
    return first if len(first) <= 200 else first[:199] + "…"
