"""A person's edits stay, whatever a run saves; and no two runs write one file."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from jrc.errors import UsageError
from jrc.notebook import result_file
from jrc.notebook.document import load
from jrc.notebook.result_notebook import Filling
from jrc.notebook.writers import OLD_SECONDS, Writers
from jrc.profile.files import seen
from tests.support.running import write_notebook
from tests.support.scripted import stream


class Run:
    """A run of a notebook whose cells publish what a test says."""

    def __init__(self, path: Path, output: Path, writers: Writers, **how: Any) -> None:
        self.said: list[str] = []
        self.filling = Filling(load(path, args=[]), output)
        goes_on = how.pop("goes_on", lambda run: False)
        run = how.pop("run", "run1")
        self.filling.open(run, writers, say=self.said.append, goes_on=goes_on, **how)

    def prints(self, index: int, text: str) -> None:
        self.filling.content.outputs.start(index)
        self.filling.content.outputs.publish(index, stream("r", text))
        self.filling.content.outputs.set_execution_count(index, 1)
        self.filling.changed(index, False)

    def end(self) -> None:
        self.filling.content.finished(load_cells(self.filling))
        self.filling.save()
        self.filling.close()


def load_cells(filling: Filling) -> Any:
    return filling.content.document.cells


@pytest.fixture
def writers(tmp_path: Path) -> Writers:
    return Writers(tmp_path / "state" / "writers")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_notebook(tmp_path / "a.ipynb", ["one", "two"])


def edited(path: Path, **sources: str) -> None:
    """Save as an editor does: other sources for cells, or a new cell."""
    notebook = nbformat.read(path, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    for cell_id, source in sources.items():
        if cell_id in cells:
            cells[cell_id].source = source
        else:
            notebook.cells.append(nbformat.v4.new_code_cell(source, id=cell_id))
    path.write_text(nbformat.writes(notebook))


def shown(path: Path) -> list[tuple[str, str]]:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return [(cell.source, "".join(o.text for o in cell.outputs)) for cell in notebook.cells]


@pytest.mark.parametrize("name", ["a.ipynb", "out.ipynb"])
def test_what_a_person_edits_during_a_run_stays(
    tmp_path: Path, path: Path, writers: Writers, name: str
) -> None:
    """In the notebook itself and in another result file, at each save."""
    output = tmp_path / name
    run = Run(path, output, writers)
    run.filling.save()
    run.prints(0, "1")
    edited(output, new="three")
    run.filling.save()
    assert shown(output) == [("one", "1"), ("two", ""), ("three", "")]
    run.prints(1, "2")
    run.filling.save()
    edited(output, newer="four")
    run.end()
    assert shown(output) == [("one", "1"), ("two", "2"), ("three", ""), ("four", "")]
    assert run.said == []
    assert run.filling.result == output


def test_what_was_edited_between_reading_and_the_first_save_stays(
    path: Path, writers: Writers
) -> None:
    document = load(path, args=[])
    edited(path, new="three")
    filling = Filling(document, path)
    filling.open("run1", writers, say=print, goes_on=lambda run: False)
    filling.save()
    filling.close()
    assert shown(path) == [("one", ""), ("two", ""), ("three", "")]


def test_outputs_without_a_place_are_beside_the_file(
    tmp_path: Path, path: Path, writers: Writers
) -> None:
    run = Run(path, path, writers)
    run.filling.save()
    run.prints(0, "1")
    run.prints(1, "2")
    edited(path, cell1="other")
    run.end()
    assert shown(path) == [("one", "1"), ("other", "")]
    beside = tmp_path / "a.as-run.ipynb"
    assert shown(beside) == [("one", "1"), ("two", "2")]
    (sentence,) = run.said
    assert "your changes stay" in sentence
    assert str(beside) in sentence


def test_pointers_to_an_error_stand_where_the_cell_is_now(path: Path, writers: Writers) -> None:
    run = Run(path, path, writers)
    run.prints(1, "2")
    edited(path, new="three")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("zero", id="zero"))
    path.write_text(nbformat.writes(notebook))
    run.filling.content.mark_error(1)
    run.end()
    cells = nbformat.read(path, as_version=4).cells
    assert [cell.cell_type for cell in cells] == [
        *["markdown", "code", "code", "markdown", "code", "code"]
    ]
    assert [cell.source for cell in cells if cell.cell_type == "code"] == [
        *["zero", "one", "two", "three"]
    ]
    assert cells[4].source == "two"


def test_an_edit_that_is_taken_back_leaves_nothing_beside(
    tmp_path: Path, path: Path, writers: Writers
) -> None:
    run = Run(path, path, writers)
    run.prints(0, "1")
    edited(path, cell0="other")
    run.filling.save()
    assert (tmp_path / "a.as-run.ipynb").exists()
    edited(path, cell0="one")
    run.end()
    assert shown(path) == [("one", "1"), ("two", "")]
    assert not (tmp_path / "a.as-run.ipynb").exists()


def test_a_file_beside_that_somebody_has_is_left_alone(
    tmp_path: Path, path: Path, writers: Writers
) -> None:
    (tmp_path / "a.as-run.ipynb").write_text("precious")
    run = Run(path, path, writers)
    run.prints(0, "1")
    edited(path, cell0="other")
    run.end()
    assert (tmp_path / "a.as-run.ipynb").read_text() == "precious"
    assert shown(tmp_path / "a.as-run-2.ipynb") == [("one", "1"), ("two", "")]


@pytest.mark.parametrize("half", ["", '{"cells": [', "no notebook", "[]"])
def test_a_file_that_is_being_written_is_not_overwritten(
    tmp_path: Path,
    path: Path,
    writers: Writers,
    monkeypatch: pytest.MonkeyPatch,
    half: str,
) -> None:
    """The editor has written a part of it. The result is beside it until the rest is there."""
    monkeypatch.setattr(result_file, "READ_PATIENCE", 0.0)
    whole = path.read_text()
    run = Run(path, path, writers)
    run.filling.save()
    run.prints(0, "1")
    path.write_text(half)
    run.filling.save()
    assert path.read_text() == half
    beside = tmp_path / "a.as-run.ipynb"
    assert shown(beside) == [("one", "1"), ("two", "")]
    assert run.filling.result == beside
    assert "is left alone" in run.said[0]
    path.write_text(whole)
    run.end()
    assert shown(path) == [("one", "1"), ("two", "")]
    assert not beside.exists()


def test_a_file_that_was_removed_is_written_again(path: Path, writers: Writers) -> None:
    run = Run(path, path, writers)
    run.filling.save()
    run.prints(0, "1")
    path.unlink()
    run.end()
    assert shown(path) == [("one", "1"), ("two", "")]


def test_an_old_result_is_replaced(tmp_path: Path, path: Path, writers: Writers) -> None:
    """What is there when a run begins is an earlier result, and goes, as ever."""
    output = write_notebook(tmp_path / "out.ipynb", ["old", "older"])
    run = Run(path, output, writers)
    run.end()
    assert shown(output) == [("one", ""), ("two", "")]


# --- two runs


def test_a_second_writer_of_one_file_is_refused(
    tmp_path: Path, path: Path, writers: Writers
) -> None:
    output = tmp_path / "out.ipynb"
    first = Run(path, output, writers)
    (tmp_path / "link.ipynb").symlink_to(output)
    for name in ("out.ipynb", "link.ipynb"):
        with pytest.raises(UsageError, match="being written by the run run1") as caught:
            Run(path, tmp_path / name, writers, run="run2")
        assert "-o OTHER.ipynb" in str(caught.value.hint)
    first.end()
    Run(path, output, writers, run="run2").end()


def test_a_writer_that_was_killed_blocks_nobody(
    tmp_path: Path, path: Path, writers: Writers
) -> None:
    output = tmp_path / "out.ipynb"
    claims = (
        "import sys; from pathlib import Path; from jrc.notebook.writers import Writers\n"
        "claim = Writers(Path(sys.argv[1])).claim(Path(sys.argv[2]), 'killed')\n"
        "claim.begin(); print('claimed', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", claims, str(tmp_path / "state" / "writers"), str(output)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        with pytest.raises(UsageError, match="the run killed"):
            Run(path, output, writers)
        process.kill()
    Run(path, output, writers).end()
    assert output.exists()


def test_what_a_left_run_has_shown_is_not_overwritten(
    tmp_path: Path, path: Path, writers: Writers
) -> None:
    """While it can be attached to; the kernel may have freed what is in the file."""
    output = tmp_path / "out.ipynb"
    first = Run(path, output, writers)
    first.prints(0, "1")
    first.filling.save()
    first.filling.close()
    with pytest.raises(UsageError, match="not fetched yet") as caught:
        Run(path, output, writers, run="run2", goes_on=lambda run: run == "run1")
    assert "jrc attach run1" in str(caught.value.hint)
    Run(path, output, writers, run="run2").end()
    assert shown(output) == [("one", ""), ("two", "")]


def test_a_run_that_goes_on_keeps_what_was_edited_meanwhile(
    tmp_path: Path, path: Path, writers: Writers
) -> None:
    output = tmp_path / "out.ipynb"
    first = Run(path, output, writers)
    first.filling.save()
    first.filling.close()
    edited(output, new="three")
    again = Run(path, output, writers, before="")
    again.prints(0, "1")
    again.end()
    assert shown(output) == [("one", "1"), ("two", ""), ("three", "")]


def test_a_file_that_somebody_wrote_since_a_run_began_is_left_alone(
    tmp_path: Path, path: Path, writers: Writers
) -> None:
    """A detached run writes nothing until somebody attaches: another run may come first."""
    output = write_notebook(tmp_path / "out.ipynb", ["precious"])
    run = Run(path, output, writers, before="")
    run.prints(0, "1")
    run.end()
    assert shown(output) == [("precious", "")]
    assert run.filling.result == tmp_path / "out-2.ipynb"
    assert shown(tmp_path / "out-2.ipynb") == [("one", "1"), ("two", "")]
    assert "out-2.ipynb" in run.said[0]
    known = seen(output)
    assert known is not None
    older = Run(path, output, writers, before=known.mark)
    older.end()
    assert shown(output) == [("one", ""), ("two", "")]


def test_what_is_remembered_of_files_goes_after_a_while(tmp_path: Path, path: Path) -> None:
    folder = tmp_path / "state"
    writers = Writers(folder)
    Run(path, tmp_path / "out.ipynb", writers).end()
    (note,) = folder.glob("*.json")
    old = note.stat().st_mtime - OLD_SECONDS - 60
    os.utime(note, (old, old))
    Run(path, tmp_path / "other.ipynb", writers).end()
    assert not note.exists()
    note.write_text("no JSON")
    Run(path, tmp_path / "out.ipynb", writers).end()
    assert json.loads(note.read_text())[0] == "run1"


def test_a_wrong_clock_lets_no_two_runs_write_one_file(tmp_path: Path, path: Path) -> None:
    folder, output = tmp_path / "state", tmp_path / "out.ipynb"
    writers = Writers(folder)
    writing = Run(path, output, writers)
    for file in folder.iterdir():
        os.utime(file, (0, 0))
    Run(path, tmp_path / "other.ipynb", writers, run="run2").end()
    with pytest.raises(UsageError, match="being written by the run run1"):
        Run(path, output, writers, run="run2")
    writing.filling.save()
    writing.filling.close()
    for file in folder.iterdir():
        os.utime(file, (0, 0))
    Run(path, tmp_path / "third.ipynb", writers, run="run3").end()
    with pytest.raises(UsageError, match="holds what the run run1 has shown"):
        Run(path, output, writers, run="run2", goes_on=lambda run: run == "run1")


def test_a_state_folder_that_cannot_be_written_stops_no_run(tmp_path: Path, path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = Run(path, tmp_path / "out.ipynb", Writers(tmp_path / "file" / "state"))
    run.prints(0, "1")
    run.end()
    assert shown(tmp_path / "out.ipynb") == [("one", "1"), ("two", "")]


def test_a_name_that_no_file_can_have_is_refused_in_words(path: Path, writers: Writers) -> None:
    run = Run(path, path.with_name("n" * 300 + ".ipynb"), writers)
    with pytest.raises(UsageError, match="Can't write"):
        run.filling.save()
    run.filling.close()
