"""The file of a result, which a person may edit while the run goes on."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jrc.errors import JrcError
from jrc.notebook.merging import Merged
from jrc.notebook.reading import parse_notebook
from jrc.notebook.schema import Json
from jrc.notebook.writing import notebook_bytes
from jrc.profile.files import Seen, replace_content, seen

READ_PATIENCE = 1.0
"""Seconds for an editor to write its file to the end, before the last save goes beside it."""

_PAUSE = 0.1
_MOST_TRIES = 20


class ResultFile:
    """Writes a notebook, and never over what somebody else wrote there meanwhile.

    Args:
        path: the file.
        merge: puts the outputs into the notebook that it is given, which somebody edited.
        say: called with a sentence about what became of the outputs.
        known: how the file looked when it was read or written last; None to merge with what is
            there at the first save.
        most: the mode of a new file; see ``replace_content``.

    Attributes:
        result: the file that holds all that was saved last.
    """

    def __init__(
        self,
        path: Path,
        merge: Callable[[Json], Merged],
        *,
        say: Callable[[str], None],
        known: Seen | None = None,
        most: int = 0o666,
    ) -> None:
        self.path = path
        self.result = path
        self.known = known
        self._most = most
        self._merge = merge
        self._say = say
        self._theirs: Json | None = None
        self._beside: Path | None = None
        self._beside_seen: Seen | None = None
        self._said = ""

    def write(self, ours: Json, sync: bool) -> bool:
        """Save a notebook.

        Args:
            ours: with all outputs.
            sync: it is the last save, or the first: safe from a power cut.

        Returns:
            false where the file can't be read, and the notebook is beside it.

        Raises:
            OSError: nothing could be written.
        """
        give_up = time.monotonic() + (READ_PATIENCE if sync else 0)
        problem = "it changes all the time"
        for _ in range(_MOST_TRIES):
            now = seen(self.path)
            if now is not None and now != self.known:
                try:
                    self._theirs = parse_notebook(self.path.name, self.path.read_bytes()).notebook
                except FileNotFoundError:
                    continue
                except JrcError as error:
                    problem = error.message.rstrip(".")
                    if time.monotonic() >= give_up:
                        break
                    time.sleep(_PAUSE)
                    continue
            if now is None:
                self._theirs = None
            if self._write_if(now, ours, sync=sync):
                return True
        self._write_beside(ours, sync=sync)
        assert self._beside is not None
        self.result = self._beside
        self._tell(
            f"{self.path} was changed while the run goes on, and can't be read as a notebook: "
            f"{problem}. It is left alone; the result is saved in {self._beside}.",
            last=sync,
        )
        return False

    def _write_if(self, now: Seen | None, ours: Json, *, sync: bool) -> bool:
        """Write the file, if it is still as it was just now."""
        merged = Merged(ours, []) if self._theirs is None else self._merge(self._theirs)
        if merged.homeless:
            self._write_beside(ours, sync=sync)
        written = self._replace(self.path, merged.notebook, now, sync=sync)
        if written is None:
            return False
        self.known = written
        self.result = self.path
        if merged.homeless:
            count = len(merged.homeless)
            cells = "a cell that was" if count == 1 else f"{count} cells that were"
            self._tell(
                f"{self.path} was changed while it ran, and your changes stay. The outputs of "
                f"{cells} changed or removed are in {self._beside}, as it ran.",
                last=sync,
            )
        else:
            self._drop_beside()
        return True

    def _write_beside(self, ours: Json, *, sync: bool) -> None:
        while True:
            if self._beside is None or seen(self._beside) != self._beside_seen:
                self._beside, self._beside_seen = free_name(self.path, "as-run"), None
            written = self._replace(self._beside, ours, self._beside_seen, sync=sync)
            if written is not None:
                self._beside_seen = written
                return

    def _replace(
        self, path: Path, notebook: Json, expected: Seen | None, *, sync: bool
    ) -> Seen | None:
        content = notebook_bytes(notebook)
        return replace_content(path, content, most=self._most, sync=sync, expected=(expected,))

    def _drop_beside(self) -> None:
        """Everything has its place again."""
        if self._beside is not None and seen(self._beside) == self._beside_seen:
            with suppress(OSError):
                self._beside.unlink()
        self._beside = self._beside_seen = None

    def _tell(self, text: str, *, last: bool) -> None:
        if text != self._said and (last or not self._said):
            self._said = text
            self._say(text)


def free_name(path: Path, word: str = "") -> Path:
    """A file beside ``path`` that does not exist: ``NAME.WORD.ipynb``, ``NAME-2.ipynb``."""
    stem = path.stem[:200] + (f".{word}" if word else "")
    number = 1 if word else 2
    while True:
        name = f"{stem}{path.suffix}" if number == 1 else f"{stem}-{number}{path.suffix}"
        if not path.with_name(name).exists():
            return path.with_name(name)
        number += 1
