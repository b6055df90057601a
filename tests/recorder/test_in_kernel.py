"""The recorder in real kernels, over ZMQ."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from jrc.recorder import install
from jrc.recorder.in_kernel.frames import RECORDER_VERSION
from jrc.recorder.install import Installed, NotPossible
from jrc.recorder.journal import STATE_SUFFIX, read_journal
from jrc.recorder.protocol import (
    CANCEL_REQUEST,
    FORGET_REQUEST,
    REMOVE_REQUEST,
    REPLAY_REQUEST,
    STATE_REQUEST,
    Done,
    Refused,
    States,
    replay_content,
    request_metadata,
)
from jrc.recorder.recording import NotExecuted, RecorderLost
from jrc.recorder.tracker import Lost
from jrc.wire.message import Message
from tests.support.kernels import KernelPython, ZmqKernel, collect, running_kernel, settle
from tests.support.recorded import RecordedRun

SLEEPS = "import time\nprint('asleep', flush=True)\ntime.sleep(600)"
"""Before its first output, the kernel itself may swallow an interrupt."""


NEWER = RECORDER_VERSION + 1


def newer_source() -> str:
    """The recorder of a later jrc, as far as its number goes."""
    old, new = f"RECORDER_VERSION = {RECORDER_VERSION}\n", f"RECORDER_VERSION = {NEWER}\n"
    return install.source().replace(old, new)


def run_plainly(kernel: ZmqKernel, code: str, **content: Any) -> list[Message]:
    """Execute code without a run, and everything that belongs to it."""
    request = kernel.make(
        "shell",
        "execute_request",
        {"code": code, "silent": False, "store_history": False, "allow_stdin": False, **content},
    )
    msg_id = kernel.send(request)

    def finished(messages: list[Message]) -> bool:
        ours = [each for each in messages if each.parent_id == msg_id]
        replied = any(each.channel == "shell" for each in ours)
        return replied and any(
            each.content_fields.get("execution_state") == "idle" for each in ours
        )

    messages = collect(kernel, finished)
    return [each for each in messages if each.parent_id == msg_id]


def evaluate(kernel: ZmqKernel, expression: str) -> str:
    """The ``repr`` of an expression in the kernel."""
    messages = run_plainly(kernel, "", user_expressions={"it": expression}, silent=True)
    (reply,) = [each for each in messages if each.channel == "shell"]
    answer = reply.content_fields["user_expressions"]["it"]
    assert answer["status"] == "ok", answer
    return str(answer["data"]["text/plain"])


class LoseEvery:
    """Loses every ``n``-th live message of a run."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.seen = 0

    def __call__(self, message: Message) -> bool:
        if "jrc" not in message.metadata_fields:
            return False
        self.seen += 1
        return self.seen % self.n == 0


def test_one_round_trip_for_installation_and_cells(kernel: ZmqKernel) -> None:
    """Cells that were sent behind the installation are executed, in order and recorded."""
    run = RecordedRun(kernel)
    run.send_install()
    ids = [run.execute(f"print({n})") for n in range(20)]
    run.finish()
    assert [run.text(each) for each in ids] == [f"{n}\n" for n in range(20)]
    assert run.numbers == list(range(1, len(run.numbers) + 1))
    assert run.types(ids[0]) == ["busy", "execute_input", "stream", "execute_reply", "idle"]


def test_it_says_what_it_is(kernel: ZmqKernel, python: KernelPython) -> None:
    installed = RecordedRun(kernel).install()
    assert isinstance(installed, Installed)
    assert installed.version == RECORDER_VERSION
    assert installed.run == "run1"
    assert installed.count == 0
    assert installed.journal is None


def test_the_second_installation_finds_the_first(kernel: ZmqKernel) -> None:
    first = RecordedRun(kernel).install()
    second = RecordedRun(kernel, "run2").install()
    again = RecordedRun(kernel).install()
    assert isinstance(first, Installed)
    assert isinstance(second, Installed)
    assert first.instance == second.instance
    assert again == first


