"""One run between client and recorder: what is lost, doubled, overtaken, asked and answered."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jrc.recorder.asking import ACKNOWLEDGE_AFTER, LARGEST_BATCH, SLOW_ANSWER, Timing
from jrc.recorder.in_kernel.records import IOPUB, encode_record
from jrc.recorder.protocol import guarded_metadata, request_metadata
from jrc.recorder.recording import NoReply, NotExecuted, RecorderLost, Recording
from jrc.recorder.tracker import Cause, Lost
from jrc.wire.message import Message, encode_object, new_message
from tests.support.fake_kernel import FakeKernel
from tests.support.scripted import busy, from_kernel, idle, reply, stream

TIMING = Timing()


class Client:
    """A recording and the messages that its caller makes."""

    def __init__(self, **options: Any) -> None:
        self._ids = itertools.count(1)
        self.recording = Recording("r", self.control, **options)
        self.sent: dict[str, Message] = {}
        self.began: set[str] = set()

    def control(self, msg_type: str, content: dict[str, Any]) -> Message:
        return self._make("control", msg_type, content, {})

    def execute(self, code: str, now: float = 0.0, guarded: bool = True) -> Message:
        metadata = guarded_metadata("r", code) if guarded else request_metadata("r")
        content = {"code": "" if guarded else code}
        message = self._make("shell", "execute_request", content, metadata)
        self.sent[message.msg_id] = message
        self.recording.sent(message.msg_id, guarded=guarded, now=now)
        return message

    @property
    def unheard(self) -> list[Message]:
        """The requests of which nothing was heard, oldest first. To send them again is safe."""
        return [
            message
            for msg_id, message in self.sent.items()
            if self.recording.is_pending(msg_id) and msg_id not in self.began
        ]

    def _make(
        self, channel: str, msg_type: str, content: dict[str, Any], metadata: dict[str, Any]
    ) -> Message:
        return new_message(
            channel,
            msg_type,
            content,
            msg_id=f"client_{next(self._ids)}",
            session="client",
            username="test",
            date="2026-11-22T12:00:00.000000Z",
            metadata=metadata,
        )


def number_of(message: Message) -> int:
    return int(message.metadata_fields["jrc"]["n"])


class Campaign(RuleBasedStateMachine):
    """Cells go out and messages come back over a link that does to them what links do."""

    @initialize()
    def begin(self) -> None:
        self.kernel = FakeKernel()
        with pytest.MonkeyPatch.context() as patch:
            assert self.kernel.install(patch, run="r", memory=3000)["installed"]
        self.client = Client()
        self.now = 0.0
        self.up: list[Message] = []
        self.down: list[Message] = []
        self.published: list[Message] = []
        self.given: list[Message] = []
        self.codes: list[str] = []

    def collect(self) -> None:
        """What the kernel sent is on its way."""
        for message in self.kernel.out:
            if message.channel != "control":
                self.published.append(message)
            self.down.append(message)
        self.kernel.out.clear()

    def take(self, message: Message) -> None:
        if message.channel != "control":
            self.client.began.add(message.parent_id)
        for news in self.client.recording.receive(message, self.now):
            assert isinstance(news, Message), news
            self.given.append(news)
        self.ask()

    def ask(self) -> None:
        self.up += self.client.recording.due(self.now)

    @rule(lines=st.integers(0, 5), size=st.integers(1, 800))
    def send_cell(self, lines: int, size: int) -> None:
        code = "\n".join(str(n) * size for n in range(lines)) + f"#{len(self.codes)}"
        self.codes.append(code)
        self.up.append(self.client.execute(code, self.now))

    @precondition(lambda self: self.up)
    @rule(count=st.integers(1, 5))
    def requests_arrive(self, count: int) -> None:
        for message in self.up[:count]:
            self.kernel.receive(message)
        del self.up[:count]
        self.collect()

    @precondition(lambda self: self.down)
    @rule(data=st.data(), count=st.integers(1, 10))
    def messages_arrive(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.down))):
            # The channels overtake each other, and a server gives its buffer out twice.
            at = data.draw(st.integers(0, min(3, len(self.down) - 1)))
            message = self.down[at] if data.draw(st.integers(0, 9)) == 0 else self.down.pop(at)
            self.take(message)

    @precondition(lambda self: self.down)
    @rule(data=st.data())
    def messages_get_lost(self, data: st.DataObject) -> None:
        first = data.draw(st.integers(0, len(self.down) - 1))
        del self.down[first : first + data.draw(st.integers(1, 8))]

    @rule(data=st.data())
    def the_link_breaks(self, data: st.DataObject) -> None:
        self.client.recording.link_lost()
        del self.up[data.draw(st.integers(0, len(self.up))) :]
        del self.down[data.draw(st.integers(0, len(self.down))) :]
        self.client.recording.link_restored()
        self.up += self.client.unheard
        self.ask()

    @rule(seconds=st.floats(0.01, 20.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.ask()

    @invariant()
    def each_once_and_in_order(self) -> None:
        if not hasattr(self, "kernel"):
            return
        numbers = [number_of(message) for message in self.given]
        assert numbers == list(range(1, len(numbers) + 1))
        executed = self.kernel.executed
        assert executed == self.codes[: len(executed)]

    def teardown(self) -> None:
        if hasattr(self, "kernel"):
            try:
                self.let_all_arrive()
            finally:
                self.kernel.close()

    def let_all_arrive(self) -> None:
        self.client.recording.link_restored()
        self.up = self.client.unheard
        for _ in range(2000):
            self.now += 0.05
            self.ask()
            for message in self.up:
                self.kernel.receive(message)
            self.up = []
            self.collect()
            arriving, self.down = self.down, []
            for message in arriving:
                self.take(message)
            if not self.client.recording.pending and len(self.given) == len(self.published):
                break
        self.each_once_and_in_order()
        assert not self.client.recording.pending
        assert self.kernel.executed == self.codes
        assert [m.header for m in self.given] == [m.header for m in self.published]


Campaign.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestCampaign = Campaign.TestCase


def stamp(message: Message, number: int, run: str = "r") -> Message:
    return Message(
        message.channel,
        message.header,
        message.parent_header,
        encode_object({"jrc": {"run": run, "n": number}}),
        message.content,
        message.buffers,
    )


def answer(question: Message, count: int, **changed: Any) -> Message:
    """The answer of a recorder that has nothing to send."""
    content = {
        "status": "ok",
        "run": "r",
        "instance": "i",
        "opened": 1.0,
        "count": count,
        "gone": 0,
        "running": 0,
        "done": 0,
        "last": None,
        "stopped": "",
        "asking": 0,
        "journal": None,
        "journal_error": "",
        "disabled": "",
        "first": None,
        "missing": [],
        "next": None,
        **changed,
    }
    return from_kernel("control", "jrc_replay_reply", content, parent=question.msg_id)


@pytest.fixture
def client() -> Iterator[Client]:
    return Client()


def asked(messages: list[Message]) -> list[dict[str, Any]]:
    return [message.content_fields for message in messages]


def test_a_request_is_finished_with_its_idle(client: Client) -> None:
    cell = client.execute("x").msg_id
    recording = client.recording
    recording.receive(stamp(busy(cell), 1), 0)
    recording.receive(stamp(idle(cell), 3), 0)
    assert recording.is_pending(cell)
    recording.receive(stamp(reply(cell), 2), 0)
    assert not recording.pending


def test_a_reply_that_the_kernel_never_sent_is_told(client: Client) -> None:
    cell = client.execute("x").msg_id
    client.recording.receive(stamp(busy(cell), 1), 0)
    news = client.recording.receive(stamp(idle(cell), 2), 0)
    assert news[1:] == [NoReply(cell)]
    assert not client.recording.pending


def test_a_comm_message_has_no_reply_to_wait_for(client: Client) -> None:
    client.recording.sent("comm", guarded=False, now=0, has_reply=False)
    news = client.recording.receive(stamp(idle("comm"), 1), 0)
    assert len(news) == 1
    assert not client.recording.pending


def test_channels_may_overtake_each_other_without_a_question(client: Client) -> None:
    cell = client.execute("x").msg_id
    recording = client.recording
    recording.receive(stamp(reply(cell), 2), 10)
    assert recording.due(10) == []
    assert recording.due(10 + TIMING.gap_grace / 2) == []
    recording.receive(stamp(busy(cell), 1), 10 + TIMING.gap_grace / 2)
    assert recording.due(10 + 2 * TIMING.gap_grace) == []


def test_a_gap_that_lasts_is_asked_for(client: Client) -> None:
    cell = client.execute("x").msg_id
    recording = client.recording
    recording.receive(stamp(stream(cell, "c"), 3), 10)
    assert recording.due(10) == []
    (question,) = recording.due(10.01 + TIMING.gap_grace)
    assert question.content_fields["ranges"] == [[1, 3], [4, None]]
    assert recording.due(11) == []


def test_a_gap_that_grows_while_it_is_filled_needs_no_grace(client: Client) -> None:
    client.execute("x")
    recording = client.recording
    recording.receive(stamp(stream("x", "c"), 3), 10)
    assert recording.due(10) == []
    (question,) = recording.due(11)
    recording.receive(answer(question, 5, missing=[[1, 2]]), 11)
    (question,) = recording.due(11)
    assert question.content_fields["ranges"] == [[2, 3], [4, None]]


def test_a_missing_idle_is_asked_for_soon(client: Client) -> None:
    cell = client.execute("x").msg_id
    recording = client.recording
    recording.receive(stamp(busy(cell), 1), 10)
    recording.receive(stamp(reply(cell), 2), 10)
    assert recording.due(10 + TIMING.idle_grace / 2) == []
    assert len(recording.due(10 + TIMING.idle_grace)) == 1


def test_silence_is_asked_about_less_and_less_often(client: Client) -> None:
    client.execute("x", now=100)
    recording = client.recording
    times, now = [], 100.0
    while now < 200:
        for question in recording.due(now):
            times.append(now)
            recording.receive(answer(question, 0), now)
        now += 0.1
    pauses = [later - earlier for earlier, later in itertools.pairwise([100.0, *times])]
    assert pauses[0] == pytest.approx(TIMING.quiet, abs=0.2)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(TIMING.quiet_at_most, abs=0.2)


def test_nobody_is_asked_when_nothing_is_pending(client: Client) -> None:
    assert client.recording.due(1000) == []


def test_a_question_without_an_answer_is_asked_again_later_and_later(client: Client) -> None:
    client.execute("x")
    times, now = [], 0.0
    while now < 300:
        times += [now] * len(client.recording.due(now))
        now += 0.5
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses[0] == pytest.approx(TIMING.answer, abs=0.6)
    assert pauses == sorted(pauses)
    assert pauses[-1] > 3 * TIMING.answer


def test_a_restored_link_is_followed_by_a_question(client: Client) -> None:
    recording = client.recording
    client.execute("x")
    assert len(recording.due(TIMING.quiet)) == 1
    recording.link_lost()
    recording.link_restored()
    assert len(recording.due(TIMING.quiet)) == 1


def test_what_was_given_out_is_acknowledged(client: Client) -> None:
    cell = client.execute("x").msg_id
    recording = client.recording
    for number, message in enumerate([busy(cell), reply(cell), idle(cell)], 1):
        recording.receive(stamp(message, number), 10)
    assert recording.due(10) == []
    (question,) = recording.due(10 + TIMING.acknowledge_quiet)
    assert question.content_fields["acknowledge"] == 3
    recording.receive(answer(question, 3), 12)
    assert recording.due(100) == []


def test_what_is_not_safe_is_not_acknowledged(client: Client) -> None:
    cell = client.execute("x").msg_id
    recording = client.recording
    recording.saved(0)
    for number, message in enumerate([busy(cell), reply(cell), idle(cell)], 1):
        recording.receive(stamp(message, number), 10)
    assert recording.due(10 + TIMING.acknowledge_quiet) == []
    recording.saved(2)
    (question,) = recording.due(10 + TIMING.acknowledge_quiet)
    assert question.content_fields["acknowledge"] == 2
    recording.receive(answer(question, 3), 12)
    assert recording.due(100) == []
    recording.saved(9)
    (question,) = recording.due(101)
    assert question.content_fields["acknowledge"] == 3


def test_a_flood_is_acknowledged_and_not_asked_for_twice(client: Client) -> None:
    """What is under way comes by itself; the kernel frees what is here, gap or no gap."""
    cell = client.execute("x").msg_id
    recording = client.recording
    size = ACKNOWLEDGE_AFTER // 4
    for number in range(1, 6):
        recording.receive(stamp(stream(cell, "x" * size), number), 10)
    recording.receive(stamp(reply(cell), 9), 10)
    (question,) = recording.due(10)
    assert question.content_fields["acknowledge"] == 5
    assert question.content_fields["ranges"] == []
    assert recording.receive(answer(question, 20), 10) == []
    recording.receive(stamp(stream(cell, "y"), 6), 11)
    assert recording.due(11) == []
    (question,) = recording.due(12)
    assert question.content_fields["ranges"] == [[7, 9], [10, None]]


def test_a_run_for_others_is_not_acknowledged() -> None:
    client = Client(acknowledge=False)
    cell = client.execute("x").msg_id
    for number, message in enumerate([busy(cell), reply(cell), idle(cell)], 1):
        client.recording.receive(stamp(message, number), 10)
    assert client.recording.due(100) == []
    client.recording.link_restored()
    (question,) = client.recording.due(100)
    assert question.content_fields["acknowledge"] == 0


def test_batches_shrink_on_a_slow_link_and_grow_on_a_fast_one(client: Client) -> None:
    recording = client.recording
    client.execute("x")
    sizes, now = [], 0.0
    for seconds in [SLOW_ANSWER + 1] * 8:
        recording.link_restored()
        (question,) = recording.due(now)
        sizes.append(question.content_fields["max_bytes"])
        now += seconds
        recording.receive(answer(question, 0), now)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]
    assert sizes[-1] == sizes[-2]


def test_the_server_speaks_no_more_of_its_limits(client: Client) -> None:
    """What it dropped comes from the recorder; its notice would be an output that nobody wrote."""
    cell = client.execute("x").msg_id
    recording = client.recording
    recording.receive(stamp(busy(cell), 1), 10)
    other = client.execute("y", guarded=False).msg_id
    notice = stream(other, "IOPub data rate exceeded.\nThe Jupyter server will…", "stderr")
    assert recording.receive(notice, 10) == []
    assert len(recording.due(10)) == 1
    theirs = stream("somebody", "IOPub data rate exceeded.", "stderr")
    assert recording.receive(theirs, 10) == [theirs]


def test_what_is_of_nobody_comes_back_at_once(client: Client) -> None:
    cell = client.execute("x").msg_id
    recording = client.recording
    recording.receive(stamp(stream(cell, "c"), 3), 0)
    for message in (busy("somebody"), stamp(busy("other"), 7, "other run")):
        assert recording.receive(message, 0) == [message]


def test_a_kernel_that_ends_ends_the_sequence_first(client: Client) -> None:
    cell = client.execute("x").msg_id
    recording = client.recording
    recording.receive(stamp(busy(cell), 1), 0)
    late = stamp(stream(cell, "c"), 3)
    recording.receive(late, 0)
    ended = from_kernel("iopub", "status", {"execution_state": "restarting"})
    assert recording.receive(ended, 0) == [Lost(2, 3, Cause.NEVER_ARRIVED), late, ended]
    assert recording.due(100) == []


@pytest.mark.parametrize("status", ["ok", "aborted"])
def test_a_guarded_request_without_recorder_was_not_executed(client: Client, status: str) -> None:
    cell = client.execute("x").msg_id
    recording = client.recording
    echo = from_kernel("iopub", "execute_input", {"code": ""}, parent=cell)
    assert recording.receive(busy(cell), 0) == []
    assert recording.receive(echo, 0) == []
    assert recording.receive(reply(cell, status), 0) == [NotExecuted(cell)]
    assert recording.receive(idle(cell), 0) == []
    assert not recording.pending


def test_a_recorder_that_gave_up_says_so_once(client: Client) -> None:
    cell = client.execute("x", guarded=False).msg_id
    recording = client.recording
    failed = reply(cell)
    failed = Message(
        "shell",
        failed.header,
        failed.parent_header,
        encode_object({"jrc": {"run": "r", "disabled": "ValueError: x"}}),
        failed.content,
    )
    assert recording.receive(failed, 0) == [RecorderLost("ValueError: x"), failed]
    last = idle(cell)
    assert recording.receive(last, 0) == [last]
    assert not recording.pending
    recording.link_restored()
    assert recording.due(100) == []


def test_the_status_of_a_question_tells_that_the_recorder_is_gone(client: Client) -> None:
    client.execute("x", guarded=False)
    (question,) = client.recording.due(TIMING.quiet)
    (news,) = client.recording.receive(idle(question.msg_id), 3)
    assert isinstance(news, RecorderLost)


def test_a_run_that_the_recorder_does_not_have_is_lost(client: Client) -> None:
    client.execute("x")
    (question,) = client.recording.due(TIMING.quiet)
    content = {"status": "error", "ename": "LookupError", "evalue": "the recorder has no run 'r'"}
    refusal = from_kernel("control", "jrc_replay_reply", content, parent=question.msg_id)
    assert client.recording.receive(refusal, 3) == [RecorderLost("the recorder has no run 'r'")]


def test_the_answer_that_gives_up_still_counts(client: Client) -> None:
    client.execute("x")
    (question,) = client.recording.due(TIMING.quiet)
    (news,) = client.recording.receive(answer(question, 0, disabled="ValueError: x"), 3)
    assert news == RecorderLost("ValueError: x")
    assert client.recording.state is not None
    assert json.dumps(client.recording.state.count) == "0"


def test_what_is_counted_and_never_comes_is_asked_for_less_and_less_often_and_then_lost(
    client: Client,
) -> None:
    """A recorder that counts what it can't give must not be asked without end."""
    request = client.execute("one")
    client.recording.receive(stamp(busy(request.msg_id), 1), 0.0)
    later_one = stamp(stream(request.msg_id, "x"), 3)
    assert client.recording.receive(later_one, 0.0) == []
    times: list[float] = []
    news: list[object] = []
    now = 0.0
    while not news and now < 600:
        now += 0.01
        for question in client.recording.due(now):
            times.append(now)
            news.extend(client.recording.receive(answer(question, count=3), now))
    assert news == [Lost(2, 3, Cause.NEVER_ARRIVED), later_one]
    assert len(times) == TIMING.fruitless
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(later >= earlier - 0.02 for earlier, later in itertools.pairwise(pauses[1:]))
    assert now < 60


