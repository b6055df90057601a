"""A recorder in a real kernel: interrupts, breakages, bounds, newer versions, journals."""

import json
import time
from pathlib import Path

import pytest

from jrc.recorder import install
from jrc.recorder.in_kernel.frames import RECORDER_VERSION
from jrc.recorder.install import Installed, NotPossible
from jrc.recorder.journal import STATE_SUFFIX, read_journal
from jrc.recorder.protocol import (
    FORGET_REQUEST,
    REPLAY_REQUEST,
    Done,
    replay_content,
)
from jrc.recorder.recording import NotExecuted, RecorderLost
from jrc.recorder.tracker import Cause, Lost
from tests.support.kernels import ZmqKernel, collect
from tests.support.recorded import NEWER, RecordedRun, evaluate, newer_source, run_plainly


def test_interrupts_at_any_moment_leave_a_whole_sequence(own_kernel: ZmqKernel) -> None:
    """An interrupt may strike between any two steps of the kernel's main thread."""
    run = RecordedRun(own_kernel)
    run.install()
    for delay in range(40):
        msg_id = run.execute(
            "from IPython.display import display\nfor n in range(10**9): display(n)"
            if delay % 3 == 0
            else "import sys\n"
            "for n in range(10**9): print(n, file=(sys.stdout, sys.stderr)[n % 2], flush=True)"
            if delay % 3 == 1
            else "for n in range(10**9): print(n, flush=True)",
            stop_on_error=False,
            guarded=False,
        )
        run.pump(lambda msg_id=msg_id: len(run.types(msg_id)) > 2)
        time.sleep(delay / 1000)
        own_kernel.interrupt()
        run.finish()
        assert run.status(msg_id) == "error"
    assert run.numbers == list(range(1, len(run.numbers) + 1))
    assert not [each for each in run.news if isinstance(each, RecorderLost)]


INTERRUPTED_LOCK = """
import contextlib

class Lock:
    def acquire(self, *args):
        raise KeyboardInterrupt

    def locked(self):
        return False

@contextlib.contextmanager
def struck():
    thread = get_ipython().kernel.iopub_thread.thread
    lock = getattr(thread, "_tstate_lock", None)
    thread._tstate_lock = Lock()
    try:
        yield
    finally:
        thread._tstate_lock = lock
"""


def test_no_interrupt_can_strike_where_the_io_thread_would_count_as_ended(
    kernel: ZmqKernel,
) -> None:
    """``Thread.is_alive`` of Python 3.9 to 3.12 takes a lock, and may spoil it when interrupted."""
    run = RecordedRun(kernel)
    run.install()
    run.execute(INTERRUPTED_LOCK)
    msg_id = run.execute("with struck():\n    print('one', flush=True)\n    display('two')")
    run.finish()
    assert run.status(msg_id) == "ok"
    assert run.text(msg_id) == "one\n"


SPOILED_EVENTS = """
import contextlib, threading

@contextlib.contextmanager
def spoiled_events():
    wait = threading.Event.wait

    def struck(event, timeout=None):
        if threading.current_thread() is not threading.main_thread():
            return wait(event, timeout)
        event._cond.acquire()
        raise KeyboardInterrupt

    threading.Event.wait = struck
    try:
        yield
    finally:
        threading.Event.wait = wait
"""


def test_no_interrupt_can_strike_where_the_io_thread_would_wait_for_ever(
    own_kernel: ZmqKernel,
) -> None:
    """An interrupt in ``Event.wait`` can leave its lock taken, and ``Event.set`` wants it."""
    run = RecordedRun(own_kernel)
    run.install()
    run.execute(SPOILED_EVENTS)
    msg_id = run.execute("with spoiled_events():\n    print('one', flush=True)\n    display('two')")
    run.finish()
    assert run.status(msg_id) == "ok"
    assert run.text(msg_id) == "one\n"
    then = run.execute("print('three')")
    run.finish()
    assert run.text(then) == "three\n"


BREAKAGES = {
    "numbering": "recorder._parents = None",
    "keeping": "recorder.archive.append = None",
    "registering": "recorder.requests = None",
    "settling": "recorder.archive.settle = None",
    "serializing": "recorder.session.msg = None",
}


