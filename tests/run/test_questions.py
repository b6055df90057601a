"""Questions of a kernel: those that a run allows are passed on, and no others."""

import base64
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jrc.cli.local_stdin import LocalStdin
from jrc.cli.run_listener import JsonListener
from jrc.cli.terminal import Terminal
from jrc.errors import InterruptedByUserError
from jrc.kernel.messages import Messages
from jrc.notebook.script import STDIN_PROMPT
from jrc.recorder.in_kernel.frames import METADATA_KEY
from jrc.run.events import Notice, RunStarted
from jrc.run.protocol import Exchange
from jrc.run.runner import MOST_QUESTIONS
from jrc.wire.message import Message, encode_object
from tests.support.jupyter import JupyterServer, StartJupyter
from tests.support.running import Recorder, run_document, stdout_of, write_notebook
from tests.support.scripted import busy, from_kernel, idle, info_reply, reply
from tests.support.scripted_run import ScriptedKernel, run_on

pytestmark = [pytest.mark.anyio, pytest.mark.attacks]

REFUSED = "The kernel asks a question that this run does not allow: it gets no answer."


def question(parent: str, prompt: str = "Password: ") -> Message:
    return from_kernel("stdin", "input_request", {"prompt": prompt}, parent=parent)


def asking(times: int) -> ScriptedKernel:
    """A kernel whose cell asks so often, and ends when it is answered or interrupted."""
    cell: list[str] = []

    def answer(request: Message) -> list[Message]:
        if request.msg_type == "execute_request":
            cell.append(request.msg_id)
            return [busy(cell[0]), *(question(cell[0]) for _ in range(times))]
        if request.msg_type == "input_reply":
            return [reply(cell[0]), idle(cell[0])]
        return [info_reply(request.msg_id)]

    return ScriptedKernel(
        answer, lambda: [reply(cell[0], "error", ename="KeyboardInterrupt"), idle(cell[0])]
    )


async def test_a_question_that_the_run_does_not_allow_gets_no_answer() -> None:
    kernel, listener = asking(1), Recorder()
    ran = await run_on(kernel, listener=listener)
    (request,) = kernel.requests("execute_request")
    assert request.content_fields["allow_stdin"] is False
    assert kernel.requests("input_reply") == []
    assert listener.asked == []
    assert REFUSED in [notice.text for notice in listener.of(Notice)]
    assert (kernel.interrupts, ran.result.status) == (1, "interrupted")


async def test_a_question_that_the_run_allows_is_answered() -> None:
    kernel, listener = asking(1), Recorder(["secret"])
    ran = await run_on(kernel, listener=listener)
    assert [message.content_fields["value"] for message in kernel.requests("input_reply")] == [
        "secret"
    ]
    assert ran.result.status == "ok"


async def test_a_kernel_can_not_make_the_person_answer_without_end() -> None:
    kernel, listener = asking(1000), Recorder(["x"] * 2000)
    await run_on(kernel, listener=listener)
    assert len(listener.asked) <= MOST_QUESTIONS


@pytest.mark.parametrize("may_ask", [True, False])
def test_who_attaches_is_asked_only_what_the_run_allows(may_ask: bool) -> None:
    exchange = Exchange.taken_up(
        Messages(), "run", ["r"], after=0, questions=True, may_ask=may_ask, now=0.0
    )
    stamp = encode_object({METADATA_KEY: {"run": "run", "n": 1}})
    (event,) = exchange.receive(replace(question("r"), metadata=stamp), 0.0)
    assert event.allowed is may_ask  # type: ignore[union-attr]


ASKS_ANYWAY = """
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel


class Asks(Kernel):
    implementation = "asks"
    implementation_version = "1"
    language_info = {"name": "text", "mimetype": "text/plain", "file_extension": ".txt"}
    banner = "asks"

    def do_execute(self, code, silent, *_, allow_stdin=False, **__):
        if code and not silent:
            self._allow_stdin = True
            try:
                text = self.raw_input("Password: ")
            except KeyboardInterrupt:
                error = {"ename": "KeyboardInterrupt", "evalue": "", "traceback": []}
                return {"status": "error", "execution_count": 1, **error}
            self.send_response(self.iopub_socket, "stream", {"name": "stdout", "text": text})
        return {"status": "ok", "execution_count": 1, "payload": [], "user_expressions": {}}


IPKernelApp.launch_instance(kernel_class=Asks)
"""


@pytest.fixture
def with_asking_kernel(start_jupyter: StartJupyter) -> JupyterServer:
    """A server with a kernel that asks whatever ``allow_stdin`` says."""
    server = start_jupyter()
    spec = server.folder / "home" / "data" / "kernels" / "asks"
    spec.mkdir(parents=True)
    (spec / "asks.py").write_text(ASKS_ANYWAY)
    argv = [sys.executable, str(spec / "asks.py"), "-f", "{connection_file}"]
    described = {"argv": argv, "display_name": "Asks", "language": "text"}
    (spec / "kernel.json").write_text(json.dumps(described))
    return server


async def test_a_real_kernel_that_asks_anyway_gets_no_answer(
    with_asking_kernel: JupyterServer, tmp_path: Path
) -> None:
    path, output = write_notebook(tmp_path / "a.ipynb", ["ask"]), tmp_path / "out.ipynb"
    listener = Recorder()
    with pytest.raises(InterruptedByUserError):
        await run_document(with_asking_kernel, path, output, listener=listener, kernel="asks")
    assert listener.asked == []
    assert REFUSED in [notice.text for notice in listener.of(Notice)]
    assert stdout_of(output, 0) == ""


@pytest.mark.parametrize("kind", ["notebook", "percent", "script"])
def test_only_a_script_reads_stdin_in_pieces(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A kernel that executes a notebook shows what it asks, and gets a line."""
    (tmp_path / "stdin").write_text("first\nsecond\n")
    with (tmp_path / "stdin").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        local = LocalStdin()
        listener = JsonListener(Terminal(), local)
        listener.on_event(RunStarted("run", "a", "http://h/", "k", "s", 1, kind))
        capsys.readouterr()
        answer = local.answer(STDIN_PROMPT + "100", False)
        shown = capsys.readouterr().err
    if kind == "notebook":
        assert answer == "first"
        assert "jrc:stdin 100" in shown
    else:
        assert (base64.b64decode(answer), shown) == (b"first\nsecond\n", "")
