"""A document's notebook that fills with outputs, and the file that it is saved to."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from jrc.errors import JrcError, UsageError
from jrc.notebook.document import Cell, Document
from jrc.notebook.error_cells import with_error_cells
from jrc.notebook.merging import INCOMPLETE, UNFINISHED, Merged, merge, places
from jrc.notebook.outputs import Outputs
from jrc.notebook.reading import read_notebook
from jrc.notebook.result_file import ResultFile, free_name
from jrc.notebook.saving import Saver
from jrc.notebook.schema import Json
from jrc.notebook.writers import Claim, Writers
from jrc.profile.files import Seen, seen

log = logging.getLogger("jrc.notebook.result_notebook")


class Progress(Protocol):
    """How far a run's messages have been dealt with."""

    @property
    def handled(self) -> int: ...

    def saved(self, number: int) -> None:
        """Let the kernel free the messages up to this number."""


class TakenUp(NamedTuple):
    """What an earlier client of a run left in its file.

    Attributes:
        cells: indexes of the cells that have outputs.
        messages: how many messages of the run these outputs come from; None when the file does not
            say so.
    """

    cells: set[int]
    messages: int | None


class Filling:
    """The notebook of one run.

    Args:
        document: its notebook gets the outputs.
        path: the file to save to; None to save nothing.

    Attributes:
        outputs: what the cells published.
        path: the file to save to; another one than was given, where ``open`` says so.
        language_info: what the kernel says of its language; None before it said so.
    """

    def __init__(self, document: Document, path: Path | None) -> None:
        self.outputs = Outputs()
        self.path = path
        self.language_info: dict[str, Any] | None = None
        self._document = document
        self._saver = None if path is None else Saver(path, self.notebook, saved=self._saved)
        self._executed: set[int] = set()
        self._emptied: set[int] = set()
        self._run = ""
        self._progress: Progress | None = None
        self._failed: int | None = None
        self._file: ResultFile | None = None
        self._claim: Claim | None = None
        self._is_finished = False

    def mark_error(self, index: int) -> None:
        """Let the result point to this cell, as papermill's does."""
        self._failed = index

    def open(
        self,
        run: str,
        writers: Writers,
        *,
        say: Callable[[str], None],
        goes_on: Callable[[str], bool],
        since: float | None = None,
    ) -> None:
        """Make this run the only one that writes the file, before the first save.

        From now on nothing that somebody else writes there is overwritten.

        Args:
            run: its id.
            writers: who writes what.
            say: is told what a person should know of the file, in a sentence.
            goes_on: tells whether another run can still be attached to.
            since: when the run began, where that was not now: what somebody wrote since stays, and
                the result gets another name. None to replace the file.

        Raises:
            UsageError: another run writes the file, or has left a part of its result there.
        """
        if self.path is None:
            return
        claim = self._claimed(self.path, run, writers)
        known = seen(self.path)
        last = None if claim is None else claim.last
        if last is not None and last.run != run and not last.finished and known is not None:
            self._refuse_unfetched(claim, last.run, goes_on)
        if os.path.realpath(self.path) == os.path.realpath(self._document.path):
            known = self._document.seen
        elif last is not None and last.run == run:
            known = None
        elif since is not None and known is not None and known.changed > since * 1e9:
            if claim is not None:
                claim.give_up()
            new = free_name(self.path)
            say(f"{self.path} was written by somebody since the run began: saving in {new}.")
            self.path = new
            claim, known = self._claimed(new, run, writers), None
        if claim is not None:
            claim.begin()
        self._claim = claim
        self._write_to(self.path, known, say)

    def _refuse_unfetched(
        self, claim: Claim | None, run: str, goes_on: Callable[[str], bool]
    ) -> None:
        """The kernel may have freed what another run has saved in the file."""
        if not goes_on(run):
            return
        if claim is not None:
            claim.give_up()
        raise UsageError(
            f"{self.path} holds what the run {run} has shown until now; it is not fetched yet.",
            hint=f"Fetch it: jrc attach {run} (or save elsewhere: -o OTHER.ipynb)",
        )

    @property
    def result(self) -> Path | None:
        """The file that holds what was saved last."""
        return self.path if self._file is None else self._file.result

    def keep_step(self, run: str, progress: Progress) -> None:
        """Until ``finished``: a saved file says how much of the run it holds.

        So whoever takes it up goes on behind that, and the kernel frees no more than that.

        Args:
            run: its id.
            progress: of the run.
        """
        if self._saver is not None:
            self._run, self._progress = run, progress
            progress.saved(progress.handled)

    def finished(self, cells: Sequence[Cell] = ()) -> None:
        """The run is over: what is saved from now on is its result.

        Args:
            cells: those of the run. Where one of them began, the others are emptied: what an
                earlier run left in them is no part of this result.
        """
        self._progress = None
        self._is_finished = True
        indexes = {cell.index for cell in cells}
        if indexes & self._executed:
            self._emptied = indexes - self._executed

    @property
    def problem(self) -> str:
        """Why the last save failed; empty when it did not."""
        if self._saver is None or self._saver.problem is None:
            return ""
        return self._saver.problem.message

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
        place = places(self._document.notebook["cells"], saved)
        for cell in cells:
            node = saved[place[cell.index]] if cell.index in place else {}
            if node.get("execution_count") is not None:
                timing = node["metadata"].get("execution")
                self.outputs.load(cell.index, node["outputs"], node["execution_count"], timing)
                taken.add(cell.index)
        self._executed |= taken
        return TakenUp(taken, _messages_in(notebook, run))

    def changed(self, index: int, finished: bool) -> None:
        """The outputs of a cell changed; save them when it is time for it."""
        self._executed.add(index)
        if self._saver is not None:
            self._saver.changed(cell_finished=finished)

    def save(self) -> None:
        """Save the notebook now.

        Raises:
            UsageError: the file can't be written.
        """
        if self._saver is not None:
            self._saver.save()

    def close(self) -> None:
        """Let large outputs go: nothing can be saved any more."""
        self.outputs.close()
        if self._claim is not None and self.path is not None:
            self._claim.release(self.path, finished=self._is_finished)

    def _claimed(self, path: Path, run: str, writers: Writers) -> Claim | None:
        """None where this computer can't remember who writes what: no reason not to run."""
        try:
            return writers.claim(path, run)
        except OSError as error:
            log.warning("%s may have other writers: %s", path, error)
            return None

    def _write_to(self, path: Path, known: Seen | None, say: Callable[[str], None]) -> None:
        self._file = ResultFile(path, self._merge, say=say, known=known)
        self._saver = Saver(path, self.notebook, write=self._file.write, saved=self._saved)

    def _merge(self, _ours: Json, theirs: Json) -> Merged:
        # Without the cells that point to an error, which move the others.
        ours = self._document.notebook
        merged = merge(ours, theirs, self._executed, self._emptied)
        if self._failed is None:
            return merged
        outputs = ours["cells"][self._failed]["outputs"]
        for index, cell in enumerate(merged.notebook["cells"]):
            if cell.get("outputs") is outputs:
                return merged._replace(notebook=with_error_cells(merged.notebook, index))
        return merged

    def notebook(self) -> Json:
        """The document's notebook with everything that has arrived until now."""
        notebook = self._document.notebook
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
        if self._progress is not None:
            mark = {"run": self._run, "messages": self._progress.handled}
            notebook["metadata"][UNFINISHED] = mark
        return notebook if self._failed is None else with_error_cells(notebook, self._failed)

    def _saved(self) -> None:
        if self._progress is not None:
            self._progress.saved(self._progress.handled)


def _messages_in(notebook: Json, run: str) -> int | None:
    mark = notebook["metadata"].get(UNFINISHED)
    if not isinstance(mark, dict) or mark.get("run") != run:
        return None
    messages = mark.get("messages")
    return messages if isinstance(messages, int) else None
