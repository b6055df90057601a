"""The relay's decisions, one event after the other: no server, no socket, and no test waits."""

import itertools
from typing import Any

import pytest

from jrc.errors import KernelDiedError, UnreachableError, WireError
from jrc.kernel.messages import Messages
from jrc.recorder.asking import Timing as AskingTiming
from jrc.relay.actions import (
    Action,
    AskServer,
    Beat,
    Deliver,
    End,
    Interrupt,
    Log,
    Restart,
    Send,
    StartOver,
    Stop,
)
from jrc.relay.in_flight import MOST_FENCES, MOST_REQUESTS, ClientRequest, ClientRequests
from jrc.relay.machine import MOST_LOSSES, Machine
from jrc.relay.watch import Timing
from jrc.wire.message import Message, encode_object, new_message
from jrc.wire.zmq import Addressed
from tests.support.scripted import busy, from_kernel, idle, info_reply, reply, stream

ANN, BEN = (b"ann",), (b"ben",)
SESSION = 32 * "a"
DATE = "2026-11-22T12:00:00Z"
TIMING = Timing()

_ids = itertools.count(1)


def new_machine(*, restarts_in_place: bool = True, language: str = "") -> Machine:
    """A machine whose kernel lives; by default it is none for the recorder."""
    machine = Machine(
        Messages(session=SESSION, username="jrc", date=lambda: DATE),
        restarts_in_place=restarts_in_place,
    )
    assert Beat(alive=True) in machine.kernel_started(language, 0)
    return machine


@pytest.fixture
def machine() -> Machine:
    return new_machine()


@pytest.fixture
def recording() -> Machine:
    """A machine whose kernel has the recorder."""
    machine = Machine(
        Messages(session=SESSION, username="jrc", date=lambda: DATE), restarts_in_place=True
    )
    (install,) = sends(machine.kernel_started("python", 0))
    assert machine.sending(install, 0) is install
    assert machine.from_kernel(installed(install), 0) == []
    return machine


def request(
    msg_type: str = "execute_request",
    client: tuple[bytes, ...] = ANN,
    channel: str = "shell",
    subshell: str | None = None,
    **content: Any,
) -> Addressed:
    """A request of a local client."""
    message = new_message(
        channel,
        msg_type,
        content,
        msg_id=f"{client[0].decode()}_{next(_ids)}",
        session=client[0].decode(),
        username="ada",
        date=DATE,
        metadata={"cellId": "7"},
    )
    if subshell is not None:
        header = encode_object({**message.header_fields, "subshell_id": subshell})
        message = Message(channel, header, b"{}", b"{}", message.content)
    return Addressed(client, message)


def sent(machine: Machine, addressed: Addressed) -> str:
    """Hand a request to the machine and on to the kernel; its id."""
    for message in sends(machine.from_client(addressed)):
        machine.sending(message, 0)
        machine.sent(0)
    return addressed.message.msg_id


def said(actions: list[Action]) -> list[tuple[str, str, str]]:
    """What clients get: channel, message type, and the state or status in it."""
    return [
        (
            action.message.channel,
            action.message.msg_type,
            str(
                action.message.content_fields.get("execution_state")
                or action.message.content_fields.get("status", "")
            ),
        )
        for action in actions
        if isinstance(action, Deliver)
    ]


def sends(actions: list[Action]) -> list[Message]:
    return [action.message for action in actions if isinstance(action, Send)]


def sent_first(actions: list[Action]) -> list[Message]:
    return [action.message for action in actions if isinstance(action, Send) and action.first]


def nobody_waits(machine: Machine) -> bool:
    """No request is in flight: nothing would be asked of a kernel whose link is back."""
    return sent_first(machine.link_restored(0)) == []


def state(execution_state: str) -> Message:
    return from_kernel("iopub", "status", {"execution_state": execution_state})


# The recorder


def installed(install: Message, **answer: Any) -> Message:
    """The kernel's reply to the request that installs the recorder."""
    fields = {
        "installed": True,
        "version": 1,
        "protocol": 1,
        "instance": "1f",
        "run": f"{SESSION}-1",
        "count": 0,
        "folder": "/",
        "journal": None,
        "journal_error": "",
        "disabled": "",
        **answer,
    }
    return with_metadata(reply(install.msg_id), jrc=fields)


def numbered(message: Message, number: int, run: str = f"{SESSION}-1") -> Message:
    return with_metadata(message, jrc={"run": run, "n": number})


