"""Outputs find their cells in a notebook that a person edited meanwhile."""

import copy
from typing import Any

import nbformat

from jrc.notebook.merging import merge, places
from jrc.notebook.reading import complete

Json = dict[str, Any]


def code(source: str, cell_id: str | None = None, **fields: Any) -> Json:
    cell = {"cell_type": "code", "source": source, **fields}
    return cell if cell_id is None else {**cell, "id": cell_id}


def markdown(source: str, cell_id: str) -> Json:
    return {"cell_type": "markdown", "source": source, "id": cell_id}


def notebook(*cells: Json, **metadata: Any) -> Json:
    made = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": list(cells)}
    made = copy.deepcopy(made)
    complete(made)
    return made


def executed(*cells: Json, **metadata: Any) -> Json:
    """A notebook whose cells printed their source."""
    made = notebook(*cells, **metadata)
    for number, cell in enumerate(made["cells"], 1):
        if cell["cell_type"] == "code":
            text = {"output_type": "stream", "name": "stdout", "text": cell["source"]}
            cell.update(outputs=[text], execution_count=number)
            cell["metadata"]["execution"] = {"shell.execute_reply": "now"}
    return made


def shown(made: Json) -> list[tuple[str, str]]:
    """Each cell's source, and what it printed."""
    nbformat.validate(nbformat.from_dict(made))
    return [
        (cell["source"], "".join(o["text"] for o in cell.get("outputs", ())))
        for cell in made["cells"]
    ]


def test_edits_stay_and_outputs_come() -> None:
    """Cells added, moved and changed in their metadata: all of it stays."""
    ours = executed(code("a", "1"), code("b", "2"), code("c", "3"), language_info={"name": "x"})
    theirs = notebook(
        markdown("# new", "9"),
        code("c", "3", metadata={"tags": ["mine"]}),
        code("a", "1"),
        code("new", "8"),
        code("b", "2"),
        mine=1,
    )
    before = copy.deepcopy(theirs)
    made, homeless = merge(ours, theirs, {0, 1, 2}, ())
    assert shown(made) == [("# new", ""), ("c", "c"), ("a", "a"), ("new", ""), ("b", "b")]
    assert made["metadata"] == {"mine": 1, "language_info": {"name": "x"}}
    assert made["cells"][1]["metadata"] == {
        "tags": ["mine"],
        "execution": {"shell.execute_reply": "now"},
    }
    assert (homeless, theirs) == ([], before)


def test_outputs_of_changed_and_removed_cells_have_no_place() -> None:
    ours = executed(code("a", "1"), code("b", "2"), code("c", "3"))
    made, homeless = merge(ours, notebook(code("a", "1"), code("B", "2")), {0, 1, 2}, ())
    assert shown(made) == [("a", "a"), ("B", "")]
    assert homeless == [1, 2]


def test_a_cell_without_outputs_needs_no_place() -> None:
    ours = notebook(code("a", "1"), code("b", "2"))
    assert merge(ours, notebook(code("a", "1")), {0, 1}, ()).homeless == []


def test_what_did_not_run_stays_as_it_is() -> None:
    old = [{"output_type": "stream", "name": "stdout", "text": "old"}]
    theirs = notebook(code("a", "1", outputs=old), code("b", "2", outputs=old))
    made, _ = merge(executed(code("a", "1"), code("b", "2")), theirs, {0}, ())
    assert shown(made) == [("a", "a"), ("b", "old")]
    ours = notebook(code("a", "1"), code("b", "2"))
    made, homeless = merge(ours, theirs, (), {1})
    assert shown(made) == [("a", "old"), ("b", "")]
    assert homeless == []


def test_without_ids_the_source_tells_the_cell() -> None:
    """As in a notebook of format 4.4, or where a cell was cut and pasted."""
    ours = executed(code("x"), code("same"), code("same"), code("y"))
    theirs = notebook(code("new"), code("same"), code("y"), code("same"), code("x"))
    made, homeless = merge(ours, theirs, {0, 1, 2, 3}, ())
    assert shown(made) == [
        *[("new", ""), ("same", "same"), ("y", "y"), ("same", "same"), ("x", "x")]
    ]
    assert homeless == []


def test_a_cell_that_became_text_is_no_place() -> None:
    ours, theirs = executed(code("a", "1")), notebook(markdown("a", "1"))
    assert places(ours["cells"], theirs["cells"]) == {}
    assert merge(ours, theirs, {0}, ()).homeless == [0]


def test_cells_that_the_run_added_come_along() -> None:
    """The injected parameters stand behind the cell that they stood behind, once."""
    tags = {"tags": ["injected-parameters"]}
    ours = executed(code("p = 1", "1"), code("p = 2", "2", metadata=tags), code("p", "3"))
    theirs = notebook(markdown("# new", "2"), code("p = 1", "1"), code("p", "3"))
    made, homeless = merge(ours, theirs, {0, 1, 2}, ())
    assert [source for source, _ in shown(made)] == ["# new", "p = 1", "p = 2", "p"]
    again, _ = merge(ours, made, {0, 1, 2}, ())
    assert (again, homeless) == (made, [])


def test_old_marks_of_a_run_go() -> None:
    ours = executed(code("a", "1"))
    theirs = notebook(
        code("a", "1", metadata={"jrc_incomplete": ["x"]}), jrc_unfinished={"run": "r"}
    )
    made, _ = merge(ours, theirs, {0}, ())
    assert made["metadata"] == {}
    assert "jrc_incomplete" not in made["cells"][0]["metadata"]
