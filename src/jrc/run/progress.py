"""What a run has to show: outputs in their cells, events for the listener, and how it ended.

Pure but for the listener that it tells; the clock is an argument.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from jrc.errors import JrcError
from jrc.kernel.channels import LinkLost, LinkRestored
from jrc.kernel.execution import (
    NO_REPLY_NAME,
    Finished,
    InputEchoed,
    KernelEnded,
    LimitReached,
    Published,
    Replied,
    Started,
)
from jrc.notebook.outputs import Outputs, display_id_of, to_output
from jrc.notebook.widgets import CommMessage
from jrc.run.cell_requests import CellRequest
from jrc.run.events import (
    CellFinished,
    CellOutput,
    CellStarted,
    KernelReady,
    Notice,
    RunEvent,
    WidgetChanged,
)
from jrc.wire.message import Message

if TYPE_CHECKING:
    from jrc.notebook.widget_text import WidgetTexts

log = logging.getLogger("jrc.run.progress")

MOST_LOSSES = 1000
"""Sentences about lost output."""

HOW_KERNELS_END = {
    "died": "The kernel died (out of memory, or os._exit) and the server restarted it.",
    "dead": "The kernel died and the server gave up restarting it.",
    "restarted": "Somebody restarted the kernel.",
    "shutdown": "Somebody shut the kernel down.",
    "gone": "The kernel is gone: it died, somebody ended it, or the server culled it.",
    "deleted": "The kernel was deleted on the server: by somebody, or culled as idle.",
    "unresponsive": "The kernel is idle and executes nothing, however often the cells are sent.",
    "unanswered": "The kernel never answered after its start; the server's log may say why.",
    "ended": "The kernel was ended while it worked: by somebody, or together with its server.",
    "forgotten": "The kernel does not know the run any more: another client fetched or removed it, "
    "or the kernel was restarted.",
    "unreached": "The kernel is idle and never got the cell: the client that began the run ended "
    "too soon.",
}


def unrecorded(reason: str) -> str:
    """The sentence about a kernel without a recorder."""
    return (
        f"There is no recorder in this kernel ({reason}): cells are sent one by one, and output "
        "that gets lost on the way stays lost."
    )


@dataclass
class Result:
    """How the cells ended.

    Attributes:
        status: as in ``events.RunFinished``.
        cell: the one that ended the run before its last cell; None when all were executed.
        reply: content of the last ``execute_reply``.
        ended: how the kernel went, when it is gone.
        reason: the same in words.
        lost: one sentence for each loss of output.
        language_info: what the kernel says of its language.
    """

    status: str = "ok"
    cell: CellRequest | None = None
    reply: dict[str, Any] | None = None
    ended: KernelEnded | None = None
    reason: str = ""
    lost: list[str] = field(default_factory=list)
    language_info: dict[str, Any] | None = None

    @property
    def failed(self) -> bool:
        """Not all cells did what they should, and their kernel lives."""
        return self.status in ("error", "timeout", "interrupted", "cancelled", "aborted")

    @property
    def interrupted(self) -> bool:
        """Code was interrupted, and not by this client, or ended without a reply."""
        name = (self.reply or {}).get("ename")
        return self.status == "error" and name in ("KeyboardInterrupt", NO_REPLY_NAME)


class Listener(Protocol):
    """Gets the events of a run, and answers the questions of its code."""

    @property
    def can_answer(self) -> bool: ...

    def on_event(self, event: RunEvent) -> None: ...

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        """One line from the user; None if there is no answer."""
        ...


class Account:
    """The cells of one run and what became of them.

    Args:
        cells: in order; an event's ``key`` is the position in here.
        outputs: gets what the cells publish.
        listener: gets the events.
        changed: called with a cell's index when its outputs changed, and whether it is finished.
        total: the number of the document's last cell.
        shown: positions of cells that have outputs already, which stay.

    Attributes:
        cells: as given.
        result: how they ended, as far as that is known.
    """

    def __init__(
        self,
        cells: Sequence[CellRequest],
        *,
        outputs: Outputs,
        listener: Listener,
        changed: Callable[[int, bool], None],
        total: int,
        shown: Iterable[int] = (),
    ) -> None:
        self.result = Result()
        self.cells = cells
        self._outputs = outputs
        self._listener = listener
        self._changed = changed
        self._total = total
        self._shown = set(shown)
        self._limited: set[int] = set()
        self._widget_texts: WidgetTexts | None = None
        self._exited = False
        self._was_half_open = False
        self._frame_lost = False

    def started(self, event: Started) -> None:
        cell = self._shown_cell(event.key)
        self._outputs.mark(cell.index, "iopub.status.busy", event.message)
        # What an earlier run left in the cell is no output of this one.
        self._changed(cell.index, False)
        number = self.number(event.key)
        started = self._outputs.timing(cell.index).get("iopub.status.busy", "")
        self._send(CellStarted(cell.index, number, self._total, cell.source, cell.title, started))

    def echoed(self, event: InputEchoed) -> None:
        cell = self._shown_cell(event.key)
        self._outputs.mark(cell.index, "iopub.execute_input", event.message)
        self._count(cell.index, event.message)

    def published(self, event: Published) -> list[CommMessage]:
        """Take in an output; returns the comm messages that the kernel needs because of it."""
        cell = self._shown_cell(event.key)
        replies: list[CommMessage] = []
        # Outputs are hostile until checked: one that we can't handle must not cost the others, in
        # this client and in each one that attaches later.
        try:
            widget = self._outputs.captured_by(event.message)
            replies = self._outputs.publish(cell.index, event.message)
        except JrcError:
            raise
        except Exception as error:
            log.info("an output was not understood", exc_info=True)
            what = f"an output could not be understood ({type(error).__name__})."
            self._lose_of(event.key, what)
        else:
            self._send_output(cell.index, event.message, widget)
            self._send_widgets(cell.index, event.message)
        self._changed(cell.index, False)
        return replies

    def replied(self, event: Replied) -> None:
        if event.message.content_fields.get("status") == "aborted":
            return
        cell = self._shown_cell(event.key)
        self._outputs.mark(cell.index, "shell.execute_reply", event.message)
        self._count(cell.index, event.message)

    def finished(self, event: Finished, *, status: str, seconds: float) -> None:
        """A cell is done; one that was aborted is as it was before the run.

        Args:
            event: its end.
            status: how it ended.
            seconds: how long it took here, where the kernel does not say it.
        """
        if status == "aborted":
            return
        cell = self._shown_cell(event.key)
        self._note_losses(event)
        if event.error_lost and event.reply is not None:
            self._outputs.error(cell.index, event.reply)
            self._send(CellOutput(cell.index, to_output("error", event.reply)))
        if event.idle is not None:
            self._outputs.mark(cell.index, "iopub.status.idle", event.idle)
        self.result.reply = event.reply
        took = self._outputs.took(cell.index)
        self._send(
            CellFinished(
                cell=cell.index,
                number=self.number(event.key),
                total=self._total,
                status=status,
                seconds=seconds if took is None else took,
                execution_count=self._outputs.execution_count(cell.index),
            )
        )
        if self._widget_texts is not None:
            self._widget_texts.finished(cell.index)
        self._changed(cell.index, True)

    def _send_widgets(self, index: int, message: Message) -> None:
        if self._widget_texts is None:
            # A widget opens a comm before it is displayed.
            if message.msg_type != "comm_open":
                return
            from jrc.notebook.widget_text import WidgetTexts

            self._widget_texts = WidgetTexts()
        for view in self._widget_texts.heard(index, message):
            self._send(WidgetChanged(*view))

    def limit_reached(self, event: LimitReached) -> None:
        if event.key in self._limited:
            return
        self._limited.add(event.key)
        self._lose_of(
            event.key, f"the server dropped output that came too fast ({event.notice.rstrip('.')})."
        )

    def frame_lost(self, reason: str) -> None:
        """Said once: there may be thousands."""
        if not self._frame_lost:
            self._frame_lost = True
            self.lose(
                f"A message came that can't be read, and without a recorder it is lost: {reason}"
            )

    def language(self, info: dict[str, Any] | None) -> None:
        """What the kernel says of its language, as far as it did."""
        if info is None:
            return
        if self.result.language_info is None:
            self._send(KernelReady.of(info))
        self.result.language_info = info

    def link_lost(self, event: LinkLost) -> None:
        self._was_half_open = event.half_open
        self.notice("link-lost", f"Link to the server lost: {event.reason}. Reconnecting…")

    def link_restored(self, event: LinkRestored, exposed: Sequence[int]) -> None:
        """The link is back.

        Args:
            event: after how long.
            exposed: the cells whose output is lost that the server sent into the silence.
        """
        self.notice("link-restored", f"Link restored after {event.seconds:.1f} s.")
        for key in exposed if self._was_half_open else ():
            self._lose_of(
                key,
                "the link was silent before it broke; what the server sent into the silence is "
                "lost.",
            )

    def kernel_ended(self, event: KernelEnded, pending: Sequence[int]) -> None:
        self.result.ended = event
        self.result.reason = HOW_KERNELS_END[event.how]
        self.notice("kernel-died", self.result.reason)
        self.stop("kernel-died", self.cells[pending[0]] if pending else None)

    def exited(self, key: int) -> None:
        """A cell ended the run, as it wanted. What becomes of those behind it is no failure."""
        self._exited = True
        left = len(self.cells) - 1 - key
        if left:
            cells = "1 cell after it was" if left == 1 else f"{left} cells after it were"
            self.notice("exited", f"Cell {self.number(key)} ended the run: {cells} not executed.")

    def stop(self, status: str, cell: CellRequest | None) -> None:
        """The run ends before its last cell. The first reason counts."""
        if self.result.status == "ok" and not self._exited:
            self.result.status = "output-lost" if status == "lost" else status
            self.result.cell = cell

    def was_cancelled(self) -> None:
        """Somebody cancelled the run before it was complete, whatever its last cell made of it."""
        if self.result.status in ("ok", "error", "aborted", "interrupted"):
            self.result.status = "cancelled"

    def lose(self, sentence: str) -> None:
        """Note that output is lost. A kernel can make that happen a million times."""
        if len(self.result.lost) == MOST_LOSSES:
            sentence = "More is lost than is named here."
        elif len(self.result.lost) > MOST_LOSSES:
            return
        self.result.lost.append(sentence)
        self.notice("output-lost", sentence)

    def notice(self, kind: str, text: str) -> None:
        self._send(Notice(kind, text))

    def number(self, key: int) -> int:
        """Of a cell among the document's, from 1."""
        return self.cells[key].number

    def _shown_cell(self, key: int) -> CellRequest:
        """The cell of an event. Its first event makes room for the new outputs."""
        cell = self.cells[key]
        if key not in self._shown:
            self._shown.add(key)
            self._outputs.start(cell.index)
        return cell

    def _send_output(self, index: int, message: Message, widget: str | None) -> None:
        msg_type = message.msg_type
        if msg_type.startswith("comm"):
            return
        content = message.content_fields
        if msg_type == "clear_output":
            output = {"output_type": msg_type, **content}
        elif msg_type == "update_display_data":
            display = to_output("display_data", content)
            output = {**content, **display, "output_type": msg_type}
        else:
            output = to_output(msg_type, content)
        self._send(CellOutput(index, output, display_id_of(content), widget))

    def _note_losses(self, event: Finished) -> None:
        if event.reply is None:
            self._lose_of(
                event.key,
                "its reply was lost on the way; whether it was executed to its end is not known.",
            )
        elif event.idle is None:
            self._lose_of(
                event.key,
                "the kernel's end-of-output mark was lost between kernel and server, and probably "
                "output before it.",
            )

    def _lose_of(self, key: int, what: str) -> None:
        """Output of one cell is lost: say so, and note it in the cell."""
        sentence = f"Cell {self.number(key)}: {what}"
        self._outputs.note_loss(self.cells[key].index, sentence)
        self.lose(sentence)

    def _count(self, index: int, message: Message) -> None:
        self._outputs.set_execution_count(index, message.content_fields.get("execution_count"))

    def _send(self, event: RunEvent) -> None:
        self._listener.on_event(event)