def with_metadata(message: Message, **fields: Any) -> Message:
    return Message(
        message.channel,
        message.header,
        message.parent_header,
        encode_object(fields),
        message.content,
        message.buffers,
    )


def arrived(question: Message, *msg_ids: str) -> Message:
    """The recorder's answer: these executions arrived."""
    assert (question.channel, question.msg_type) == ("control", "jrc_state_request")
    requests = [{"id": id, "state": "done", "status": "ok", "fields": {}} for id in msg_ids]
    content = {"status": "ok", "version": 1, "disabled": "", "runs": [], "requests": requests}
    return from_kernel("control", "jrc_state_reply", content, parent=question.msg_id)


# Ways there and back


def test_requests_go_to_the_kernel_as_they_are(machine: Machine) -> None:
    addressed = request(code="1")
    assert machine.from_client(addressed) == [Send(addressed.message)]
    assert machine.sending(addressed.message, 0) is addressed.message


@pytest.mark.parametrize("channel", ["shell", "control"])
def test_a_reply_goes_to_the_client_whose_request_it_answers(
    machine: Machine, channel: str
) -> None:
    ann = sent(machine, request("debug_request", ANN, channel))
    ben = sent(machine, request("debug_request", BEN, channel))
    for msg_id, client in ((ben, BEN), (ann, ANN)):
        answer = from_kernel(channel, "debug_reply", {}, parent=msg_id)
        assert machine.from_kernel(answer, 0) == [Deliver(answer, client)]


def test_what_is_published_goes_to_everybody_under_its_type(machine: Machine) -> None:
    output = stream("somebody", "hello")
    assert machine.from_kernel(output, 0) == [Deliver(output, (b"stream",))]


def test_a_reply_to_nobody_goes_nowhere(machine: Machine) -> None:
    assert machine.from_kernel(reply("unknown"), 0) == []


def test_a_question_goes_to_the_client_whose_code_asks(machine: Machine) -> None:
    sent(machine, request(client=ANN))
    ben = sent(machine, request(client=BEN))
    question = from_kernel("stdin", "input_request", {"prompt": "?"}, parent=ben)
    assert machine.from_kernel(question, 0) == [Deliver(question, BEN)]


@pytest.mark.attacks
def test_a_question_that_its_client_does_not_allow_is_not_asked(machine: Machine) -> None:
    refused = request(allow_stdin=False)
    machine.from_client(refused)
    question = from_kernel("stdin", "input_request", {"prompt": "?"}, parent=refused.message.msg_id)
    (action,) = machine.from_kernel(question, 0)
    assert isinstance(action, Log)
    assert "does not allow" in action.text


def test_an_answer_on_stdin_goes_to_the_kernel(machine: Machine) -> None:
    answer = request("input_reply", channel="stdin", value="42")
    assert machine.from_client(answer) == [Send(answer.message)]


def test_comm_messages_go_to_the_kernel_and_wait_for_nothing(machine: Machine) -> None:
    sent(machine, request("comm_msg", comm_id="1", data={}))
    assert machine.tick(10 * TIMING.quiet_before_poll) == []
    assert nobody_waits(machine)


def test_finished_requests_are_forgotten(machine: Machine) -> None:
    first, second = sent(machine, request()), sent(machine, request())
    for message in (reply(first), idle(first), idle(second)):
        machine.from_kernel(message, 0)
    assert not nobody_waits(machine)
    machine.from_kernel(reply(second), 0)
    assert nobody_waits(machine)


def test_a_kernel_that_answers_nothing_does_not_fill_the_memory() -> None:
    in_flight = ClientRequests()
    first = request()
    in_flight.add(ClientRequest(first))
    for _ in range(MOST_REQUESTS):
        last = request()
        in_flight.add(ClientRequest(last))
    assert in_flight.get(first.message.msg_id) is None
    assert in_flight.get(last.message.msg_id) is not None
    assert len(list(in_flight)) == MOST_REQUESTS


def test_a_request_that_can_not_be_understood_is_refused(machine: Machine) -> None:
    for header in (b"[]", b"{", b'{"msg_type": 1}', b'{"msg_type": "x", "msg_id": []}'):
        message = Message("shell", header, b"{}", b"{}", b"{}")
        with pytest.raises(WireError):
            machine.from_client(Addressed(ANN, message))