@pytest.mark.parametrize("breakage", BREAKAGES.values(), ids=BREAKAGES.keys())
def test_an_exception_inside_ends_the_recording_and_not_the_kernel(
    own_kernel: ZmqKernel, breakage: str
) -> None:
    if "session.msg" in breakage:
        # The kernel itself needs it: break it for the recorder's own call only.
        breakage = (
            "import types\n"
            "recorder.session = types.SimpleNamespace(sign=recorder.session.sign, msg=None)"
        )
    run = RecordedRun(own_kernel)
    run.install()
    first = run.execute("print('before')")
    run.finish()
    run_plainly(own_kernel, f"recorder = get_ipython().kernel._jrc_recorder\n{breakage}")
    second = run.execute("print('after')", guarded=False)
    run.finish()
    lost = [each for each in run.news if isinstance(each, RecorderLost)]
    assert len(lost) == 1
    assert "Error" in lost[0].reason
    assert run.text(first) == "before\n"
    assert run.text(second) == "after\n"
    assert run.status(second) == "ok"
    third = run.execute("print('never')")
    run.finish()
    assert NotExecuted(third) in run.news
    messages = run_plainly(own_kernel, "print('fine')")
    assert "stream" in {each.msg_type for each in messages}


def test_a_broken_recorder_is_no_recorder_for_the_next_client(own_kernel: ZmqKernel) -> None:
    run = RecordedRun(own_kernel)
    run.install()
    run_plainly(own_kernel, "get_ipython().kernel._jrc_recorder._parents = None")
    run.execute("1", guarded=False)
    run.finish()
    answer = RecordedRun(own_kernel, "run2").install()
    assert isinstance(answer, NotPossible)
    assert "gave up" in answer.reason


def test_a_kernel_that_lacks_what_is_needed_says_so(own_kernel: ZmqKernel) -> None:
    run_plainly(
        own_kernel,
        "session = get_ipython().kernel.session\n"
        "pack = session.pack\n"
        "session.pack = lambda value: pack(value) + b' '\n",
    )
    answer = RecordedRun(own_kernel).install()
    assert answer == NotPossible("RuntimeError: its messages are not JSON")


def test_memory_is_bounded_and_the_spool_takes_the_rest(kernel: ZmqKernel) -> None:
    """All is lost on the way, more than fits into memory: it comes from the disk."""
    run = RecordedRun(kernel, drop=lambda message: "jrc" in message.metadata_fields)
    run.install(memory=1 << 20, spool=64 << 20)
    msg_id = run.execute("for n in range(200): print(str(n) * 30000, flush=True)")
    run.recording.link_lost()
    run.finish()
    assert run.text(msg_id) == "".join(str(n) * 30000 + "\n" for n in range(200))
    assert run.lost == []


def test_past_the_bounds_the_oldest_go_and_the_client_is_told_which(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel, acknowledge=False)
    run.install(memory=1 << 20, spool=2 << 20)
    msg_id = run.execute("for n in range(200): print(f'{n:05}' * 20000, flush=True)")
    run.finish()
    late = RecordedRun(kernel, acknowledge=False)
    late.ids = run.ids
    late.recording.sent(msg_id, guarded=False, now=time.monotonic())
    late.recording.link_restored()
    late.finish()
    (lost,) = late.lost
    assert lost.start == 1
    assert late.numbers == list(range(lost.stop, run.numbers[-1] + 1))
    assert run.text(msg_id).endswith(late.text(msg_id))
    assert 1 << 20 < len(late.text(msg_id)) < 4 << 20


