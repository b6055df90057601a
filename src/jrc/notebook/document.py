"""Documents: notebooks and scripts, read as cells to execute and a notebook to fill."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jrc.errors import NotFoundError, UsageError
from jrc.notebook.percent import is_percent_script, read_percent_script
from jrc.notebook.reading import complete, load_notebook, parse_notebook, read_bytes
from jrc.notebook.repair import SKIP_TAG, Repaired, summary
from jrc.notebook.schema import NBFORMAT, NBFORMAT_MINOR, Json
from jrc.notebook.script import (
    STDIN,
    STDIN_NAME,
    Stdin,
    decode_script,
    is_script,
    prologue_code,
    script_code,
)
from jrc.profile.files import Seen, seen
from jrc.shell import quote

INJECTED_TAG = "injected-parameters"
"""Tag of the cell that sets the parameters of a run. No person wrote it."""

Kind = Literal["notebook", "percent", "script"]


@dataclass(frozen=True)
class Cell:
    """A code cell that will be executed.

    Attributes:
        index: its position in the notebook, from 0.
        source: its code, as a person wrote it.
        tags: for example ``raises-exception``.
        line: number of its first line in the file of a script, from 1; 0 when there is none.
        number: how a person calls it: which of the cells that are executed, from 1. Injected
            parameters are in nobody's file: they do not count, and have 0.
    """

    index: int
    source: str
    tags: frozenset[str]
    line: int
    number: int


@dataclass
class Document:
    """What is executed: cells, and the notebook that their outputs go into.

    Attributes:
        kind: a notebook, a script that runs cell by cell, or one that runs as a whole.
        path: its file, as it was named.
        notebook: nbformat 4.5 JSON; text is joined, ids are there.
        args: the arguments after the file on the command line.
        lines: first line of a cell in the script's file, by cell id.
        notices: what the person should know before it runs: a kind and a sentence.
        stdin: what a script reads from.
        seen: how the file looked when it was read; None when that is not known.
        cells: the cells to execute: all code but blank cells and those tagged ``skip-execution``.
        cell_count: how many these are for a person: without injected parameters.
    """

    kind: Kind
    path: Path
    notebook: Json
    args: list[str] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    notices: list[tuple[str, str]] = field(default_factory=list)
    stdin: Stdin = "none"
    seen: Seen | None = None
    cells: list[Cell] = field(init=False)
    cell_count: int = field(init=False)

    def __post_init__(self) -> None:
        self.find_cells()

    def find_cells(self) -> None:
        """Look again which cells there are: somebody put one in."""
        self.cells, self.cell_count = [], 0
        for index, node in enumerate(self.notebook["cells"]):
            if node.get("cell_type") != "code":
                # A newer format may have cells of any kind.
                continue
            tags, source = cell_tags(node), node["source"]
            if source.strip() and SKIP_TAG not in tags:
                line = self.lines.get(node.get("id", ""), 0)
                counted = INJECTED_TAG not in tags
                self.cell_count += counted
                number = self.cell_count if counted else 0
                self.cells.append(Cell(index, source, tags, line, number))

    def counted(self, first: int) -> int:
        """How many cells there are from a position on, as a person counts them."""
        return sum(cell.number > 0 for cell in self.cells[first:])

    def position(self, number: int) -> int:
        """How many of ``cells`` come before the one with this number."""
        numbers = [cell.number for cell in self.cells]
        return numbers.index(number) if number > 1 else 0

    @property
    def language(self) -> str | None:
        """The language that the document names, for example ``python``."""
        name = self.notebook["metadata"].get("language_info", {}).get("name")
        return self.kernel_language or (name if isinstance(name, str) else None)

    @property
    def kernel_language(self) -> str | None:
        """The language of the kernelspec that the document asks for, where it says so."""
        name = self.notebook["metadata"].get("kernelspec", {}).get("language")
        return name if isinstance(name, str) and name else None

    @property
    def kernel_name(self) -> str | None:
        """The kernelspec that the document asks for."""
        name = self.notebook["metadata"].get("kernelspec", {}).get("name")
        return name if isinstance(name, str) and name else None

    @property
    def prologue(self) -> str:
        """Code to execute silently before the first cell; empty when there is nothing to do."""
        if self.kind != "percent":
            return ""
        return prologue_code(self._file, self._argv, self.stdin)

    def code(self, cell: Cell) -> str:
        """What to send to the kernel for a cell."""
        if self.kind != "script":
            return cell.source
        return script_code(cell.source, self._file, self._argv, self.stdin)

    @property
    def _argv(self) -> list[str]:
        return [str(STDIN if self._on_stdin else self.path), *self.args]

    @property
    def _on_stdin(self) -> bool:
        return self.path.name == STDIN_NAME

    @property
    def _file(self) -> str:
        """Its ``__file__``; code that comes on stdin has none, and this name in tracebacks."""
        return STDIN_NAME if self._on_stdin else str(self.path.absolute())


def cell_tags(node: Json) -> frozenset[str]:
    """The tags of a cell of a notebook."""
    tags = node["metadata"].get("tags")
    return frozenset(tags) if isinstance(tags, list) else frozenset()


def load(path: Path, *, args: list[str]) -> Document:
    """Read a document.

    Args:
        path: a notebook (``.ipynb``), a Python script, or ``-`` for code on stdin.
        args: the arguments after it on the command line; scripts find them in ``sys.argv``.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it can't be executed, or not with ``args``.
    """
    if path == STDIN:
        return _load_stdin(args)
    if is_script(path):
        return _load_script(path, read_bytes(path), args)
    if path.suffix.lower() != ".ipynb":
        if not os.path.lexists(path):
            raise NotFoundError(f"{path} does not exist.", hint=_with_its_suffix(path))
        if path.is_dir():
            raise UsageError(f"{path} is a folder.", hint="Name a file in it.")
        raise UsageError(
            f"{path} is neither a notebook nor a Python script.",
            hint="A notebook ends in .ipynb, a script in .py or begins with a #! line of Python.",
        )
    known = seen(path)
    document = _notebook_of(path, load_notebook(path), args)
    document.seen = known
    return document


def _with_its_suffix(path: Path) -> str | None:
    """What to say where somebody left the end of a file's name out."""
    whole = (path.with_name(f"{path.name}{suffix}") for suffix in (".ipynb", ".py") if path.name)
    try:
        return next((f"Did you mean {quote(str(name))}?" for name in whole if name.is_file()), None)
    except OSError:
        # The name is too long.
        return None


