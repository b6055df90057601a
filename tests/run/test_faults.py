"""Runs through links, servers and kernels that really break."""

import asyncio
import json
from pathlib import Path

import pytest

from jrc.errors import (
    AuthError,
    DeadlineError,
    JrcError,
    KernelDiedError,
    NotFoundError,
    OutputLostError,
    ProtocolError,
    RemoteError,
    UnreachableError,
)
from jrc.run.events import CellFinished, Notice, RunFinished
from jrc.run.timing import Timing, WatchTiming
from jrc.server.client import ServerClient
from tests.support.jupyter import JupyterServer, StartJupyter, wait_until
from tests.support.proxy import Proxy
from tests.support.running import (
    TICKS,
    Recorder,
    SwallowedAnswer,
    kernel_of,
    notebook,
    run_document,
    run_with_fault,
    stdout_of,
)
from tests.support.web import Reply, Web

pytestmark = pytest.mark.anyio


async def test_a_cut_in_mid_cell_loses_nothing_that_the_server_buffered(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path, output = notebook(tmp_path, TICKS, "print('next')"), tmp_path / "out.ipynb"
    with Proxy(jupyter.url) as proxy:
        listener = await run_with_fault(
            jupyter, path, output, after="5", fault=lambda _: proxy.cut(), url=proxy.url
        )
    assert stdout_of(output) == "".join(f"{i}\n" for i in range(40))
    assert stdout_of(output, 1) == "next\n"
    kinds = [notice.kind for notice in listener.of(Notice)]
    assert kinds == ["link-lost", "link-restored"]


NOT_HERE = Reply(404, b"{}")
A_PAGE = Reply(200, b"<html>One moment</html>", "text/html")


@pytest.mark.parametrize(
    ("answer", "polls"),
    [
        pytest.param(NOT_HERE, False, id="404 to the link"),
        pytest.param(NOT_HERE, True, id="404 to polls"),
        pytest.param(A_PAGE, True, id="a page to polls"),
        pytest.param(Reply(400, b"no such host", "text/plain"), True, id="400 to polls"),
    ],
)
async def test_a_proxy_that_answers_while_its_server_is_away_ends_no_run(
    jupyter: JupyterServer, tmp_path: Path, answer: Reply, polls: bool
) -> None:
    """It answers so at every path, and not only at the kernel's, which lives on."""
    path, output = notebook(tmp_path, TICKS), tmp_path / "out.ipynb"
    timing = Timing(watch=WatchTiming(quiet_before_poll=0.2 if polls else 60.0))
    with Proxy(jupyter.url) as proxy, Web({}, otherwise=answer) as nothing:

        def lose_the_server(_: Recorder) -> None:
            proxy.redirect(nothing.url)
            proxy.cut()
            wait_until(lambda: len(nothing.requests) >= 6, "six requests")
            proxy.redirect(jupyter.url)
            proxy.cut()

        await run_with_fault(
            jupyter,
            path,
            output,
            after="5",
            fault=lose_the_server,
            url=proxy.url,
            timing=timing,
        )
    assert stdout_of(output) == "".join(f"{i}\n" for i in range(40))


async def test_a_link_that_stays_down_ends_the_run_and_keeps_what_arrived(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path, output = notebook(tmp_path, TICKS), tmp_path / "out.ipynb"
    listener = Recorder()
    with Proxy(jupyter.url) as proxy, pytest.raises(UnreachableError, match="did not come back"):
        await run_with_fault(
            jupyter,
            path,
            output,
            listener=listener,
            after="5",
            fault=lambda _: proxy.cut(refuse=True),
            url=proxy.url,
            patience=1,
        )
    assert stdout_of(output).startswith("0\n1\n2\n")
    told = [notice.text for notice in listener.of(Notice) if notice.kind == "kernel"]
    assert [text.partition(":")[0] for text in told] == [
        "The kernel could not be deleted and may still run"
    ]
    assert told[0].endswith(f"Later: jrc kernel stop {kernel_of(listener)}")
    for session in jupyter.rest("GET", "api/sessions"):
        if "document.ipynb" in session["path"]:
            jupyter.rest("DELETE", f"api/sessions/{session['id']}")


async def test_a_line_that_is_down_as_the_kernel_is_deleted_leaves_none(
    jupyter: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is back in a moment, which is longer than a request waits by itself."""
    path, listener = notebook(tmp_path, "print('done')"), Recorder()
    delete_session = ServerClient.delete_session

    with Proxy(jupyter.url) as proxy:

        async def delete_over_a_broken_line(client: ServerClient, session_id: str) -> None:
            await asyncio.to_thread(lambda: proxy.cut(refuse=True))
            try:
                await delete_session(client, session_id)
            finally:
                monkeypatch.undo()
                await asyncio.to_thread(proxy.restore)

        monkeypatch.setattr(ServerClient, "delete_session", delete_over_a_broken_line)
        await run_document(jupyter, path, tmp_path / "out.ipynb", listener=listener, url=proxy.url)
    assert kernel_of(listener) not in [each["id"] for each in jupyter.rest("GET", "api/kernels")]
    assert listener.of(Notice) == []


async def test_a_server_that_is_gone_is_told(start_jupyter: StartJupyter, tmp_path: Path) -> None:
    server = start_jupyter()
    path, output = notebook(tmp_path, TICKS), tmp_path / "out.ipynb"
    with pytest.raises(JrcError) as caught:
        await run_with_fault(
            server, path, output, after="5", fault=lambda _: server.kill(), patience=1
        )
    assert isinstance(caught.value, UnreachableError | KernelDiedError)
    assert stdout_of(output).startswith("0\n")


async def test_a_kernel_that_dies_is_told(jupyter: JupyterServer, tmp_path: Path) -> None:
    path = notebook(tmp_path, "print('before', flush=True)\nimport os\nos._exit(1)", "print(2)")
    output = tmp_path / "out.ipynb"
    with pytest.raises(KernelDiedError, match=r"Cell 1 of document\.ipynb: The kernel died"):
        await run_document(jupyter, path, output)
    assert json.loads(output.read_text())["cells"][1]["outputs"] == []


@pytest.mark.parametrize(
    ("method", "endpoint", "text"),
    [
        ("DELETE", "api/kernels/{}", "deleted|shut the kernel down"),
        ("POST", "api/kernels/{}/restart", "restarted"),
    ],
)
async def test_a_kernel_that_somebody_else_ends_is_told(
    jupyter: JupyterServer, tmp_path: Path, method: str, endpoint: str, text: str
) -> None:
    path = notebook(tmp_path, "import time\nprint('on', flush=True)\ntime.sleep(60)")
    with pytest.raises(KernelDiedError, match=text):
        await run_with_fault(
            jupyter,
            path,
            tmp_path / "out.ipynb",
            after="on",
            fault=lambda listener: jupyter.rest(method, endpoint.format(kernel_of(listener))),
        )


async def test_a_cell_that_runs_too_long_is_interrupted(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = notebook(tmp_path, "import time\nprint('on', flush=True)\ntime.sleep(60)", "print(2)")
    output = tmp_path / "out.ipynb"
    listener = Recorder()
    with pytest.raises(DeadlineError, match=r"longer than 0\.5 s"):
        await run_document(jupyter, path, output, listener=listener, cell_timeout=0.5)
    assert [event.status for event in listener.of(CellFinished)] == ["timeout"]
    assert stdout_of(output) == "on\n"


@pytest.mark.parametrize("refusal", [AuthError("Refused."), ProtocolError("HTTP 400.")])
async def test_an_interrupt_that_the_server_refuses_is_said_and_ends_nothing_else(
    jupyter: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: JrcError
) -> None:
    async def refused(server: ServerClient, kernel_id: str) -> None:
        raise refusal

    monkeypatch.setattr(ServerClient, "interrupt", refused)
    listener = Recorder()
    with pytest.raises(DeadlineError, match="ran longer than 1 s"):
        await run_document(
            jupyter,
            notebook(tmp_path, "print('on', flush=True)\nwhile True: pass"),
            tmp_path / "out.ipynb",
            listener=listener,
            cell_timeout=1,
            timing=Timing(watch=WatchTiming(interrupt_grace=0.5)),
        )
    texts = [notice.text for notice in listener.of(Notice)]
    assert f"The interrupt did not reach the kernel: {refusal.message}" in texts


async def test_a_failing_cell_stops_the_run_and_names_its_line(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path, output = notebook(tmp_path, "x = 0\n1 / x", "print('never')"), tmp_path / "out.ipynb"
    with pytest.raises(RemoteError, match=r"failed at line 2 \(1 / x\): ZeroDivisionError"):
        await run_document(jupyter, path, output)
    assert stdout_of(output, 1) == ""


async def test_errors_can_be_allowed(jupyter: JupyterServer, tmp_path: Path) -> None:
    path, output = notebook(tmp_path, "1 / 0", "print('reached')"), tmp_path / "out.ipynb"
    assert await run_document(jupyter, path, output, allow_errors=True) == 0
    assert stdout_of(output, 1) == "reached\n"


async def test_what_the_rate_limit_dropped_is_named(jupyter: JupyterServer, tmp_path: Path) -> None:
    path = notebook(tmp_path, "print('x' * 70_000_000)", "print('next')")
    output = tmp_path / "out.ipynb"
    listener = Recorder()
    with pytest.raises(OutputLostError, match="IOPub data rate exceeded"):
        await run_document(jupyter, path, output, listener=listener, recorder=False)
    (end,) = listener.of(RunFinished)
    assert (end.status, len(end.lost)) == ("output-lost", 1)
    assert stdout_of(output, 1) == "next\n"
    assert await run_document(jupyter, path, output, allow_loss=True, recorder=False) == 0


async def test_an_error_that_the_rate_limit_dropped_is_rebuilt(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = notebook(tmp_path, "print('x' * 70_000_000, flush=True)\nraise ValueError('late')")
    output = tmp_path / "out.ipynb"
    with pytest.raises(RemoteError, match="ValueError: late"):
        await run_document(jupyter, path, output, recorder=False)
    outputs = json.loads(output.read_text())["cells"][0]["outputs"]
    assert [o["ename"] for o in outputs if o["output_type"] == "error"] == ["ValueError"]


async def test_a_kernel_that_does_not_exist(jupyter: JupyterServer, tmp_path: Path) -> None:
    path, output = notebook(tmp_path, "1"), tmp_path / "out.ipynb"
    with pytest.raises(NotFoundError, match=r"no kernel 'nope'\. It has: python3"):
        await run_document(jupyter, path, output, kernel="nope")
    with pytest.raises(NotFoundError, match="no kernel with the id"):
        await run_document(jupyter, path, output, kernel_id="0b9fa7e4-1d5f-4c7e-9d5f-1d5f4c7e9d5f")


async def test_no_session_is_left_behind(jupyter: JupyterServer, tmp_path: Path) -> None:
    path = notebook(tmp_path, "print(1)")
    before = jupyter.rest("GET", "api/sessions")
    await run_document(jupyter, path, tmp_path / "out.ipynb")
    assert jupyter.rest("GET", "api/sessions") == before


async def test_questions_are_answered(jupyter: JupyterServer, tmp_path: Path) -> None:
    path = notebook(
        tmp_path, "from getpass import getpass\nprint(input('name? ') + getpass('secret? '))"
    )
    output = tmp_path / "out.ipynb"
    listener = Recorder(answers=["ada", "42"])
    await run_document(jupyter, path, output, listener=listener)
    assert listener.asked == [("name? ", False), ("secret? ", True)]
    assert "ada42" in stdout_of(output)


async def test_an_answer_that_a_line_swallowed_comes_through_once(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = notebook(tmp_path, "print([input('one? '), input('two? ')])", "print(input('three? '))")
    output = tmp_path / "out.ipynb"
    with Proxy(jupyter.url) as proxy:
        listener = SwallowedAnswer(proxy, ["1", "2", "3"])
        async with asyncio.timeout(30):
            await run_document(jupyter, path, output, listener=listener, url=proxy.url)
    assert "['1', '2']" in stdout_of(output)
    assert "3\n" in stdout_of(output, 1)
    assert [prompt for prompt, _ in listener.asked] == ["one? ", "two? ", "three? "]


async def test_a_question_without_a_terminal_is_an_error_of_the_cell(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = notebook(tmp_path, "input()")
    with pytest.raises(RemoteError, match="does not support input requests"):
        await run_document(jupyter, path, tmp_path / "out.ipynb")
