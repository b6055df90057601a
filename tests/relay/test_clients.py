"""The relay under the clients that people use: each believes that it has a local kernel."""

import asyncio
import os
import sys
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
import pexpect
import pytest
from jupyter_client.manager import start_new_async_kernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import v4

from tests.support.jupyter import JupyterServer, wait_until
from tests.support.relay import START_SECONDS, Kernel, StartKernel, answer_to, ask_control

BUFFERS = """
from ipykernel.comm import Comm
def on_message(message):
    comm.send({"got": message["content"]["data"]}, buffers=[bytes(b) for b in message["buffers"]])
comm = Comm(target_name="echo")
comm.on_msg(on_message)
print(comm.comm_id)
"""


def sessions(server: JupyterServer, part: str = "jrc/") -> list[dict[str, Any]]:
    return [s for s in server.rest("GET", "api/sessions") if part in s["path"]]


def notebook(*sources: str) -> Any:
    return v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])


# jupyter_client


def test_code_runs_remotely(kernel: Kernel, remote: JupyterServer) -> None:
    cell = kernel.run("import os; print(os.getppid())")
    assert cell.reply["status"] == "ok"
    assert cell.text.strip() == str(remote.process.pid)


def test_output_and_result_arrive(kernel: Kernel) -> None:
    cell = kernel.run("print('out'); import sys; print('err', file=sys.stderr); 6 * 7")
    assert cell.text == "out\n"
    assert cell.notices == "err\n"
    assert ("execute_result", "42") in [
        (kind, content.get("data", {}).get("text/plain")) for kind, content in cell.messages
    ]


def test_an_error_arrives(kernel: Kernel) -> None:
    cell = kernel.run("1 / 0")
    assert cell.reply["ename"] == "ZeroDivisionError"
    assert [kind for kind, _ in cell.messages] == ["error"]


def test_the_other_questions_of_an_editor_are_answered(kernel: Kernel) -> None:
    client = kernel.client
    kernel.run("something = 1")
    answers = []
    for msg_id in (
        client.complete("somethi"),
        client.inspect("something"),
        client.is_complete("for i in range(3):"),
        client.history(hist_access_type="tail", n=1),
        client.comm_info(),
    ):
        answers.append(kernel.reply(msg_id))
    complete, inspect, is_complete, history, comm_info = answers
    assert "something" in complete["matches"]
    assert inspect["found"] is True
    assert is_complete["status"] == "incomplete"
    assert history["status"] == comm_info["status"] == "ok"


def test_input_is_asked_of_the_client_whose_code_asks(kernel: Kernel) -> None:
    with kernel.another_client() as other:
        msg_id = other.execute("print(input('who? ')[::-1])")
        question = other.get_stdin_msg(timeout=30)
        assert question["content"]["prompt"] == "who? "
        other.input("ada")
        assert kernel.published("stream")["content"]["text"] == "ada\n"
        assert answer_to(other, msg_id)["content"]["status"] == "ok"
        with pytest.raises(Empty):
            kernel.client.get_stdin_msg(timeout=0.2)


def test_a_manager_may_demand_encryption(remote: JupyterServer, start_kernel: StartKernel) -> None:
    kernel = start_kernel(encryption="required").ready()
    assert "curve_publickey" in kernel.manager.get_connection_info()
    assert kernel.run("print('not for everybody')").text == "not for everybody\n"


def test_two_clients_get_their_own_replies_and_all_output(kernel: Kernel) -> None:
    with kernel.another_client() as other:
        mine = [kernel.client.execute(f"print('mine {n}')") for n in range(20)]
        theirs = [other.execute(f"print('theirs {n}')") for n in range(20)]
        for client, expected in ((kernel.client, mine), (other, theirs)):
            for msg_id in expected:
                assert answer_to(client, msg_id)["content"]["status"] == "ok"
            text = ""
            while text.count("\n") < 40:
                message = client.get_iopub_msg(timeout=30)
                if message["msg_type"] == "stream":
                    text += message["content"]["text"]
            assert {line.split()[0] for line in text.splitlines()} == {"mine", "theirs"}


