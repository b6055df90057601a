"""Saving a notebook while it fills: often enough, never half, and without slowing the run."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from jrc.errors import UsageError
from jrc.notebook.schema import Json
from jrc.notebook.writing import notebook_bytes
from jrc.profile.files import NotOurs, replace_content, unwritten

EVERY = 5.0
"""Seconds between two saves inside a long cell."""

SHARE = 0.1
"""Part of the time that saving may take."""


class UnsavedError(UsageError):
    """What arrived could be saved nowhere, so this process has nothing of it when it ends."""


Write = Callable[[Json, bool], bool]
"""Writes a notebook, safe from a power cut if asked to; false where it is beside its file."""


class Rhythm:
    """Decides when to save: pure, times are the caller's.

    After every cell, every few seconds inside a long one, and so that saving takes at most
    a tenth of the time, however large the notebook has become.

    Args:
        every: seconds between two saves inside a cell.
        share: part of the time that saving may take.
    """

    def __init__(self, every: float = EVERY, share: float = SHARE) -> None:
        self._every = every
        self._share = share
        self._pending = False
        self._cell_finished = False
        self._ended = float("-inf")
        self._cost = 0.0

    def changed(self, *, cell_finished: bool) -> None:
        """Note that the notebook is no longer what the file holds."""
        self._pending = True
        self._cell_finished = self._cell_finished or cell_finished

    def saved(self, started: float, ended: float, *, successful: bool = True) -> None:
        """Note when a save began and ended, in seconds; one that failed is due again later."""
        self._pending = not successful
        self._cell_finished = False
        self._ended = ended
        self._cost = ended - started

    @property
    def due(self) -> float | None:
        """The time from which on the change should be saved; None when nothing changed."""
        if not self._pending:
            return None
        rest = self._cost * (1 / self._share - 1)
        return self._ended + (rest if self._cell_finished else max(rest, self._every))


class Saver:
    """Keeps the file of a notebook up to date.

    ``save``, to be called first and last, raises what goes wrong. In between, a failure is kept in
    ``problem`` and saving is tried again: the run goes on.

    Args:
        path: the file.
        content: makes the notebook as it is now.
        write: puts it into the file, and says whether it is there; None to replace the file.
        saved: called when what ``content`` made is in the file.
        most: the mode of a new file; see ``replace_content``.
        every: seconds between two saves inside a cell.
        clock: seconds, of any origin.

    Attributes:
        problem: why the last save failed; None when it did not.
    """

    def __init__(
        self,
        path: Path,
        content: Callable[[], Json],
        *,
        write: Write | None = None,
        saved: Callable[[], None] = lambda: None,
        most: int = 0o666,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.problem: UsageError | None = None
        self._content = content
        self._write_file = write or partial(_replace, path, most)
        self._saved = saved
        self._clock = clock
        self._rhythm = Rhythm(every)
        self._changed = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0

    def changed(self, *, cell_finished: bool) -> None:
        """Save the notebook now or, in a running event loop, as soon as it is time for it."""
        self._changed = True
        self._rhythm.changed(cell_finished=cell_finished)
        self._save_when_due()

    def save(self) -> None:
        """Save the notebook now, safe from a power cut too.

        Raises:
            UnsavedError: something has arrived, and no file can be written.
            UsageError: the file can't be written. When something has arrived, the message names
                another file that holds it.
        """
        self._stop_timer()
        try:
            self._write(sync=True)
        except OSError as error:
            if not self._changed:
                raise _unwritable(self.path, error) from error
            rescued = self._rescued()
            if rescued is None:
                raise _unsaved(self.path, error) from error
            raise UsageError(
                f"{unwritten(self.path, error)} What arrived is saved in {rescued}.",
                hint="Move that file before it is cleaned away.",
            ) from error

    def _save_when_due(self) -> None:
        due = self._rhythm.due
        if due is None:
            return
        if due > self._clock():
            self._wake_up_at(due)
            return
        self._stop_timer()
        try:
            self._write(sync=False)
        except OSError as error:
            self.problem = _unwritable(self.path, error)
            self._save_when_due()

    def _write(self, *, sync: bool) -> None:
        started = self._clock()
        successful = False
        try:
            successful = self._write_file(self._content(), sync)
            self.problem = None
            if successful:
                self._saved()
        finally:
            self._rhythm.saved(started, self._clock(), successful=successful)

    def _rescued(self) -> Path | None:
        """Save to the folder for temporary files instead; None when that fails too."""
        copy: Path | None = None
        try:
            # The folder is everybody's: the file that it makes is readable by its owner only.
            handle, name = tempfile.mkstemp(".ipynb", f"{self.path.stem[:50]}-")
            os.close(handle)
            copy = Path(name)
            replace_content(copy, notebook_bytes(self._content()))
        except OSError:
            if copy is not None:
                with suppress(OSError):
                    copy.unlink()
            return None
        return copy

    def _wake_up_at(self, due: float) -> None:
        if self._timer is not None and self._timer_due <= due:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._stop_timer()
        self._timer = loop.call_later(due - self._clock(), self._on_timer)
        self._timer_due = due

    def _on_timer(self) -> None:
        self._timer = None
        self._save_when_due()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _replace(path: Path, most: int, notebook: Json, sync: bool) -> bool:
    return replace_content(path, notebook_bytes(notebook), most=most, sync=sync) is not None


def _unwritable(path: Path, error: OSError) -> UsageError:
    hint = "Check its folder and free space, or choose -o OTHER.ipynb."
    if isinstance(error, NotOurs):
        hint = "Choose a folder that only you can write: -o FOLDER/OTHER.ipynb"
    return UsageError(unwritten(path, error), hint=hint)


def _unsaved(path: Path, error: OSError) -> UnsavedError:
    return UnsavedError(
        f"{unwritten(path, error)} What arrived does not fit into the folder for temporary files "
        "either.",
        hint="Make room on the disk before the next run.",
    )