def test_namespace_and_history_stay_as_they_were(kernel: ZmqKernel) -> None:
    run_plainly(kernel, "a = 1", store_history=True)
    names, history, count = (
        "sorted(globals())",
        "(In, Out, _i, _ii, _oh)",
        "get_ipython().execution_count",
    )
    # The names that the evaluation itself leaves are there from the first one on.
    evaluate(kernel, names)
    before = [evaluate(kernel, each) for each in (names, history, count)]
    RecordedRun(kernel).install()
    assert [evaluate(kernel, each) for each in (names, history, count)] == before


def test_the_installation_publishes_nothing_but_its_status(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel)
    msg_id = run.send_install()
    messages = [each for each in settle(kernel, 1.0) if each.parent_id == msg_id]
    assert {each.msg_type for each in messages} == {"status", "execute_reply"}


def test_what_got_lost_is_fetched_while_the_cell_runs(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel, drop=LoseEvery(3))
    run.install()
    code = "import time\nfor n in range(100):\n    print(n, flush=True)\ntime.sleep(600)"
    msg_id = run.execute(code)
    run.pump(lambda: run.text(msg_id).endswith("99\n"))
    assert run.text(msg_id) == "".join(f"{n}\n" for n in range(100))
    assert "execute_reply" not in run.types(msg_id)
    kernel.interrupt()
    run.finish()
    assert run.status(msg_id) == "error"


def test_everything_lost_is_everything_replayed(kernel: ZmqKernel) -> None:
    """No live message arrives at all: outputs, reply and idle come on the control channel."""
    run = RecordedRun(kernel, drop=lambda message: "jrc" in message.metadata_fields)
    run.install()
    ids = [run.execute(code) for code in ("print('a')", "1 + 1", "1 / 0", "print('never')")]
    run.finish()
    assert run.text() == "a\n"
    assert [run.status(each) for each in ids] == ["ok", "ok", "error", "aborted"]
    assert run.numbers == list(range(1, len(run.numbers) + 1))


def test_nobody_pays_for_what_is_not_of_a_run(kernel: ZmqKernel) -> None:
    RecordedRun(kernel).install()
    messages = run_plainly(kernel, "print('x')")
    assert all("jrc" not in each.metadata_fields for each in messages)


def test_a_late_request_of_a_failed_run_is_aborted_and_a_later_run_is_not(
    kernel: ZmqKernel,
) -> None:
    run = RecordedRun(kernel)
    run.install()
    run.execute("1 / 0")
    run.finish()
    late = run.execute("print('late')")
    run.finish()
    assert run.status(late) == "aborted"
    other = RecordedRun(kernel, "run2")
    other.install()
    msg_id = other.execute("print('on')")
    other.finish()
    assert other.text(msg_id) == "on\n"


def test_an_expected_error_does_not_stop_the_run(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel)
    run.install()
    failing = run.execute("1 / 0", stop_on_error=False)
    following = run.execute("print('on')")
    run.finish()
    assert run.status(failing) == "error"
    assert run.text(following) == "on\n"


def test_a_recorded_request_without_guard_is_never_refused(kernel: ZmqKernel) -> None:
    """What an editor sends keeps the kernel's own rules."""
    run = RecordedRun(kernel)
    run.install()
    run.execute("1 / 0", guarded=False)
    run.finish()
    msg_id = run.execute("print('on')", guarded=False)
    run.finish()
    assert run.text(msg_id) == "on\n"


def test_a_cancelled_run_executes_nothing_more(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel)
    run.install()
    sleeping = run.execute(SLEEPS)
    waiting = run.execute("print('never')")
    plain = run.execute("print('never')", guarded=False)
    run.pump(lambda: run.text(sleeping) == "asleep\n")
    answer = run.ask(CANCEL_REQUEST, {"run": "run1"})
    assert answer == Done()
    kernel.interrupt()
    run.finish()
    assert [run.status(each) for each in (sleeping, waiting, plain)] == [
        "error",
        "aborted",
        "aborted",
    ]


