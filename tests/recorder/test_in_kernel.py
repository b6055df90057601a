"""The recorder in real kernels, over ZMQ."""

import time
from pathlib import Path

from jrc.recorder.in_kernel.frames import RECORDER_VERSION
from jrc.recorder.install import Installed, NotPossible
from jrc.recorder.protocol import (
    CANCEL_REQUEST,
    FORGET_REQUEST,
    REPLAY_REQUEST,
    STATE_REQUEST,
    Done,
    Refused,
    States,
    replay_content,
)
from jrc.recorder.recording import NotExecuted, RecorderLost
from jrc.wire.message import Message
from tests.support.kernels import (
    REMOVE_REQUEST,
    KernelPython,
    ZmqKernel,
    collect,
    running_kernel,
    settle,
)
from tests.support.recorded import SLEEPS, LoseEvery, RecordedRun, evaluate, is_idle, run_plainly


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


def test_an_older_ipykernel_is_left_as_it_is(too_old: KernelPython, tmp_path: Path) -> None:
    assert too_old.ipykernel.startswith("5.")
    with running_kernel(too_old, tmp_path / "kernel") as kernel:
        assert RecordedRun(kernel).install() == NotPossible("it is no ipykernel 6 or later")
        content = {"code": "print('well')", "silent": False, "allow_stdin": False}
        request = kernel.send(kernel.make("shell", "execute_request", content))
        messages = collect(kernel, lambda got: any(is_idle(each, request) for each in got))
    (text,) = [each for each in messages if each.msg_type == "stream"]
    assert text.content_fields["text"] == "well\n"
