"""The tracker against the archive that it asks: whatever happens on the way between them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import hypothesis
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from jrc.errors import WireError
from jrc.recorder.in_kernel.archive import Archive, Batch
from jrc.recorder.in_kernel.records import IOPUB, SHELL, encode_record
from jrc.recorder.protocol import Range, Replay, RunState
from jrc.recorder.tracker import MOST_RANGES, Cause, Item, Lost, Tracker
from jrc.wire.message import Message
from tests.support.scripted import stream

FOR_EVER = 1 << 62


def run_state(count: int, gone: int = 0) -> RunState:
    return RunState("r", "i", 0.0, count, gone, 0, 0, None, "", 0, None, "")


class Kernel:
    """The archive of a kernel with one run, and what was published in it."""

    def __init__(self, memory: int = 1 << 30, spool: int = 1 << 30) -> None:
        self.archive = Archive(memory, spool)
        self.run = self.archive.open_run("r", None)
        self.published: list[Message] = []

    def publish(self, text: str, channel: int = IOPUB) -> int:
        message = stream("cell", text)
        message = Message(
            ("iopub", "shell")[channel],
            message.header,
            message.parent_header,
            message.metadata,
            message.content,
            (text.encode(),),
        )
        self.published.append(message)
        self.archive.append(
            self.run,
            channel,
            [
                message.header,
                message.parent_header,
                message.metadata,
                message.content,
                *message.buffers,
            ],
        )
        self.archive.settle(self.run)
        return len(self.published)

    def answer(self, ranges: Sequence[Range], offset: int, max_bytes: int) -> Replay:
        asked = [(start, stop or FOR_EVER) for start, stop in ranges]
        batch: Batch = self.archive.replay(self.run, asked, offset, max_bytes)
        return Replay(
            state=run_state(self.run.count, self.run.gone),
            disabled="",
            first=(batch.first[0], batch.first[1]) if batch.first else (0, 0),
            missing=tuple((start, stop) for start, stop in batch.missing),
            next=(batch.next[0], batch.next[1]) if batch.next else None,
            data=b"".join(batch.pieces),
        )

    def close(self) -> None:
        self.archive.close()


def same(given: Message, published: Message) -> bool:
    return (
        given.channel == published.channel
        and bytes(given.header) == published.header
        and bytes(given.content) == published.content
        and [bytes(each) for each in given.buffers] == [bytes(each) for each in published.buffers]
    )


def catch_up(tracker: Tracker, kernel: Kernel, max_bytes: int = 5000) -> list[Item]:
    """Ask until nothing is lacking."""
    items: list[Item] = []
    while tracker.next <= kernel.run.count:
        items += tracker.replayed(kernel.answer(*tracker.wanted(), max_bytes))
    return items


class Link(RuleBasedStateMachine):
    """Publishing, losing, doubling, overtaking, replaying in slices, forgetting, in any order."""

    on_the_way = Bundle("on_the_way")
    answers = Bundle("answers")

    def __init__(self) -> None:
        super().__init__()
        self.kernel = Kernel(memory=6000, spool=FOR_EVER)
        self.tracker = Tracker(held_bytes=3000)
        self.given: list[Item] = []

    @rule(target=on_the_way, sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=6))
    def publish(self, sizes: list[int]) -> object:
        numbers = [self.kernel.publish("x" * size, size % 2) for size in sizes]
        return multiple(*numbers)

    @rule(number=consumes(on_the_way))
    def arrive(self, number: int) -> None:
        self.given += self.tracker.live(number, self.kernel.published[number - 1])

    @rule(number=on_the_way)
    def arrive_and_come_again(self, number: int) -> None:
        self.given += self.tracker.live(number, self.kernel.published[number - 1])

    @rule(number=consumes(on_the_way))
    def get_lost(self, number: int) -> None:
        pass

    @rule(target=answers, max_bytes=st.integers(50, 9000))
    def ask(self, max_bytes: int) -> Replay:
        return self.kernel.answer(*self.tracker.wanted(), max_bytes)

    @rule(answer=consumes(answers))
    def take_answer(self, answer: Replay) -> None:
        self.given += self.tracker.replayed(answer)

    @rule(answer=answers)
    def take_answer_that_comes_again(self, answer: Replay) -> None:
        self.given += self.tracker.replayed(answer)

    @rule()
    def acknowledge(self) -> None:
        self.kernel.archive.release(self.kernel.run, self.tracker.next - 1)

    @invariant()
    def each_once_and_in_order(self) -> None:
        assert len(self.given) == self.tracker.next - 1
        for given, published in zip(self.given, self.kernel.published, strict=False):
            assert isinstance(given, Message)
            assert same(given, published)

    @invariant()
    def only_what_lacks_is_wanted(self) -> None:
        ranges, _ = self.tracker.wanted()
        assert ranges[0][0] == self.tracker.next
        bounds = [number for each in ranges for number in each if number is not None]
        assert bounds == sorted(set(bounds))

    def teardown(self) -> None:
        try:
            self.given += catch_up(self.tracker, self.kernel)
            self.each_once_and_in_order()
            assert self.tracker.next == len(self.kernel.published) + 1
        finally:
            self.kernel.close()


class LossyLink(Link):
    """The same with a kernel that drops the oldest: each message is given out or named as lost."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel.close()
        self.kernel = Kernel(memory=6000, spool=8000)

    @invariant()
    def each_once_and_in_order(self) -> None:
        number = 1
        for given in self.given:
            if isinstance(given, Lost):
                assert given.start == number < given.stop
                number = given.stop
            else:
                assert same(given, self.kernel.published[number - 1])
                number += 1
        assert number == self.tracker.next


