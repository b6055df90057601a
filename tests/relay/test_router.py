"""Who gets what, decided without a socket."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import WireError
from jrc.relay.actions import (
    Action,
    AskRecorder,
    Deliver,
    Forward,
    Interrupt,
    News,
    Shutdown,
)
from jrc.relay.messages import Messages
from jrc.relay.pending import MOST_REQUESTS
from jrc.relay.router import Loss, Router
from jrc.wire.message import Message, new_message
from jrc.wire.zmq import Addressed
from tests.support.scripted import busy, from_kernel, idle, info_reply, reply, stream

ANN, BEN = (b"ann",), (b"ben",)
GONE = Loss("KernelDied", "It died.")

_ids = itertools.count(1)


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
        date="2026-11-22T12:00:00Z",
    )
    if subshell is not None:
        header = message.header[:-1] + f',"subshell_id":"{subshell}"}}'.encode()
        message = Message(channel, header, b"{}", b"{}", message.content)
    return Addressed(client, message)


def sent(router: Router, addressed: Addressed) -> str:
    """Hand a request to the router and on to the kernel; its id."""
    for action in router.from_client(addressed):
        if isinstance(action, Forward):
            router.sent(action.message)
    return addressed.message.msg_id


def told(actions: list[Action]) -> list[tuple[str, str, str]]:
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


def forwarded(actions: list[Action]) -> list[Message]:
    return [action.message for action in actions if isinstance(action, Forward)]


@pytest.fixture
def router() -> Router:
    return Router(Messages())


# Ways there and back


def test_requests_go_to_the_kernel_as_they_are(router: Router) -> None:
    addressed = request(code="1")
    assert router.from_client(addressed) == [Forward(addressed.message)]


@pytest.mark.parametrize("channel", ["shell", "control"])
def test_a_reply_goes_to_the_client_whose_request_it_answers(router: Router, channel: str) -> None:
    ann = sent(router, request("debug_request", ANN, channel))
    ben = sent(router, request("debug_request", BEN, channel))
    for msg_id, client in ((ben, BEN), (ann, ANN)):
        answer = from_kernel(channel, "debug_reply", {}, parent=msg_id)
        assert router.from_kernel(answer) == [Deliver(answer, client)]


def test_what_is_published_goes_to_everybody_under_its_type(router: Router) -> None:
    output = stream("somebody", "hello")
    assert router.from_kernel(output) == [Deliver(output, (b"stream",))]


def test_a_reply_to_nobody_goes_nowhere(router: Router) -> None:
    assert router.from_kernel(reply("unknown")) == []


def test_a_question_goes_to_the_client_whose_code_asks(router: Router) -> None:
    sent(router, request(client=ANN))
    ben = sent(router, request(client=BEN))
    question = from_kernel("stdin", "input_request", {"prompt": "?"}, parent=ben)
    assert router.from_kernel(question) == [Deliver(question, BEN)]


def test_an_answer_on_stdin_goes_to_the_kernel(router: Router) -> None:
    answer = request("input_reply", channel="stdin", value="42")
    assert router.from_client(answer) == [Forward(answer.message)]


def test_comm_messages_go_to_the_kernel_and_wait_for_nothing(router: Router) -> None:
    sent(router, request("comm_msg", comm_id="1", data={}))
    assert not router.pending.unanswered


def test_finished_requests_are_forgotten(router: Router) -> None:
    first, second = sent(router, request()), sent(router, request())
    for message in (reply(first), idle(first), idle(second), reply(second)):
        router.from_kernel(message)
    assert list(router.pending) == []


def test_a_kernel_that_answers_nothing_does_not_fill_the_memory(router: Router) -> None:
    first = sent(router, request())
    for _ in range(MOST_REQUESTS):
        last = sent(router, request())
    assert router.pending.get(first) is None
    assert router.pending.get(last) is not None
    assert len(list(router.pending)) == MOST_REQUESTS


def test_a_request_that_can_not_be_understood_is_refused(router: Router) -> None:
    for header in (b"[]", b"{", b'{"msg_type": 1}', b'{"msg_type": "x", "msg_id": []}'):
        message = Message("shell", header, b"{}", b"{}", b"{}")
        with pytest.raises(WireError):
            router.from_client(Addressed(ANN, message))


# Answered here


def test_each_subscriber_is_welcomed_under_its_topic(router: Router) -> None:
    for topic, front in ((b"", ()), (b"stream", (b"stream",))):
        (welcome,) = router.subscribed(topic)
        assert isinstance(welcome, Deliver)
        assert welcome.front == front
        assert welcome.message.msg_type == "iopub_welcome"
        assert welcome.message.content_fields == {"subscription": topic.decode()}
        assert welcome.message.parent_fields == {}


def test_the_welcome_of_the_server_is_not_passed_on(router: Router) -> None:
    welcome = from_kernel("iopub", "iopub_welcome", {"subscription": ""})
    assert router.from_kernel(welcome) == []


def test_an_interrupt_is_answered_here(router: Router) -> None:
    asked = request("interrupt_request", channel="control")
    state, interrupt = router.from_client(asked)
    assert interrupt == Interrupt(asked)
    answer = router.answer(asked, {"status": "ok"})
    assert told([state, *answer]) == [
        ("iopub", "status", "busy"),
        ("control", "interrupt_reply", "ok"),
        ("iopub", "status", "idle"),
    ]
    delivered = answer[0]
    assert isinstance(delivered, Deliver)
    assert delivered.front == ANN
    assert delivered.message.parent_id == asked.message.msg_id


@pytest.mark.parametrize("channel", ["shell", "control"])
@pytest.mark.parametrize("restart", [True, False])
def test_a_shutdown_is_answered_here(router: Router, channel: str, restart: bool) -> None:
    asked = request("shutdown_request", channel=channel, restart=restart)
    assert router.from_client(asked)[1] == Shutdown(asked, restart)
    answer = router.answer(asked, {"status": "ok", "restart": restart}, broadcast=True)
    assert told(answer) == [
        (channel, "shutdown_reply", "ok"),
        ("iopub", "shutdown_reply", "ok"),
        ("iopub", "status", "idle"),
    ]


# The kernel as a whole


@pytest.mark.parametrize(
    ("state", "news"),
    [
        ("busy", News.ALIVE),
        ("starting", News.STARTED),
        ("restarting", News.DIED),
        ("dead", News.DEAD),
    ],
)
def test_the_state_of_the_kernel_is_passed_on_and_reported(
    router: Router, state: str, news: News
) -> None:
    status = from_kernel("iopub", "status", {"execution_state": state})
    assert router.from_kernel(status) == [Deliver(status, (b"status",)), news]


def test_a_kernel_that_begins_with_a_request_works(router: Router) -> None:
    status = busy(sent(router, request()))
    assert router.from_kernel(status) == [Deliver(status, (b"status",)), News.WORKING]


@pytest.mark.parametrize(("restart", "news"), [(True, News.RESTARTED), (False, News.SHUT_DOWN)])
def test_a_shutdown_by_somebody_else_is_reported(router: Router, restart: bool, news: News) -> None:
    message = from_kernel("iopub", "shutdown_reply", {"restart": restart})
    assert router.from_kernel(message) == [Deliver(message, (b"shutdown_reply",)), news]


def test_nobody_waits_for_a_kernel_that_died(router: Router) -> None:
    sent(router, request())
    sent(router, request("inspect_request", BEN))
    actions = router.kernel_ended(GONE, announce=None, for_good=False)
    assert told(actions) == [
        ("iopub", "error", ""),
        ("shell", "execute_reply", "error"),
        ("iopub", "status", "idle"),
        ("shell", "inspect_reply", "error"),
        ("iopub", "status", "idle"),
    ]
    assert list(router.pending) == []


def test_requests_that_were_not_sent_wait_for_the_next_kernel(router: Router) -> None:
    waiting = request()
    router.from_client(waiting)
    assert router.kernel_ended(GONE, announce="restarting", for_good=False)[1:] == []
    router.sent(waiting.message)
    answer = reply(waiting.message.msg_id)
    assert router.from_kernel(answer) == [Deliver(answer, ANN)]


def test_requests_that_were_not_sent_have_no_next_kernel(router: Router) -> None:
    router.from_client(request())
    actions = router.kernel_ended(GONE, announce="dead", for_good=True)
    assert told(actions) == [
        ("iopub", "error", ""),
        ("shell", "execute_reply", "error"),
        ("iopub", "status", "idle"),
        ("iopub", "status", "dead"),
    ]


# The link


def test_a_notice_appears_in_the_cell_that_runs(router: Router) -> None:
    (notice,) = router.notice("The link is down.")
    assert isinstance(notice, Deliver)
    assert notice.message.parent_id == ""
    running = sent(router, request())
    sent(router, request(client=BEN))
    (notice,) = router.notice("The link is down.")
    assert isinstance(notice, Deliver)
    assert notice.message.parent_id == running
    assert notice.message.content_fields == {
        "name": "stderr",
        "text": "[jrc] The link is down.\n",
    }


def test_no_fence_without_a_request_in_doubt(router: Router) -> None:
    router.from_client(request())
    done = sent(router, request())
    router.from_kernel(reply(done))
    router.from_kernel(idle(done))
    assert router.link_restored() == []


def test_a_fence_goes_before_what_waits_and_is_seen_by_nobody(router: Router) -> None:
    sent(router, request())
    (fence,) = router.link_restored()
    assert isinstance(fence, Forward)
    assert fence.first
    assert fence.message.msg_type == "kernel_info_request"
    assert router.from_kernel(busy(fence.message.msg_id)) == []
    assert router.from_kernel(idle(fence.message.msg_id)) == []


def test_a_reply_that_was_only_late_arrives(router: Router) -> None:
    msg_id = sent(router, request())
    (fence,) = forwarded(router.link_restored())
    late = reply(msg_id)
    assert router.from_kernel(late) == [Deliver(late, ANN)]
    router.from_kernel(idle(msg_id))
    assert router.from_kernel(busy(fence.msg_id)) == []
    assert router.from_kernel(info_reply(fence.msg_id)) == []


def test_a_lost_reply_becomes_an_error(router: Router) -> None:
    sent(router, request())
    (fence,) = forwarded(router.link_restored())
    assert told(router.from_kernel(busy(fence.msg_id))) == []
    actions = router.from_kernel(info_reply(fence.msg_id))
    assert told(actions) == [
        ("iopub", "error", ""),
        ("shell", "execute_reply", "error"),
        ("iopub", "status", "idle"),
    ]
    assert list(router.pending) == []


def test_output_that_comes_after_the_reply_of_the_fence_is_before_the_idle(
    router: Router,
) -> None:
    """The reply on shell may overtake what was published before it."""
    msg_id = sent(router, request())
    (fence,) = forwarded(router.link_restored())
    assert told(router.from_kernel(info_reply(fence.msg_id))) == [
        ("iopub", "error", ""),
        ("shell", "execute_reply", "error"),
    ]
    output = stream(msg_id, "late")
    assert router.from_kernel(output) == [Deliver(output, (b"stream",))]
    assert told(router.from_kernel(busy(fence.msg_id))) == [("iopub", "status", "idle")]


def test_a_lost_idle_is_made_up_for(router: Router) -> None:
    msg_id = sent(router, request())
    (fence,) = forwarded(router.link_restored())
    router.from_kernel(busy(fence.msg_id))
    late = reply(msg_id)
    actions = router.from_kernel(late)
    assert actions[0] == Deliver(late, ANN)
    assert told(actions[1:]) == [("iopub", "status", "idle")]


def test_a_lost_question_of_the_editor_is_asked_again(router: Router) -> None:
    """Completion and the like change nothing: asking twice is better than an error."""
    asked = request("complete_request", code="zi")
    msg_id = sent(router, asked)
    (fence,) = forwarded(router.link_restored())
    assert forwarded(router.from_kernel(info_reply(fence.msg_id))) == [asked.message]
    answer = from_kernel("shell", "complete_reply", {"status": "ok"}, parent=msg_id)
    assert router.from_kernel(answer) == [Deliver(answer, ANN)]


def test_each_lane_has_its_own_fence(router: Router) -> None:
    """A subshell and control answer on their own: shell proves nothing for them."""
    sent(router, request())
    sent(router, request(subshell="one"))
    sent(router, request("debug_request", channel="control"))
    fences = forwarded(router.link_restored())
    assert [(f.channel, f.header_fields.get("subshell_id")) for f in fences] == [
        ("shell", None),
        ("shell", "one"),
        ("control", None),
    ]
    control = from_kernel("control", "kernel_info_reply", {}, parent=fences[2].msg_id)
    assert told(router.from_kernel(control)) == [("control", "debug_reply", "error")]


def test_a_recorded_execution_is_not_judged_by_a_fence_alone() -> None:
    """The recorder has its reply; or it never arrived, and can be sent again."""
    router = Router(Messages(), recorded=lambda _: True)
    asked = request(code="1")
    msg_id = sent(router, asked)
    (fence,) = forwarded(router.link_restored())
    assert router.from_kernel(busy(fence.msg_id)) == []
    assert router.from_kernel(info_reply(fence.msg_id)) == [AskRecorder((msg_id,))]
    assert forwarded(router.repeat([msg_id])) == [asked.message]
    answer = reply(msg_id)
    assert router.from_kernel(answer) == [Deliver(answer, ANN)]
    assert router.repeat([msg_id]) == []


def test_only_the_fence_of_the_last_link_counts(router: Router) -> None:
    sent(router, request())
    (old,) = forwarded(router.link_restored())
    (new,) = forwarded(router.link_restored())
    assert router.from_kernel(info_reply(old.msg_id)) == []
    assert told(router.from_kernel(info_reply(new.msg_id)))


def test_a_request_behind_the_fence_is_not_judged_by_it(router: Router) -> None:
    sent(router, request())
    (fence,) = forwarded(router.link_restored())
    sent(router, request(client=BEN))
    actions = router.from_kernel(info_reply(fence.msg_id))
    assert {a.front for a in actions if isinstance(a, Deliver)} == {(b"error",), ANN}


def test_an_idle_kernel_that_owes_a_recorded_execution_is_asked_behind_it() -> None:
    router = Router(Messages(), recorded=lambda _: True)
    asked = request(code="1")
    msg_id = sent(router, asked)
    (first,) = forwarded(router.ask_idle_kernel())
    (second,) = forwarded(router.ask_idle_kernel())
    assert first.channel == second.channel == "shell"
    assert router.from_kernel(info_reply(first.msg_id)) == [AskRecorder((msg_id,))]
    assert forwarded(router.repeat([msg_id])) == [asked.message]


def test_questions_do_not_pile_up_behind_a_long_execution() -> None:
    router = Router(Messages(), recorded=lambda _: True)
    sent(router, request())
    asked = [forwarded(router.ask_idle_kernel())[0].channel for _ in range(100)]
    assert (asked.count("shell"), asked[-1]) == (10, "control")


def test_no_reply_is_given_up_for_a_question_to_an_idle_kernel(router: Router) -> None:
    """Where nothing is recorded: some kernels go on with other requests while they wait."""
    msg_id = sent(router, request())
    (question,) = forwarded(router.ask_idle_kernel())
    assert question.channel == "control"
    assert router.from_kernel(busy(question.msg_id)) == []
    answer = from_kernel("control", "kernel_info_reply", {}, parent=question.msg_id)
    assert router.from_kernel(answer) == []
    late = reply(msg_id)
    assert router.from_kernel(late) == [Deliver(late, ANN)]


def test_an_idle_that_does_not_come_is_sought_and_at_last_assumed(router: Router) -> None:
    msg_id = sent(router, request())
    router.from_kernel(reply(msg_id))
    assert len(router.missing_idle) == 1
    (fence,) = forwarded(router.seek_idle())
    assert router.missing_idle == []
    router.from_kernel(info_reply(fence.msg_id))
    assert len(router.missing_idle) == 1
    assert told(router.assume_idle()) == [("iopub", "status", "idle")]
    assert list(router.pending) == []


def test_a_refused_request_is_answered(router: Router) -> None:
    msg_id = sent(router, request("comm_info_request"))
    actions = router.refuse(msg_id, Loss("MessageTooLarge", "100 MiB"))
    assert told(actions) == [
        ("shell", "comm_info_reply", "error"),
        ("iopub", "status", "idle"),
    ]
    assert router.refuse(msg_id, GONE) == []


steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "send", "reply", "idle", "restored", "fence", "die"]),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(steps=steps)
def test_every_request_gets_one_reply_at_most_and_one_in_the_end(
    steps: list[tuple[str, int]],
) -> None:
    """Whatever is lost, late or dead: after a last fence nobody waits or was told twice."""
    router = Router(Messages())
    asked: list[Message] = []
    queue: list[Message] = []
    fences: list[Message] = []
    replies: dict[str, int] = {}
    idles: dict[str, int] = {}

    def do(actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Forward):
                (fences if action.first else queue).append(action.message)
            if isinstance(action, Deliver):
                parent, kind = action.message.parent_id, action.message.msg_type
                count = replies if kind == "execute_reply" else idles
                if kind == "execute_reply" or "idle" in str(bytes(action.message.content)):
                    count[parent] = count.get(parent, 0) + 1

    def send_all() -> None:
        while queue:
            router.sent(queue.pop(0))

    for step, number in steps:
        target = asked[number % len(asked)].msg_id if asked else ""
        if step == "ask":
            addressed = request(client=(b"c%d" % number,))
            asked.append(addressed.message)
            do(router.from_client(addressed))
        elif step == "send":
            send_all()
        elif step == "reply" and target and replies.get(target, 0) == 0:
            do(router.from_kernel(reply(target)))
        elif step == "idle" and target and idles.get(target, 0) == 0:
            do(router.from_kernel(idle(target)))
        elif step == "restored":
            do(router.link_restored())
        elif step == "fence" and fences:
            fence = fences[number % len(fences)]
            do(router.from_kernel(busy(fence.msg_id) if number % 2 else info_reply(fence.msg_id)))
        elif step == "die":
            do(router.kernel_ended(GONE, announce=None, for_good=False))
    send_all()
    do(router.link_restored())
    for fence in list(fences):
        do(router.from_kernel(busy(fence.msg_id)))
        do(router.from_kernel(info_reply(fence.msg_id)))
    assert list(router.pending) == []
    assert replies == {message.msg_id: 1 for message in asked}
    assert idles == {message.msg_id: 1 for message in asked}
