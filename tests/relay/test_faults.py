"""What breaks between an editor and a remote kernel, and what the editor sees of it."""

import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from jrc.errors import ExitCode
from tests.support import echo_kernel
from tests.support.jupyter import JupyterServer, StartJupyter, wait_until
from tests.support.proxy import Deafening, Proxy, SlowUplink, Tearing
from tests.support.relay import Kernel, StartKernel, ask_control, write_kernelspec

MIB = 2**20

TICKS = """
import time
for n in range(30):
    print(n, flush=True)
    time.sleep(0.1)
"""
ALL_TICKS = "".join(f"{n}\n" for n in range(30))

OUTAGE_SECONDS = 60
"""The one loss of the length that the promise names; it happens while the cell works."""

IMPATIENT = """
from jrc.relay.main import main
from jrc.relay.watch import Timing
main(Timing(quiet_before_poll=0.5))
"""

NO_LIMITS = {"ZMQChannelsWebsocketConnection": {"limit_rate": False}}


@pytest.fixture
def proxied(remote: JupyterServer, at_server: Callable[..., None]) -> Any:
    """A proxy in front of the shared server, which relays use."""
    with Proxy(remote.url) as proxy:
        at_server(remote, proxy.url)
        yield proxy


@pytest.fixture
def slow_uplink(remote: JupyterServer, at_server: Callable[..., None]) -> Iterator[SlowUplink]:
    """Stands in front of the shared server, which relays use."""
    with SlowUplink(remote.url) as proxy:
        at_server(remote, proxy.url)
        yield proxy


@pytest.fixture
def deafening(remote: JupyterServer, at_server: Callable[..., None]) -> Iterator[Deafening]:
    """Stands in front of the shared server, which relays use, and loses messages."""
    with Deafening(remote.url) as proxy:
        at_server(remote, proxy.url)
        yield proxy


def sessions(server: JupyterServer) -> list[str]:
    return [s["path"] for s in server.rest("GET", "api/sessions") if s["path"].startswith("jrc/")]


def write_echo_kernelspec(folder: Path) -> None:
    """Write a kernelspec for a server whose ``JUPYTER_PATH`` is the folder."""
    place = folder / "kernels" / "echo"
    place.mkdir(parents=True)
    argv = [sys.executable, str(Path(echo_kernel.__file__)), "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Echo", "language": "echo"}
    (place / "kernel.json").write_text(json.dumps(spec))


def write_impatient_kernelspec(folder: Path, kernel: str = "python3") -> None:
    """Write a kernelspec ``impatient``: its relay wonders twice a second why nothing comes."""
    write_kernelspec(folder, "impatient", JRC_KERNEL=kernel)
    path = folder / "kernels" / "impatient" / "kernel.json"
    spec = json.loads(path.read_text())
    spec["argv"] = [sys.executable, "-c", IMPATIENT, *spec["argv"][3:]]
    path.write_text(json.dumps(spec))


def states(server: JupyterServer) -> list[str]:
    return [
        s["kernel"]["execution_state"]
        for s in server.rest("GET", "api/sessions")
        if s["path"].startswith("jrc/")
    ]


def start_ticking(kernel: Kernel, code: str = TICKS) -> str:
    """Start a cell and return when it has begun; what it wrote is not under way any more."""
    msg_id = kernel.client.execute(code)
    kernel.published("stream" if code is TICKS else "execute_input")
    return msg_id


# The link


def test_a_cut_in_mid_cell_is_not_seen(proxied: Proxy, start_kernel: StartKernel) -> None:
    kernel = start_kernel().ready()
    msg_id = start_ticking(kernel)
    proxied.cut(refuse=True)
    threading.Timer(1.5, proxied.restore).start()
    cell = kernel.finish(msg_id)
    assert (cell.text, cell.notices) == (ALL_TICKS, "")
    assert cell.reply["status"] == "ok"


def test_torn_messages_in_mid_cell_are_not_seen(
    remote: JupyterServer, at_server: Callable[..., None], start_kernel: StartKernel
) -> None:
    seen = itertools.count(1)
    with Tearing(remote.url, lambda _: next(seen) % 3 == 0) as proxy:
        at_server(remote, proxy.url)
        kernel = start_kernel().ready()
        cell = kernel.run(TICKS)
        assert proxy.torn
        kernel.close()
    assert (cell.text, cell.notices, cell.reply["status"]) == (ALL_TICKS, "", "ok")


