"""Text that is flushed in a flood: the real streams and the real I/O thread of an ipykernel."""

import itertools
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from ipykernel.iostream import IOPubThread, OutStream
from jupyter_client.session import Session

from jrc.recorder.in_kernel.flushes import Allowance, FlushedStream, Flushes
from jrc.recorder.in_kernel.frames import Hooks
from tests.support.fake_kernel import DELIMITER

OURS = {"msg_id": "ours"}
OTHERS = {"msg_id": "others"}

SECONDS = 30


class Stand:
    """Two output streams of a kernel, and what they publish.

    Attributes:
        published: one pair for each message: ``stdout``, ``stderr`` or ``display``, and its text.
        failures: exceptions in what is tested.
    """

    def __init__(self) -> None:
        self.published: list[tuple[str, str]] = []
        self.failures: list[Exception] = []
        self.context = zmq.Context()
        self.session = Session(key=b"key", check_pid=False)
        self.thread = IOPubThread(self.context.socket(zmq.PUB))
        self.thread._really_send = self._note
        self.out = self._stream("stdout")
        self.err = self._stream("stderr")
        self.hooks = Hooks()
        self.flushes = Flushes(
            self.thread, lambda header: header["msg_id"] == "ours", self.failures.append
        )
        self.flushes.hook(self.hooks, (self.out, self.err))
        self.thread.start()

    def _stream(self, name: str) -> OutStream:
        stream = OutStream(self.session, self.thread, name, watchfd=False)
        stream.parent_header = OURS
        # ipykernel's own timer publishes nothing within a test.
        stream.flush_interval = 10 * SECONDS
        return stream

    def _note(self, frames: list[Any], *args: object, **kwargs: object) -> None:
        content = json.loads(frames[frames.index(DELIMITER) + 5])
        self.published.append((content.get("name", "display"), content["text"]))

    def print(self, name: str, text: str) -> None:
        """A flushed ``print``."""
        stream = self.out if name == "stdout" else self.err
        print(text, end="", file=stream, flush=True)

    def display(self, text: str) -> None:
        """Flushes both streams before, as ipykernel's ``ZMQDisplayPublisher`` does."""
        self.out.flush()
        self.err.flush()
        content = {"text": text}
        self.session.send(self.thread.background_socket, "display_data", content, OURS)

    def exhaust(self) -> None:
        """From now on no flush is free."""
        self.flushes.allowance = Allowance(0, 0)

    def settled(self) -> list[tuple[str, str]]:
        """What was published, once nothing waits any more."""
        self.flushes.publish_waiting()
        # What the I/O thread sends itself comes behind what it was asked for.
        for _ in range(2):
            handled = Event()
            self.thread.schedule(handled.set)
            assert handled.wait(SECONDS)
        return self.published

    def until(self, name: str, text: str) -> None:
        """Wait until this much of a stream is published, without touching it."""
        deadline = time.monotonic() + SECONDS
        while "".join(each for where, each in self.published if where == name) != text:
            assert time.monotonic() < deadline, self.published
            time.sleep(0.005)

    def close(self) -> None:
        # ipykernel leaves this task behind when it stops, and asyncio complains.
        self.thread.schedule(lambda: self.thread._event_pipe_gc_task.cancel())
        self.settled()
        self.thread.stop()
        self.thread.close()
        self.context.term()


@contextmanager
def opened() -> Iterator[Stand]:
    stand = Stand()
    try:
        yield stand
        assert stand.failures == []
    finally:
        stand.close()


@pytest.fixture
def stand() -> Iterator[Stand]:
    with opened() as stand:
        yield stand