def test_a_request_that_is_sent_twice_is_executed_once(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel)
    run.install()
    run.execute("n = 0")
    msg_id = run.execute("n += 1")
    run.finish()
    message = kernel.make("shell", "execute_request", {"code": "n += 1", "silent": False})
    twice = Message(
        "shell",
        message.header.replace(message.msg_id.encode(), msg_id.encode()),
        message.parent_header,
        b'{"jrc": {"run": "run1"}}',
        message.content,
    )
    kernel.send(twice)
    settle(kernel)
    assert evaluate(kernel, "n") == "1"


def test_without_the_run_a_guarded_request_is_not_executed(kernel: ZmqKernel) -> None:
    """After a restart, a queued cell must not run in the new kernel."""
    stranger = RecordedRun(kernel, "unknown")
    first = stranger.execute("unwanted = 1")
    stranger.finish()
    assert [each for each in stranger.news if not isinstance(each, Message)] == [NotExecuted(first)]
    RecordedRun(kernel, "other").install()
    second = stranger.execute("unwanted = 1")
    stranger.finish()
    assert stranger.messages == []
    assert NotExecuted(second) in stranger.news
    assert evaluate(kernel, "'unwanted' in globals()") == "False"


def test_threads_are_recorded_also_after_their_cell(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel, drop=LoseEvery(4))
    run.install()
    run.execute(
        "import sys, threading, time\n"
        "def talk(name):\n"
        "    for n in range(50):\n"
        "        sys.stdout.write('%s %d\\n' % (name, n)); sys.stdout.flush()\n"
        "        time.sleep(0.001)\n"
        "threads = [threading.Thread(target=talk, args=(c,)) for c in 'abcd']\n"
        "for thread in threads: thread.start()\n"
    )
    run.execute("for thread in threads: thread.join()")
    run.finish()
    last = run.execute("print('end')")
    run.finish()
    lines = run.text().splitlines()
    # What a thread prints belongs to the cell that runs at that moment.
    for name in "abcd":
        mine = [line for line in lines if line.startswith(name + " ")]
        assert mine == [f"{name} {n}" for n in range(50)]
    assert run.text(last).endswith("end\n")
    assert run.numbers == list(range(1, len(run.numbers) + 1))


def test_output_of_subprocesses_is_recorded(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel, drop=LoseEvery(2))
    run.install()
    msg_id = run.execute(
        "import subprocess, sys, time\n"
        "subprocess.run([sys.executable, '-c', 'print(\"sub\" * 3)'])\n"
        "!echo shell\n"
        "time.sleep(0.5)\n"
    )
    run.finish()
    assert "subsubsub" in run.text(msg_id)
    assert "shell" in run.text(msg_id)


def test_output_of_forked_children_is_recorded(kernel: ZmqKernel) -> None:
    """They send through a pipe to the kernel's I/O thread."""
    run = RecordedRun(kernel, drop=LoseEvery(2))
    run.install()
    msg_id = run.execute(
        "import multiprocessing, sys, time\n"
        "def child(n):\n"
        "    sys.stdout.write('child %d\\n' % n); sys.stdout.flush()\n"
        "context = multiprocessing.get_context('fork')\n"
        "for n in range(3):\n"
        "    each = context.Process(target=child, args=(n,)); each.start(); each.join()\n"
        "time.sleep(0.5)\n"
    )
    run.finish()
    assert run.text(msg_id).splitlines() == ["child 0", "child 1", "child 2"]
    assert run.numbers == list(range(1, len(run.numbers) + 1))