def test_a_torn_message_of_a_kernel_without_a_recorder_is_told(
    start_jupyter: StartJupyter,
    at_server: Callable[..., None],
    start_kernel: StartKernel,
    tmp_path: Path,
) -> None:
    write_echo_kernelspec(tmp_path)
    server = start_jupyter(env={"JUPYTER_PATH": str(tmp_path)})
    torn: list[bytes] = []

    def tears(message: bytes) -> bool:
        hit = not torn and b'"execute_reply"' in message
        torn.extend([message] * hit)
        return hit

    with Tearing(server.url, tears) as proxy:
        at_server(server, proxy.url)
        kernel = start_kernel("echo").ready()
        cell = kernel.run("first")
        assert "can't be read" in cell.notices
        assert cell.reply["ename"] == "ReplyLost"
        assert kernel.run("second").reply["status"] == "ok"


def test_held_packets_in_mid_cell_are_not_seen(proxied: Proxy, start_kernel: StartKernel) -> None:
    kernel = start_kernel().ready()
    msg_id = start_ticking(kernel)
    proxied.black_hole()
    threading.Timer(4, proxied.restore).start()
    cell = kernel.finish(msg_id)
    assert (cell.text, cell.notices, cell.reply["status"]) == (ALL_TICKS, "", "ok")


def test_a_long_loss_is_told_and_requests_wait(proxied: Proxy, start_kernel: StartKernel) -> None:
    kernel = start_kernel().ready()
    running = start_ticking(kernel)
    proxied.cut(refuse=True)
    waiting = kernel.client.execute("print('waited')")
    down = kernel.published("stream", name="stderr")
    assert "is down" in down["content"]["text"]
    assert down["parent_header"]["msg_id"] == running
    assert kernel.client.hb_channel.is_beating()
    proxied.restore()
    cell = kernel.finish(running)
    assert cell.text.endswith("29\n")
    assert "is back after" in cell.notices
    assert cell.reply["status"] == "ok"
    assert kernel.finish(waiting).text == "waited\n"


@pytest.mark.timeout(400)
def test_an_outage_of_a_minute_loses_nothing(proxied: Proxy, start_kernel: StartKernel) -> None:
    kernel = start_kernel().ready()
    ticks = TICKS.replace("30", "750")
    running = kernel.client.execute(ticks)
    kernel.published("stream")
    proxied.cut(refuse=True)
    threading.Timer(OUTAGE_SECONDS, proxied.restore).start()
    down = kernel.published("stream", name="stderr")
    assert "is down" in down["content"]["text"]
    waiting = kernel.client.execute("print('waited')")
    back = kernel.published("stream", name="stderr", timeout=2 * OUTAGE_SECONDS)
    found = re.search(r"is back after (\d+) s", back["content"]["text"])
    assert found is not None
    assert int(found[1]) >= OUTAGE_SECONDS
    assert kernel.client.hb_channel.is_beating()
    cell = kernel.finish(running, timeout=120)
    assert cell.text == "".join(f"{n}\n" for n in range(750))
    assert cell.reply["status"] == "ok"
    assert {kind for kind, _ in cell.messages} == {"stream"}
    assert cell.notices == down["content"]["text"] + back["content"]["text"]
    assert kernel.finish(waiting).text == "waited\n"


def test_what_a_dead_link_swallowed_comes_back(
    proxied: Proxy, remote: JupyterServer, start_kernel: StartKernel
) -> None:
    """Packets vanish for a while, and then the connection turns out to be dead."""
    kernel = start_kernel().ready()
    msg_id = start_ticking(kernel)
    proxied.black_hole(swallow=True)
    completion = kernel.client.complete("pri")
    wait_until(lambda: states(remote) == ["idle"], "the end of the cell")
    proxied.cut(refuse=True)
    proxied.restore()
    cell = kernel.finish(msg_id)
    assert (cell.text, cell.reply["status"]) == (ALL_TICKS, "ok")
    assert "print" in kernel.reply(completion)["matches"]
    assert kernel.run("print('fine')").text == "fine\n"


