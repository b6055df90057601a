"""What the relay makes of the recorder's numbers, without a kernel."""

import gc
import json
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import pytest

from jrc.kernel.messages import Messages
from jrc.recorder.asking import Timing
from jrc.recorder.in_kernel.records import IOPUB, encode_record
from jrc.recorder.recording import RecorderLost
from jrc.recorder.tracker import Cause, Lost
from jrc.relay.actions import Deliver, Send
from jrc.relay.machine import Machine
from jrc.relay.recorded import NeverArrived, Recorded
from jrc.wire.message import Message, encode_object, new_message
from jrc.wire.zmq import Addressed
from tests.support.scripted import busy, from_kernel, idle, reply, stream

INSTALLED = {
    "installed": True,
    "version": 1,
    "protocol": 1,
    "instance": "1f",
    "count": 0,
    "folder": "/",
    "journal": None,
    "journal_error": "",
    "disabled": "",
}


STATE = {
    "instance": "1f",
    "opened": 0,
    "count": 2,
    "gone": 0,
    "running": 1,
    "done": 0,
    "last": None,
    "stopped": "",
    "asking": 0,
    "journal": None,
    "journal_error": "",
}


def messages() -> Messages:
    return Messages(session=32 * "a", username="jrc", date=lambda: "2026-11-22T12:00:00Z")


@pytest.fixture
def recorded() -> Recorded:
    return Recorded(messages())


def request(msg_id: str, msg_type: str = "execute_request") -> Message:
    return new_message(
        "shell",
        msg_type,
        {"code": "1"},
        msg_id=msg_id,
        session="ann",
        username="ada",
        date="2026-11-22T12:00:00Z",
        metadata={"cellId": "7"},
    )


def with_metadata(message: Message, **fields: Any) -> Message:
    return Message(
        message.channel,
        message.header,
        message.parent_header,
        encode_object(fields),
        message.content,
        message.buffers,
    )


def numbered(message: Message, run: str, number: int) -> Message:
    return with_metadata(message, jrc={"run": run, "n": number})


def installed(recorded: Recorded, **answer: Any) -> str:
    """Install the recorder, and let the kernel answer; the id of the run."""
    install = recorded.install()
    run = str(recorded.outgoing(request("first"), 0).metadata_fields["jrc"]["run"])
    answer = {**INSTALLED, "run": run, **answer}
    found = recorded.receive(with_metadata(reply(install.msg_id), jrc=answer), 0)
    assert all(isinstance(news, RecorderLost) for news in found)
    return run


def replay(run: str, question: Message, message: Message) -> Message:
    """The recorder's answer: the first message of the run."""
    content = {
        **STATE,
        "status": "ok",
        "run": run,
        "disabled": "",
        "first": [1, 0],
        "missing": [],
        "next": None,
    }
    parts = [message.header, message.parent_header, b"{}", message.content]
    return from_kernel(
        "control",
        "jrc_replay_reply",
        content,
        parent=question.msg_id,
        buffers=(bytes(encode_record(1, IOPUB, parts, checked=False)),),
    )


def test_a_kernel_that_does_nothing_is_asked_nothing(recorded: Recorded) -> None:
    """The request that brings the recorder is none of the run's."""
    install = recorded.install()
    assert recorded.outgoing(install, 0) is install
    answer = with_metadata(reply(install.msg_id), jrc={**INSTALLED, "run": "r"})
    assert recorded.receive(answer, 0) == []
    assert not recorded.covers(install.msg_id)
    assert recorded.due(1000) == []


def test_nothing_is_marked_or_held_without_a_recorder(recorded: Recorded) -> None:
    asked, answer = request("first"), reply("first")
    assert recorded.outgoing(asked, 0) is asked
    assert recorded.receive(answer, 0) == [answer]
    assert recorded.due(100) == []
    assert not recorded.covers("first")


def test_only_executions_are_marked(recorded: Recorded) -> None:
    recorded.install()
    marked = recorded.outgoing(request("first"), 0)
    assert marked.metadata_fields["cellId"] == "7"
    assert marked.content_fields == {"code": "1"}
    other = request("second", "inspect_request")
    assert recorded.outgoing(other, 0) is other
    assert recorded.covers("first")
    assert not recorded.covers("second")


def test_what_comes_out_of_order_is_passed_on_in_order(recorded: Recorded) -> None:
    run = installed(recorded)
    first, second = (numbered(stream("first", text), run, n) for n, text in ((1, "a"), (2, "b")))
    assert recorded.receive(second, 0) == []
    assert recorded.receive(first, 0) == [first, second]


def test_a_gap_is_asked_for_and_filled(recorded: Recorded) -> None:
    run = installed(recorded)
    recorded.receive(numbered(stream("first", "b"), run, 2), 0)
    assert recorded.due(0) == []
    (question,) = recorded.due(Timing().gap_grace)
    assert (question.channel, question.msg_type) == ("control", "jrc_replay_request")
    texts = [
        news.content_fields["text"]
        for news in recorded.receive(replay(run, question, stream("first", "a")), 1)
        if isinstance(news, Message)
    ]
    assert texts == ["a", "b"]