def test_a_damaged_frame_may_have_been_a_reply_and_is_told_once(machine: Machine) -> None:
    msg_id = sent(machine, request())
    actions = machine.frame_damaged("It is torn.")
    (fence,) = sends(actions)
    assert fence.msg_type == "kernel_info_request"
    (notice,) = [each.message for each in actions if isinstance(each, Deliver)]
    assert notice.parent_id == msg_id
    assert "It is torn." in notice.content_fields["text"]
    for _ in range(100):
        assert not [each for each in machine.frame_damaged("Torn.") if isinstance(each, Deliver)]
    assert not machine.frame_damaged("Torn.")
    failed = machine.from_kernel(info_reply(fence.msg_id), 0)
    replies = [each.message for each in failed if isinstance(each, Deliver)]
    assert [each.content_fields.get("ename") for each in replies if each.channel == "shell"] == [
        "ReplyLost"
    ]


def test_what_is_recorded_is_asked_for_and_nothing_is_told(recording: Machine) -> None:
    sent(recording, request())
    assert not [each for each in recording.frame_damaged("Torn.") if isinstance(each, Deliver)]
    assert "jrc_replay_request" in [each.msg_type for each in sends(recording.tick(0))]


# Answered here


def test_each_subscriber_is_welcomed_under_its_topic(machine: Machine) -> None:
    for topic, front in ((b"", ()), (b"stream", (b"stream",))):
        (welcome,) = machine.subscribed(topic)
        assert isinstance(welcome, Deliver)
        assert welcome.front == front
        assert welcome.message.msg_type == "iopub_welcome"
        assert welcome.message.content_fields == {"subscription": topic.decode()}
        assert welcome.message.parent_fields == {}


def test_the_welcome_of_the_server_is_not_passed_on(machine: Machine) -> None:
    welcome = from_kernel("iopub", "iopub_welcome", {"subscription": ""})
    assert machine.from_kernel(welcome, 0) == []


@pytest.mark.parametrize(("problem", "status"), [("", "ok"), ("No way there.", "error")])
def test_an_interrupt_is_answered_here(machine: Machine, problem: str, status: str) -> None:
    asked = request("interrupt_request", channel="control")
    busy_status, interrupt = machine.from_client(asked)
    assert interrupt == Interrupt(asked)
    answer = machine.interrupted(asked, problem)
    assert said([busy_status, *answer]) == [
        ("iopub", "status", "busy"),
        ("control", "interrupt_reply", status),
        ("iopub", "status", "idle"),
    ]
    delivered = answer[0]
    assert isinstance(delivered, Deliver)
    assert delivered.front == ANN
    assert delivered.message.parent_id == asked.message.msg_id
    assert delivered.message.content_fields.get("evalue", "") == problem


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("channel", ["shell", "control"])
@pytest.mark.parametrize("restart", [True, False])
def test_a_shutdown_is_answered_here(channel: str, restart: bool, in_place: bool) -> None:
    machine = new_machine(restarts_in_place=in_place)
    asked = request("shutdown_request", channel=channel, restart=restart)
    actions = machine.from_client(asked)
    if restart and in_place:
        assert actions[1:] == [Restart(asked)]
        actions = [actions[0], *machine.restarted(asked)]
    else:
        assert actions.pop() == Stop()
    assert said(actions) == [
        ("iopub", "status", "busy"),
        (channel, "shutdown_reply", "ok"),
        ("iopub", "shutdown_reply", "ok"),
        ("iopub", "status", "idle"),
    ]
    answer = actions[1]
    assert isinstance(answer, Deliver)
    assert answer.message.content_fields["restart"] is restart


# The kernel as a whole


@pytest.mark.parametrize("kind", ["busy", "starting", "idle"])
def test_the_state_of_the_kernel_is_passed_on(machine: Machine, kind: str) -> None:
    message = state(kind)
    assert machine.from_kernel(message, 0) == [Deliver(message, (b"status",))]


def test_the_heart_beats_while_the_kernel_lives(machine: Machine) -> None:
    assert Beat(alive=False) in machine.from_kernel(state("restarting"), 0)
    assert Beat(alive=True) in machine.from_kernel(state("starting"), 0)
    assert Beat(alive=False) in machine.ended(UnreachableError("No way there."))