def test_comm_messages_carry_buffers_both_ways(kernel: Kernel) -> None:
    comm_id = kernel.run(BUFFERS).text.strip()
    client, buffers = kernel.client, [b"", b"\0" * 70_000, bytes(range(256))]
    message = client.session.msg("comm_msg", {"comm_id": comm_id, "data": {"n": 1}})
    client.session.send(client.shell_channel.socket, message, buffers=buffers)
    answer: Any = kernel.published("comm_msg", comm_id=comm_id)
    assert answer["content"]["data"]["got"] == {"n": 1}
    assert [bytes(buffer) for buffer in answer["buffers"]] == buffers


def test_control_overtakes_a_busy_shell(kernel: Kernel) -> None:
    kernel.client.execute("import time; time.sleep(60)")
    kernel.published("execute_input")
    reply = ask_control(kernel.client, "kernel_info_request", {})
    assert reply["msg_type"] == "kernel_info_reply"
    kernel.manager.interrupt_kernel()


def test_interrupt_stops_the_remote_code(kernel: Kernel) -> None:
    msg_id = kernel.client.execute("import time; print('go', flush=True); time.sleep(60)")
    kernel.published("stream")
    reply = ask_control(kernel.client, "interrupt_request", {})
    assert kernel.finish(msg_id).reply["ename"] == "KeyboardInterrupt"
    assert (reply["msg_type"], reply["content"]) == ("interrupt_reply", {"status": "ok"})


if sys.platform != "win32":

    def test_a_sigint_to_the_relay_interrupts_the_remote_code(kernel: Kernel) -> None:
        msg_id = kernel.client.execute("import time; print('go', flush=True); time.sleep(60)")
        kernel.published("stream")
        kernel.process.send_signal(2)
        assert kernel.finish(msg_id).reply["ename"] == "KeyboardInterrupt"


def test_debugger_messages_pass(kernel: Kernel) -> None:
    arguments = {"clientID": "test", "adapterID": "", "pathFormat": "path"}
    content = {"type": "request", "seq": 1, "command": "initialize", "arguments": arguments}
    reply = ask_control(kernel.client, "debug_request", content)
    assert reply["msg_type"] == "debug_reply"
    assert reply["content"]["success"] is True


def test_a_subshell_answers_while_the_main_shell_is_busy(kernel: Kernel) -> None:
    client = kernel.client
    subshell = ask_control(client, "create_subshell_request", {})["content"]["subshell_id"]
    busy = client.execute("import time; time.sleep(60)")
    kernel.published("execute_input")
    request = client.session.msg("execute_request", {"code": "print('here')", "silent": False})
    request["header"]["subshell_id"] = subshell
    client.shell_channel.send(request)
    cell = kernel.finish(request["header"]["msg_id"])
    assert cell.text == "here\n"
    kernel.manager.interrupt_kernel()
    assert kernel.finish(busy).reply["ename"] == "KeyboardInterrupt"


def test_the_heart_beats(kernel: Kernel) -> None:
    wait_until(kernel.client.hb_channel.is_beating, "a heartbeat")


def test_each_client_is_welcomed(kernel: Kernel) -> None:
    other = kernel.manager.client()
    other.start_channels(shell=False, stdin=False, hb=False, control=False)
    try:
        welcome = other.get_iopub_msg(timeout=30)
        assert (welcome["msg_type"], welcome["content"]) == ("iopub_welcome", {"subscription": ""})
    finally:
        other.stop_channels()


def test_shutdown_deletes_the_remote_session(
    start_kernel: StartKernel, remote: JupyterServer, tmp_path: Path
) -> None:
    kernel = start_kernel(JPY_SESSION_NAME=str(tmp_path / "folder" / "plots.ipynb")).ready()
    (session,) = sessions(remote, "folder/plots.ipynb-")
    assert session["path"].startswith("jrc/")
    kernel.client.shutdown()
    assert kernel.published("shutdown_reply", restart=False)
    assert kernel.wait_for_exit() == 0
    assert sessions(remote, "folder/plots.ipynb-") == []