for machine in (Link, LossyLink):
    machine.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)

TestLink = Link.TestCase
TestLossyLink = LossyLink.TestCase


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def texts(items: Sequence[Item]) -> list[str]:
    return [
        f"lost {each.start}-{each.stop}"
        if isinstance(each, Lost)
        else str(each.content_fields["text"])
        for each in items
    ]


def test_in_order_is_given_out_at_once(kernel: Kernel) -> None:
    tracker = Tracker()
    for text in "abc":
        number = kernel.publish(text)
        assert texts(tracker.live(number, kernel.published[-1])) == [text]
    assert not tracker.lacking


def test_a_gap_is_known_when_something_comes_behind_it(kernel: Kernel) -> None:
    tracker = Tracker()
    for text in "abcd":
        kernel.publish(text)
    assert tracker.live(2, kernel.published[1]) == []
    assert tracker.live(4, kernel.published[3]) == []
    assert tracker.lacking
    assert tracker.wanted() == ([(1, 2), (3, 4), (5, None)], 0)
    assert texts(tracker.live(1, kernel.published[0])) == ["a", "b"]
    assert tracker.wanted() == ([(3, 4), (5, None)], 0)


def test_a_client_that_comes_late_needs_not_begin_at_the_beginning(kernel: Kernel) -> None:
    for text in "abc":
        kernel.publish(text)
    tracker = Tracker(after=2)
    assert tracker.live(1, kernel.published[0]) == []
    assert texts(tracker.live(3, kernel.published[2])) == ["c"]


def test_what_is_held_is_bounded_and_the_newest_goes_first(kernel: Kernel) -> None:
    tracker = Tracker(held_bytes=5000)
    for number in range(1, 21):
        kernel.publish(str(number) * 500)
        if number > 1:
            assert tracker.live(number, kernel.published[-1]) == []
    first = texts(tracker.live(1, kernel.published[0]))
    assert 2 <= len(first) <= 6
    assert tracker.lacking
    assert len(first) + len(catch_up(tracker, kernel)) == 20


def test_the_end_of_the_kernel_gives_out_what_is_there(kernel: Kernel) -> None:
    tracker = Tracker()
    for text in "abcdef":
        kernel.publish(text)
    tracker.live(2, kernel.published[1])
    tracker.live(5, kernel.published[4])
    tracker.counted(6)
    assert texts(tracker.given_up()) == ["lost 1-2", "b", "lost 3-5", "e", "lost 6-7"]
    assert not tracker.lacking


def test_a_journal_goes_on_where_the_link_ended(kernel: Kernel) -> None:
    tracker = Tracker()
    for text in "abcd":
        kernel.publish(text)
    tracker.live(1, kernel.published[0])
    tracker.live(3, kernel.published[2])
    given_out = [tracker.live(n, message) for n, message in enumerate(kernel.published, 1)]
    assert [texts(items) for items in given_out] == [[], ["b", "c"], [], ["d"]]


def test_one_slice_after_the_other(kernel: Kernel) -> None:
    tracker = Tracker()
    kernel.publish("x" * 10_000)
    items: list[Item] = []
    asked = 0
    while not items:
        items = tracker.replayed(kernel.answer(*tracker.wanted(), 1000))
        asked += 1
    assert texts(items) == ["x" * 10_000]
    assert asked > 10


