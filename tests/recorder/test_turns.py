"""Cells that run the event loop of their own kernel, and what arrives meanwhile."""

import pytest

from jrc.recorder import install
from jrc.recorder.in_kernel.frames import RECORDER_VERSION
from jrc.recorder.install import Installed
from jrc.wire.message import Message
from tests.support.kernels import REMOVE_REQUEST, ZmqKernel, collect
from tests.support.recorded import NEWER, RecordedRun, evaluate, newer_source

NEST = """
import asyncio
try:
    import nest_asyncio2 as nest
except ImportError:
    import nest_asyncio as nest
nest.apply()
"""

RUNS_THE_LOOP = "print(asyncio.run(asyncio.sleep(0.5, 'ran')))"


def test_what_arrives_while_a_cell_runs_the_loop_is_executed_behind_it(
    own_kernel: ZmqKernel,
) -> None:
    run = RecordedRun(own_kernel)
    run.send_install()
    ids = [run.execute(code) for code in (NEST, *[RUNS_THE_LOOP, "print('next')"] * 3)]
    run.finish()
    assert [run.text(each) for each in ids] == ["", *["ran\n", "next\n"] * 3]
    assert run.numbers == list(range(1, len(run.numbers) + 1))
    assert run.types(ids[-1]) == ["busy", "execute_input", "stream", "execute_reply", "idle"]


def test_the_first_cell_behind_the_installation_may_run_the_loop(own_kernel: ZmqKernel) -> None:
    run = RecordedRun(own_kernel)
    run.send_install()
    ids = [run.execute(code) for code in (NEST + RUNS_THE_LOOP, *["print('next')"] * 20)]
    run.finish()
    assert [run.text(each) for each in ids] == ["ran\n", *["next\n"] * 20]


def test_an_error_behind_such_a_cell_stops_the_run(own_kernel: ZmqKernel) -> None:
    run = RecordedRun(own_kernel)
    run.send_install()
    ids = [run.execute(code) for code in (NEST, RUNS_THE_LOOP, "1 / 0", RUNS_THE_LOOP)]
    run.finish()
    assert [run.status(each) for each in ids] == ["ok", "ok", "error", "aborted"]


def test_a_request_of_another_client_waits_for_its_turn_too(own_kernel: ZmqKernel) -> None:
    run = RecordedRun(own_kernel)
    run.send_install()
    run.execute(NEST)
    run.execute(RUNS_THE_LOOP)
    info = own_kernel.make("shell", "kernel_info_request", {})
    own_kernel.send(info)
    answers = [Message, info.msg_id]
    run.pump(lambda: any(answers == [type(n), getattr(n, "parent_id", "")] for n in run.news))
    run.finish()


def test_a_widgets_message_waits_for_a_cell_that_blocks(own_kernel: ZmqKernel) -> None:
    run = RecordedRun(own_kernel)
    run.send_install()
    seen = """
seen = []
from ipykernel.comm import Comm
comm = Comm(target_name="test", comm_id="one")
comm.on_msg(lambda message: seen.append(message["content"]["data"]))
"""
    run.execute(NEST + seen)
    run.finish()
    run.execute(RUNS_THE_LOOP)
    content = {"comm_id": "one", "data": {"number": 1}}
    own_kernel.send(own_kernel.make("shell", "comm_msg", content))
    last = run.execute("print(seen)")
    run.finish()
    assert run.text(last) == "[{'number': 1}]\n"


def test_a_newer_recorder_takes_over_who_waits(
    own_kernel: ZmqKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RecordedRun(own_kernel)
    first = run.install()
    ids = [run.execute(NEST), run.execute(RUNS_THE_LOOP)]
    newer = newer_source()
    monkeypatch.setattr(install, "source", lambda: newer)
    monkeypatch.setattr(install, "RECORDER_VERSION", NEWER)
    RecordedRun(own_kernel, "run2").send_install()
    monkeypatch.undo()
    ids += [run.execute(code) for code in ["print('next')", RUNS_THE_LOOP, "print('last')"]]
    run.finish()
    assert isinstance(first, Installed)
    assert first.version == RECORDER_VERSION
    assert [run.text(each) for each in ids] == ["", "ran\n", "next\n", "ran\n", "last\n"]
    assert evaluate(own_kernel, "get_ipython().kernel._jrc_recorder.version") == str(NEWER)


def test_the_removal_lets_go_of_who_waits(own_kernel: ZmqKernel) -> None:
    run = RecordedRun(own_kernel)
    run.install()
    run.execute(NEST)
    run.finish()
    plain = {"silent": False, "store_history": False, "allow_stdin": False}
    ids = [
        own_kernel.send(own_kernel.make("shell", "execute_request", {"code": code, **plain}))
        for code in (f"print('begun', flush=True)\n{RUNS_THE_LOOP}", "print('next')")
    ]
    collect(own_kernel, lambda got: any("begun" in str(each.content_fields) for each in got))
    removal = own_kernel.make("control", REMOVE_REQUEST, {"force": True})
    own_kernel.send(removal)
    collect(
        own_kernel,
        lambda got: all(
            any(each.parent_id == msg_id and each.channel == "shell" for each in got)
            for msg_id in ids
        ),
    )
