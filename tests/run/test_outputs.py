"""Outputs of cells, built from scripted messages; nbclient's own code is the oracle."""

import asyncio
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from jrc.run.outputs import Outputs
from jrc.run.spool import apply_carriage_returns
from jrc.wire.message import Message
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


def test_streams_of_one_name_become_one_output() -> None:
    outputs = started()
    for text in ("a\n", "b\n"):
        outputs.publish(0, stream("r", text))
    outputs.publish(0, stream("r", "warn", "stderr"))
    outputs.publish(0, stream("r", "c\n"))
    assert [(o["name"], o["text"]) for o in outputs.cell(0)] == [
        ("stdout", "a\nb\nc\n"),
        ("stderr", "warn"),
    ]


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


def test_carriage_returns_as_a_terminal_shows_them() -> None:
    assert apply_carriage_returns("  1%\r 50%\r100%\ndone\r\n") == "100%\ndone\r\n"


@given(st.text(alphabet="ab\r\n", max_size=30))
def test_carriage_returns_equal_the_reference_expression(text: str) -> None:
    assert apply_carriage_returns(text) == re.sub(r".*\r(?=[^\n])", "", text)


events = st.one_of(
    st.tuples(
        st.just("stream"), st.sampled_from(["stdout", "stderr"]), st.text("ab\n", max_size=3)
    ),
    st.tuples(st.just("display"), st.text("xy", max_size=2), st.none()),
    st.tuples(st.just("clear"), st.booleans(), st.none()),
)


@given(st.lists(events, max_size=12))
def test_any_sequence_gives_what_nbclient_writes(sequence: list[tuple[str, Any, Any]]) -> None:
    outputs = started()
    messages = []
    for kind, first, second in sequence:
        if kind == "stream":
            messages.append(stream("r", second, first))
        else:
            messages.append(display(first) if kind == "display" else clear(wait=first))
    for message in messages:
        outputs.publish(0, message)
    assert outputs.cell(0) == by_nbclient(messages)


def by_nbclient(messages: list[Message]) -> list[dict[str, Any]]:
    """What nbclient makes of the same messages from a kernel that a script plays."""
    cell = new_code_cell("x")
    client = NotebookClient(new_notebook(cells=[cell]), coalesce_streams=True)
    client.kc = ScriptedKernel([*messages, idle("r")])
    asyncio.run(client.async_execute_cell(cell, 0))
    return [dict(output) for output in cell.outputs]


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