def test_restart_by_the_manager_gives_a_fresh_kernel(kernel: Kernel, remote: JupyterServer) -> None:
    kernel.run("x = 1")
    kernel.manager.restart_kernel()
    kernel.ready()
    assert kernel.run("x").reply["ename"] == "NameError"
    assert len(sessions(remote)) == 1


def test_restart_without_a_manager_happens_in_place(in_place: Kernel) -> None:
    """A client that starts no processes would wait for ever for a new one."""
    kernel = in_place
    kernel.run("x = 1")
    kernel.client.shutdown(restart=True)
    kernel.published("status", execution_state="restarting")
    kernel.ready()
    assert kernel.process.poll() is None
    assert kernel.run("x").reply["ename"] == "NameError"


@pytest.mark.anyio
async def test_the_async_client(remote: JupyterServer, kernelspecs: Path) -> None:
    manager, client = await start_new_async_kernel(kernel_name="remote")
    try:
        reply = await client.execute_interactive("1", timeout=START_SECONDS)
        assert reply["content"]["status"] == "ok"
        assert await client.is_alive()
    finally:
        client.stop_channels()
        await manager.shutdown_kernel()
    await asyncio.sleep(0)


# nbclient, papermill, jupyter console


def test_nbclient_runs_a_notebook(remote: JupyterServer, kernelspecs: Path) -> None:
    document = notebook(
        "x = 20", "print(x); x + 1", "from IPython.display import HTML; HTML('<b>')"
    )
    NotebookClient(document, kernel_name="remote", timeout=60).execute()
    outputs = [cell.outputs for cell in document.cells]
    assert outputs[0] == []
    assert outputs[1][0].text == "20\n"
    assert outputs[1][1].data["text/plain"] == "21"
    assert outputs[2][0].data["text/html"] == "<b>"
    assert sessions(remote) == []


def test_nbclient_sees_the_error_of_a_cell(remote: JupyterServer, kernelspecs: Path) -> None:
    client = NotebookClient(notebook("1 / 0"), kernel_name="remote", timeout=60)
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        client.execute()


def test_nbclient_sees_a_kernel_die(remote: JupyterServer, kernelspecs: Path) -> None:
    """Also where errors are allowed: it must not go on in an empty kernel."""
    document = notebook("import os; os._exit(1)", "print('in another kernel')")
    client = NotebookClient(document, kernel_name="remote", timeout=60, allow_errors=True)
    with pytest.raises(DeadKernelError):
        client.execute()
    assert document.cells[1].outputs == []
    assert sessions(remote) == []


def test_papermill_runs_a_notebook(
    remote: JupyterServer, kernelspecs: Path, tmp_path: Path
) -> None:
    import papermill

    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    document = notebook("n = 1", "print(n * 2)")
    document.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(document, source)
    papermill.execute_notebook(
        source, target, {"n": 21}, kernel_name="remote", language="python", progress_bar=False
    )
    assert "42" in nbformat.read(target, as_version=4).cells[-1].outputs[0].text
    assert sessions(remote) == []


if sys.platform != "win32":

    def test_jupyter_console(remote: JupyterServer, kernelspecs: Path) -> None:
        console = pexpect.spawn(
            sys.executable,
            ["-m", "jupyter_console", "--simple-prompt", "--kernel=remote"],
            env={**os.environ, "TERM": "dumb"},
            encoding="utf-8",
            timeout=START_SECONDS,
        )
        try:
            console.expect(r"In \[1\]:")
            console.sendline("input('name? ') + '!'")
            console.expect(r"name\? ")
            console.sendline("ada")
            console.expect("'ada!'")
            console.sendline("exit")
            console.expect(pexpect.EOF)
        finally:
            console.close(force=True)
        wait_until(lambda: sessions(remote) == [], "the end of the remote session")
