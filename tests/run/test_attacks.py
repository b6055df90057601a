"""A kernel that says anything: the run goes on to its end, and what it saves is a notebook."""

import io
import json
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.cli.run_listener import JsonListener, TerminalListener
from jrc.cli.terminal import Terminal
from jrc.kernel.channels import ChannelEvent, FrameDamaged
from jrc.notebook.outputs import Outputs
from jrc.notebook.schema import fits
from jrc.notebook.spool import SpooledText
from jrc.notebook.writing import notebook_bytes
from jrc.recorder.in_kernel.frames import METADATA_KEY
from jrc.run.events import Notice
from jrc.run.progress import MOST_LOSSES, Account
from jrc.wire.message import Message, encode_object
from tests.support.fake_kernel import FakeKernel
from tests.support.fuzzing import altered_texts, dumped, examples
from tests.support.running import Recorder
from tests.support.scripted import busy, from_kernel, idle, info_reply, reply, stream
from tests.support.scripted_run import Ran, ScriptedKernel, cells, run_on

pytestmark = pytest.mark.attacks

STATUSES = {"ok", "error", "output-lost", "kernel-died", "interrupted", "aborted", "cancelled"}

WIDGET = {
    "comm_id": "c",
    "target_name": "jupyter.widget",
    "data": {
        "state": {
            "_model_module": "@jupyter-widgets/output",
            "_model_name": "OutputModel",
            "msg_id": "",
            "outputs": [],
            "value": 3,
            "children": ["IPY_MODEL_c"],
            "layout": "IPY_MODEL_l",
        },
        "buffer_paths": [["value"]],
        "method": "update",
    },
}
VIEW = {"application/vnd.jupyter.widget-view+json": {"model_id": "c", "version_major": 2}}
DATA = {
    "text/plain": "x",
    "text/html": "<table><tr><td colspan=2>a</td></tr></table>",
    "image/png": "iVBORw0KGgo=",
    "application/json": {"a": [1, {"b": None}]},
    "application/vnd.plotly.v1+json": {"data": [{"x": [1, 2]}]},
    **VIEW,
}
CONTENTS: dict[str, dict[str, Any]] = {
    "stream": {"name": "stdout", "text": "a\rb\n"},
    "display_data": {"data": DATA, "metadata": {"image/png": {"width": 1}}, "transient": {}},
    "update_display_data": {"data": DATA, "metadata": {}, "transient": {"display_id": "d"}},
    "execute_result": {
        "data": DATA,
        "metadata": {},
        "execution_count": 3,
        "transient": {"display_id": "d"},
    },
    "error": {"ename": "E", "evalue": "v", "traceback": ["one", "two"]},
    "clear_output": {"wait": True},
    "comm_open": WIDGET,
    "comm_msg": WIDGET,
    "comm_close": {"comm_id": "c", "data": {}},
    "status": {"execution_state": "busy"},
    "execute_input": {"code": "1", "execution_count": 3},
    "input_request": {"prompt": "?", "password": False},
    "execute_reply": {
        "status": "error",
        "ename": "E",
        "evalue": "v",
        "traceback": ["a"],
        "execution_count": 1,
        "user_expressions": {"jrc": {"status": "ok", "data": {"text/plain": "3"}}},
        "payload": [],
    },
    "kernel_info_reply": {"status": "ok", "language_info": {"name": "python", "version": "3"}},
    "jrc_replay_reply": {"status": "ok"},
}
CHANNEL = {"input_request": "stdin", "execute_reply": "shell", "kernel_info_reply": "shell"}
HEADER = {
    "msg_id": "k_1",
    "msg_type": "stream",
    "session": "k",
    "username": "u",
    "date": "2026-11-22T12:00:00.000000Z",
    "version": "5.3",
}


class Said(NamedTuple):
    """A message of the kernel: its type, and what makes it as an answer to a request."""

    msg_type: str
    say: Callable[[str], ChannelEvent]


def _said(msg_type: str, content: str, header: str, metadata: str, buffers: int) -> Said:
    def say(parent: str) -> ChannelEvent:
        return Message(
            CHANNEL.get(msg_type, "iopub"),
            header.replace('"stream"', json.dumps(msg_type)).encode("utf-8", "surrogatepass"),
            dumped({"msg_id": parent}).encode(),
            metadata.encode("utf-8", "surrogatepass"),
            content.encode("utf-8", "surrogatepass"),
            (b"buffer",) * buffers,
        )

    return Said(msg_type, say)


@st.composite
def said(draw: st.DrawFn) -> Said:
    """One message with something wrong in its content, its header or its metadata."""
    msg_type = draw(st.sampled_from(sorted(CONTENTS)))
    if draw(st.integers(0, 30)) == 0:
        return Said("", lambda parent: FrameDamaged("A frame is torn."))
    content, header, metadata = dumped(CONTENTS[msg_type]), dumped(HEADER), "{}"
    match draw(st.integers(0, 9)):
        case 0:
            header = draw(altered_texts(HEADER))
        case 1:
            metadata = draw(altered_texts({METADATA_KEY: {"run": "run", "n": 1, "again": False}}))
        case _:
            content = draw(altered_texts(CONTENTS[msg_type]))
    return _said(msg_type, content, header, metadata, draw(st.integers(0, 2)))