def test_nobody_waits_for_a_kernel_that_died(machine: Machine) -> None:
    sent(machine, request())
    sent(machine, request("inspect_request", BEN))
    actions = machine.from_kernel(state("restarting"), 0)
    assert said(actions) == [
        ("iopub", "status", "restarting"),
        ("iopub", "error", ""),
        ("shell", "execute_reply", "error"),
        ("iopub", "status", "idle"),
        ("shell", "inspect_reply", "error"),
        ("iopub", "status", "idle"),
    ]
    assert nobody_waits(machine)


def test_a_restart_by_somebody_else_is_announced_behind_the_answers(machine: Machine) -> None:
    """An editor drops the answers of a kernel that it knows to be gone."""
    sent(machine, request("inspect_request", BEN))
    message = from_kernel("iopub", "shutdown_reply", {"restart": True})
    assert said(machine.from_kernel(message, 0)) == [
        ("iopub", "shutdown_reply", ""),
        ("shell", "inspect_reply", "error"),
        ("iopub", "status", "idle"),
        ("iopub", "status", "restarting"),
    ]


def test_a_shutdown_by_somebody_else_is_looked_into_at_once(machine: Machine) -> None:
    message = from_kernel("iopub", "shutdown_reply", {"restart": False})
    assert machine.from_kernel(message, 100) == [Deliver(message, (b"shutdown_reply",))]
    assert machine.tick(101) == [AskServer()]
    assert machine.tick(102) == []  # it has been asked already
    (end,) = machine.server_answered("dead", all_arrived=False, received=0)
    assert isinstance(end, End)


@pytest.mark.parametrize(
    "message",
    [state("restarting"), state("dead"), from_kernel("iopub", "shutdown_reply", {"restart": True})],
    ids=["died", "dead", "restarted"],
)
def test_the_end_of_its_kernel_ends_the_relay_of_a_manager(message: Message) -> None:
    """It answers nothing, so that no client goes on in an empty kernel."""
    machine = new_machine(restarts_in_place=False)
    running = sent(machine, request())
    actions = machine.from_kernel(message, 0)
    assert isinstance(actions[-1], End)
    last = machine.ended(KernelDiedError(actions[-1].reason))
    assert said([*actions[1:], *last]) == [("iopub", "stream", ""), ("iopub", "status", "dead")]
    notice = last[1]
    assert isinstance(notice, Deliver)
    assert notice.message.parent_id == running


def test_requests_that_were_not_sent_wait_for_the_next_kernel(machine: Machine) -> None:
    waiting = request()
    machine.from_client(waiting)
    assert said(machine.from_kernel(state("restarting"), 0)) == [("iopub", "status", "restarting")]
    machine.sending(waiting.message, 0)
    answer = reply(waiting.message.msg_id)
    assert machine.from_kernel(answer, 0) == [Deliver(answer, ANN)]


def test_requests_that_were_not_sent_have_no_next_kernel(machine: Machine) -> None:
    machine.from_client(request())
    assert said(machine.ended(KernelDiedError("It is gone."))) == [
        ("iopub", "error", ""),
        ("shell", "execute_reply", "error"),
        ("iopub", "status", "idle"),
        ("iopub", "status", "dead"),
    ]


# The link


def notice_text(actions: list[Action]) -> tuple[str, str]:
    """Parent and text of the one notice."""
    (found,) = [a.message for a in actions if isinstance(a, Deliver)]
    assert found.content_fields["name"] == "stderr"
    return found.parent_id, found.content_fields["text"]


def test_a_long_loss_of_the_link_appears_in_the_cell_that_runs(machine: Machine) -> None:
    running = sent(machine, request())
    sent(machine, request(client=BEN))
    machine.link_lost(None, 0)
    assert machine.tick(TIMING.link_notice - 1) == []
    parent, text = notice_text(machine.tick(TIMING.link_notice))
    assert (parent, text.startswith("[jrc] The link to the server is down")) == (running, True)
    parent, text = notice_text(machine.link_restored(60))
    assert (parent, text) == (running, "[jrc] The link to the server is back after 60 s.\n")


def test_a_notice_is_nobodys_where_no_cell_runs(machine: Machine) -> None:
    machine.link_lost(None, 0)
    assert notice_text(machine.tick(TIMING.link_notice))[0] == ""


def test_what_died_with_its_kernel_is_lost_for_that_reason(recording: Machine) -> None:
    msg_id = sent(recording, request())
    recording.from_kernel(numbered(stream(msg_id, "late"), 2), 0)
    notice, *_ = recording.from_kernel(state("restarting"), 0)
    parent, text = notice_text([notice])
    assert parent == msg_id
    assert text.startswith("[jrc] 1 message is lost: that part of the output never arrived")


