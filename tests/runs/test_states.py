"""What the state of a run means, as its kernel's recorder says it."""

from dataclasses import replace

import pytest

from jrc.recorder.protocol import RequestState, RunState, States
from jrc.runs.questions import executed, is_over

RUN = RunState(
    run="0a1b2c3d",
    instance="i",
    opened=0.0,
    count=4,
    gone=0,
    running=0,
    done=2,
    last={"cells": 3},
    stopped="",
    asking=0,
    journal=None,
    journal_error="",
)
REQUESTS = (
    RequestState("a", "done", "ok", {}),
    RequestState("b", "done", "error", {}),
    RequestState("c", "arrived", "", {}),
    RequestState("d", "running", "", {}),
    RequestState("e", "done", "aborted", {}),
)


def test_a_cell_that_failed_was_executed_and_one_that_was_aborted_was_not() -> None:
    assert executed(States(1, "", (RUN,), REQUESTS)) == 2


@pytest.mark.parametrize(
    ("state", "over"),
    [
        (RUN, False),
        (replace(RUN, done=3), True),
        (replace(RUN, stopped="failed"), True),
        (replace(RUN, stopped="failed", running=1), False),
        (replace(RUN, done=3, last=None), False),
        (replace(RUN, done=5, last=None), True),
    ],
)
def test_when_a_run_is_over(state: RunState, over: bool) -> None:
    assert is_over(States(1, "", (state,), REQUESTS)) is over
