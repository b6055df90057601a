"""The state machine of requests, fed with scripted messages."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.kernel.execution import (
    Event,
    Execution,
    Finished,
    InputRequested,
    KernelEnded,
    LimitReached,
    Published,
    Replied,
    Started,
)
from jrc.wire.message import Message
from tests.support.scripted import busy, from_kernel, idle, info_reply, reply, stream


def feed(execution: Execution, *messages: Message) -> list[Event]:
    return [event for message in messages for event in execution.receive(message)]


def finished(events: Iterable[Event]) -> list[Finished]:
    return [event for event in events if isinstance(event, Finished)]


@pytest.fixture
def execution() -> Execution:
    execution = Execution()
    execution.sent("r1", 1)
    return execution


@pytest.mark.parametrize("last", ["reply", "idle"])
def test_a_request_is_finished_by_reply_and_idle_in_either_order(
    execution: Execution, last: str
) -> None:
    first, second = (idle("r1"), reply("r1")) if last == "reply" else (reply("r1"), idle("r1"))
    assert not finished(feed(execution, busy("r1"), first))
    assert execution.pending == [1]
    (done,) = finished(feed(execution, second))
    assert done.status == "ok"
    assert done.idle is not None
    assert execution.pending == []


def test_started_is_told_once(execution: Execution) -> None:
    echo = from_kernel("iopub", "execute_input", {"code": "1"}, parent="r1")
    events = feed(execution, busy("r1"), echo, busy("r1"))
    assert [type(e) for e in events].count(Started) == 1


def test_a_request_that_is_aborted_never_started(execution: Execution) -> None:
    events = feed(execution, busy("r1"), reply("r1", "aborted"), idle("r1"))
    assert [type(event) for event in events] == [Replied, Finished]


def test_the_messages_of_other_clients_mean_nothing(execution: Execution) -> None:
    assert feed(execution, busy("x"), stream("x", "no"), reply("x"), idle("x"), idle("")) == []


def test_outputs_are_told_even_after_the_end(execution: Execution) -> None:
    feed(execution, busy("r1"), reply("r1"), idle("r1"))
    *_, event = feed(execution, stream("r1", "from a thread"))
    assert isinstance(event, Published)


def test_an_aborted_request_needs_no_idle(execution: Execution) -> None:
    (done,) = finished(feed(execution, reply("r1", "aborted")))
    assert done.status == "aborted"


def test_idle_that_was_lost_is_proved_by_a_fence(execution: Execution) -> None:
    feed(execution, busy("r1"), reply("r1"))
    assert execution.wants_fence
    execution.fence_sent("f")
    assert not execution.wants_fence
    (done,) = finished(feed(execution, busy("f")))
    assert done.idle is None
    assert done.status == "ok"


def test_a_fence_whose_own_status_was_lost_is_asked_for_again(execution: Execution) -> None:
    feed(execution, busy("r1"), reply("r1"))
    execution.fence_sent("f1")
    feed(execution, info_reply("f1"))
    assert execution.wants_fence
    execution.fence_sent("f2")
    assert len(finished(feed(execution, busy("f2")))) == 1


def test_when_no_fence_helps_the_waiting_can_be_ended(execution: Execution) -> None:
    feed(execution, busy("r1"), reply("r1"))
    (done,) = finished(execution.stop_waiting_for_idle())
    assert done.idle is None
    assert execution.pending == []


def test_a_reply_that_was_lost_is_proved_by_the_reply_to_a_fence(execution: Execution) -> None:
    feed(execution, busy("r1"), idle("r1"))
    execution.fence_sent("f")
    (done,) = finished(feed(execution, info_reply("f")))
    assert done.reply is None
    assert done.status == "lost"


def test_a_request_that_was_swallowed_whole_is_found_by_a_fence(execution: Execution) -> None:
    execution.fence_sent("f")
    (done,) = finished(feed(execution, busy("f"), info_reply("f"), idle("f")))
    assert done.status == "lost"


def test_a_fence_behind_a_running_request_proves_nothing_yet(execution: Execution) -> None:
    execution.fence_sent("f")
    assert not finished(feed(execution, busy("r1"), stream("r1", "still here")))
    (done,) = finished(feed(execution, reply("r1"), idle("r1"), busy("f")))
    assert done.idle is not None


def test_a_fence_that_died_with_the_link_is_forgotten(execution: Execution) -> None:
    feed(execution, busy("r1"), reply("r1"))
    execution.fence_sent("f1")
    execution.fences_lost()
    assert execution.wants_fence


def test_of_a_request_that_ends_without_a_reply_no_reason_is_made_up(execution: Execution) -> None:
    feed(execution, busy("r1"), idle("r1"))
    (done,) = finished(execution.no_reply("r1"))
    assert done.status == "error"
    assert done.reply is not None
    assert done.reply["ename"] == "NoReply"
    assert "does not say how it ended" in done.reply["evalue"]
    assert not done.error_lost


def test_the_next_request_proves_the_lost_idle_of_the_one_before(execution: Execution) -> None:
    execution.sent("r2", 2)
    events = feed(execution, busy("r1"), reply("r1"), busy("r2"))
    assert [done.key for done in finished(events)] == [1]
    assert execution.pending == [2]


@pytest.mark.parametrize(
    ("message", "how"),
    [
        (from_kernel("iopub", "status", {"execution_state": "restarting"}), "died"),
        (from_kernel("iopub", "status", {"execution_state": "dead"}), "dead"),
        (from_kernel("iopub", "shutdown_reply", {"restart": True}, parent="x"), "restarted"),
        (from_kernel("iopub", "shutdown_reply", {"restart": False}, parent="x"), "shutdown"),
    ],
)
def test_the_end_of_the_kernel_is_told(execution: Execution, message: Message, how: str) -> None:
    assert feed(execution, message) == [KernelEnded(how)]


def test_a_rate_limit_notice_is_output_and_loss(execution: Execution) -> None:
    notice = "\nIOPub data rate exceeded.\nThe server will temporarily stop sending output\n"
    started, published, limit = feed(execution, stream("r1", notice, "stderr"))
    assert isinstance(started, Started)
    assert isinstance(published, Published)
    assert limit == LimitReached(1, "IOPub data rate exceeded.")


def test_text_about_a_rate_limit_on_stdout_is_only_output(execution: Execution) -> None:
    events = feed(execution, stream("r1", "IOPub data rate exceeded."))
    assert [type(event) for event in events] == [Started, Published]


def test_an_input_request_is_told_with_whether_it_is_allowed(execution: Execution) -> None:
    execution.sent("r2", 2, may_ask=True)
    for number, allowed in ((1, False), (2, True)):
        question = from_kernel("stdin", "input_request", {"prompt": "?"}, parent=f"r{number}")
        assert feed(execution, question) == [InputRequested(number, question, allowed)]


@pytest.mark.parametrize(("traceback", "lost"), [(["Traceback…"], True), ([], False)])
def test_a_lost_error_message_is_told_from_an_error_that_has_none(
    execution: Execution, traceback: list[str], lost: bool
) -> None:
    answer = reply("r1", "error", ename="E", traceback=traceback)
    (done,) = finished(feed(execution, busy("r1"), answer, idle("r1")))
    assert done.status == "error"
    assert done.error_lost is lost


@given(st.data(), st.integers(1, 6))
def test_requests_in_flight_each_finish_once_however_channels_interleave(
    data: st.DataObject, count: int
) -> None:
    """Shell and iopub are each in order; between them any order is possible."""
    execution = Execution()
    shell, iopub = [], []
    for key in range(count):
        execution.sent(f"r{key}", key)
        shell.append(reply(f"r{key}"))
        iopub += [busy(f"r{key}"), stream(f"r{key}", str(key)), idle(f"r{key}")]
    seen: list[Event] = []
    while shell or iopub:
        take_shell = bool(shell) and (not iopub or data.draw(st.booleans()))
        seen += feed(execution, (shell if take_shell else iopub).pop(0))
    done = finished(seen)
    assert sorted(event.key for event in done) == list(range(count))
    assert all(event.idle is not None for event in done)
    assert [event.key for event in seen if isinstance(event, Published)] == list(range(count))


@given(st.data(), st.integers(1, 5))
def test_whatever_is_lost_a_fence_ends_the_waiting(data: st.DataObject, count: int) -> None:
    """Any subset of the messages may vanish; a fence that arrives whole finishes everything."""
    execution = Execution()
    shell, iopub = [], []
    for key in range(count):
        execution.sent(f"r{key}", key)
        shell.append(reply(f"r{key}"))
        iopub += [busy(f"r{key}"), stream(f"r{key}", "x"), idle(f"r{key}")]
    execution.fence_sent("f")
    kept = [m for m in [*shell, *iopub] if data.draw(st.booleans())]
    events = feed(execution, *kept, busy("f"), info_reply("f"), idle("f"))
    assert sorted(event.key for event in finished(events)) == list(range(count))
    assert execution.pending == []