def test_a_question_that_was_swallowed_is_asked_again(
    proxied: Proxy, remote: JupyterServer, start_kernel: StartKernel
) -> None:
    kernel = start_kernel().ready()
    msg_id = start_ticking(kernel, "import time; time.sleep(1); print(input('who? '))")
    proxied.black_hole(swallow=True)
    sent = proxied.bytes_down
    wait_until(lambda: proxied.bytes_down > sent, "the question, which is swallowed")
    proxied.cut(refuse=True)
    proxied.restore()
    assert kernel.client.get_stdin_msg(timeout=60)["content"]["prompt"] == "who? "
    kernel.client.input("ada")
    assert kernel.finish(msg_id).text == "ada\n"


def test_an_answer_that_was_swallowed_comes_through_once(
    proxied: Proxy, start_kernel: StartKernel
) -> None:
    kernel = start_kernel().ready()
    msg_id = kernel.client.execute("print([input('one? '), input('two? ')])")
    assert kernel.client.get_stdin_msg(timeout=60)["content"]["prompt"] == "one? "
    proxied.black_hole(swallow=True)
    sent = proxied.bytes_up
    kernel.client.input("1")
    wait_until(lambda: proxied.bytes_up > sent, "the answer, which is swallowed")
    proxied.cut(refuse=True)
    proxied.restore()
    assert kernel.client.get_stdin_msg(timeout=60)["content"]["prompt"] == "two? "
    kernel.client.input("2")
    assert kernel.finish(msg_id).text == "['1', '2']\n"


def test_a_request_that_was_swallowed_runs_once(proxied: Proxy, start_kernel: StartKernel) -> None:
    """Sent into a dead link: the kernel never saw it, and the recorder proves it."""
    kernel = start_kernel().ready()
    kernel.run("runs = 0")
    proxied.black_hole(swallow=True)
    sent = proxied.bytes_up
    msg_id = kernel.client.execute("runs += 1; print(runs)")
    wait_until(lambda: proxied.bytes_up > sent, "the request, which is swallowed")
    proxied.cut(refuse=True)
    proxied.restore()
    assert kernel.finish(msg_id).text == "1\n"
    assert kernel.run("print(runs)").text == "1\n"


@pytest.mark.parametrize("lost", [1, math.inf], ids=["request", "session"])
def test_what_a_server_loses_on_a_link_that_lives_is_made_up_for(
    deafening: Deafening, kernelspecs: Path, start_kernel: StartKernel, lost: float
) -> None:
    """A request is sent again, and a session that the server has broken is given up."""
    write_impatient_kernelspec(kernelspecs)
    kernel = start_kernel("impatient").ready()
    kernel.run("runs = 0")
    deafening.deafen(lost)
    assert kernel.run("runs += 1; print(runs)", timeout=90).text == "1\n"
    assert kernel.run("print(runs)").text == "1\n"


def test_a_cell_that_takes_long_to_send_is_sent_once(
    slow_uplink: SlowUplink, kernelspecs: Path, start_kernel: StartKernel
) -> None:
    """The kernel is idle and owes a reply, to a request that it does not have yet."""
    write_impatient_kernelspec(kernelspecs)
    kernel = start_kernel("impatient").ready()
    cell = kernel.run("print(len('" + 2_000_000 * "x" + "'))", timeout=90)
    assert cell.text == "2000000\n"
    assert slow_uplink.bytes_up < 3_000_000


def test_a_broken_session_to_another_kernel_is_given_up(
    start_jupyter: StartJupyter,
    at_server: Callable[..., None],
    kernelspecs: Path,
    start_kernel: StartKernel,
    tmp_path: Path,
) -> None:
    """Nobody knows whether the request arrived: the person is told, and can ask again."""
    write_echo_kernelspec(tmp_path)
    server = start_jupyter(env={"JUPYTER_PATH": str(tmp_path)})
    write_impatient_kernelspec(kernelspecs, "echo")
    with Deafening(server.url) as proxy:
        at_server(server, proxy.url)
        kernel = start_kernel("impatient").ready()
        proxy.deafen()
        cell = kernel.run("hello", timeout=90)
        assert (cell.text, cell.reply["ename"]) == ("", "ReplyLost")
        assert kernel.run("hello").text == "hello\n"