def _notebook_of(path: Path, repaired: Repaired, args: list[str]) -> Document:
    if args:
        hint = "Give a notebook values with -p NAME VALUE."
        if args[0].endswith(".ipynb"):
            hint = f"Save the result there with -o {args[0]}. Values are given with -p NAME VALUE."
        if path.name == STDIN_NAME:
            hint = "Options stand before '-'."
        raise UsageError(
            f"{path} is a notebook and takes no arguments, but got {args[0]!r}.", hint=hint
        )
    document = Document("notebook", path, repaired.notebook)
    if repaired.repairs:
        text = (
            f"{path.name} does not follow the notebook format. Repaired in the result: "
            f"{summary(repaired.repairs)}."
        )
        document.notices.append(("repaired", text))
    return document


def _load_stdin(args: list[str]) -> Document:
    """What comes on stdin: a notebook, or a script as for ``python -``."""
    data = b"" if sys.stdin is None else sys.stdin.buffer.read()
    path = Path(STDIN_NAME)
    if is_notebook(data):
        return _notebook_of(path, parse_notebook(STDIN_NAME, data), args)
    return _load_script(path, data, args)


def is_notebook(data: bytes) -> bool:
    """Whether these bytes are a notebook and no script: a JSON object."""
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"{") and b'"cells"' in data


def _load_script(path: Path, data: bytes, args: list[str]) -> Document:
    source = decode_script(path, data)
    if not is_percent_script(source):
        cell = {"cell_type": "code", "source": source}
        notebook = _python_notebook({"cells": [cell], "metadata": {}})
        return Document("script", path, notebook, args, {notebook["cells"][0]["id"]: 1})
    cells, lines = read_percent_script(source, str(path))
    notebook = _python_notebook(cells)
    first_lines = zip((cell["id"] for cell in notebook["cells"]), lines, strict=True)
    return Document("percent", path, notebook, args, dict(first_lines))


def _python_notebook(notebook: Json) -> Json:
    """A notebook made from a script: complete, and of a language even without a header."""
    notebook.update(nbformat=NBFORMAT, nbformat_minor=NBFORMAT_MINOR)
    complete(notebook)
    if "kernelspec" not in notebook["metadata"]:
        notebook["metadata"].setdefault("language_info", {"name": "python"})
    return notebook