def test_what_was_flushed_before_a_fork_comes_once(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel)
    run.install()
    msg_id = run.execute(
        "import multiprocessing, sys\n"
        "def child(n):\n"
        "    sys.stdout.write('child %d\\n' % n); sys.stdout.flush()\n"
        "context = multiprocessing.get_context('fork')\n"
        "for n in range(3):\n"
        "    for m in range(200): print(n, m, flush=True)\n"
        "    each = context.Process(target=child, args=(n,)); each.start(); each.join()\n"
    )
    run.finish()
    lines = run.text(msg_id).splitlines()
    assert [line for line in lines if line.startswith("child")] == ["child 0", "child 1", "child 2"]
    assert [line for line in lines if not line.startswith("child")] == [
        f"{n} {m}" for n in range(3) for m in range(200)
    ]


def test_a_flood_of_flushed_lines_comes_in_few_messages(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel)
    run.install()
    msg_id = run.execute("for n in range(20_000): print(n, flush=True)")
    run.finish()
    assert run.text(msg_id) == "".join(f"{n}\n" for n in range(20_000))
    assert run.types(msg_id).count("stream") < 2000


def test_a_flood_stands_before_what_came_after_it(kernel: ZmqKernel) -> None:
    """Before text of the other stream, a display, a question and the reply."""
    run = RecordedRun(kernel)
    run.install()
    flood = "for n in range(300): print(n, flush=True)\n"
    msg_id = run.execute(
        "import sys\nfrom IPython.display import display\n"
        f"{flood}print('e', end='', file=sys.stderr, flush=True)\n"
        f"{flood}display({{'text/plain': 'd'}}, raw=True)\n"
        f"{flood}sys.stderr.write('e')\n{flood}input()\n{flood}",
        allow_stdin=True,
    )
    run.pump(lambda: "input_request" in run.types(msg_id))
    kernel.send(kernel.make("stdin", "input_reply", {"value": "", "status": "ok"}))
    run.finish()
    seen = ""
    for message in run.messages:
        if message.msg_type == "stream":
            is_error = message.content_fields["name"] == "stderr"
            seen += "ERR" if is_error else message.content_fields["text"]
        elif message.msg_type in ("display_data", "input_request", "execute_reply"):
            seen += message.msg_type
    flushed, _, rest = seen.partition("ERR")
    lines = "".join(f"{n}\n" for n in range(300))
    assert flushed == lines
    # Where text goes that nobody flushed is left to ipykernel.
    assert rest.replace("ERR", "") == (
        f"{lines}display_data{lines}{lines}input_request{lines}execute_reply"
    )


def test_what_is_not_recorded_is_flushed_as_ever(kernel: ZmqKernel) -> None:
    RecordedRun(kernel).install()
    messages = run_plainly(kernel, "for n in range(300): print(n, flush=True)")
    streams = [each for each in messages if each.msg_type == "stream"]
    assert "".join(each.content_fields["text"] for each in streams) == "".join(
        f"{n}\n" for n in range(300)
    )
    assert len(streams) >= 300


def test_displays_and_comms_keep_their_buffers(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel, drop=lambda message: "jrc" in message.metadata_fields)
    run.install()
    msg_id = run.execute(
        "from comm import create_comm\n"
        "from IPython.display import display, clear_output, Image\n"
        "comm = create_comm(target_name='t', data={'a': 1}, metadata={'m': 2})\n"
        "view = memoryview(bytes(range(256)) * 1000)\n"
        "comm.send({'b': 2}, buffers=[view, bytearray(b'xyz'), view[:8].cast('B', (2, 4))])\n"
        "handle = display({'text/plain': 'x'}, raw=True, display_id=True)\n"
        "handle.update({'text/plain': 'y'}, raw=True)\n"
        "clear_output(wait=True)\n"
        "display(Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + bytes(100000), format='png'))\n"
        "comm.close()\n"
    )
    run.finish()
    assert run.status(msg_id) == "ok"
    assert run.types(msg_id) == [
        "busy",
        "execute_input",
        "comm_open",
        "comm_msg",
        "display_data",
        "update_display_data",
        "clear_output",
        "display_data",
        "comm_close",
        "execute_reply",
        "idle",
    ]
    opened, sent = (each for each in run.messages if each.msg_type in ("comm_open", "comm_msg"))
    assert opened.metadata_fields["m"] == 2
    assert [bytes(each) for each in sent.buffers] == [
        bytes(range(256)) * 1000,
        b"xyz",
        bytes(range(8)),
    ]


