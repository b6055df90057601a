"""The tracker of requests in flight: fences, their lanes, and what is remembered."""

from jrc.kernel.inflight import MAIN_SHELL, InFlight, Lane, Proof, Request
from tests.support.scripted import busy, from_kernel, idle, info_reply, reply

CONTROL = Lane("control")


def in_flight(*msg_ids: str, most: int | None = None) -> tuple[InFlight[Request], list[Request]]:
    requests = [Request(msg_id) for msg_id in msg_ids]
    tracker: InFlight[Request] = InFlight(most)
    for request in requests:
        tracker.add(request)
    return tracker, requests


def test_a_request_is_over_once_and_then_forgotten() -> None:
    tracker, (request,) = in_flight("r")
    request.reply_over = True
    assert not tracker.drop_finished(request)
    request.iopub_over = True
    assert tracker.drop_finished(request)
    assert not tracker.drop_finished(request)
    assert tracker.get("r") is None
    assert len(tracker) == 0


def test_what_answers_no_fence_proves_nothing() -> None:
    tracker, _ = in_flight("r")
    for message in (busy("r"), reply("r"), idle("r"), busy(""), info_reply("x")):
        assert tracker.proved(message) is None


def test_a_fence_proves_for_its_suspects_only_what_is_still_open() -> None:
    tracker, (first, second, third) = in_flight("1", "2", "3")
    tracker.fence_sent("f", [first, second])
    assert tracker.proved(busy("f")) == Proof([], [first, second])
    first.reply_over = first.iopub_over = True
    assert tracker.drop_finished(first)
    assert tracker.proved(info_reply("f")) == Proof([second], [])
    assert third not in tracker.before(second)


def test_what_a_fence_publishes_may_come_behind_its_reply() -> None:
    tracker, (request,) = in_flight("r")
    request.reply_over = True
    tracker.fence_sent("f", [request])
    assert tracker.missing_idle == []
    assert tracker.fences_out == 1
    assert tracker.proved(info_reply("f")) == Proof([], [])
    assert tracker.fences_out == 0
    assert tracker.missing_idle == [request]
    assert tracker.proved(idle("f")) == Proof([], [request])


def test_only_the_reply_on_its_own_lane_answers_a_fence() -> None:
    tracker, (request,) = in_flight("r")
    tracker.fence_sent("f", [request], CONTROL)
    assert tracker.proved(info_reply("f")) == Proof([], [])
    assert tracker.fences_out == 1
    answer = from_kernel("control", "kernel_info_reply", {"status": "ok"}, parent="f")
    assert tracker.proved(answer) == Proof([request], [])


def test_a_fence_tells_nothing_of_what_was_sent_again_behind_it() -> None:
    tracker, (request,) = in_flight("r")
    tracker.fence_sent("f", [request])
    tracker.sent_again(request)
    assert tracker.proved(info_reply("f")) == Proof([], [])
    assert tracker.proved(busy("f")) == Proof([], [])


def test_a_fence_tells_nothing_of_another_request_with_the_same_id() -> None:
    tracker, (request,) = in_flight("r")
    tracker.fence_sent("f", [request])
    tracker.add(Request("r"))
    assert tracker.proved(info_reply("f")) == Proof([], [])


def test_lost_fences_tell_nothing_any_more() -> None:
    tracker, (request,) = in_flight("r")
    request.reply_over = True
    tracker.fence_sent("f", [request])
    tracker.fences_lost()
    assert tracker.missing_idle == [request]
    assert tracker.proved(busy("f")) is None


def test_the_oldest_requests_are_dropped_where_there_are_too_many() -> None:
    tracker, requests = in_flight("1", "2", "3", most=2)
    assert list(tracker) == requests[1:]


def test_before_lists_the_unfinished_requests_in_front_of_one() -> None:
    tracker, (first, second, third) = in_flight("1", "2", "3")
    assert tracker.before(third) == [first, second]
    assert tracker.before(first) == []
    tracker.forget("3")
    assert tracker.before(third) == []
    assert first.lane == MAIN_SHELL
