"""What the result of a run contains until now: the document's notebook, with what has arrived."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from jrc.errors import JrcError
from jrc.notebook.document import Cell, Document
from jrc.notebook.error_cells import with_error_cells
from jrc.notebook.merging import INCOMPLETE, UNFINISHED, Merged, merge, places
from jrc.notebook.outputs import Outputs
from jrc.notebook.reading import read_notebook
from jrc.notebook.schema import Json


class Progress(Protocol):
    """How far a run's messages have been dealt with."""

    @property
    def handled(self) -> int: ...

    def saved(self, number: int) -> None:
        """Let the kernel free the messages up to this number."""


class Unfinished(NamedTuple):
    """A run that goes on.

    Attributes:
        run: its id.
        progress: how many of its messages the notebook holds.
    """

    run: str
    progress: Progress

    @property
    def mark(self) -> Json:
        """What a saved notebook says of the run."""
        return {"run": self.run, "messages": self.progress.handled}


class TakenUp(NamedTuple):
    """What an earlier client of a run left in its file.

    Attributes:
        cells: indexes of the cells that have outputs.
        messages: how many messages of the run these outputs come from; None when the file does not
            say so.
    """

    cells: set[int]
    messages: int | None


class ResultContent:
    """The notebook of one run.

    Args:
        document: its notebook gets the outputs.

    Attributes:
        document: as given.
        outputs: what the cells published.
        language_info: what the kernel says of its language; None before it said so.
        unfinished: the run, if the notebook says how much of it there is; else None.
        is_finished: the run is over.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.outputs = Outputs()
        self.language_info: dict[str, Any] | None = None
        self.unfinished: Unfinished | None = None
        self.is_finished = False
        self._executed: set[int] = set()
        self._emptied: set[int] = set()
        self._failed: int | None = None

    def began(self, index: int) -> None:
        """Note that a cell has outputs of this run from now on, or none."""
        self._executed.add(index)

    def mark_error(self, index: int) -> None:
        """Let the result point to this cell, as papermill's does."""
        self._failed = index

    def finished(self, cells: Sequence[Cell] = ()) -> None:
        """The run is over.

        Args:
            cells: those of the run. Where one of them began, the others are emptied: what an
                earlier run left in them is no part of this result.
        """
        self.unfinished = None
        self.is_finished = True
        indexes = {cell.index for cell in cells}
        if indexes & self._executed:
            self._emptied = indexes - self._executed

    def take_up(self, path: Path, cells: Sequence[Cell], run: str = "") -> TakenUp:
        """Begin with the outputs that an earlier client saved, where the code is still the same.

        Args:
            path: the earlier client's file; there may be none.
            cells: those whose outputs are wanted.
            run: id of the run that goes on.
        """
        try:
            notebook = read_notebook(path)
        except JrcError:
            return TakenUp(set(), None)
        saved = notebook["cells"]
        taken = set()
        place = places(self.document.notebook["cells"], saved)
        for cell in cells:
            node = saved[place[cell.index]] if cell.index in place else {}
            if node.get("execution_count") is not None:
                timing = node["metadata"].get("execution")
                self.outputs.load(cell.index, node["outputs"], node["execution_count"], timing)
                taken.add(cell.index)
        self._executed |= taken
        return TakenUp(taken, _messages_in(notebook, run))

    def notebook(self) -> Json:
        """The document's notebook with everything that has arrived until now."""
        notebook = self.document.notebook
        for index in self._executed:
            cell = notebook["cells"][index]
            cell["outputs"] = self.outputs.cell(index)
            cell["execution_count"] = self.outputs.execution_count(index)
            cell["metadata"]["execution"] = self.outputs.timing(index)
            losses = self.outputs.losses(index)
            if losses:
                cell["metadata"][INCOMPLETE] = losses
            else:
                cell["metadata"].pop(INCOMPLETE, None)
        for index in self._emptied - self._executed:
            cell = notebook["cells"][index]
            cell.update(outputs=[], execution_count=None)
            for key in ("execution", INCOMPLETE):
                cell["metadata"].pop(key, None)
        widgets = self.outputs.widget_state()
        if widgets is not None:
            notebook["metadata"]["widgets"] = widgets
        if self.language_info is not None:
            notebook["metadata"]["language_info"] = self.language_info
        notebook["metadata"].pop(UNFINISHED, None)
        if self.unfinished is not None:
            notebook["metadata"][UNFINISHED] = self.unfinished.mark
        return notebook if self._failed is None else with_error_cells(notebook, self._failed)

    def merge(self, theirs: Json) -> Merged:
        """Put the results into what a person has made of the notebook meanwhile."""
        # Without the cells that point to an error, which move the others.
        ours = self.document.notebook
        merged = merge(ours, theirs, self._executed, self._emptied)
        if self._failed is None:
            return merged
        outputs = ours["cells"][self._failed]["outputs"]
        for index, cell in enumerate(merged.notebook["cells"]):
            if cell.get("outputs") is outputs:
                return merged._replace(notebook=with_error_cells(merged.notebook, index))
        return merged


def _messages_in(notebook: Json, run: str) -> int | None:
    mark = notebook["metadata"].get(UNFINISHED)
    if not isinstance(mark, dict) or mark.get("run") != run:
        return None
    messages = mark.get("messages")
    return messages if isinstance(messages, int) else None