def test_a_message_larger_than_a_batch_comes_in_slices(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel, drop=lambda message: "jrc" in message.metadata_fields)
    run.install()
    msg_id = run.execute("print('x' * 20_000_000)")
    after = run.execute("print('after')")
    run.finish()
    assert run.text(msg_id) == "x" * 20_000_000 + "\n"
    assert run.text(after) == "after\n"
    assert len(run.asked) > 3


def test_a_question_is_replayed_and_its_answer_taken(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel, drop=lambda message: message.channel == "stdin")
    run.install()
    msg_id = run.execute("print('hello', input('Name? '))", allow_stdin=True)
    run.pump(lambda: "input_request" in run.types(msg_id))
    assert run.recording.state is not None
    assert run.recording.state.asking == run.numbers[-1]
    kernel.send(kernel.make("stdin", "input_reply", {"value": "you", "status": "ok"}))
    run.finish()
    assert run.text(msg_id) == "hello you\n"
    state = run.ask(STATE_REQUEST, {})
    assert isinstance(state, States)
    assert state.runs[0].asking == 0


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


def test_state_tells_each_request(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel)
    run.install()
    done = run.execute("1")
    running = run.execute(SLEEPS)
    run.execute("2")
    run.pump(lambda: run.text(running) == "asleep\n")
    state = run.ask(STATE_REQUEST, {"run": "run1"})
    assert isinstance(state, States)
    assert [(each.id, each.state, each.status) for each in state.requests[:2]] == [
        (done, "done", "ok"),
        (running, "running", ""),
    ]
    assert (state.runs[0].running, state.runs[0].done) == (1, 1)
    kernel.interrupt()
    run.finish()
    assert run.ask(STATE_REQUEST, {"run": "run1"}).runs[0].stopped == "failed"


def test_what_was_acknowledged_is_freed(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel)
    run.install()
    run.execute("print('x' * 5_000_000)")
    run.finish()

    def all_freed() -> bool:
        state = run.recording.state
        return state is not None and 0 < state.gone == state.count

    run.pump(all_freed)
    answer = run.ask(REPLAY_REQUEST, replay_content("run1", [(1, None)], max_bytes=1000))
    assert answer.missing == ((1, answer.state.count + 1),)
    assert bytes(answer.data) == b""


def test_two_clients_do_not_see_each_other(kernel: ZmqKernel) -> None:
    other_kernel = kernel.another_client()
    try:
        settle(other_kernel)
        mine, yours = RecordedRun(kernel, "mine"), RecordedRun(other_kernel, "yours")
        assert isinstance(mine.install(), Installed)
        assert isinstance(yours.install(), Installed)
        for n in range(10):
            mine.execute(f"print('mine', {n})")
            yours.execute(f"print('yours', {n})")
        mine.execute("1 / 0")
        mine.finish()
        yours.finish()
        # A kernel aborts what waits in its queue, whoever sent it; the guard touches one run only.
        assert mine.text() == "".join(f"mine {n}\n" for n in range(10))
        assert mine.numbers == list(range(1, len(mine.numbers) + 1))
        assert yours.numbers == list(range(1, len(yours.numbers) + 1))
        assert yours.ask(FORGET_REQUEST, {"run": "yours"}) == Done()
        assert isinstance(yours.ask(REMOVE_REQUEST, {}), Refused)
        assert mine.ask(REMOVE_REQUEST, {"force": True}) == Done()
    finally:
        other_kernel.close()


