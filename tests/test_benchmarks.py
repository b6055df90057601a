"""The parts of the benchmarks that decide: what is complete, what a ratio is, when bytes leave."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.delay import Nagle
from benchmarks.processes import Sample
from benchmarks.report import Measured, Measurement, ratio, summary, table, verdicts
from benchmarks.rows import ROWS, Promise, Row
from benchmarks.workloads import HELLO, MANY_CELLS, ONE_CELL, WORKLOADS, Workload, completeness


def measured(**values: list[float]) -> Measured:
    """Rounds with nothing but their values, all of them complete."""
    return {
        name: [Measurement(value, Sample(value, 0.1, 50, 0), 100.0) for value in rounds]
        for name, rounds in values.items()
    }


def executed(folder: Path, workload: Workload, outputs: list[dict[str, Any]]) -> Path:
    """The workload's notebook as a runner would save it."""
    path = workload.write(folder)
    notebook = json.loads(path.read_bytes())
    for number, cell in enumerate(notebook["cells"], start=1):
        cell.update(execution_count=number, outputs=outputs)
    path.write_text(json.dumps(notebook))
    return path


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_a_notebook_that_was_not_executed_is_empty(tmp_path: Path, workload: Workload) -> None:
    assert completeness(workload, workload.write(tmp_path)) == 0
    assert completeness(workload, tmp_path / "missing.ipynb") == 0


@pytest.mark.parametrize(
    ("text", "percent"), [("hello\n", 100), (["hel", "lo\n"], 100), ("hel", 50), ("", 0)]
)
def test_completeness_counts_what_arrived(tmp_path: Path, text: Any, percent: float) -> None:
    notice = {"output_type": "stream", "name": "stderr", "text": "dropped"}
    stream = {"output_type": "stream", "name": "stdout", "text": text}
    assert completeness(HELLO, executed(tmp_path, HELLO, [notice, stream])) == percent


def test_without_output_executed_cells_count(tmp_path: Path) -> None:
    assert completeness(MANY_CELLS, executed(tmp_path, MANY_CELLS, [])) == 100


def test_a_ratio_compares_rounds() -> None:
    """A slow minute that slows both must not move it."""
    assert ratio(measured(floor=[1, 10, 100], jrc=[2, 20, 400]), "jrc") == 2


def test_each_further_cell_is_a_difference() -> None:
    row = Row("cells", ("zmq",), Promise(), MANY_CELLS, ONE_CELL)
    assert row.unit == "ms/cell"
    assert row.value(2.0, 0.01) == pytest.approx(1990 / 199)


def test_promises_are_judged() -> None:
    row = Row(
        "far", ("floor", "jrc", "peer"), Promise(1.5, True, 3, rss=40), HELLO, rtt_ms=50, near="x"
    )
    rounds = measured(floor=[100], jrc=[200], peer=[300])
    found = list(verdicts("far", row, rounds, "jrc", ["peer"], measured(jrc=[60])))
    assert [verdict.kept for verdict in found] == [False, True, True, False, True]
    assert "BROKEN: far: 2.00 × floor, at most 1.5" in summary(found)
    assert table(row, rounds).count("\n") == 6


def test_silent_loss_breaks_a_promise() -> None:
    promise = Promise(complete=False, admits_loss=True)
    row = Row("limits", ("floor", "jrc"), promise, HELLO)
    rounds = measured(floor=[1, 1], jrc=[])
    rounds["jrc"] = [Measurement(1, Sample(1, 1, 1, code), 40.0) for code in (9, 0)]
    (found,) = verdicts("limits", row, rounds, "jrc", [], None)
    assert not found.kept
    assert found.text.startswith("1 of 2")


def test_only_small_segments_wait_for_an_acknowledgement() -> None:
    nagle = Nagle(0.05)
    assert nagle.departure(0.0, 100) == 0.0
    assert nagle.departure(0.01, 100) == 0.05
    assert nagle.departure(0.02, 100) == 0.05
    assert nagle.departure(0.03, 5000) == 0.03
    assert nagle.departure(1.0, 100) == 1.0


def test_every_row_has_one_floor_and_one_jrc() -> None:
    for row in ROWS.values():
        assert sum(name.startswith("jrc") for name in row.contestants) == 1
        assert not row.contestants[0].startswith("jrc")
        assert row.near is None or row.near in ROWS