@pytest.mark.attacks
def test_a_kernel_that_loses_thousands_of_messages_fills_no_cell_with_it(
    recording: Machine,
) -> None:
    msg_id = sent(recording, request())
    for number in range(2, 2000, 2):
        recording.from_kernel(numbered(stream(msg_id, "x"), number), 0)
    delivered = [
        each.message.content_fields.get("text", "")
        for each in recording.from_kernel(state("restarting"), 0)
        if isinstance(each, Deliver)
    ]
    assert delivered.count("x") == 999
    notices = [text for text in delivered if text.startswith("[jrc]")]
    assert len(notices) == MOST_LOSSES + 1
    assert notices[-1] == "[jrc] More is lost than is named here.\n"


def test_no_fence_without_a_request_in_doubt(machine: Machine) -> None:
    machine.from_client(request())
    done = sent(machine, request())
    machine.from_kernel(reply(done), 0)
    machine.from_kernel(idle(done), 0)
    assert machine.link_restored(0) == []


def test_a_fence_goes_before_what_waits_and_is_seen_by_nobody(machine: Machine) -> None:
    sent(machine, request())
    (fence,) = machine.link_restored(0)
    assert isinstance(fence, Send)
    assert fence.first
    assert fence.message.msg_type == "kernel_info_request"
    assert machine.from_kernel(busy(fence.message.msg_id), 0) == []
    assert machine.from_kernel(idle(fence.message.msg_id), 0) == []


def test_a_reply_that_was_only_late_arrives(machine: Machine) -> None:
    msg_id = sent(machine, request())
    (fence,) = sends(machine.link_restored(0))
    late = reply(msg_id)
    assert machine.from_kernel(late, 0) == [Deliver(late, ANN)]
    machine.from_kernel(idle(msg_id), 0)
    assert machine.from_kernel(busy(fence.msg_id), 0) == []
    assert machine.from_kernel(info_reply(fence.msg_id), 0) == []


def test_a_lost_reply_becomes_an_error(machine: Machine) -> None:
    sent(machine, request())
    (fence,) = sends(machine.link_restored(0))
    assert said(machine.from_kernel(busy(fence.msg_id), 0)) == []
    assert said(machine.from_kernel(info_reply(fence.msg_id), 0)) == [
        ("iopub", "error", ""),
        ("shell", "execute_reply", "error"),
        ("iopub", "status", "idle"),
    ]
    assert nobody_waits(machine)


def test_output_that_comes_after_the_reply_of_the_fence_is_before_the_idle(
    machine: Machine,
) -> None:
    """The reply on shell may overtake what was published before it."""
    msg_id = sent(machine, request())
    (fence,) = sends(machine.link_restored(0))
    assert said(machine.from_kernel(info_reply(fence.msg_id), 0)) == [
        ("iopub", "error", ""),
        ("shell", "execute_reply", "error"),
    ]
    output = stream(msg_id, "late")
    assert machine.from_kernel(output, 0) == [Deliver(output, (b"stream",))]
    assert said(machine.from_kernel(busy(fence.msg_id), 0)) == [("iopub", "status", "idle")]


def test_no_second_reply_follows_an_error_in_its_place(machine: Machine) -> None:
    """Not every kernel answers in order, as the fence takes for granted."""
    msg_id = sent(machine, request())
    (fence,) = sends(machine.link_restored(0))
    machine.from_kernel(info_reply(fence.msg_id), 0)
    assert machine.from_kernel(reply(msg_id), 0) == []


def test_a_lost_idle_is_made_up_for(machine: Machine) -> None:
    msg_id = sent(machine, request())
    (fence,) = sends(machine.link_restored(0))
    machine.from_kernel(busy(fence.msg_id), 0)
    late = reply(msg_id)
    actions = machine.from_kernel(late, 0)
    assert actions[0] == Deliver(late, ANN)
    assert said(actions[1:]) == [("iopub", "status", "idle")]


def test_a_lost_question_of_the_editor_is_asked_again(machine: Machine) -> None:
    """Completion and the like change nothing: asking twice is better than an error."""
    asked = request("complete_request", code="zi")
    msg_id = sent(machine, asked)
    (fence,) = sends(machine.link_restored(0))
    assert sends(machine.from_kernel(info_reply(fence.msg_id), 0)) == [asked.message]
    answer = from_kernel("shell", "complete_reply", {"status": "ok"}, parent=msg_id)
    assert machine.from_kernel(answer, 0) == [Deliver(answer, ANN)]


