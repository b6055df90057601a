"""The notebook of a run, and the file that it is saved to."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from jrc.errors import UsageError
from jrc.notebook.document import Document
from jrc.notebook.result_content import Progress, ResultContent, Unfinished
from jrc.notebook.result_file import ResultFile, free_name
from jrc.notebook.saving import Saver, Write
from jrc.notebook.writers import Claim, Writers
from jrc.profile.files import Seen, rights_of, seen

log = logging.getLogger("jrc.notebook.result_notebook")


class Filling:
    """The notebook of one run, saved as it fills.

    Args:
        document: its notebook gets the outputs.
        path: the file to save to; None to save nothing.

    Attributes:
        content: the notebook.
        path: the file to save to; another one than was given, where ``open`` says so.
    """

    def __init__(self, document: Document, path: Path | None) -> None:
        self.content = ResultContent(document)
        self.path = path
        # What a private document prints is private.
        self._most = rights_of(document.path)
        self._saver = None if path is None else self._saver_of(path)
        self._file: ResultFile | None = None
        self._claim: Claim | None = None
        self._holds_all = False

    def open(
        self,
        run: str,
        writers: Writers,
        *,
        say: Callable[[str], None],
        goes_on: Callable[[str], bool],
        before: str | None = None,
    ) -> None:
        """Make this run the only one that writes the file, before the first save.

        From now on nothing that somebody else writes there is overwritten.

        Args:
            run: its id.
            writers: who writes what.
            say: called with a sentence about the file that people should read.
            goes_on: whether another run can still be attached to.
            before: ``Seen.mark`` of the file as it was when the run began, where that was not now;
                empty where there was none. A file that is another one now stays, and the result
                gets another name. None to replace the file.

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
        if os.path.realpath(self.path) == os.path.realpath(self.content.document.path):
            known = self.content.document.seen
        elif last is not None and last.run == run:
            known = None
        elif before is not None and known is not None and known.mark != before:
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
        """Until the content is finished, a saved file says how much of the run it holds.

        A client that takes it up goes on behind that, and the kernel frees no more than that.

        Args:
            run: its id.
            progress: of the run.
        """
        if self._saver is not None:
            self.content.unfinished = Unfinished(run, progress)
            progress.saved(progress.handled)

    @property
    def problem(self) -> str:
        """Why the last save failed; empty when it did not."""
        if self._saver is None or self._saver.problem is None:
            return ""
        return self._saver.problem.message

    def changed(self, index: int, finished: bool) -> None:
        """The outputs of a cell changed; save them when it is time for it."""
        self.content.began(index)
        if self._saver is not None:
            self._saver.changed(cell_finished=finished)

    def save(self) -> None:
        """Save the notebook now.

        Raises:
            UnsavedError, UsageError: as in ``Saver.save``.
        """
        if self._saver is not None:
            self._saver.save()

    def close(self) -> None:
        """Let large outputs go: nothing can be saved any more."""
        self.content.outputs.close()
        if self._claim is not None and self.path is not None:
            self._claim.release(self.path, finished=self._holds_all)

    def _claimed(self, path: Path, run: str, writers: Writers) -> Claim | None:
        """None where this computer can't remember who writes what: no reason not to run."""
        try:
            return writers.claim(path, run)
        except OSError as error:
            log.warning("%s may have other writers: %s", path, error)
            return None

    def _write_to(self, path: Path, known: Seen | None, say: Callable[[str], None]) -> None:
        merge, most = self.content.merge, self._most
        self._file = ResultFile(path, merge, say=say, known=known, most=most)
        self._saver = self._saver_of(path, self._file.write)

    def _saver_of(self, path: Path, write: Write | None = None) -> Saver:
        content, saved, most = self.content.notebook, self._saved, self._most
        return Saver(path, content, write=write, saved=saved, most=most)

    def _saved(self) -> None:
        self._holds_all = self.content.is_finished
        unfinished = self.content.unfinished
        if unfinished is not None:
            unfinished.progress.saved(unfinished.progress.handled)