def test_a_reply_that_nobody_recorded_is_told_as_lost(
    start_jupyter: StartJupyter,
    at_server: Callable[..., None],
    start_kernel: StartKernel,
    tmp_path: Path,
) -> None:
    """A kernel for which there is no recorder: what is lost can only be said."""
    write_echo_kernelspec(tmp_path)
    server = start_jupyter(env={"JUPYTER_PATH": str(tmp_path)})
    with Proxy(server.url) as proxy:
        at_server(server, proxy.url)
        kernel = start_kernel("echo").ready()
        msg_id = start_ticking(kernel, "sleep 1")
        kernel.published("stream")
        proxy.black_hole(swallow=True)
        wait_until(lambda: states(server) == ["idle"], "the end of the cell")
        proxy.cut(refuse=True)
        proxy.restore()
        cell = kernel.finish(msg_id)
        assert (cell.reply["status"], cell.reply["ename"]) == ("error", "ReplyLost")
        assert kernel.run("fine").text == "fine\n"


def test_an_interrupt_while_the_link_is_down_is_answered(
    proxied: Proxy, start_kernel: StartKernel
) -> None:
    kernel = start_kernel().ready()
    proxied.cut(refuse=True)
    content = ask_control(kernel.client, "interrupt_request", {})["content"]
    assert content["status"] == "error"
    assert "did not reach the kernel" in content["evalue"]
    proxied.restore()
    assert kernel.run("1").reply["status"] == "ok"


# The kernel


def test_a_kernel_that_dies_ends_the_relay_of_a_manager(kernel: Kernel) -> None:
    """As with a local kernel: no answer, so that no client goes on in an empty kernel."""
    msg_id = kernel.client.execute("import os; print('before', flush=True); os._exit(1)")
    notice = kernel.published("stream", name="stderr")
    assert "kernel died" in notice["content"]["text"]
    assert notice["parent_header"]["msg_id"] == msg_id
    kernel.published("status", execution_state="dead")
    assert kernel.wait_for_exit() == ExitCode.KERNEL_DIED


def test_a_kernel_that_dies_is_told_and_comes_back_in_place(in_place: Kernel) -> None:
    kernel = in_place
    msg_id = kernel.client.execute("import os; os._exit(1)")
    waiting = kernel.client.execute("1")
    kernel.published("status", execution_state="restarting")
    assert kernel.finish(msg_id).reply["ename"] == "KernelDied"
    assert kernel.reply(waiting)["status"] == "error"
    kernel.ready()
    recorded = "print(hasattr(get_ipython().kernel, '_jrc_recorder'))"
    assert kernel.run(recorded).text == "True\n"


def test_a_kernel_that_somebody_deletes_is_dead(kernel: Kernel, remote: JupyterServer) -> None:
    msg_id = start_ticking(kernel, "import time; time.sleep(60)")
    (session,) = (s for s in remote.rest("GET", "api/sessions") if s["path"].startswith("jrc/"))
    remote.rest("DELETE", f"api/sessions/{session['id']}")
    assert "gone" in kernel.published("stream", name="stderr")["content"]["text"]
    kernel.published("status", execution_state="dead")
    assert kernel.wait_for_exit() == ExitCode.KERNEL_DIED
    assert not kernel.answered(msg_id)


def test_a_kernel_that_somebody_deletes_is_answered_for_first(
    in_place: Kernel, remote: JupyterServer
) -> None:
    """An editor drops the answers of a kernel that it knows to be dead."""
    kernel = in_place
    msg_id = start_ticking(kernel, "import time; time.sleep(60)")
    (session,) = (s for s in remote.rest("GET", "api/sessions") if s["path"].startswith("jrc/"))
    remote.rest("DELETE", f"api/sessions/{session['id']}")
    assert "gone" in kernel.published("error", ename="KernelDied")["content"]["evalue"]
    kernel.published("status", execution_state="dead")
    assert kernel.reply(msg_id)["status"] == "error"