def hostile(messages: list[Said]) -> ScriptedKernel:
    """A kernel that says this in a cell, and ends the cell as it should."""

    def answer(request: Message) -> list[ChannelEvent]:
        if request.msg_type != "execute_request":
            return [info_reply(request.msg_id)]
        parent = request.msg_id
        return [
            busy(parent),
            stream(parent, "before\n"),
            *(each.say(parent) for each in messages),
            stream(parent, "behind\n", "stderr"),
            reply(parent),
            idle(parent),
        ]

    return ScriptedKernel(answer)


def saved(ran: Ran) -> dict[str, Any]:
    """The file of what a run of one cell holds, which is a valid notebook whatever that is."""
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": "", "execution_count": None}
    metadata = {} if (widgets := ran.outputs.widget_state()) is None else {"widgets": widgets}
    cell.update(outputs=ran.outputs.cell(0), execution_count=ran.outputs.execution_count(0))
    made = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    assert fits({**made, "cells": [{**cell, "outputs": list(map(_as_text, cell["outputs"]))}]})

    def no_json(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = b"".join(notebook_bytes(made)).decode()
    return dict(json.loads(text, parse_constant=no_json))


def _as_text(output: dict[str, Any]) -> dict[str, Any]:
    """An output with what lies on the disk read back."""
    if "text" in output:
        return {**output, "text": str(output["text"])}
    if "data" in output:
        read = {k: str(v) if isinstance(v, SpooledText) else v for k, v in output["data"].items()}
        return {**output, "data": read}
    return output


@pytest.mark.parametrize("json_lines", [False, True])
@given(st.lists(said(), min_size=1, max_size=4))
@examples(150)
def test_a_run_survives_what_its_kernel_says(json_lines: bool, messages: list[Said]) -> None:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        terminal = Terminal()
        listener = JsonListener(terminal) if json_lines else TerminalListener(terminal)
        ran = anyio.run(run_it, messages, listener)
    assert ran.result.status in STATUSES
    with closing(ran.outputs):
        (cell,) = saved(ran)["cells"]
    texts = ["".join(each["text"]) for each in cell["outputs"] if "text" in each]
    if "clear_output" not in [each.msg_type for each in messages]:
        assert texts[0].startswith("before\n")
        assert texts[-1].endswith("behind\n")


async def run_it(messages: list[Said], listener: Any) -> Ran:
    with anyio.fail_after(60):
        return await run_on(hostile(messages), listener=listener)


class Recorded:
    """A kernel with the real recorder, whose link alters messages on their way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, torn: Callable[[Message], Message]) -> None:
        self._patch = monkeypatch
        self._torn = torn
        self.kernel = FakeKernel()
        self.channels = ScriptedKernel(self._answer)

    def _answer(self, request: Message) -> list[ChannelEvent]:
        content = request.content_fields
        if METADATA_KEY in content:
            installed = self.kernel.install(self._patch, **content[METADATA_KEY]["options"])
            answer = reply(request.msg_id)
            return [replace(answer, metadata=encode_object({METADATA_KEY: installed}))]
        if request.msg_type == "kernel_info_request":
            return [info_reply(request.msg_id)]
        before = len(self.kernel.out)
        self.kernel.receive(request)
        return [
            message if message.channel == "control" else self._torn(message)
            for message in self.kernel.out[before:]
        ]


@given(st.sets(st.integers(0, 15), min_size=1), altered_texts(HEADER))
@examples(20)
def test_what_is_torn_on_its_way_comes_from_the_recorder(torn: set[int], text: str) -> None:
    count = iter(range(1000))

    rubbish = text.encode("utf-8", "surrogatepass")

    def tear(message: Message) -> Message:
        tears = next(count) in torn
        return replace(message, metadata=b"{", content=rubbish) if tears else message

    with pytest.MonkeyPatch.context() as monkeypatch:
        recorded = Recorded(monkeypatch, tear)
        try:
            ran = anyio.run(partial(run_on, recorded.channels, count=3, recorded_as="run"))
        finally:
            recorded.kernel.close()
    with closing(ran.outputs):
        texts = [str(ran.outputs.cell(index)[0]["text"]) for index in range(3)]
    assert texts == [f"cell({index})" for index in range(3)]
    assert (ran.result.status, ran.result.lost) == ("ok", [])


def test_what_is_lost_without_end_is_named_a_thousand_times() -> None:
    listener, outputs = Recorder(), Outputs()
    account = Account(
        cells(1), outputs=outputs, listener=listener, changed=lambda index, finished: None, total=1
    )
    for number in range(3 * MOST_LOSSES):
        account.lose(f"message {number}")
    outputs.close()
    assert len(account.result.lost) == len(listener.of(Notice)) == MOST_LOSSES + 1
    assert account.result.lost[-1] == "More is lost than is named here."


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "x", 5])
def test_dates_that_no_kernel_has_cost_nothing(date: Any) -> None:
    def answer(request: Message) -> list[ChannelEvent]:
        parent = request.msg_id
        if request.msg_type != "execute_request":
            return [info_reply(parent)]
        said: list[tuple[str, str, dict[str, Any]]] = [
            ("iopub", "status", {"execution_state": "busy"}),
            ("iopub", "execute_input", {"code": "1", "execution_count": 1}),
            ("shell", "execute_reply", {"status": "ok"}),
            ("iopub", "status", {"execution_state": "idle"}),
        ]
        return [
            from_kernel(channel, msg_type, content, parent=parent, date=date)
            for channel, msg_type, content in said
        ]

    ran = anyio.run(run_on, ScriptedKernel(answer))
    with closing(ran.outputs):
        assert ran.outputs.took(0) is not None