def test_a_fence_says_nothing_of_what_is_sent_again_behind_it(machine: Machine) -> None:
    """Its busy may come behind its reply: the idle of what was asked again is still to come."""
    asked = request("complete_request", code="zi")
    msg_id = sent(machine, asked)
    (fence,) = sends(machine.link_restored(0))
    machine.from_kernel(info_reply(fence.msg_id), 0)
    machine.sending(asked.message, 0)
    machine.from_kernel(busy(fence.msg_id), 0)
    answer = from_kernel("shell", "complete_reply", {"status": "ok"}, parent=msg_id)
    assert machine.from_kernel(answer, 0) == [Deliver(answer, ANN)]


def test_each_lane_has_its_own_fence(machine: Machine) -> None:
    """A subshell and control answer on their own: shell proves nothing for them."""
    sent(machine, request())
    sent(machine, request(subshell="one"))
    sent(machine, request("debug_request", channel="control"))
    fences = sends(machine.link_restored(0))
    assert [(f.channel, f.header_fields.get("subshell_id")) for f in fences] == [
        ("shell", None),
        ("shell", "one"),
        ("control", None),
    ]
    control = from_kernel("control", "kernel_info_reply", {}, parent=fences[2].msg_id)
    assert said(machine.from_kernel(control, 0)) == [("control", "debug_reply", "error")]


def test_only_the_fence_of_the_last_link_counts(machine: Machine) -> None:
    sent(machine, request())
    (old,) = sends(machine.link_restored(0))
    (new,) = sends(machine.link_restored(0))
    assert machine.from_kernel(info_reply(old.msg_id), 0) == []
    assert said(machine.from_kernel(info_reply(new.msg_id), 0))


def test_a_request_behind_the_fence_is_not_judged_by_it(machine: Machine) -> None:
    sent(machine, request())
    (fence,) = sends(machine.link_restored(0))
    sent(machine, request(client=BEN))
    actions = machine.from_kernel(info_reply(fence.msg_id), 0)
    assert {a.front for a in actions if isinstance(a, Deliver)} == {(b"error",), ANN}


def test_an_idle_that_does_not_come_is_sought_and_at_last_assumed(machine: Machine) -> None:
    msg_id = sent(machine, request())
    machine.from_kernel(reply(msg_id), 0)
    fences, ticks = 0, itertools.count(0.0, 0.25)
    while not (actions := machine.tick(next(ticks))) or sends(actions):
        for fence in sends(actions):
            fences += 1
            machine.from_kernel(info_reply(fence.msg_id), 0)
    assert fences == TIMING.fences
    assert said(actions) == [("iopub", "status", "idle")]
    assert nobody_waits(machine)


def test_no_fence_seeks_an_idle_while_another_one_is_out(machine: Machine) -> None:
    msg_id = sent(machine, request())
    machine.from_kernel(reply(msg_id), 0)
    (fence,) = [m for n in range(100) for m in sends(machine.tick(TIMING.idle_within * n))]
    assert said(machine.from_kernel(busy(fence.msg_id), 0)) == [("iopub", "status", "idle")]


def test_a_message_that_the_server_does_not_take_is_answered(machine: Machine) -> None:
    msg_id = sent(machine, request("comm_info_request", data="x" * (11 << 20)))
    log, *actions = machine.link_lost(1009, 1)
    assert isinstance(log, Log)
    assert log.warning
    assert said(actions) == [
        ("shell", "comm_info_reply", "error"),
        ("iopub", "status", "idle"),
    ]
    assert isinstance(actions[0], Deliver)
    assert actions[0].message.parent_id == msg_id
    assert machine.link_lost(1009, 2) == []


def test_the_person_is_told_of_a_large_message_that_nobody_waits_for(machine: Machine) -> None:
    sent(machine, request("comm_msg", data="x" * (11 << 20)))
    actions = machine.link_lost(1009, 1)
    assert "does not take messages of 11 MiB" in notice_text(actions)[1]


# The recorder


def test_only_python_gets_the_recorder() -> None:
    for language in ("", "r", "julia"):
        new_machine(language=language)
    machine = Machine(
        Messages(session=SESSION, username="jrc", date=lambda: DATE), restarts_in_place=True
    )
    beat, install = machine.kernel_started("python", 0)
    assert beat == Beat(alive=True)
    assert isinstance(install, Send)
    assert install.first