def test_what_is_there_is_used_and_not_compiled_again(
    kernel: ZmqKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = RecordedRun(kernel).install()
    monkeypatch.setattr(install, "source", lambda: "this is no Python")
    run = RecordedRun(kernel, "run2")
    second = run.install()
    msg_id = run.execute("print('recorded')")
    run.finish()
    assert isinstance(first, Installed)
    assert isinstance(second, Installed)
    assert first.instance == second.instance
    assert run.text(msg_id) == "recorded\n"


def test_a_newer_version_takes_over_and_loses_nothing(
    kernel: ZmqKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RecordedRun(kernel, drop=lambda message: "jrc" in message.metadata_fields)
    first = run.install()
    ids = [run.execute("print('old')")]
    collect(kernel, lambda got: any(each.channel == "shell" for each in got))
    newer = newer_source()
    monkeypatch.setattr(install, "source", lambda: newer)
    monkeypatch.setattr(install, "RECORDER_VERSION", NEWER)
    second = RecordedRun(kernel, "run2").install()
    monkeypatch.undo()
    third = RecordedRun(kernel, "run3").install()
    ids.append(run.execute("print('new')"))
    run.finish()
    assert isinstance(first, Installed)
    assert isinstance(second, Installed)
    assert isinstance(third, Installed)
    assert (first.version, second.version, third.version) == (RECORDER_VERSION, NEWER, NEWER)
    assert first.instance == second.instance
    assert [run.text(each) for each in ids] == ["old\n", "new\n"]
    assert run.numbers == list(range(1, len(run.numbers) + 1))


def test_a_newer_version_with_another_layout_goes_on_with_the_numbers(
    kernel: ZmqKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RecordedRun(kernel)
    run.install()
    run.execute("print('old')")
    run.finish()
    count = run.numbers[-1]
    newer = newer_source()
    newer = newer.replace("RECORDER_LAYOUT = 1\n", "RECORDER_LAYOUT = 2\n")
    monkeypatch.setattr(install, "source", lambda: newer)
    monkeypatch.setattr(install, "RECORDER_VERSION", NEWER)
    again = run.install()
    assert isinstance(again, Installed)
    assert again.count == count
    msg_id = run.execute("print('new')")
    run.finish()
    assert run.text(msg_id) == "new\n"
    assert run.numbers == list(range(1, run.numbers[-1] + 1))


def test_lost_numbers_are_named(kernel: ZmqKernel) -> None:
    """A client that acknowledged by mistake is told, and not left waiting."""
    run = RecordedRun(kernel, acknowledge=False)
    run.install()
    run.execute("1")
    run.finish()
    count = run.numbers[-1]
    run.ask(REPLAY_REQUEST, replay_content("run1", [], max_bytes=1000, acknowledge=count))
    late = RecordedRun(kernel)
    late.recording.link_restored()
    late.pump(lambda: bool(late.lost))
    assert late.lost == [Lost(1, count + 1, Cause.NOT_KEPT)]


def test_a_detached_run_outlives_its_kernel(own_kernel: ZmqKernel, tmp_path: Path) -> None:
    """Everything that was published before the kernel was killed is in the journal."""
    run = RecordedRun(own_kernel, acknowledge=False)
    installed = run.install(journal="jrc-runs", about={"document": "a.ipynb"})
    assert isinstance(installed, Installed)
    assert installed.journal is not None
    done = run.execute("for n in range(1000): print(n, flush=True)")
    dying = run.execute(
        # flush() hands the text to ipykernel's IO thread; published it is a moment later.
        "print('last words', flush=True)\nimport os, signal, time\ntime.sleep(1)\n"
        "os.kill(os.getpid(), 9)"
    )
    never = run.execute("print('never')")
    own_kernel.process.wait(60)
    journal = read_journal(Path(installed.journal).read_bytes())
    for _, message in journal.messages:
        run.news.extend(run.recording.receive(message, 0.0))
    run.news.extend(run.recording.ended())
    assert run.text(done) == "".join(f"{n}\n" for n in range(1000))
    assert run.text(dying) == "last words\n"
    assert run.lost == []
    states = [(each.id, each.status, each.done) for each in journal.requests.values()]
    assert states == [(done, "ok", True), (dying, "", False)]
    assert run.types(never) == []


def test_a_detached_run_is_replayed_from_its_journal_while_the_kernel_lives(
    kernel: ZmqKernel,
) -> None:
    run = RecordedRun(
        kernel,
        "detached1",
        acknowledge=False,
        drop=lambda message: "jrc" in message.metadata_fields,
    )
    installed = run.install(journal="jrc-runs")
    assert isinstance(installed, Installed)
    assert installed.journal is not None
    msg_id = run.execute("for n in range(300): print(str(n) * 100000, flush=True)")
    run.finish()
    assert run.text(msg_id) == "".join(str(n) * 100000 + "\n" for n in range(300))
    state_file = Path(installed.journal).with_suffix(STATE_SUFFIX)
    run.pump(lambda: state_file.exists() and json.loads(state_file.read_text())["done"] == 1)
    assert run.ask(FORGET_REQUEST, {"run": "detached1", "delete_journal": True}) == Done()
    assert not Path(installed.journal).exists()
    assert not state_file.exists()


def test_the_journal_lies_where_the_kernel_was_started(own_kernel: ZmqKernel) -> None:
    """And not where the person's code went since, when the server tells the folder."""
    run_plainly(own_kernel, "import os; os.environ['JPY_SESSION_NAME'] = os.getcwd() + '/a.ipynb'")
    run_plainly(own_kernel, "start = os.getcwd(); os.chdir('/')")
    installed = RecordedRun(own_kernel).install(journal="jrc-runs")
    assert isinstance(installed, Installed)
    assert installed.journal is not None
    assert repr(str(Path(installed.journal).parents[1])) == evaluate(own_kernel, "start")
    assert installed.folder == str(Path(installed.journal).parents[1])
