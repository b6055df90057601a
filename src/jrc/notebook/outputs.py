"""Outputs of cells, built from the messages that a kernel publishes.

The result is what nbclient writes, in the same order, with three differences. Neighbouring pieces
of one stream are one output. In it a carriage return goes back to the start of its line, as in a
terminal: a progress bar is one line, not thousands. And what a thread publishes after its cell has
finished still goes to that cell.

A kernel may publish anything. What comes out of here is valid in a notebook, whatever came in.

Source: nbformat "The Notebook file format", section "Code cell outputs"; nbclient ``client.py``.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jrc.notebook.repair import valid_count, valid_output
from jrc.notebook.spool import Spool, TerminalText
from jrc.notebook.widgets import CommMessage, Widgets

if TYPE_CHECKING:
    from jrc.wire.message import Message

Output = dict[str, Any]

_DISPLAYS = ("execute_result", "display_data", "update_display_data")


class _Cell:
    """The outputs in order. Where the last one is a stream, its text still grows in ``growing``."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.growing: TerminalText | None = None
        self.clear_before_next = False
        self.execution_count: int | None = None
        self.timing: dict[str, str] = {}
        self.losses: list[str] = []


class Outputs:
    """The outputs of one document's cells, by the index of the cell."""

    def __init__(self) -> None:
        self._cells: dict[int, _Cell] = {}
        self._displays: dict[str, dict[int, list[Output]]] = {}
        self._widgets = Widgets()
        self._spool = Spool()

    def close(self) -> None:
        """Let large outputs go: nothing can be read any more."""
        self._spool.close()

    def start(self, index: int) -> None:
        """Forget what a cell had: it is executed anew."""
        self._forget_displays(index)
        self._cells[index] = _Cell()

    def load(self, index: int, outputs: list[Output], count: object, timing: object) -> None:
        """Take up a cell as a notebook holds it."""
        self.start(index)
        for output in outputs:
            if output["output_type"] == "stream":
                self._add(index, "stream", output, None)
            else:
                _end_stream(self._cells[index])
                self._cells[index].outputs.append(self._spooled(dict(output)))
        self.set_execution_count(index, count)
        if isinstance(timing, dict):
            self._cells[index].timing = {str(key): str(value) for key, value in timing.items()}

    def publish(self, index: int, message: "Message") -> list[CommMessage]:
        """Take in one published message.

        Args:
            index: of the cell whose code caused it.
            message: one of ``execution.OUTPUT_TYPES``.

        Returns:
            what to send to the kernel: an output widget's new content.
        """
        msg_type = message.msg_type
        content = message.content_fields
        display_id = display_id_of(content) if msg_type in _DISPLAYS else None
        if display_id is not None:
            self._update_display(display_id, content)
        if msg_type == "update_display_data":
            return []
        if msg_type.startswith("comm"):
            self._widgets.comm(msg_type, content, message.buffers)
            return []
        widget = self._widgets.capturing(message.parent_id)
        if msg_type == "clear_output":
            wait = bool(content.get("wait"))
            if widget is not None:
                return widget.clear(message.parent_fields, wait=wait)
            self._clear(index, wait=wait)
            return []
        if widget is not None:
            return widget.add(message.parent_fields, to_output(msg_type, content))
        self._add(index, msg_type, content, display_id)
        return []

    def captured_by(self, message: "Message") -> str | None:
        """Id of the Output widget that shows what this message publishes; None for the cell."""
        widget = self._widgets.capturing(message.parent_id)
        return None if widget is None else widget.comm_id

    def error(self, index: int, reply: dict[str, Any]) -> None:
        """Add the error of an ``execute_reply`` whose ``error`` message was lost."""
        self._add(index, "error", reply, None)

    def set_execution_count(self, index: int, count: object) -> None:
        count = valid_count(count)
        if count is not None:
            self._cells[index].execution_count = count

    def mark(self, index: int, what: str, message: "Message") -> None:
        """Note when something happened to a cell.

        Args:
            index: of the cell.
            what: a key of the cell's ``execution`` metadata, as JupyterLab and nbclient name it.
            message: the one whose date counts.
        """
        self._cells[index].timing[what] = _timestamp(message.header_fields.get("date"))

    def cell(self, index: int) -> list[Output]:
        """The outputs of a cell as a notebook holds them."""
        cell = self._cells[index]
        if cell.growing is None:
            return list(cell.outputs)
        return [*cell.outputs[:-1], {**cell.outputs[-1], "text": cell.growing.text()}]

    def execution_count(self, index: int) -> int | None:
        return self._cells[index].execution_count

    def note_loss(self, index: int, sentence: str) -> None:
        """The outputs of a cell may be incomplete."""
        if index in self._cells:
            self._cells[index].losses.append(sentence)

    def losses(self, index: int) -> list[str]:
        """Why the outputs of a cell may be incomplete; nothing when they are complete."""
        return list(self._cells[index].losses)

    def timing(self, index: int) -> dict[str, str]:
        return dict(self._cells[index].timing)

    def took(self, index: int) -> float | None:
        """Seconds from the kernel's busy to its idle, by its clock; None where one is missing.

        What is fetched later arrives at once, so the time of arrival says nothing.
        """
        timing = self._cells[index].timing
        ends = [timing.get(f"iopub.status.{state}") for state in ("busy", "idle")]
        if None in ends:
            return None
        began, ended = (datetime.fromisoformat(str(each)) for each in ends)
        return max((ended - began).total_seconds(), 0.0)

    def widget_state(self) -> dict[str, Any] | None:
        """The ``widgets`` metadata of the notebook; None when no widget was made."""
        return self._widgets.metadata()

    def _add(
        self, index: int, msg_type: str, content: dict[str, Any], display_id: str | None
    ) -> None:
        cell = self._cells[index]
        if cell.clear_before_next:
            self._clear(index, wait=False)
        output = to_output(msg_type, content)
        if msg_type == "stream":
            self._add_stream(cell, output)
            return
        _end_stream(cell)
        output = self._spooled(output)
        cell.outputs.append(output)
        if display_id is not None:
            self._displays.setdefault(display_id, {}).setdefault(index, []).append(output)

    def _add_stream(self, cell: _Cell, output: Output) -> None:
        """Text joins its neighbour of the same name."""
        if cell.growing is None or cell.outputs[-1]["name"] != output["name"]:
            _end_stream(cell)
            cell.growing = TerminalText(self._spool)
            cell.outputs.append({**output, "text": ""})
        cell.growing.append(output["text"])

    def _clear(self, index: int, *, wait: bool) -> None:
        cell = self._cells[index]
        cell.clear_before_next = wait
        if not wait:
            cell.outputs.clear()
            cell.growing = None
            self._forget_displays(index)

    def _forget_displays(self, index: int) -> None:
        for by_cell in self._displays.values():
            by_cell.pop(index, None)

    def _update_display(self, display_id: str, content: dict[str, Any]) -> None:
        for outputs in self._displays.get(display_id, {}).values():
            for output in outputs:
                new = self._spooled(to_output("display_data", content))
                output.update(data=new["data"], metadata=new["metadata"])

    def _spooled(self, output: Output) -> Output:
        """The output with its large images and the like on the disk."""
        data = output.get("data")
        if isinstance(data, dict):
            output["data"] = {
                mimetype: self._spool.keep(value)
                if isinstance(value, str) and not mimetype.startswith("text/")
                else value
                for mimetype, value in data.items()
            }
        return output


def to_output(msg_type: str, content: dict[str, Any]) -> Output:
    """The valid output that a notebook holds for the content of one message."""
    output = valid_output({**content, "output_type": msg_type})
    assert output is not None, msg_type
    return output


def _end_stream(cell: _Cell) -> None:
    """The text of the stream at the end grows no more: something else follows."""
    if cell.growing is not None:
        cell.outputs[-1]["text"] = cell.growing.end()
        cell.growing = None


def display_id_of(content: dict[str, Any]) -> str | None:
    """What names an output that may be replaced later; None when nothing does."""
    transient = content.get("transient")
    display_id = transient.get("display_id") if isinstance(transient, dict) else None
    return display_id if isinstance(display_id, str) and display_id else None


def _timestamp(date: object) -> str:
    """A message's date in UTC, as nbclient writes it; now, when the message has none."""
    try:
        when = datetime.fromisoformat(str(date)).astimezone(UTC)
    except (ValueError, OverflowError):
        when = datetime.now(UTC)
    # Not strftime: it writes the year 1 without its zeros, and then it can't be read again.
    return when.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