def test_executions_are_marked_for_the_recorder(recording: Machine) -> None:
    asked, other = request(code="1"), request("inspect_request")
    recording.from_client(asked)
    recording.from_client(other)
    marked = recording.sending(asked.message, 0)
    assert marked.metadata_fields == {"cellId": "7", "jrc": {"run": f"{SESSION}-1"}}
    assert marked.content_fields == {"code": "1"}
    assert recording.sending(other.message, 0) is other.message


def test_what_comes_out_of_order_is_passed_on_in_order(recording: Machine) -> None:
    msg_id = sent(recording, request())
    first, second = (numbered(stream(msg_id, text), n) for n, text in ((1, "a"), (2, "b")))
    assert recording.from_kernel(second, 0) == []
    assert recording.from_kernel(first, 0) == [
        Deliver(first, (b"stream",)),
        Deliver(second, (b"stream",)),
    ]


def test_the_recorder_is_asked_for_a_gap(recording: Machine) -> None:
    msg_id = sent(recording, request())
    recording.from_kernel(numbered(stream(msg_id, "b"), 2), 0)
    assert recording.tick(0) == []
    (question,) = sends(recording.tick(AskingTiming().gap_grace))
    assert (question.channel, question.msg_type) == ("control", "jrc_replay_request")


def test_what_was_missed_is_asked_for_when_the_link_is_back(recording: Machine) -> None:
    recording.link_lost(None, 0)
    assert [m.msg_type for m in sends(recording.link_restored(0))] == ["jrc_replay_request"]


def test_a_recorded_execution_is_not_judged_by_a_fence_alone(recording: Machine) -> None:
    """The recorder has its reply; or it never arrived, and can be sent again."""
    asked = request(code="1")
    msg_id = sent(recording, asked)
    fence, _ = sends(recording.link_restored(0))
    assert recording.from_kernel(busy(fence.msg_id), 0) == []
    (question,) = sends(recording.from_kernel(info_reply(fence.msg_id), 0))
    assert sends(recording.from_kernel(arrived(question), 0)) == [asked.message]
    assert "jrc" in recording.sending(asked.message, 0).metadata_fields
    answer = numbered(reply(msg_id), 1)
    assert recording.from_kernel(answer, 0) == [Deliver(answer, ANN)]
    assert sends(recording.from_kernel(arrived(question), 0)) == []


def test_an_execution_that_arrived_is_not_sent_again(recording: Machine) -> None:
    msg_id = sent(recording, request(code="1"))
    fence, _ = sends(recording.link_restored(0))
    (question,) = sends(recording.from_kernel(info_reply(fence.msg_id), 0))
    assert recording.from_kernel(arrived(question, msg_id), 0) == []


def test_a_recorder_that_is_gone_leaves_its_promises_to_a_fence(recording: Machine) -> None:
    """After a restart that nobody announced."""
    sent(recording, request())
    (question,) = sends(recording.tick(AskingTiming().quiet))
    log, fence = recording.from_kernel(idle(question.msg_id), AskingTiming().quiet)
    assert isinstance(log, Log)
    assert isinstance(fence, Send)
    recording.from_kernel(busy(fence.message.msg_id), AskingTiming().quiet)
    actions = recording.from_kernel(info_reply(fence.message.msg_id), AskingTiming().quiet)
    assert said(actions)[1] == ("shell", "execute_reply", "error")


def test_a_kernel_that_takes_the_place_of_another_gets_a_recorder(recording: Machine) -> None:
    assert sends(recording.from_kernel(state("restarting"), 0)) == []
    (install,) = sends(recording.from_kernel(state("starting"), 0))
    assert install.content_fields["jrc"]["options"]["run"] == f"{SESSION}-2"
    assert sends(recording.from_kernel(state("starting"), 0)) == []


def test_a_new_kernel_whose_first_word_was_swallowed_gets_a_recorder(recording: Machine) -> None:
    recording.from_kernel(state("restarting"), 0)
    assert sends(recording.from_kernel(state("busy"), 0)) == []
    msg_id = sent(recording, request("kernel_info_request"))
    assert [m.msg_type for m in sent_first(recording.from_kernel(busy(msg_id), 0))] == [
        "execute_request"
    ]


