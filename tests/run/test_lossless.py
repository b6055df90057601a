"""With the recorder in the kernel nothing is lost, and all cells go out at once."""

import asyncio
import json
from pathlib import Path

import pytest

from jrc.errors import KernelDiedError, RemoteError
from jrc.run.events import CellFinished, CellStarted, Notice
from tests.support.jupyter import JupyterServer
from tests.support.proxy import Proxy
from tests.support.running import Recorder, notebook, run_document, run_with_fault, stdout_of

pytestmark = pytest.mark.anyio


async def test_more_than_the_server_lets_through_arrives_whole(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = notebook(tmp_path, "for i in range(40_000): print(i, 'x' * 50)", "print('next')")
    output = tmp_path / "out.ipynb"
    assert await run_document(jupyter, path, output) == 0
    assert stdout_of(output) == "".join(f"{i} {'x' * 50}\n" for i in range(40_000))
    assert stdout_of(output, 1) == "next\n"


async def test_thousands_of_displays_and_the_error_behind_them(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = notebook(
        tmp_path,
        "from IPython.display import display\n"
        "for i in range(5000): display({'text/plain': str(i)}, raw=True)\n"
        "raise ValueError('at the end')",
    )
    output = tmp_path / "out.ipynb"
    with pytest.raises(RemoteError, match="ValueError: at the end"):
        await run_document(jupyter, path, output)
    outputs = json.loads(output.read_text())["cells"][0]["outputs"]
    numbers = [o["data"]["text/plain"] for o in outputs if o["output_type"] == "display_data"]
    assert ["".join(number) for number in numbers] == [str(i) for i in range(5000)]
    assert outputs[-1]["ename"] == "ValueError"


async def test_what_was_swallowed_by_a_dead_line_comes_again(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = notebook(
        tmp_path, "import time\nfor i in range(40):\n    print(i, flush=True)\n    time.sleep(0.1)"
    )
    output = tmp_path / "out.ipynb"
    with Proxy(jupyter.url) as proxy:

        def fault(_: Recorder) -> None:
            proxy.black_hole(swallow=True)
            asyncio.run(asyncio.sleep(1))
            proxy.cut()
            proxy.restore()

        listener = await run_with_fault(
            jupyter, path, output, after="5", fault=fault, url=proxy.url
        )
    assert stdout_of(output) == "".join(f"{i}\n" for i in range(40))
    assert "output-lost" not in [notice.kind for notice in listener.of(Notice)]


async def test_no_cell_runs_after_one_that_failed(jupyter: JupyterServer, tmp_path: Path) -> None:
    path = notebook(tmp_path, "print(1)", "1 / 0", "print('never')", "print('never')")
    output = tmp_path / "out.ipynb"
    before = json.loads(path.read_text())
    before["cells"][2]["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": "of an earlier run\n"}
    ]
    path.write_text(json.dumps(before))
    listener = Recorder()
    with pytest.raises(RemoteError, match="Cell 2"):
        await run_document(jupyter, path, output, listener=listener)
    assert [event.cell for event in listener.of(CellStarted)] == [0, 1]
    assert stdout_of(output, 2) == ""


async def test_expected_errors_do_not_stop_the_pipeline(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    path = notebook(tmp_path, "1 / 0", "print('on')")
    content = json.loads(path.read_text())
    content["cells"][0]["metadata"]["tags"] = ["raises-exception"]
    path.write_text(json.dumps(content))
    output = tmp_path / "out.ipynb"
    assert await run_document(jupyter, path, output) == 0
    assert stdout_of(output, 1) == "on\n"


@pytest.mark.parametrize("options", [{"recorder": False}, {"pipeline": False}])
async def test_the_parts_can_be_switched_off(
    jupyter: JupyterServer, tmp_path: Path, options: dict[str, bool]
) -> None:
    path, output = notebook(tmp_path, "x = 1", "print(x)"), tmp_path / "out.ipynb"
    listener = Recorder()
    assert await run_document(jupyter, path, output, listener=listener, **options) == 0
    assert stdout_of(output, 1) == "1\n"
    assert [event.status for event in listener.of(CellFinished)] == ["ok", "ok"]
    assert listener.of(Notice) == []


async def test_a_pipeline_ends_with_its_kernel(jupyter: JupyterServer, tmp_path: Path) -> None:
    # What a kernel has not handed to its network thread's socket yet dies with it: hence the pause.
    deadly = "import os, time\ntime.sleep(1)\nos._exit(1)"
    path = notebook(tmp_path, "print(1)", deadly, "print('never')")
    output = tmp_path / "out.ipynb"
    with pytest.raises(KernelDiedError, match="Cell 2"):
        await run_document(jupyter, path, output)
    assert stdout_of(output) == "1\n"
    assert stdout_of(output, 2) == ""


async def test_all_cells_cost_about_one_round_trip(jupyter: JupyterServer, tmp_path: Path) -> None:
    """Counted, not timed: the client must not wait for a reply before it sends the next cell."""
    path = notebook(tmp_path, *(f"print({i})" for i in range(30)))
    output = tmp_path / "out.ipynb"
    with Proxy(jupyter.url) as proxy:
        sent_before_first_start: list[int] = []

        class Counting(Recorder):
            def on_event(self, event: object) -> None:
                super().on_event(event)  # type: ignore[arg-type]
                if isinstance(event, CellStarted) and not sent_before_first_start:
                    sent_before_first_start.append(proxy.bytes_up)

        await run_document(jupyter, path, output, listener=Counting(), url=proxy.url)
        after = proxy.bytes_up
    assert [stdout_of(output, i) for i in range(30)] == [f"{i}\n" for i in range(30)]
    # What is left to send are acknowledgements and the kernel's end: much less than one cell each.
    assert after - sent_before_first_start[0] < 30 * 300
