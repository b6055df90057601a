"""How detached runs end: cancelled, or with their kernel or server."""

import asyncio
import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from jrc.errors import (
    InterruptedByUserError,
    KernelDiedError,
    NotFoundError,
    RemoteError,
)
from jrc.kernel.channels import Channels
from jrc.notebook.document import load
from jrc.profile.model import Profile
from jrc.run.events import (
    RunFinished,
)
from jrc.run.job import Job
from jrc.run.options import Options
from jrc.runs.cancel import DEFAULT_TIMING, Timing
from jrc.runs.questions import InJournal, forget_run, kept_in_journal
from jrc.server.client import ServerClient
from tests.support.desk import Desk, nothing_is_left, printed
from tests.support.jupyter import JupyterServer, launch_jupyter
from tests.support.running import SLEEP, TICKS, Recorder, client_of, notebook, stdout_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("how", ["os._exit(1)", "os.kill(os.getpid(), 9)"])
async def test_a_kernel_that_died_meanwhile(desk: Desk, tmp_path: Path, how: str) -> None:
    path = notebook(
        tmp_path,
        "print('before')",
        f"import os, time\nprint('on', flush=True)\ntime.sleep(1)\n{how}",
    )
    run = await desk.begin(path)
    await desk.until(run, "kernel-died")
    # Its successor, which the server starts at once, looks like any kernel that waits for work.
    kernel_id = (await desk.find(run)).kernel_id
    async with client_of(desk.server) as client, asyncio.timeout(60):
        channels = Channels(client, kernel_id, session_id=uuid4().hex)
        await channels.open()
        await channels.close()
        while (await client.kernel(kernel_id)).state != "idle":
            await asyncio.sleep(0.1)
    assert await desk.state(run) == "kernel-died"
    with pytest.raises(KernelDiedError, match="Cell 2"):
        await desk.attach(run)
    assert stdout_of(desk.output) == "before\n"
    assert stdout_of(desk.output, 1) == "on\n"
    assert nothing_is_left(desk.server, run)


async def test_a_kernel_that_dies_under_our_eyes(desk: Desk, tmp_path: Path) -> None:
    path = notebook(tmp_path, TICKS, "import os, time\ntime.sleep(1)\nos._exit(1)")
    run = await desk.begin(path)
    with pytest.raises(KernelDiedError, match="Cell 2"):
        await desk.attach(run)
    assert stdout_of(desk.output) == "".join(f"{i}\n" for i in range(40))
    assert nothing_is_left(desk.server, run)


async def test_a_run_is_cancelled(desk: Desk, tmp_path: Path) -> None:
    path = notebook(tmp_path, "import time\nprint('on')\ntime.sleep(60)", "print('never')")
    run = await desk.begin(path)
    await desk.until(run, "running")
    said = await desk.cancel(run)
    assert said.startswith("Cell 1 of 2 was interrupted; the cells after it will not run.")
    await desk.until(run, "cancelled")
    with pytest.raises(NotFoundError, match="nothing to stop"):
        await desk.cancel(run)
    row = await desk.row(run)
    assert row is not None
    assert row.kernel_id is None
    listener = Recorder()
    with pytest.raises(InterruptedByUserError, match="was cancelled, in cell 1"):
        await desk.attach(run, listener)
    assert listener.of(RunFinished)[0].status == "cancelled"
    assert stdout_of(desk.output) == "on\n"
    assert stdout_of(desk.output, 1) == ""
    assert nothing_is_left(desk.server, run)


CATCH = (
    "import time\nprint('on', flush=True)\ntry:\n    time.sleep(60)\n"
    "except KeyboardInterrupt:\n    print('caught')"
)


BUSY = (
    "import time\nprint('on', flush=True)\nend = time.monotonic() + 60\n"
    "while time.monotonic() < end:\n"
    "    try:\n        time.sleep(1)\n    except KeyboardInterrupt:\n        pass"
)


@pytest.mark.parametrize(
    ("sources", "follow"),
    [([CATCH], True), ([CATCH], False), (["1", CATCH], False), (["1", "2", BUSY], False)],
)
async def test_a_cancelled_run_is_cancelled_whatever_its_last_cell_does(
    desk: Desk, tmp_path: Path, sources: list[str], follow: bool
) -> None:
    run = await desk.begin(notebook(tmp_path, *sources))
    await desk.until_journal_has(run, "on")
    listener = Recorder()
    following = asyncio.create_task(desk.attach(run, listener)) if follow else None
    if following:
        while "on" not in printed(listener):
            await asyncio.sleep(0.05)
    ended = "Its kernel has ended, too." if follow else "Its kernel was ended"
    said = await desk.cancel(run, Timing(stop=2.0) if BUSY in sources else DEFAULT_TIMING)
    assert ended in said or (follow and "Its kernel was ended" in said)
    assert run not in str(desk.server.rest("GET", "api/sessions"))
    if following is None:
        assert await desk.state(run) == "cancelled"
    with pytest.raises(InterruptedByUserError, match="was cancelled"):
        await (following or desk.attach(run, listener))
    assert listener.of(RunFinished)[0].status == "cancelled"
    assert stdout_of(desk.output, len(sources) - 1).startswith("on\n")
    assert nothing_is_left(desk.server, run)