def test_a_kernel_that_somebody_restarts_ends_the_relay_of_a_manager(
    kernel: Kernel, remote: JupyterServer
) -> None:
    msg_id = start_ticking(kernel, "import time; time.sleep(60)")
    (session,) = (s for s in remote.rest("GET", "api/sessions") if s["path"].startswith("jrc/"))
    remote.rest("POST", f"api/kernels/{session['kernel']['id']}/restart")
    kernel.published("status", execution_state="dead")
    assert kernel.wait_for_exit() == ExitCode.KERNEL_DIED
    assert not kernel.answered(msg_id)


def test_a_kernel_that_somebody_restarts_is_told(in_place: Kernel, remote: JupyterServer) -> None:
    kernel = in_place
    msg_id = start_ticking(kernel, "import time; time.sleep(60)")
    (session,) = (s for s in remote.rest("GET", "api/sessions") if s["path"].startswith("jrc/"))
    remote.rest("POST", f"api/kernels/{session['kernel']['id']}/restart")
    kernel.published("status", execution_state="restarting")
    assert kernel.reply(msg_id)["ename"] == "KernelRestarted"
    kernel.ready()
    assert kernel.run("print('again')").text == "again\n"


def test_a_server_that_restarts_has_lost_the_kernel(
    start_jupyter: StartJupyter, at_server: Callable[..., None], start_kernel: StartKernel
) -> None:
    server = start_jupyter()
    at_server(server)
    kernel = start_kernel().ready()
    msg_id = start_ticking(kernel, "import time; time.sleep(60)")
    server.kill()
    port = int(server.url.rsplit(":", 1)[1].rstrip("/"))
    assert kernel.process.poll() is None
    start_jupyter(token=server.token, settings={"ServerApp": {"port": port, "port_retries": 0}})
    kernel.published("status", execution_state="dead")
    assert kernel.wait_for_exit() == ExitCode.KERNEL_DIED
    assert not kernel.answered(msg_id)


def test_a_flood_of_output_arrives(kernel: Kernel) -> None:
    """It overflows the queue between kernel and server, and what the server lets through."""
    cell = kernel.run(
        "from IPython.display import display\n"
        "for n in range(10_000): display({'text/plain': str(n)}, raw=True)",
        timeout=120,
    )
    assert cell.reply["status"] == "ok"
    shown = [content for kind, content in cell.messages if kind == "display_data"]
    assert [each["data"]["text/plain"] for each in shown] == [str(n) for n in range(10_000)]
    assert cell.notices == ""


def test_a_flood_of_flushed_lines_arrives(kernel: Kernel) -> None:
    cell = kernel.run("for n in range(10_000): print(n, flush=True)", timeout=120)
    assert cell.reply["status"] == "ok"
    assert cell.text.split() == [str(n) for n in range(10_000)]
    assert cell.notices == ""


def test_a_flood_of_output_from_another_kernel_ends(
    start_jupyter: StartJupyter,
    at_server: Callable[..., None],
    start_kernel: StartKernel,
    tmp_path: Path,
) -> None:
    write_echo_kernelspec(tmp_path)
    at_server(start_jupyter(env={"JUPYTER_PATH": str(tmp_path)}))
    kernel = start_kernel("echo").ready()
    running = [kernel.client.execute("x" * 1000) for _ in range(300)]
    assert all(kernel.finish(msg_id).reply["status"] == "ok" for msg_id in running)


# Messages


def test_a_large_buffer_arrives(
    start_jupyter: StartJupyter, at_server: Callable[..., None], start_kernel: StartKernel
) -> None:
    at_server(start_jupyter(settings=NO_LIMITS))
    kernel = start_kernel().ready()
    kernel.client.execute(
        "from ipykernel.comm import Comm\n"
        "comm = Comm(target_name='large', buffers=[bytes(range(256)) * (100 * 4096)])"
    )
    message: Any = kernel.published("comm_open", timeout=90)
    (buffer,) = message["buffers"]
    assert len(buffer) == 100 * MIB
    assert bytes(buffer[-256:]) == bytes(range(256))