def merged(published: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """With the neighbours of one stream joined, as a notebook has them."""
    groups = itertools.groupby(published, key=lambda each: each[0])
    return [(name, "".join(text for _, text in each)) for name, each in groups]


def test_an_allowance_is_used_up_and_comes_back() -> None:
    allowance = Allowance(3, 10)
    assert [allowance.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not allowance.take(100.09)
    assert allowance.take(100.11)
    assert not allowance.take(100.12)
    assert [allowance.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_the_first_flushes_are_a_message_each(stand: Stand) -> None:
    stand.flushes.allowance = Allowance(20, 0)
    for n in range(20):
        stand.print("stdout", f"{n}\n")
        assert stand.out._buffers == {}
    assert stand.settled() == [("stdout", f"{n}\n") for n in range(20)]


def test_a_flood_arrives_whole_and_in_few_messages(stand: Stand) -> None:
    lines = [f"{n}\n" for n in range(20_000)]
    for line in lines:
        stand.print("stdout", line)
    assert merged(stand.settled()) == [("stdout", "".join(lines))]
    assert len(stand.published) < len(lines) / 10


def test_what_waits_leaves_by_itself(stand: Stand) -> None:
    stand.exhaust()
    stand.print("stdout", "a")
    stand.until("stdout", "a")
    stand.print("stdout", "b")
    stand.print("stdout", "c")
    stand.until("stdout", "abc")


def test_much_text_does_not_wait(stand: Stand) -> None:
    stand.exhaust()
    for letter in "abc":
        stand.print("stdout", letter * (1 << 16))
        assert stand.out._buffers == {}
    assert len(stand.settled()) == 3


def test_a_request_that_is_not_recorded_is_flushed_as_ever(stand: Stand) -> None:
    stand.exhaust()
    stand.out.parent_header = OTHERS
    for n in range(10):
        stand.print("stdout", f"{n}\n")
    assert stand.settled() == [("stdout", f"{n}\n") for n in range(10)]


def test_a_flush_of_somebody_else_keeps_the_order(stand: Stand) -> None:
    stand.exhaust()
    stand.print("stdout", "ours")
    stand.err.parent_header = OTHERS
    stand.print("stderr", "theirs")
    assert stand.settled() == [("stdout", "ours"), ("stderr", "theirs")]


def test_nothing_is_done_for_a_flush_of_nothing(stand: Stand) -> None:
    stand.exhaust()
    asked: list[object] = []
    stand.hooks.replace(stand.thread, "schedule", asked.append)
    for _ in range(10):
        stand.out.flush()
    stand.hooks.restore()
    assert asked == []


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["stdout", "stderr", "display", "empty", "pause", "allow", "big"]),
            st.integers(1, 5),
        ),
        max_size=40,
    )
)
def test_the_order_is_the_one_of_the_program(steps: list[tuple[str, int]]) -> None:
    written: list[tuple[str, str]] = []
    with opened() as stand:
        stand.exhaust()
        for n, (what, times) in enumerate(steps):
            for m in range(times):
                text = f"{n}.{m} "
                if what in ("stdout", "stderr"):
                    stand.print(what, text)
                    written.append((what, text))
                elif what == "display":
                    stand.display(text)
                    written.append((what, text))
                elif what == "big":
                    stand.print("stdout", text * 20_000)
                    written.append(("stdout", text * 20_000))
                elif what == "empty":
                    stand.out.flush()
                elif what == "pause":
                    time.sleep(0.004)
                else:
                    stand.flushes.allowance = Allowance(times, 0)
        assert merged(stand.settled()) == merged(written)


