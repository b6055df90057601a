"""Outputs put into a notebook that a person has edited meanwhile: pure, on two notebooks."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from jrc.notebook.document import INJECTED_TAG, cell_tags
from jrc.notebook.reading import new_id
from jrc.notebook.schema import Json

INCOMPLETE = "jrc_incomplete"
"""Metadata of a cell: one sentence for each loss of its output."""

UNFINISHED = "jrc_unfinished"
"""Metadata of a notebook whose run goes on: the run's id, and how many of its messages are in."""

ADDED_TAGS = frozenset({INJECTED_TAG})
"""Tags of cells that a run adds, and that no person wrote."""

_CELL_METADATA = ("execution", INCOMPLETE)
_NOTEBOOK_METADATA = ("widgets", "language_info", UNFINISHED)


class Merged(NamedTuple):
    """A person's notebook with the outputs of a run.

    Attributes:
        notebook: the person's cells, in the person's order.
        homeless: indexes of executed cells whose outputs have no place in it, because the person
            changed or removed the cell.
    """

    notebook: Json
    homeless: list[int]


def merge(ours: Json, theirs: Json, executed: Collection[int], emptied: Collection[int]) -> Merged:
    """Put the results of a run into what its notebook has become.

    Args:
        ours: the notebook as it was executed, with outputs.
        theirs: what the person has made of it; it is not changed.
        executed: indexes of the cells of ``ours`` that were executed.
        emptied: indexes of those that were not, and whose old outputs go.
    """
    place = places(ours["cells"], theirs["cells"])
    cells = list(theirs["cells"])
    homeless = []
    for index in sorted({*executed, *emptied}):
        cell = ours["cells"][index]
        if index in place:
            cells[place[index]] = _with_results(cells[place[index]], cell)
        elif index in executed and cell["outputs"] and not _is_added(cell):
            homeless.append(index)
    _add_ours(ours["cells"], cells, place)
    metadata = dict(theirs["metadata"])
    metadata.pop(UNFINISHED, None)
    of_run = ours["metadata"]
    metadata.update({key: of_run[key] for key in _NOTEBOOK_METADATA if key in of_run})
    return Merged({**theirs, "cells": cells, "metadata": metadata}, homeless)


def places(ours: Sequence[Json], theirs: Sequence[Json]) -> dict[int, int]:
    """Where the code cells of one notebook stand, unchanged, in another version of it.

    The id says which cell it is. Editors of older formats keep none, and a cell that was cut and
    pasted gets another: then it is the next one with the same source.
    """
    at = {cell.get("id"): position for position, cell in enumerate(theirs)}
    known = {cell.get("id") for cell in ours}
    loose: dict[str, list[int]] = {}
    for position, cell in enumerate(theirs):
        if _is_code(cell) and cell.get("id") not in known:
            loose.setdefault(cell["source"], []).append(position)
    found = {}
    for index, cell in enumerate(ours):
        if not _is_code(cell):
            continue
        place = at.get(cell.get("id"))
        if place is None and loose.get(cell["source"]):
            place = loose[cell["source"]].pop(0)
        if place is not None and _is_same(cell, theirs[place]):
            found[index] = place
    return found


def _is_same(cell: Json, other: Json) -> bool:
    return _is_code(other) and bool(other["source"] == cell["source"])


def _is_code(cell: Json) -> bool:
    # A newer format may have cells of any kind.
    return cell.get("cell_type") == "code"


def _with_results(cell: Json, results: Json) -> Json:
    metadata = {key: value for key, value in cell["metadata"].items() if key not in _CELL_METADATA}
    new = {key: results["metadata"][key] for key in _CELL_METADATA if key in results["metadata"]}
    return {
        **cell,
        "metadata": {**metadata, **new},
        "outputs": results["outputs"],
        "execution_count": results["execution_count"],
    }


def _is_added(cell: Json) -> bool:
    return bool(_added_tags(cell))


def _added_tags(cell: Json) -> frozenset[str]:
    return ADDED_TAGS & cell_tags(cell) if "metadata" in cell else frozenset()


def _add_ours(ours: Sequence[Json], cells: list[Json], place: dict[int, int]) -> None:
    """Bring the cells that the run added, each behind its predecessor in ``ours``."""
    for index, cell in reversed(list(enumerate(ours))):
        if index in place or not _is_added(cell):
            continue
        tags = _added_tags(cell)
        old = next((i for i, c in enumerate(cells) if tags & _added_tags(c)), None)
        if old is not None:
            cells[old] = {**cell, "id": cells[old]["id"]}
            continue
        ids = {str(c.get("id")) for c in cells}
        new = {**cell, "id": new_id(cell["source"], ids)} if cell["id"] in ids else cell
        before = [place[i] for i in range(index) if i in place]
        cells.insert(before[-1] + 1 if before else 0, new)