def test_one_run_followed_by_two_clients(kernel: ZmqKernel) -> None:
    """Somebody attaches from elsewhere and sees the same from its beginning."""
    run = RecordedRun(kernel, acknowledge=False)
    run.install()
    ids = [run.execute(f"print({n})") for n in range(5)]
    run.finish()
    elsewhere = kernel.another_client()
    try:
        settle(elsewhere)
        attached = RecordedRun(elsewhere, acknowledge=False)
        state = attached.ask(STATE_REQUEST, {"run": "run1"})
        for request in state.requests:
            attached.ids.append(request.id)
            attached.recording.sent(request.id, guarded=False, now=time.monotonic())
        attached.recording.link_restored()
        attached.finish()
        assert attached.ids == ids
        assert attached.text() == run.text()
        assert attached.numbers == run.numbers
    finally:
        elsewhere.close()


def test_removal_leaves_the_kernel_as_it_was(kernel: ZmqKernel) -> None:
    probe = (
        "(lambda k: (sorted(vars(k).keys()), sorted(vars(k.session)), sorted(vars(k.iopub_thread)),"
        " sorted(k.control_handlers), sorted(vars(__import__('sys').stdout)),"
        " sorted(vars(__import__('sys').stderr))))(get_ipython().kernel)"
    )
    evaluate(kernel, probe)
    before = evaluate(kernel, probe)
    run = RecordedRun(kernel)
    run.install()
    run.execute("1")
    run.finish()
    assert evaluate(kernel, probe) != before
    assert run.ask(FORGET_REQUEST, {"run": "run1"}) == Done()
    assert run.ask(REMOVE_REQUEST, {}) == Done()
    assert evaluate(kernel, probe) == before
    msg_id = run.execute("print('never')")
    run.finish()
    assert run.news[-1] == NotExecuted(msg_id)


def test_a_removed_recorder_under_a_foreign_hook_stays_quiet(own_kernel: ZmqKernel) -> None:
    run = RecordedRun(own_kernel)
    run.install()
    run_plainly(
        own_kernel,
        "session = get_ipython().kernel.session\n"
        "ours = session.send\n"
        "session.send = lambda *args, **kwargs: ours(*args, **kwargs)\n",
    )
    assert run.ask(REMOVE_REQUEST, {"force": True}) == Done()
    messages = run_plainly(own_kernel, "print('x')")
    assert "stream" in {each.msg_type for each in messages}


def test_a_forgotten_run_is_unknown(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel)
    run.install()
    assert run.ask(FORGET_REQUEST, {"run": "run1"}) == Done()
    assert run.ask(FORGET_REQUEST, {"run": "run1"}) == Refused(
        "LookupError", "the recorder has no run 'run1'"
    )


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


def test_the_server_is_not_told_that_the_kernel_is_idle(kernel: ZmqKernel) -> None:
    """A server takes the idle of any request for the kernel's, and culls idle kernels."""
    run = RecordedRun(kernel)
    run.install()
    msg_id = run.execute(SLEEPS)
    run.pump(lambda: run.text(msg_id) == "asleep\n")
    request = kernel.make("control", STATE_REQUEST, {})
    kernel.send(request)
    answered = collect(kernel, lambda got: any(each.channel == "control" for each in got))
    answered += settle(kernel)
    assert [each.channel for each in answered if each.parent_id == request.msg_id] == ["control"]
    kernel.interrupt()
    run.finish()


def test_without_a_recorder_the_client_notices(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel)
    run.execute("1", guarded=False)
    run.recording.link_restored()
    run.pump(lambda: any(isinstance(each, RecorderLost) for each in run.news))
    run.finish()


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
    assert late.lost == [Lost(1, count + 1)]


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
    run.news.extend(run.recording.recovered(journal.messages))
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