def test_a_slice_of_something_else_is_ignored(kernel: Kernel) -> None:
    tracker = Tracker()
    kernel.publish("x" * 10_000)
    first = kernel.answer(*tracker.wanted(), 1000)
    assert tracker.replayed(first) == []
    second = kernel.answer(*tracker.wanted(), 1000)
    assert tracker.replayed(second) == []
    assert tracker.replayed(second) == []
    assert tracker.replayed(first) == []
    assert texts(catch_up(tracker, kernel, 1000)) == ["x" * 10_000]


def test_the_live_message_makes_its_slices_useless(kernel: Kernel) -> None:
    tracker = Tracker()
    kernel.publish("x" * 10_000)
    kernel.publish("y" * 10_000)
    tracker.replayed(kernel.answer(*tracker.wanted(), 1000))
    tracker.live(1, kernel.published[0])
    assert tracker.wanted() == ([(2, None)], 0)
    assert texts(catch_up(tracker, kernel, 1000)) == ["y" * 10_000]


@pytest.mark.parametrize("data", [b"nonsense", b"jrcR" + bytes(40)])
def test_a_replay_that_is_none_is_an_error(data: bytes) -> None:
    replay = Replay(run_state(3), "", (1, 0), (), None, data)
    with pytest.raises(WireError):
        Tracker().replayed(replay)


def test_what_is_replayed_and_can_not_be_read_is_lost_and_nothing_else() -> None:
    good = [b'{"msg_id": "1", "msg_type": "stream"}', b"{}", b"{}", b'{"text": "good"}']
    records = [
        encode_record(1, IOPUB, [b"{}"]),
        encode_record(2, IOPUB, good),
        encode_record(3, SHELL, [*good[:3], b"no JSON"]),
        encode_record(4, IOPUB, good),
    ]
    tracker = Tracker()
    items = tracker.replayed(Replay(run_state(4), "", (1, 0), (), None, b"".join(records)))
    lost = [item for item in items if isinstance(item, Lost)]
    assert lost == [Lost(1, 2, Cause.DAMAGED), Lost(3, 4, Cause.DAMAGED)]
    assert texts(items) == ["lost 1-2", "good", "lost 3-4", "good"]
    assert not tracker.lacking


def test_a_message_that_arrives_damaged_is_asked_for_like_one_that_did_not(kernel: Kernel) -> None:
    kernel.publish("torn")
    kernel.publish("whole")
    tracker = Tracker()
    torn = replace(kernel.published[0], content=b"\xff\xff")
    assert tracker.live(1, torn) == []
    assert tracker.live(2, kernel.published[1]) == []
    assert tracker.lacking
    assert texts(catch_up(tracker, kernel, 1000)) == ["torn", "whole"]


GOOD = [b'{"msg_id": "1", "msg_type": "stream"}', b"{}", b"{}", b'{"text": "good"}']
MANY = 50_000


def replay_of(records: Sequence[bytes], count: int, *missing: Range) -> Replay:
    gone = tuple((start, stop or FOR_EVER) for start, stop in missing)
    return Replay(run_state(count), "", (1, 0), gone, None, b"".join(records))


def good(number: int) -> bytes:
    return encode_record(number, IOPUB, GOOD)


def bad(number: int) -> bytes:
    return encode_record(number, IOPUB, [b"{}"])


def numbers_of(items: Sequence[Item], start: int) -> dict[int, str]:
    """What became of each number, from the first one on; each once and in order."""
    fates: dict[int, str] = {}
    at = start
    for item in items:
        if isinstance(item, Lost):
            assert item.start == at < item.stop
            fates |= dict.fromkeys(range(at, item.stop), item.cause)
            at = item.stop
        else:
            fates[at] = "given"
            at += 1
    return fates


class Naive:
    """What a tracker must do, one number at a time."""

    def __init__(self) -> None:
        self.next = 1
        self.known = 0
        self.held: set[int] = set()
        self.void: list[Lost] = []

    def give(self, upto: int = 0) -> dict[int, str]:
        fates: dict[int, str] = {}
        while True:
            here = [each for each in self.void if each.start <= self.next < each.stop]
            if self.next in self.held:
                fates[self.next] = "given"
            elif here:
                fates[self.next] = min(here).cause
            elif self.next < upto:
                fates[self.next] = Cause.NEVER_ARRIVED
            else:
                return fates
            self.next += 1


NUMBERS = st.integers(1, 30)
STEPS = st.one_of(
    st.tuples(st.just("live"), NUMBERS),
    st.tuples(st.just("lost"), NUMBERS),
    st.tuples(
        st.just("replayed"),
        st.lists(st.tuples(NUMBERS, st.booleans()), max_size=6),
        st.lists(st.tuples(NUMBERS, NUMBERS), max_size=3),
    ),
    st.just(("given up",)),
)