async def test_a_live_run_that_is_cancelled_from_elsewhere(
    desk: Desk, other_desk: Desk, tmp_path: Path
) -> None:
    """Its client is there and ends the kernel; nobody else takes it away under it."""
    listener = Recorder()
    async with client_of(desk.server) as client:
        job = Job(
            load(notebook(tmp_path, CATCH), args=[]),
            client,
            options=Options(profile="team"),
            listener=listener,
            output=desk.output,
            records=desk.records,
        )
        running = asyncio.create_task(job.run())
        while "on" not in printed(listener):
            await asyncio.sleep(0.05)
        said = await other_desk.cancel(job.run_id)
        assert said.startswith("Cell 1 of 1 was interrupted. Its ")
        with pytest.raises(InterruptedByUserError, match="was cancelled"):
            await running
    assert listener.of(RunFinished)[0].status == "cancelled"
    assert stdout_of(desk.output) == "on\ncaught\n"
    assert nothing_is_left(desk.server, job.run_id)


@pytest.mark.parametrize("follow", [True, False])
@pytest.mark.parametrize("how", ["DELETE", "restart"])
async def test_a_kernel_that_is_ended_from_outside_died(
    desk: Desk, tmp_path: Path, how: str, follow: bool
) -> None:
    """A server interrupts its kernel first; that is not how the run ended."""
    run = await desk.begin(notebook(tmp_path, SLEEP, "print('never')"))
    await desk.until_journal_has(run, "on")
    listener = Recorder()
    following = asyncio.create_task(desk.attach(run, listener)) if follow else None
    if following:
        while "on" not in printed(listener):
            await asyncio.sleep(0.05)
    kernel = (await desk.find(run)).kernel_id
    if how == "DELETE":
        await asyncio.to_thread(desk.server.rest, "DELETE", f"api/kernels/{kernel}")
    else:
        await asyncio.to_thread(desk.server.rest, "POST", f"api/kernels/{kernel}/restart")
    if following is None:
        assert await desk.state(run) == "kernel-died"
    with pytest.raises(KernelDiedError, match=r"Cell 1 of document\.ipynb: "):
        await (following or desk.attach(run, listener))
    assert listener.of(RunFinished)[0].status == "kernel-died"
    assert stdout_of(desk.output) == "on\n"
    assert nothing_is_left(desk.server, run)


async def test_code_that_was_interrupted_is_no_dead_kernel(desk: Desk, tmp_path: Path) -> None:
    run = await desk.begin(notebook(tmp_path, SLEEP, "print('never')"))
    await desk.until_journal_has(run, "on")
    kernel = (await desk.find(run)).kernel_id
    desk.server.rest("POST", f"api/kernels/{kernel}/interrupt")
    with pytest.raises(RemoteError, match="KeyboardInterrupt"):
        await desk.attach(run)


@pytest.mark.usefixtures("environment")
async def test_a_server_that_ends_takes_its_kernels_along(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    """The pod of a run is deleted; its volume is there again under the next one."""
    with launch_jupyter(tmp_path / "server", token=jupyter.token) as server:
        desk = Desk(server, tmp_path / "desk")
        run = await desk.begin(notebook(tmp_path, SLEEP))
        await desk.until_journal_has(run, "on")
        server.process.terminate()
        await asyncio.to_thread(server.process.wait, 60)
        journals = server.root / "jrc-runs"
    with launch_jupyter(tmp_path / "next", token=jupyter.token) as server:
        shutil.copytree(journals, server.root / "jrc-runs")
        desk.server, desk.profile = server, Profile(name="team", url=server.url)
        with pytest.raises(KernelDiedError, match="together with its server"):
            await desk.attach(run)
    assert stdout_of(desk.output) == "on\n"


async def test_what_is_not_there_can_not_be_cancelled(desk: Desk, tmp_path: Path) -> None:
    run = await desk.begin(notebook(tmp_path, "print(1)"))
    await desk.until(run, "finished")
    desk.server.rest("DELETE", f"api/kernels/{(await desk.find(run)).kernel_id}")
    with pytest.raises(NotFoundError, match="nothing to stop"):
        await desk.cancel(run)
    await desk.attach(run)


async def test_a_kernel_that_knows_nothing_of_the_run_is_not_said_to_be_gone(
    desk: Desk, tmp_path: Path
) -> None:
    run = await desk.begin(notebook(tmp_path, "print(1)"))
    await desk.until(run, "finished")
    found = await desk.find(run)
    async with client_of(desk.server) as client:
        await forget_run(client, found.kernel_id, run)
        with pytest.raises(NotFoundError, match=f"{found.kernel_id} lives, and knows nothing of"):
            await desk.cancel(run)
        await client.delete_session(found.session_id)


async def test_a_kernel_that_forgets_the_run_as_it_is_cancelled_stays(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await desk.begin(notebook(tmp_path, "print(1)"))
    await desk.until(run, "finished")
    found = await desk.find(run)

    async def after_another_fetched_it(client: ServerClient, kernel: str, run: str) -> InJournal:
        await forget_run(client, kernel, run)
        return await kept_in_journal(client, kernel, run)

    with monkeypatch.context() as another:
        another.setattr("jrc.runs.cancel.kept_in_journal", after_another_fetched_it)
        said = await desk.cancel(run)
    assert "Its kernel stays, and knows nothing of the run any more." in said
    async with client_of(desk.server) as client:
        assert await client.kernel(found.kernel_id) is not None
        await client.delete_session(found.session_id)