def test_a_subshell_is_recorded_beside_a_running_cell(kernel: ZmqKernel) -> None:
    """ipykernel 7 executes in subshells, in threads of their own."""
    kernel.send(kernel.make("control", "create_subshell_request", {}))
    created = [each for each in settle(kernel, 1.0) if each.msg_type == "create_subshell_reply"]
    if not created:
        assert evaluate(kernel, "__import__('ipykernel').version_info[0]") == "6"
        return
    subshell = created[0].content_fields["subshell_id"]
    run = RecordedRun(kernel, drop=LoseEvery(3))
    run.install()
    sleeping = run.execute(SLEEPS, stop_on_error=False)
    run.pump(lambda: run.text(sleeping) == "asleep\n")
    beside = run.execute(
        "for n in range(50): print(n, flush=True)", header={"subshell_id": subshell}
    )
    run.pump(lambda: run.types(beside)[-1:] == ["idle"])
    assert run.text(beside) == "".join(f"{n}\n" for n in range(50))
    assert sleeping in run.recording.pending
    kernel.interrupt()
    run.finish()
    kernel.send(kernel.make("control", "delete_subshell_request", {"subshell_id": subshell}))
    assert run.numbers == list(range(1, len(run.numbers) + 1))


def test_async_cells_and_their_tasks_are_recorded(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel, drop=LoseEvery(3))
    run.install()
    first = run.execute(
        "import asyncio\n"
        "async def talk():\n"
        "    for n in range(30):\n"
        "        print('task', n, flush=True)\n"
        "        await asyncio.sleep(0.001)\n"
        "task = asyncio.create_task(talk())\n"
        "await asyncio.sleep(0.01)\n"
    )
    second = run.execute("await task\nprint('end')")
    run.finish()
    assert run.status(first) == run.status(second) == "ok"
    assert run.text().splitlines() == [f"task {n}" for n in range(30)] + ["end"]


def test_widgets_go_on_talking_after_their_cell(kernel: ZmqKernel) -> None:
    """What a ``comm_msg`` of a run causes is recorded too."""
    run = RecordedRun(kernel, drop=LoseEvery(2))
    run.install()
    run.execute(
        "import ipywidgets\n"
        "slider = ipywidgets.IntSlider()\n"
        "slider.observe(lambda change: print('moved to', change.new), 'value')\n"
    )
    run.finish()
    run.execute("print(slider.comm.comm_id)")
    run.finish()
    comm_id = run.text().strip()
    data = {"method": "update", "state": {"value": 42}, "buffer_paths": []}
    message = kernel.make(
        "shell", "comm_msg", {"comm_id": comm_id, "data": data}, metadata=request_metadata("run1")
    )
    run.recording.sent(message.msg_id, guarded=False, now=time.monotonic(), has_reply=False)
    run.ids.append(message.msg_id)
    kernel.send(message)
    run.finish()
    assert run.text(message.msg_id) == "moved to 42\n"
    assert run.numbers == list(range(1, len(run.numbers) + 1))


def test_an_older_ipykernel_is_left_as_it_is(too_old: KernelPython, tmp_path: Path) -> None:
    assert too_old.ipykernel.startswith("5.")
    with running_kernel(too_old, tmp_path / "kernel") as kernel:
        assert RecordedRun(kernel).install() == NotPossible("it is no ipykernel 6 or later")
        content = {"code": "print('well')", "silent": False, "allow_stdin": False}
        request = kernel.send(kernel.make("shell", "execute_request", content))
        messages = collect(kernel, lambda got: any(is_idle(each, request) for each in got))
    (text,) = [each for each in messages if each.msg_type == "stream"]
    assert text.content_fields["text"] == "well\n"


def is_idle(message: Message, request: str) -> bool:
    return (
        message.parent_id == request
        and message.msg_type == "status"
        and message.content_fields["execution_state"] == "idle"
    )
