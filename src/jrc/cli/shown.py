"""What cells publish, shown on a terminal or written into a log.

Streams and displays are written as they come. What replaces itself, a progress bar or a table that
grows, is kept: on a terminal it is drawn above the live line until its cell is done, elsewhere it
is written once, as it was in the end.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jrc.cli.rendering import as_text, image_type, strip_ansi
from jrc.cli.status_line import LiveLine
from jrc.cli.terminal import Terminal, columns_of
from jrc.notebook.script import is_plain_exit
from jrc.run.events import CellOutput

log = logging.getLogger("jrc.cli")

_MOST_KEPT = 1 << 18
"""Characters of a frame; a longer one is written at once."""

_MOST_AT_ONCE = 200
"""Outputs that are kept; of more, the oldest are written."""

_VIEW = "application/vnd.jupyter.widget-view+json"
_TALLEST = 40


@dataclass
class _Kept:
    """Output that may still change."""

    pieces: list[tuple[str, bool]] = field(default_factory=list)
    data: dict[str, Any] | None = None
    clear_next: bool = False
    size: int = 0


class Shown:
    """The outputs of the cells of one run.

    Args:
        terminal: where to.
        apart: begin each cell's output, and each kind of it, on a line of its own, as a browser
            does. A plain script's output stays as the script writes it.
        saved_in: the file that will hold the outputs; None when they are not saved.
        total: when the whole began, for the live line's clock.

    Attributes:
        live: the live line.
        heading: a line to put before the next output.
        unsaved: what saves an image where the outputs are not saved.
    """

    def __init__(
        self, terminal: Terminal, *, apart: bool, saved_in: str | None, total: float | None
    ) -> None:
        self.live = LiveLine(terminal, total=total, above=self._kept_lines)
        self.heading = ""
        self.apart = apart
        self.saved_in = saved_in
        self.unsaved = "-o FILE saves it"
        self._terminal = terminal
        self._kept: dict[str, _Kept] = {}
        self._framed = False
        self._frame = 0
        self._clear_next = False
        self._images = 0
        self._cell: object = None

    def begin(self, cell: int) -> None:
        """A cell begins."""
        self._cell = cell
        self._framed = self._clear_next = False
        self._terminal.out.place.mark()

    def output(self, event: CellOutput) -> None:
        """Show one output."""
        self._cell, output = event.cell, event.output
        kind = output["output_type"]
        if event.widget is not None:
            self._kept.pop(f"widget {event.widget}", None)
            self._captured(f"output {event.widget}", output)
        elif kind == "clear_output":
            if output.get("wait"):
                self._clear_next = True
            else:
                self._clear()
        else:
            if self._clear_next:
                self._clear()
            self._show(event.display_id, output)

    def widget(self, model_id: str, text: str) -> None:
        """A widget that a cell displays is this text now; empty when it shows none."""
        key = f"widget {model_id}"
        if text:
            self._keep(key, _Kept([(f"{text}\n", False)]))
        elif key in self._kept:
            del self._kept[key]
            self.live.draw_soon()

    def finish(self) -> None:
        """The cell is done: what was kept is final."""
        for key in list(self._kept):
            self._write_kept(self._kept.pop(key))
        if self._images > 1:
            self._write(f"[and {self._images - 1} more]\n", error=True, kind="display")
        self._images = 0
        self.live.draw()

    def _show(self, display_id: str | None, output: dict[str, Any]) -> None:
        kind = output["output_type"]
        if kind == "stream":
            error = output["name"] == "stderr"
            self._write_or_keep(str(output["text"]), error=error, kind=output["name"])
        elif kind == "error" and not is_plain_exit(output):
            self._write_or_keep("\n".join(output["traceback"]) + "\n", error=True, kind="error")
        elif kind in ("display_data", "execute_result", "update_display_data"):
            data = output.get("data", {})
            view = data.get(_VIEW)
            if display_id is not None:
                self._keep(f"display {display_id}", _Kept(data=data))
            elif isinstance(view, dict):
                self._keep(f"widget {view.get('model_id')}", _Kept(data=data))
            elif self._framed:
                self._frame += 1
                self._keep(f"shown {self._frame}", _Kept(data=data))
            else:
                self._display(data)

    def _captured(self, key: str, output: dict[str, Any]) -> None:
        """An Output widget shows it: rich draws its progress so."""
        kept = self._kept.setdefault(key, _Kept())
        if output["output_type"] == "clear_output":
            kept.clear_next = True
            if not output.get("wait"):
                self._keep(key, _Kept())
            return
        if kept.clear_next:
            kept = _Kept()
        text = output.get("text") or "\n".join(output.get("traceback", []))
        self._extend(key, kept, str(text or _text_of(output.get("data", {})) + "\n"), error=False)

    def _clear(self) -> None:
        """The cell begins anew with what it shows."""
        self._clear_next = False
        self._kept.clear()
        if not self._framed:
            self._framed = True
            self._take_back()
        self.live.draw_soon()

    def _take_back(self) -> None:
        """Take away what the cell has written, where that is still on the screen."""
        out = self._terminal.out
        if not self._terminal.live or out.place is not self._terminal.err.place:
            return
        rows = out.place.rows_since_mark(columns_of(out) or 80)
        if rows is None or rows >= self.live.height - 1:
            return
        up = f"\x1b[{rows}A" if rows else ""
        out.control(f"{up}\r\x1b[J")
        out.flush()
        out.place.answered()

    def _keep(self, key: str, kept: _Kept) -> None:
        self.head()
        self._kept[key] = kept
        while len(self._kept) > _MOST_AT_ONCE:
            self._write_kept(self._kept.pop(next(iter(self._kept))))
        self.live.draw_soon()

    def _extend(self, key: str, kept: _Kept, text: str, *, error: bool) -> None:
        kept.pieces.append((text, error))
        kept.size += len(text)
        self._keep(key, kept)
        if kept.size > _MOST_KEPT:
            self._write_kept(self._kept.pop(key))

    def _write_or_keep(self, text: str, *, error: bool, kind: str) -> None:
        if self._framed:
            key = f"frame {self._frame}"
            self._extend(key, self._kept.get(key) or _Kept(), text, error=error)
        else:
            self._write(text, error=error, kind=kind)

    def _write_kept(self, kept: _Kept) -> None:
        if kept.data is not None:
            self._display(kept.data)
        for text, error in kept.pieces:
            self._write(text, error=error, kind="kept")

    def _display(self, data: dict[str, Any]) -> None:
        text = _text_of(data)
        if text:
            self._write(text + "\n", error=False, kind="display")
        image = image_type(data)
        if image is None:
            return
        self._images += 1
        if self._images == 1:
            place = f"saved in {self.saved_in}" if self.saved_in else self.unsaved
            self._write(f"[{image}: {place}]\n", error=True, kind="display")

    def _write(self, text: str, *, error: bool, kind: str) -> None:
        if not text:
            return
        self.head()
        stream = self._terminal.err if error else self._terminal.out
        owner = (self._cell, kind)
        if self.apart and stream.place.open and stream.place.owner != owner:
            stream.write("\n")
        stream.place.owner = owner
        colored = self._terminal.color_err if error else self._terminal.color_out
        # A script's colours are its own affair, as with python.
        colours = colored or (not self.apart and kind in ("stdout", "stderr"))
        self._terminal.output(text, error=error, colours=colours)
        self.live.draw_soon()

    def head(self) -> None:
        """Put the heading of the cell, unless it is there."""
        if self.heading:
            self._terminal.mark(self.heading)
            self.heading = ""
            self._terminal.out.place.mark()

    def _kept_lines(self) -> Iterator[str]:
        """The lines above the live line."""
        for kept in self._kept.values():
            text = "".join(piece for piece, _ in kept.pieces)
            if kept.data is not None:
                text = _text_of(kept.data)
            for line in strip_ansi(text).rstrip("\n").split("\n")[-_TALLEST:]:
                yield line.rstrip("\r").rpartition("\r")[2].expandtabs()


def _text_of(data: dict[str, Any]) -> str:
    """The text of an output; what goes wrong there goes into the log."""
    try:
        return as_text(data)
    except Exception as error:
        log.warning("an output can't be shown: %r", error)
        log.debug("where it failed", exc_info=error)
        return f"[{', '.join(map(str, data))}: can't be shown here]"