def test_a_message_that_the_server_does_not_take_is_refused(kernel: Kernel) -> None:
    client = kernel.client
    message = client.session.msg("comm_msg", {"comm_id": "none", "data": {}})
    client.session.send(client.shell_channel.socket, message, buffers=[bytes(100 * MIB)])
    notice = kernel.published("stream", timeout=60, name="stderr")
    assert "does not take messages of 100 MiB" in notice["content"]["text"]
    msg_id = client.execute("x = '" + "y" * (11 * MIB) + "'")
    assert kernel.finish(msg_id).reply["ename"] == "MessageTooLarge"
    assert kernel.run("print('fine')").text == "fine\n"


def test_a_wrong_key_gets_no_answer_and_disturbs_nobody(kernel: Kernel) -> None:
    stranger = BlockingKernelClient(connection_file=kernel.manager.connection_file)
    stranger.load_connection_file()
    stranger.session.key = b"wrong"
    stranger.start_channels()
    try:
        stranger.execute("print('stranger')")
        stranger.shell_channel.socket.send_multipart([b"garbage"])
        cell = kernel.run("print('fine')")
        assert cell.text == "fine\n"
        with pytest.raises(Empty):
            stranger.get_shell_msg(timeout=0.5)
    finally:
        stranger.stop_channels()


# Processes


def test_two_relays_have_a_kernel_each(remote: JupyterServer, start_kernel: StartKernel) -> None:
    one, two = start_kernel().ready(), start_kernel().ready()
    one.run("x = 'one'")
    two.run("x = 'two'")
    assert (one.run("print(x)").text, two.run("print(x)").text) == ("one\n", "two\n")
    assert len(sessions(remote)) == 2


def test_start_and_kill_leave_nothing(
    remote: JupyterServer, start_kernel: StartKernel, home: Path
) -> None:
    """Twenty times, by SIGTERM and by SIGKILL in turn, some while the relay still starts."""
    kernels = []
    for cycle in range(20):
        kernel = start_kernel()
        kernels.append(kernel)
        if cycle % 4 < 2:
            kernel.ready()
        kernel.process.send_signal(signal.SIGTERM if cycle % 2 or os.name == "nt" else 9)
        kernel.wait_for_exit()
    last = start_kernel().ready()
    wait_until(lambda: len(sessions(remote)) == 1, "the end of the orphans")
    last.process.terminate()
    last.wait_for_exit()
    assert sessions(remote) == []
    folder = home / "jrc" / "state" / "relays"
    assert not folder.exists() or list(folder.iterdir()) == []
    assert not any(psutil.pid_exists(kernel.process.pid) for kernel in kernels)


def test_a_terminated_relay_deletes_a_busy_kernel(kernel: Kernel, remote: JupyterServer) -> None:
    start_ticking(kernel, "while True: pass")
    kernel.process.terminate()
    kernel.wait_for_exit()
    wait_until(lambda: sessions(remote) == [], "the end of the session")


if os.name == "posix":

    def test_a_relay_does_not_outlive_its_editor(remote: JupyterServer, kernelspecs: Path) -> None:
        """An editor that crashes tells nobody."""
        editor = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys, time; from jupyter_client.manager import start_new_kernel;"
                "m, c = start_new_kernel(kernel_name='remote');"
                "print(m.provisioner.process.pid, flush=True); time.sleep(100)",
            ],
            stdout=subprocess.PIPE,
        )
        assert editor.stdout is not None
        relay = psutil.Process(int(editor.stdout.readline()))
        assert len(sessions(remote)) == 1
        editor.kill()
        editor.wait()
        editor.stdout.close()
        wait_until(lambda: not relay.is_running(), "the end of the relay")
        assert sessions(remote) == []


def test_a_restart_by_kill_leaves_one_kernel(kernel: Kernel, remote: JupyterServer) -> None:
    """jupyter_client kills a kernel that must restart now, and starts it on the same ports."""
    kernel.run("x = 1")
    kernel.manager.restart_kernel(now=True)
    kernel.ready()
    assert kernel.run("x").reply["ename"] == "NameError"
    wait_until(lambda: len(sessions(remote)) == 1, "the end of the orphan")
