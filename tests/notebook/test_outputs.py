"""Outputs of cells, built from scripted messages; nbclient's own code is the oracle."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from jrc.kernel.execution import OUTPUT_TYPES
from jrc.notebook.outputs import Outputs, to_output
from jrc.notebook.reading import read_notebook
from jrc.notebook.schema import fits
from jrc.notebook.spool import apply_carriage_returns
from jrc.notebook.writing import notebook_bytes
from jrc.wire.message import Message
from tests.support.notebooks import neighbours_merged
from tests.support.scripted import from_kernel, idle, reply, stream


def display(
    text: str, *, display_id: str | None = None, kind: str = "display_data", parent: str = "r"
) -> Any:
    content: dict[str, Any] = {"data": {"text/plain": text}, "metadata": {}}
    content["transient"] = {"display_id": display_id} if display_id else {}
    return from_kernel("iopub", kind, content, parent=parent)


def clear(*, wait: bool, parent: str = "r") -> Any:
    return from_kernel("iopub", "clear_output", {"wait": wait}, parent=parent)


def texts(outputs: Outputs, index: int = 0) -> list[str]:
    return [o.get("text") or o["data"]["text/plain"] for o in outputs.cell(index)]


def started() -> Outputs:
    outputs = Outputs()
    outputs.start(0)
    return outputs


def test_neighbouring_text_of_one_stream_becomes_one_output() -> None:
    outputs = started()
    for text in ("a\n", "b\n"):
        outputs.publish(0, stream("r", text))
    outputs.publish(0, stream("r", "warn", "stderr"))
    outputs.publish(0, stream("r", "c\n"))
    assert [(o["name"], o["text"]) for o in outputs.cell(0)] == [
        ("stdout", "a\nb\n"),
        ("stderr", "warn"),
        ("stdout", "c\n"),
    ]


def test_text_stays_on_its_side_of_a_display() -> None:
    outputs = started()
    for message in (stream("r", "before\n"), display("picture"), stream("r", "after\n")):
        outputs.publish(0, message)
    assert texts(outputs) == ["before\n", "picture", "after\n"]


def test_an_update_leaves_the_count_of_a_result() -> None:
    outputs = started()
    result = {"data": {"text/plain": "old"}, "metadata": {}, "execution_count": 3}
    result["transient"] = {"display_id": "d"}
    outputs.publish(0, from_kernel("iopub", "execute_result", result, parent="r"))
    outputs.publish(0, display("new", display_id="d", kind="update_display_data"))
    (output,) = outputs.cell(0)
    assert (output["data"], output["execution_count"]) == ({"text/plain": "new"}, 3)


def test_clear_output_now_and_before_the_next() -> None:
    outputs = started()
    outputs.publish(0, display("one"))
    outputs.publish(0, clear(wait=True))
    assert texts(outputs) == ["one"]
    outputs.publish(0, display("two"))
    assert texts(outputs) == ["two"]
    outputs.publish(0, clear(wait=False))
    assert texts(outputs) == []


def test_an_update_reaches_every_cell_that_shows_the_display() -> None:
    outputs = started()
    outputs.start(1)
    outputs.publish(0, stream("r", "x"))
    outputs.publish(0, stream("r", "y", "stderr"))
    outputs.publish(0, stream("r", "z"))
    outputs.publish(0, display("old", display_id="d"))
    outputs.publish(1, display("newer", display_id="d"))
    assert texts(outputs, 0)[-1] == "newer"
    outputs.publish(1, display("newest", display_id="d", kind="update_display_data"))
    assert texts(outputs, 0)[-1] == texts(outputs, 1)[-1] == "newest"


def test_an_update_of_a_cleared_display_changes_nothing() -> None:
    outputs = started()
    outputs.publish(0, display("old", display_id="d"))
    outputs.publish(0, clear(wait=False))
    outputs.publish(0, display("new", display_id="d", kind="update_display_data"))
    assert texts(outputs) == []


def test_an_error_is_rebuilt_from_the_reply() -> None:
    outputs = started()
    outputs.error(0, {"ename": "E", "evalue": "v", "traceback": ["t"], "status": "error"})
    assert outputs.cell(0) == [
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]}
    ]


def test_timing_is_written_in_utc() -> None:
    outputs = started()
    message = from_kernel(
        "iopub", "status", {"execution_state": "idle"}, date="2026-11-22T13:00:00+01:00"
    )
    outputs.mark(0, "iopub.status.idle", message)
    assert outputs.timing(0) == {"iopub.status.idle": "2026-11-22T12:00:00.000000Z"}


@pytest.mark.parametrize(
    ("busy", "idle", "seconds"),
    [
        ("2026-11-22T12:00:00Z", "2026-11-22T13:00:06.5+01:00", 6.5),
        ("2026-11-22T12:00:00Z", "2026-11-22T11:00:00Z", 0.0),
        ("2026-11-22T12:00:00Z", None, None),
        (None, "2026-11-22T12:00:00Z", None),
    ],
)
def test_a_cell_took_what_the_kernel_says(
    busy: str | None, idle: str | None, seconds: float | None
) -> None:
    outputs = started()
    for state, date in (("busy", busy), ("idle", idle)):
        if date is not None:
            message = from_kernel("iopub", "status", {"execution_state": state}, date=date)
            outputs.mark(0, f"iopub.status.{state}", message)
    assert outputs.took(0) == seconds


def test_carriage_returns_as_a_terminal_shows_them() -> None:
    assert apply_carriage_returns("  1%\r 50%\r100%\ndone\r\n") == "100%\ndone\r\n"


@given(st.text(alphabet="ab\r\n", max_size=30))
def test_carriage_returns_equal_the_reference_expression(text: str) -> None:
    assert apply_carriage_returns(text) == re.sub(r".*\r(?=[^\n])", "", text)


events = st.one_of(
    st.tuples(
        st.just("stream"), st.sampled_from(["stdout", "stderr"]), st.text("ab\n", max_size=3)
    ),
    st.tuples(st.just("display"), st.text("xy", max_size=2), st.sampled_from([None, "d", "e"])),
    st.tuples(st.just("result"), st.text("xy", max_size=2), st.sampled_from([None, "d", "e"])),
    st.tuples(st.just("update"), st.text("xy", max_size=2), st.sampled_from(["d", "e"])),
    st.tuples(st.just("clear"), st.booleans(), st.none()),
)


@given(st.lists(events, max_size=12))
def test_any_sequence_gives_what_nbclient_writes(sequence: list[tuple[str, Any, Any]]) -> None:
    messages = [as_message(*event) for event in sequence]
    outputs = started()
    for message in messages:
        outputs.publish(0, message)
    assert outputs.cell(0) == by_nbclient(messages)


def as_message(kind: str, first: Any, second: Any) -> Message:
    if kind == "stream":
        return stream("r", second, first)
    if kind == "clear":
        return clear(wait=first)
    content = {"data": {"text/plain": first}, "metadata": {}, "transient": {"display_id": second}}
    if kind == "result":
        return from_kernel("iopub", "execute_result", {**content, "execution_count": 2}, parent="r")
    msg_type = "update_display_data" if kind == "update" else "display_data"
    return from_kernel("iopub", msg_type, content, parent="r")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
mimetypes = st.text(max_size=3) | st.sampled_from(
    [
        *["text/plain", "image/png", "application/json", "application/x+json", "a/b+json", "a"],
        *["application/json\n", "application/x+json\n", "APPLICATION/JSON"],
    ]
)
contents = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(["name", "text", "ename", "evalue", "traceback"], anything),
        **dict.fromkeys(["wait", "metadata", "execution_count", "comm_id"], anything),
        "data": anything
        | st.dictionaries(mimetypes, anything)
        | st.fixed_dictionaries({"state": anything, "buffer_paths": anything}),
        "transient": anything | st.just({"display_id": "d"}),
    },
)


@given(st.lists(st.tuples(st.sampled_from(sorted(OUTPUT_TYPES)), contents), max_size=5))
def test_nothing_that_a_kernel_publishes_makes_a_notebook_invalid(
    published: list[tuple[str, dict[str, Any]]],
) -> None:
    """What is saved can be opened again, by jrc and by everybody else."""
    outputs = started()
    for msg_type, content in published:
        outputs.publish(0, from_kernel("iopub", msg_type, content, parent="r", buffers=(b"x",)))
        outputs.set_execution_count(0, content.get("execution_count"))
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": ""}
    cell.update(outputs=outputs.cell(0), execution_count=outputs.execution_count(0))
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    assert fits(content)
    saved = json.loads(b"".join(notebook_bytes(content)))
    nbformat.validate(nbformat.from_dict(saved))


@pytest.mark.parametrize("levels", [150, 250, 700])
def test_data_is_not_nested_deeper_than_a_notebook_may_be(tmp_path: Path, levels: int) -> None:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    outputs = started()
    content = {"data": {"application/json": value}, "metadata": {"a": value}}
    outputs.publish(0, from_kernel("iopub", "display_data", content, parent="r"))
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": "", "execution_count": 1}
    cell["outputs"] = outputs.cell(0)
    made = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "a.ipynb").write_bytes(b"".join(notebook_bytes(made)))
    assert read_notebook(tmp_path / "a.ipynb") == made


def test_odd_data_is_kept_as_text() -> None:
    outputs = started()
    data = {"text/plain": 5, "text/html": ["a", "b"], "text/latex": None, "text/x": {"a": 1}}
    outputs.publish(0, from_kernel("iopub", "display_data", {"data": data}, parent="r"))
    (output,) = outputs.cell(0)
    assert output["data"] == {"text/plain": "5", "text/html": "ab", "text/x": '{"a": 1}'}


@pytest.mark.parametrize(
    ("traceback", "lines"), [(None, []), ("one line", ["one line"]), ([1, None], ["1", ""])]
)
def test_an_odd_traceback_is_a_list_of_text(traceback: object, lines: list[str]) -> None:
    assert to_output("error", {"traceback": traceback})["traceback"] == lines


def by_nbclient(messages: list[Message]) -> list[dict[str, Any]]:
    """What nbclient makes of the same messages, neighbouring pieces of a stream put together."""
    cell = new_code_cell("x")
    client = NotebookClient(new_notebook(cells=[cell]))
    client.kc = ScriptedKernel([*messages, idle("r")])
    asyncio.run(client.async_execute_cell(cell, 0))
    return [dict(output) for output in neighbours_merged(cell.outputs)]


class ScriptedKernel:
    """As much of a ``jupyter_client`` kernel client as nbclient uses for one cell."""

    def __init__(self, iopub: list[Message]) -> None:
        self.iopub_channel = ScriptedChannel(iopub)
        self.shell_channel = ScriptedChannel([reply("r")])

    def execute(self, *_args: Any, **_options: Any) -> str:
        return "r"

    async def is_alive(self) -> bool:
        return True


class ScriptedChannel:
    def __init__(self, messages: list[Message]) -> None:
        self._messages = messages

    async def get_msg(self, timeout: float | None = None) -> dict[str, Any]:
        message = self._messages.pop(0)
        return {
            "msg_type": message.msg_type,
            "header": message.header_fields,
            "parent_header": message.parent_fields,
            "content": message.content_fields,
            "buffers": [],
        }
