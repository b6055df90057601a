"""What a recorder in a real kernel keeps: threads, processes, floods, displays, widgets."""

import time
from dataclasses import replace

from jrc.recorder.protocol import (
    STATE_REQUEST,
    States,
    request_metadata,
)
from jrc.wire.message import Message
from tests.support.kernels import ZmqKernel, settle
from tests.support.recorded import SLEEPS, LoseEvery, RecordedRun, evaluate, run_plainly


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


def test_an_answer_that_comes_late_or_twice_answers_no_other_question(kernel: ZmqKernel) -> None:
    run = RecordedRun(kernel)
    run.install()
    msg_id = run.execute(
        "import time\n"
        "try: input('one? ')\n"
        "except KeyboardInterrupt: pass\n"
        "print([input('two? '), input('three? ')])",
        allow_stdin=True,
    )

    def asked(prompt: str) -> Message:
        run.pump(lambda: any(e.content_fields.get("prompt") == prompt for e in run.messages))
        return next(e for e in run.messages if e.content_fields.get("prompt") == prompt)

    def answer(value: str, question: Message) -> Message:
        reply = kernel.make("stdin", "input_reply", {"value": value, "status": "ok"})
        return replace(reply, parent_header=question.header)

    one = asked("one? ")
    kernel.interrupt()
    two = asked("two? ")
    kernel.send(answer("too late", one))
    second = answer("2", two)
    kernel.send(second)
    three = asked("three? ")
    kernel.send(second)
    kernel.send(answer("another client's", two))
    kernel.send(answer("3", three))
    run.finish()
    assert run.text(msg_id) == "['2', '3']\n"


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
    assert run.recording.is_pending(sleeping)
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