def test_what_is_only_acknowledged_is_no_sign_of_loss(client: Client) -> None:
    """Messages that the recorder counted may be on their way."""
    client.execute("one")
    text = "x" * (ACKNOWLEDGE_AFTER + 1)
    for number in range(1, 3 * TIMING.fruitless):
        message = stamp(stream("client_1", text), number)
        client.recording.receive(message, number)
        for question in client.recording.due(number):
            assert client.recording.receive(answer(question, number + 1), number) == []


def test_a_damaged_frame_asks_nothing_of_a_recorder_that_was_not_heard_of(client: Client) -> None:
    """Its installation may be under way: asked before that, a kernel answers as one without."""
    cell = client.execute("x").msg_id
    recording = client.recording
    recording.frame_damaged(installed=False)
    assert recording.due(0.0) == []
    recording.receive(stamp(busy(cell), 1), 0.0)
    recording.frame_damaged(installed=False)
    (question,) = recording.due(0.0)
    assert question.msg_type == "jrc_replay_request"


@pytest.mark.attacks
def test_an_answer_that_brings_more_than_was_asked_for_brings_nothing(client: Client) -> None:
    """One of hundreds of megabytes, in small pieces, would hold up everything for minutes."""
    client.execute("x")
    news: list[list[object]] = []
    for now, size in ((100.0, LARGEST_BATCH), (200.0, 1)):
        (question,) = client.recording.due(now)
        record = encode_record(1, IOPUB, [bytes(size)])
        said = replace(answer(question, 1, first=[1, 0]), buffers=(record,))
        news.append([*client.recording.receive(said, now)])
    assert news == [[], [Lost(1, 2, Cause.DAMAGED)]]