def test_threads_that_print_at_once_lose_and_double_nothing(stand: Stand) -> None:
    stand.exhaust()

    def work(letter: str) -> None:
        for n in range(500):
            stand.print("stdout" if n % 3 else "stderr", f"{letter}{n} ")
            if n % 50 == 0:
                stand.display(f"{letter}{n} ")

    threads = [Thread(target=work, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    published = stand.settled()
    for letter in "abcd":
        for name in ("stdout", "stderr", "display"):
            words = "".join(text for where, text in published if where == name).split()
            found = [int(word[1:]) for word in words if word.startswith(letter)]
            assert found == sorted(set(found)), (letter, name)
            wanted = {"stdout": 333, "stderr": 167, "display": 10}[name]
            assert len(found) == wanted, (letter, name)


def test_a_display_of_one_thread_does_not_overtake_its_text(stand: Stand) -> None:
    """Also while another thread floods, and the timer publishes in between."""
    stand.exhaust()
    over = Event()

    def flood() -> None:
        while not over.is_set():
            stand.print("stdout", "-")

    flooding = Thread(target=flood)
    flooding.start()
    for n in range(300):
        stand.print("stdout", f"<{n}>")
        stand.display(f"[{n}]")
    over.set()
    flooding.join(SECONDS)
    text = "".join(text for _, text in stand.settled()).replace("-", "")
    assert text == "".join(f"<{n}>[{n}]" for n in range(300))


class Held:
    """Keeps the I/O thread where it has taken the text, and not sent it yet."""

    def __init__(self, stand: Stand) -> None:
        self.reached, self.release = Event(), Event()
        self._make = stand.session.msg
        stand.session.msg = self._held

    def _held(self, msg_type: str, *args: Any, **kwargs: Any) -> Any:
        if msg_type == "stream":
            self.reached.set()
            assert self.release.wait(SECONDS)
        return self._make(msg_type, *args, **kwargs)


def test_text_that_comes_while_other_is_published_is_not_taken_for_published(
    stand: Stand,
) -> None:
    stand.exhaust()
    held = Held(stand)
    stand.print("stdout", "a")
    assert held.reached.wait(SECONDS)
    stand.print("stdout", "b")
    held.release.set()
    stand.until("stdout", "ab")


def test_a_display_does_not_overtake_text_that_is_just_being_published(stand: Stand) -> None:
    """Text that nobody flushed: ipykernel's own timer has just taken it."""
    stand.exhaust()
    held = Held(stand)
    stand.out.write("a")
    stand.thread.schedule(lambda: stand.out._flush())
    assert held.reached.wait(SECONDS)
    displaying = Thread(target=stand.display, args=("b",))
    displaying.start()
    while displaying.is_alive() and not stand.flushes._streams[0].waits:
        time.sleep(0.005)
    held.release.set()
    displaying.join(SECONDS)
    assert stand.settled() == [("stdout", "a"), ("display", "b")]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_what_waits_is_published_before_a_fork(stand: Stand) -> None:
    stand.exhaust()
    stand.print("stdout", "before")
    child = os.fork()
    if not child:
        os._exit(len(stand.out._buffers))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert stand.settled() == [("stdout", "before")]


def test_an_exception_in_here_flushes_as_ever(stand: Stand) -> None:
    stand.exhaust()
    stand.err.parent_header = {}
    stand.print("stdout", "a")
    print("b", end="", file=stand.err, flush=True)
    (failure,) = stand.failures
    assert isinstance(failure, KeyError)
    stand.failures.clear()
    assert stand.settled() == [("stdout", "a"), ("stderr", "b")]


def test_a_message_goes_out_whatever_becomes_of_the_waiting_text(stand: Stand) -> None:
    """A program may have closed its stdout."""

    def broken() -> None:
        raise ValueError("I/O operation on closed file")

    stand.exhaust()
    (out, _) = stand.flushes._streams
    out._timed_at = float("inf")  # so that it waits for the display
    stand.print("stdout", "a")
    flush_now, out.flush_now = out.flush_now, broken
    stand.session.send(stand.thread.background_socket, "display_data", {"text": "b"}, OURS)
    out.flush_now = flush_now
    assert [str(each) for each in stand.failures] == ["I/O operation on closed file"]
    stand.failures.clear()
    assert ("display", "b") in stand.settled()


def test_the_streams_are_given_back(stand: Stand) -> None:
    stand.exhaust()
    stand.print("stdout", "a")
    stand.flushes.publish_waiting()
    stand.hooks.restore()
    assert "flush" not in vars(stand.out)
    assert "_flush" not in vars(stand.out)
    assert "send_multipart" not in vars(stand.thread)
    stand.print("stdout", "b")
    assert stand.settled() == [("stdout", "a"), ("stdout", "b")]


def test_a_stream_of_another_kind_is_left_alone(stand: Stand) -> None:
    older = SimpleNamespace(pub_thread=stand.thread, flush=print, _flush=print, _buffer="")
    assert not FlushedStream.fits(older, stand.thread)
    assert FlushedStream.fits(stand.out, stand.thread)
    assert not FlushedStream.fits(stand.out, object())