@hypothesis.given(st.lists(STEPS, max_size=25))
def test_what_is_lost_is_what_a_search_of_each_number_finds(
    steps: list[tuple[object, ...]],
) -> None:
    tracker, naive = Tracker(), Naive()
    message = stream("cell", "x")
    for step in steps:
        start, upto = tracker.next, 0
        match step:
            case ("live", int(number)):
                items = tracker.live(number, message)
                naive.held.add(number)
                naive.known = max(naive.known, number)
            case ("lost", int(number)):
                items = tracker.lost(number)
                naive.void.append(Lost(number, number + 1, Cause.DAMAGED))
                naive.known = max(naive.known, number)
            case ("replayed", list(records), list(missing)):
                data = [good(number) if fine else bad(number) for number, fine in records]
                items = tracker.replayed(replay_of(data, 25, *missing))
                naive.held |= {number for number, fine in records if fine}
                naive.void += [
                    Lost(number, number + 1, Cause.DAMAGED) for number, fine in records if not fine
                ]
                naive.void += [Lost(begin, stop, Cause.NOT_KEPT) for begin, stop in missing]
                naive.known = max(naive.known, 25)
            case _:
                upto = naive.known + 1
                items = tracker.given_up()
        assert numbers_of(items, start) == naive.give(upto)
        assert (tracker.next, tracker.known) == (naive.next, naive.known)
        for one, two in pairwise(items):
            both = isinstance(one, Lost) and isinstance(two, Lost)
            assert not (both and one.cause is two.cause)


@pytest.mark.attacks
def test_a_replay_of_nothing_that_can_be_read_is_one_loss() -> None:
    """A search through all losses for each of them would take hours."""
    count = 4 * MANY
    items = Tracker().replayed(replay_of([bad(n) for n in range(1, count + 1)], count))
    assert items == [Lost(1, count + 1, Cause.DAMAGED)]


@pytest.mark.attacks
def test_every_second_message_of_a_large_replay_is_lost() -> None:
    records = [good(n) if n % 2 else bad(n) for n in range(1, MANY + 1)]
    items = Tracker().replayed(replay_of(records, MANY))
    assert len(items) == MANY
    assert sum(isinstance(each, Lost) for each in items) == MANY // 2


@pytest.mark.attacks
def test_losses_before_their_turn_are_kept_in_order() -> None:
    tracker = Tracker()
    records = [good(n) if n % 3 else bad(n) for n in range(2, MANY + 2)]
    assert tracker.replayed(replay_of(records, MANY + 1)) == []
    for _ in range(10):
        assert tracker.live(3, stream("cell", "again")) == []
    assert len(tracker.replayed(replay_of([good(1)], MANY + 1))) == MANY + 1
    assert not tracker.lacking


@pytest.mark.attacks
def test_one_large_range_is_lost_between_many_messages() -> None:
    tracker = Tracker()
    far = range(10**9, 10**9 + 10**6 * MANY, 10**6)
    records = [good(n) for n in far]
    items = tracker.replayed(replay_of(records, far[-1], (1, far[-1])))
    assert len(items) == 2 * MANY
    assert items[0] == Lost(1, 10**9, Cause.NOT_KEPT)


@pytest.mark.attacks
def test_a_large_message_makes_room_among_many_small_ones() -> None:
    tracker = Tracker(held_bytes=100 * MANY)
    small = Message("iopub", *GOOD)
    for number in range(3, MANY + 3):
        tracker.live(number, small)
    large = replace(small, buffers=(bytes(100 * MANY - 500),))
    assert tracker.live(2, large) == []
    assert len(tracker.live(1, small)) < 10


@pytest.mark.attacks
def test_a_replay_misses_no_more_ranges_than_were_asked_for() -> None:
    with pytest.raises(WireError, match="more ranges"):
        Tracker().replayed(replay_of([], 3, *[(1, 2)] * (MOST_RANGES + 2)))


def test_each_loss_says_its_own_cause() -> None:
    """A kernel that died is no recorder that had no room."""
    tracker = Tracker()
    replay = replay_of([bad(3), good(4)], 6, (1, 2))
    items = [*tracker.replayed(replay), *tracker.given_up()]
    assert [each.sentence for each in items if isinstance(each, Lost)] == [
        "1 message is lost: the recorder no longer keeps that part of the output.",
        "1 message is lost: that part of the output never arrived, and the kernel can't send it "
        "again.",
        "1 message is lost: the recorder's copy can't be read.",
        "2 messages are lost: that part of the output never arrived, and the kernel can't send it "
        "again.",
    ]