def test_a_reply_that_an_interrupt_swallowed_becomes_an_interrupt(recording: Machine) -> None:
    msg_id = sent(recording, request())
    actions = recording.from_kernel(numbered(idle(msg_id), 1), 0)
    assert said(actions) == [
        ("iopub", "status", "idle"),
        ("iopub", "error", ""),
        ("shell", "execute_reply", "error"),
    ]
    answer = actions[2]
    assert isinstance(answer, Deliver)
    assert answer.message.content_fields["ename"] == "KeyboardInterrupt"


def test_the_idle_of_an_aborted_request_is_sought(recording: Machine) -> None:
    """Old ipykernels publish none for it: the recorder waits no longer than for the reply."""
    msg_id = sent(recording, request())
    recording.from_kernel(numbered(reply(msg_id, "aborted"), 1), 0)
    asked = [m.msg_type for n in range(10) for m in sent_first(recording.tick(0.5 * n))]
    assert asked == ["kernel_info_request"]


# An idle kernel that does not answer


def test_the_server_is_asked_for_a_kernel_that_owes_a_reply(machine: Machine) -> None:
    sent(machine, request())
    assert machine.tick(TIMING.quiet_before_poll - 1) == []
    assert machine.tick(TIMING.quiet_before_poll) == [AskServer()]


def test_an_idle_kernel_that_owes_a_recorded_execution_is_asked_behind_it(
    recording: Machine,
) -> None:
    asked = request(code="1")
    sent(recording, asked)
    (first,) = sends(ask_idle(recording))
    (second,) = sends(ask_idle(recording))
    assert first.channel == second.channel == "shell"
    (question,) = sends(recording.from_kernel(info_reply(first.msg_id), 0))
    assert sends(recording.from_kernel(arrived(question), 0)) == [asked.message]


def test_an_execution_that_is_sent_again_is_not_judged_by_an_older_question(
    recording: Machine,
) -> None:
    """Its second message may still be under way: a third one would execute it twice."""
    asked = request(code="1")
    sent(recording, asked)
    (first,) = sends(ask_idle(recording))
    (second,) = sends(ask_idle(recording))
    (question,) = sends(recording.from_kernel(info_reply(first.msg_id), 0))
    assert sends(recording.from_kernel(arrived(question), 0)) == [asked.message]
    assert recording.from_kernel(info_reply(second.msg_id), 0) == []
    recording.sending(asked.message, 0)
    assert recording.from_kernel(info_reply(second.msg_id), 0) == []


def ask_idle(machine: Machine) -> list[Action]:
    """The server says that the kernel is idle; the link is a slow one."""
    received = 1_000_000 * next(_ids)
    return machine.server_answered("idle", all_arrived=True, received=received)


def test_questions_do_not_pile_up_behind_a_long_execution(recording: Machine) -> None:
    sent(recording, request())
    asked = [sends(ask_idle(recording))[0].channel for _ in range(100)]
    assert (asked.count("shell"), asked[-1]) == (MOST_FENCES, "control")


def test_no_reply_is_given_up_for_a_question_to_an_idle_kernel(machine: Machine) -> None:
    """Where nothing is recorded: some kernels go on with other requests while they wait."""
    msg_id = sent(machine, request())
    (question,) = sends(ask_idle(machine))
    assert question.channel == "control"
    assert machine.from_kernel(busy(question.msg_id), 0) == []
    answer = from_kernel("control", "kernel_info_reply", {}, parent=question.msg_id)
    assert machine.from_kernel(answer, 0) == []
    late = reply(msg_id)
    assert machine.from_kernel(late, 0) == [Deliver(late, ANN)]


def test_an_idle_kernel_that_does_not_answer_gets_another_session(machine: Machine) -> None:
    sent(machine, request())
    answers = [
        machine.server_answered("idle", all_arrived=True, received=0)
        for _ in range(TIMING.unresponsive_polls)
    ]
    assert [len(sends(actions)) for actions in answers] == [1] * (TIMING.unresponsive_polls - 1) + [
        0
    ]
    assert StartOver() in answers[-1]


@pytest.mark.parametrize(("state", "arrived"), [("busy", True), ("unknown", True), ("idle", False)])
def test_a_kernel_that_works_or_is_still_sent_something_is_left_alone(
    machine: Machine, state: str, arrived: bool
) -> None:
    sent(machine, request())
    for _ in range(5 * TIMING.unresponsive_polls):
        assert machine.server_answered(state, all_arrived=arrived, received=0) == []