def test_a_message_that_can_not_be_understood_takes_no_other_with_it(recorded: Recorded) -> None:
    """It is asked for again; where the recorder has it no better, it is lost."""
    run = installed(recorded)
    output = numbered(stream("first", "x"), run, 2)
    nonsense = Message("iopub", b'{"msg_type": 7}', b"{}", b"{}", b"{}")
    assert recorded.receive(output, 0) == []
    assert recorded.receive(numbered(nonsense, run, 1), 0) == []
    recorded.due(0)
    (question,) = recorded.due(Timing().gap_grace)
    found = recorded.receive(replay(run, question, nonsense), 1)
    assert found == [Lost(1, 2, Cause.DAMAGED), output]


def test_an_execution_that_never_arrived_is_told(recorded: Recorded) -> None:
    run = installed(recorded)
    recorded.outgoing(request("second"), 0)
    (question,) = recorded.ask_arrived(("first", "second"))
    assert (question.channel, question.msg_type) == ("control", "jrc_state_request")
    arrived = {"id": "first", "state": "done", "status": "ok", "fields": {}}
    content = {
        "status": "ok",
        "version": 1,
        "disabled": "",
        "runs": [STATE | {"run": run}],
        "requests": [arrived],
    }
    answer = from_kernel("control", "jrc_state_reply", content, parent=question.msg_id)
    assert recorded.receive(answer, 0) == [NeverArrived(("second",))]


def test_a_kernel_of_another_kind_is_left_alone(recorded: Recorded) -> None:
    install = recorded.install()
    (lost,) = recorded.receive(reply(install.msg_id), 0)
    assert isinstance(lost, RecorderLost)
    assert not recorded.installed
    assert recorded.due(100) == []


def test_a_recorder_that_could_not_be_installed_is_given_up(recorded: Recorded) -> None:
    installed(recorded, installed=False, reason="its messages are not JSON")
    assert not recorded.installed


def test_a_kernel_without_its_recorder_is_told(recorded: Recorded) -> None:
    """After a restart that nobody announced."""
    installed(recorded)
    (question,) = recorded.due(Timing().quiet)
    found = recorded.receive(idle(question.msg_id), Timing().quiet)
    assert [type(news) for news in found] == [RecorderLost]
    assert not recorded.covers("first")


def test_a_kernel_that_ends_gives_out_what_was_held(recorded: Recorded) -> None:
    run = installed(recorded)
    held = numbered(stream("first", "b"), run, 2)
    recorded.receive(held, 0)
    assert recorded.give_up() == [Lost(1, 2, Cause.NEVER_ARRIVED), held]
    assert recorded.give_up() == []


def test_an_installation_whose_answer_was_lost_is_sent_again(recorded: Recorded) -> None:
    install = recorded.install()
    recorded.link_lost()
    (again,) = recorded.link_restored()
    assert again.msg_id != install.msg_id
    assert json.loads(bytes(again.content)) == json.loads(bytes(install.content))


def test_both_answers_to_an_installation_that_was_sent_twice_are_understood(
    recorded: Recorded,
) -> None:
    """The first one may only have waited on the server until the link was back."""
    first = recorded.install()
    recorded.link_lost()
    (second,) = recorded.link_restored()
    run = first.content_fields["jrc"]["options"]["run"]
    for install in (first, second):
        answer = with_metadata(reply(install.msg_id), jrc={**INSTALLED, "run": run})
        assert recorded.receive(answer, 0) == []
    assert recorded.installed


def test_what_was_missed_is_asked_for_when_the_link_is_back(recorded: Recorded) -> None:
    installed(recorded)
    recorded.link_lost()
    assert recorded.link_restored() == []
    assert [question.msg_type for question in recorded.due(0)] == ["jrc_replay_request"]


def test_a_relay_that_lives_long_does_not_grow() -> None:
    """It has one run from the start of its kernel to the end, however many cells that is."""
    machine = Machine(messages(), restarts_in_place=True)
    *_, install = machine.kernel_started("python", 0)
    assert isinstance(install, Send)
    run = install.message.content_fields["jrc"]["options"]["run"]
    answer = with_metadata(reply(install.message.msg_id), jrc={**INSTALLED, "run": run})
    assert machine.from_kernel(answer, 0) == []
    number = 0

    def execute(count: int) -> int:
        nonlocal number
        for _ in range(count):
            asked = request(f"cell_{number}")
            assert machine.from_client(Addressed((b"editor",), asked)) == [Send(asked)]
            machine.sending(asked, number)
            machine.sent(number)
            cell = asked.msg_id
            for answer in (busy(cell), stream(cell, "x"), reply(cell), idle(cell)):
                number += 1
                (deliver, *_) = machine.from_kernel(numbered(answer, run, number), number)
                assert isinstance(deliver, Deliver)
        return reachable(machine)

    assert execute(1000) == execute(4000)


def reachable(root: object) -> int:
    """How many objects are kept by one, itself included."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        each = waiting.pop()
        code = (type, ModuleType, FunctionType, BuiltinFunctionType)
        if id(each) not in seen and not isinstance(each, code):
            seen[id(each)] = each
            # A dictionary does not name its keys where all of them are strings.
            waiting += [*gc.get_referents(each), *(each if isinstance(each, dict) else ())]
    return len(seen)
