"""Notebook files are the bytes that nbformat writes, are replaced whole, and cost little."""

import asyncio
import copy
import io
import json
import os
import stat
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import UsageError
from jrc.notebook.document import load
from jrc.notebook.reading import complete
from jrc.notebook.result_content import ResultContent
from jrc.notebook.result_notebook import Filling
from jrc.notebook.saving import Rhythm, Saver
from jrc.notebook.spool import Spool, SpooledText
from jrc.notebook.writing import PIECE, notebook_bytes
from jrc.profile.files import replace_content
from tests.run.corpus import make

CORPUS = sorted(Path(make.__file__).parent.glob("*.ipynb"))

MIB = 1 << 20


def written_by_nbformat(notebook: dict[str, Any]) -> bytes:
    file = io.StringIO()
    nbformat.write(nbformat.from_dict(notebook), file)
    return file.getvalue().encode()


def notebook(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    made = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": list(cells)}
    complete(made)
    return made


def stream(text: str) -> dict[str, Any]:
    output = {"output_type": "stream", "name": "stdout", "text": text}
    return {"cell_type": "code", "source": "print()", "outputs": [output]}


def display(**data: Any) -> dict[str, Any]:
    bundle = {mime.replace("__", "/"): value for mime, value in data.items()}
    output = {"output_type": "display_data", "data": bundle, "metadata": {}}
    return {"cell_type": "code", "source": "", "outputs": [output]}


# --- the bytes


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus_is_written_as_nbformat_writes_it(path: Path) -> None:
    document = load(path, args=[])
    before = copy.deepcopy(document.notebook)
    assert b"".join(notebook_bytes(document.notebook)) == written_by_nbformat(document.notebook)
    assert document.notebook == before


LARGE = {
    "lines": stream("0123456789abcde\n" * (MIB // 4)),
    "one line": stream("x" * (3 * PIECE + 1)),
    "no last line end": stream("é" * PIECE + "\nrest"),
    "carriage returns": stream("50 %\r" * PIECE),
    "line ends of all kinds": stream("a\r\nb\x0bc\x0cd\x1ce\x85f\u2028g\n" * (PIECE // 8)),
    "line end at the edge": stream("x" * PIECE + "\r\n" + "y" * (PIECE - 1) + "\n"),
    "escapes at the edge": display(image__png='"\\\n\t\x00\x1f' * PIECE),
    "image": display(image__png="iVBORw0KGgo" * PIECE),
    "html": display(text__html=("<p>" * PIECE) + "\n</p>"),
    "json": display(application__json={"deep": [{"a": ["x" * 2 * PIECE, 1.5]}, [], {}]}),
}


@pytest.mark.parametrize("cell", LARGE.values(), ids=LARGE)
def test_large_outputs_are_written_as_nbformat_writes_them(cell: dict[str, Any]) -> None:
    """The edges between the pieces in which large text is encoded leave no trace."""
    made = notebook(cell)
    assert b"".join(notebook_bytes(made)) == written_by_nbformat(made)


@pytest.mark.parametrize("cell", LARGE.values(), ids=LARGE)
def test_spooled_text_is_written_as_nbformat_writes_it(cell: dict[str, Any]) -> None:
    """Text that a run keeps on the disk, in pieces that end anywhere, is text all the same."""
    plain, spooled = notebook(cell), notebook(copy.deepcopy(cell))
    spool = Spool()
    output = spooled["cells"][0]["outputs"][0]
    for fields in (output, output.get("data", {})):
        for key, value in fields.items():
            fields[key] = spool.keep(value) if isinstance(value, str) else value
    assert b"".join(notebook_bytes(spooled)) == written_by_nbformat(plain)
    spool.close()


@given(st.lists(st.text("ab\r\n\x0b\u2028", max_size=4), max_size=5))
def test_lines_do_not_depend_on_the_pieces(pieces: list[str]) -> None:
    """Wherever the pieces of a text end, between carriage return and line feed too."""
    with_pieces = notebook(stream(""))
    with_pieces["cells"][0]["outputs"][0]["text"] = SpooledText(Spool(), pieces)
    plain = notebook(stream("".join(pieces)))
    assert b"".join(notebook_bytes(with_pieces)) == b"".join(notebook_bytes(plain))


text = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["a\nb\n", "\r\n", "\x0b\x0c\x1c\x85\u2028\u2029", "\x00\x7f\x9f", '"\\/', "😀"]
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(text, json_values, max_size=3)
bundles = st.dictionaries(
    st.sampled_from(["text/plain", "text/html", "image/png", "image/svg+xml", "application/x"]),
    text,
    max_size=3,
) | st.dictionaries(st.just("application/json"), json_values)
outputs = st.one_of(
    st.builds(lambda t: {"output_type": "stream", "name": "stderr", "text": t}, text),
    st.builds(
        lambda d, m: {"output_type": "display_data", "data": d, "metadata": m}, bundles, objects
    ),
    st.builds(
        lambda t: {"output_type": "error", "ename": t, "evalue": t, "traceback": [t, ""]}, text
    ),
)
cells = st.one_of(
    st.builds(
        lambda s, o: {"cell_type": "code", "source": s, "outputs": o},
        text,
        st.lists(outputs, max_size=3),
    ),
    st.builds(
        lambda s, b, m: {
            "cell_type": "markdown",
            "source": s,
            "attachments": {"x": b},
            "metadata": {"m": m},
        },
        text,
        bundles,
        objects,
    ),
    st.builds(lambda s: {"cell_type": "raw", "source": s, "metadata": {"trusted": True}}, text),
)


@given(st.lists(cells, max_size=3), objects)
def test_any_notebook_is_written_as_nbformat_writes_it(
    content: list[dict[str, Any]], metadata: dict[str, Any]
) -> None:
    made = notebook(*copy.deepcopy(content), kept=metadata, signature="gone")
    assert b"".join(notebook_bytes(made)) == written_by_nbformat(made)


@pytest.mark.attacks
def test_a_number_that_json_has_not_is_null() -> None:
    """nbformat writes NaN, which no browser reads."""
    made = notebook(kept=[float("nan"), {"b": float("inf")}, 1.5])
    written = json.loads(b"".join(notebook_bytes(made)))
    assert written["metadata"]["kept"] == [None, {"b": None}, 1.5]


@given(st.lists(cells, max_size=3))
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, content: list[dict[str, Any]]
) -> None:
    made = notebook(*copy.deepcopy(content))
    for cell in made["cells"]:
        cell["metadata"].pop("trusted", None)
    path = tmp_path_factory.mktemp("any") / "a.ipynb"
    replace_content(path, notebook_bytes(made), sync=False)
    assert load(path, args=[]).notebook == made


@pytest.mark.parametrize("lone", ["\ud800", "a\udcff\n", "\ude00\ud83d"])
def test_lone_surrogates(tmp_path: Path, lone: str) -> None:
    """Text that is no UTF-8, from a kernel that decodes carelessly, is saved and comes back."""
    made = notebook(stream(lone), display(text__plain=lone), **{lone: 1})
    path = tmp_path / "a.ipynb"
    replace_content(path, notebook_bytes(made))
    assert load(path, args=[]).notebook == made


@pytest.mark.parametrize("kind", ["lines", "one line", "image"])
def test_a_large_output_is_not_copied(kind: str) -> None:
    """Writing 64 MiB takes a few MiB beyond them."""
    size = 64 * MIB
    text = f"{'x' * 127}\n" * (size // 128) if kind == "lines" else "x" * size
    made = notebook(display(image__png=text) if kind == "image" else stream(text))
    tracemalloc.start()
    try:
        written = sum(map(len, notebook_bytes(made)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert written > size
    assert peak < 8 * MIB


# --- the file


def chunks_that_fail(error: OSError) -> Iterator[bytes]:
    yield b"a part"
    raise error


def test_replaces_a_file_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    path.chmod(0o640)
    replace_content(path, [b"new ", b"content"])
    assert path.read_bytes() == b"new content"
    assert os.name == "nt" or stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    ours, usual = tmp_path / "ours", tmp_path / "usual"
    replace_content(ours, [b"x"], sync=False)
    usual.write_bytes(b"x")
    assert ours.stat().st_mode == usual.stat().st_mode


def test_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "real.ipynb", tmp_path / "link.ipynb"
    target.write_bytes(b"old")
    link.symlink_to(target)
    replace_content(link, [b"new"])
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    """A full disk, or an error in the notebook itself, half way: the file is as it was."""
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        replace_content(path, chunks_that_fail(OSError(28, "No space left on device")))
    with pytest.raises(KeyError):
        replace_content(path, notebook_bytes({"metadata": {}}))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_not_a_file_is_left_alone(tmp_path: Path) -> None:
    """Above all ``/dev/null``, which the superuser could replace."""
    for path in (tmp_path, Path(os.devnull)):
        with pytest.raises(OSError, match="it is not a file"):
            replace_content(path, [b"x"])
    assert Path(os.devnull).read_bytes() == b""


# --- when


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def saved_at(rhythm: Rhythm, started: float, cost: float) -> None:
    rhythm.saved(started, started + cost)


def test_nothing_changed_nothing_due() -> None:
    rhythm = Rhythm()
    assert rhythm.due is None
    rhythm.changed(cell_finished=True)
    saved_at(rhythm, 10, 0)
    assert rhythm.due is None


def test_a_finished_cell_is_due_at_once() -> None:
    rhythm = Rhythm(every=5)
    saved_at(rhythm, 10, 0)
    rhythm.changed(cell_finished=False)
    assert rhythm.due == 15
    rhythm.changed(cell_finished=True)
    rhythm.changed(cell_finished=False)
    assert rhythm.due == 10


def test_the_first_change_is_due_at_once() -> None:
    rhythm = Rhythm()
    rhythm.changed(cell_finished=False)
    assert rhythm.due == float("-inf")


def test_an_expensive_save_is_due_later() -> None:
    """A save of 2 s is followed by 18 s without one: a tenth of the time, whatever happens."""
    rhythm = Rhythm(every=5, share=0.1)
    saved_at(rhythm, 10, 2)
    rhythm.changed(cell_finished=True)
    assert rhythm.due == pytest.approx(30)


def test_a_failed_save_is_tried_again_later() -> None:
    rhythm = Rhythm(every=5)
    rhythm.changed(cell_finished=True)
    rhythm.saved(10, 10, successful=False)
    assert rhythm.due == 15


@given(
    st.lists(st.tuples(st.floats(0, 3), st.booleans()), min_size=1, max_size=60),
    st.floats(0.001, 4),
)
def test_saving_takes_a_tenth_of_the_time_at_most(
    changes: list[tuple[float, bool]], cost: float
) -> None:
    """Whatever the cells do, and with each change saved within seconds or ten costs."""
    rhythm = Rhythm(every=5, share=0.1)
    now, spent, oldest = 0.0, 0.0, None
    started = None
    for pause, cell_finished in changes:
        now += pause
        rhythm.changed(cell_finished=cell_finished)
        oldest = now if oldest is None else oldest
        due = rhythm.due
        assert due is not None
        assert due <= max(oldest, now) + max(5, 10 * cost)
        if now >= due:
            started = now if started is None else started
            assert spent <= 0.1 * (now - started) + 1e-6
            rhythm.saved(now, now + cost)
            now, spent, oldest = now + cost, spent + cost, None


# --- the saver


@pytest.fixture
def clock() -> Clock:
    return Clock()


def text_in(path: Path) -> str:
    return "".join(nbformat.read(path, as_version=4).cells[0].outputs[0].text)


def test_saver_writes_after_cells_and_now_and_then_inside(tmp_path: Path, clock: Clock) -> None:
    content = notebook(stream("0"))
    output = content["cells"][0]["outputs"][0]
    saver = Saver(tmp_path / "a.ipynb", lambda: content, clock=clock)
    saver.save()
    seen = []
    for second, finished in ((1, False), (4, False), (5, False), (6, False), (7, True), (8, False)):
        clock.now = 1000 + second
        output["text"] = str(second)
        saver.changed(cell_finished=finished)
        seen.append(text_in(saver.path))
    assert seen == ["0", "0", "5", "5", "7", "7"]
    saver.save()
    assert text_in(saver.path) == "8"


def test_saver_costs_a_tenth(tmp_path: Path, clock: Clock) -> None:
    """The time that making the notebook takes is part of the cost."""
    made: list[float] = []

    def slow() -> dict[str, Any]:
        clock.now += 1
        made.append(clock.now)
        return notebook()

    saver = Saver(tmp_path / "a.ipynb", slow, clock=clock)
    for _ in range(100):
        clock.now += 0.5
        saver.changed(cell_finished=True)
    assert len(made) == 6


@pytest.mark.anyio
async def test_saver_saves_what_nothing_follows(tmp_path: Path) -> None:
    """Output that is followed by a long silence is saved all the same, by a timer."""
    content = notebook(stream("old"))
    saver = Saver(tmp_path / "a.ipynb", lambda: content, every=0.1)
    saver.save()
    content["cells"][0]["outputs"][0]["text"] = "new"
    saver.changed(cell_finished=False)
    async with asyncio.timeout(30):
        while text_in(saver.path) == "old":
            await asyncio.sleep(0.01)


@pytest.mark.anyio
async def test_saver_leaves_no_timer(tmp_path: Path, clock: Clock) -> None:
    """After the last save nothing writes the file any more, though a change was due later."""
    content = notebook(stream("last"))
    saver = Saver(tmp_path / "a.ipynb", lambda: content, every=0.01, clock=clock)
    saver.save()
    saver.changed(cell_finished=False)
    saver.save()
    saver.path.unlink()
    await asyncio.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_first(tmp_path: Path) -> None:
    """Before the first cell, with the file, the reason and what to do."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.ipynb", tmp_path / "no" / "a.ipynb", tmp_path):
        with pytest.raises(UsageError) as caught:
            Saver(path, notebook).save()
        assert caught.value.message.startswith(f"Can't write {path}: ")
        assert "-o OTHER.ipynb" in str(caught.value.hint)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_what_arrived_is_saved_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """The folder vanished while the cells ran: the run goes on, and its result is not lost."""
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    folder = tmp_path / "folder"
    folder.mkdir()
    content = notebook(stream("precious"))
    saver = Saver(folder / "a.ipynb", lambda: content, clock=clock)
    saver.save()
    saver.path.unlink()
    folder.rmdir()
    saver.changed(cell_finished=True)
    assert saver.problem is not None
    assert "no such file or directory" in saver.problem.message
    with pytest.raises(UsageError) as caught:
        saver.save()
    (copied,) = spare.iterdir()
    assert caught.value.message.endswith(f"What arrived is saved in {copied}.")
    assert text_in(copied) == "precious"
    assert os.name == "nt" or stat.S_IMODE(copied.stat().st_mode) == 0o600
    folder.mkdir()
    saver.save()
    assert saver.problem is None
    assert text_in(saver.path) == "precious"


def test_no_place_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written at all, the message does not promise a copy."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    saver = Saver(tmp_path / "no" / "a.ipynb", notebook)
    saver.changed(cell_finished=True)
    with pytest.raises(UsageError) as caught:
        saver.save()
    assert "saved in" not in caught.value.message


if sys.platform != "win32":
    import resource

    def test_a_file_that_grows_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The system itself refuses the rest of the file; the old one stays."""
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
        content = notebook(stream("small"))
        saver = Saver(tmp_path / "a.ipynb", lambda: content)
        saver.save()
        content = notebook(stream("large" * MIB))
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limits[1]))
        try:
            with pytest.raises(UsageError, match="file too large"):
                saver.save()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert text_in(saver.path) == "small"
        assert list(tmp_path.iterdir()) == [saver.path]


# --- a run that goes on


class Steps:
    """How far a run is, for ``Filling``."""

    handled = 0
    safe = -1

    def saved(self, number: int) -> None:
        self.safe = number


def test_an_unfinished_file_says_how_much_of_the_run_it_holds(tmp_path: Path) -> None:
    source = tmp_path / "a.ipynb"
    source.write_bytes(b"".join(notebook_bytes(notebook({"cell_type": "code", "source": "1"}))))
    document, out = load(source, args=[]), tmp_path / "out.ipynb"
    filling, steps = Filling(document, out), Steps()
    filling.keep_step("run1", steps)
    assert steps.safe == 0
    steps.handled = 7
    filling.save()
    assert steps.safe == 7
    assert ResultContent(document).take_up(out, document.cells, "run1").messages == 7
    assert ResultContent(document).take_up(out, document.cells, "run2").messages is None
    filling.content.finished()
    steps.handled = 9
    filling.save()
    assert steps.safe == 7
    assert ResultContent(document).take_up(out, document.cells, "run1").messages is None
    assert "jrc_" not in out.read_text()


def test_what_could_not_be_saved_is_not_let_go(tmp_path: Path) -> None:
    source = tmp_path / "a.ipynb"
    source.write_bytes(b"".join(notebook_bytes(notebook({"cell_type": "code", "source": "1"}))))
    filling, steps = Filling(load(source, args=[]), tmp_path / "none" / "out.ipynb"), Steps()
    filling.keep_step("run1", steps)
    steps.handled = 7
    with pytest.raises(UsageError):
        filling.save()
    assert steps.safe == 0
