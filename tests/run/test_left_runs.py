"""Runs whose client leaves, or is killed."""

import asyncio
import subprocess
import time
from pathlib import Path

import pytest

from jrc.errors import KernelDiedError, UnreachableError, UsageError
from jrc.notebook.document import load
from jrc.profile.paths import Paths
from jrc.run.attach import Attachment
from jrc.run.events import (
    Notice,
    RunDetached,
    RunFinished,
    RunStarted,
)
from jrc.run.job import Job
from jrc.run.options import AttachOptions, Options
from jrc.runs.records import Process, RunRecord, RunRecords
from jrc.tunnel.processes import start_time
from tests.support.command import jrc_command, jrc_environment, run_jrc
from tests.support.desk import Desk, nothing_is_left, printed
from tests.support.proxy import Proxy
from tests.support.running import SLEEP, TICKS, Recorder, client_of, notebook, stdout_of

pytestmark = pytest.mark.anyio


async def left_run(desk: Desk, path: Path, until: str, listener: Recorder | None = None) -> Job:
    """``jrc run``, and two Ctrl-C when it has printed something."""
    listener = listener or Recorder()
    async with client_of(desk.server) as client:
        job = Job(
            load(path, args=[]),
            client,
            options=Options(profile="team"),
            listener=listener,
            output=desk.output,
            records=desk.records,
        )
        running = asyncio.create_task(job.run())
        while until not in printed(listener):
            assert not running.done()
            await asyncio.sleep(0.02)
        assert job.can_be_left
        await job.leave()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    return job


@pytest.mark.parametrize("same", [True, False])
async def test_a_normal_run_is_left(
    desk: Desk, other_desk: Desk, tmp_path: Path, same: bool
) -> None:
    """The other computer has the whole from the kernel; this one shows what is new."""
    listener = Recorder()
    job = await left_run(desk, notebook(tmp_path, TICKS, "print('next')"), "5\n", listener)
    assert isinstance(listener.events[-1], RunDetached)
    assert listener.events[-1].journal is not None
    assert stdout_of(desk.output).startswith("0\n1\n")
    again = Recorder()
    there = desk if same else other_desk
    assert await there.attach(job.run_id, again) == 0
    assert stdout_of(there.output) == "".join(f"{i}\n" for i in range(40))
    assert stdout_of(there.output, 1) == "next\n"
    shown = printed(again).splitlines()
    assert shown[-1] == "next"
    assert ("0" in shown) == (not same)
    if not same:
        assert await desk.attach(job.run_id) == 0
    assert nothing_is_left(desk.server, job.run_id)


async def test_what_was_freed_before_a_run_was_left_is_in_the_notebook(
    desk: Desk, other_desk: Desk, tmp_path: Path
) -> None:
    """A client that stays lets the kernel free what has arrived."""
    many = "for i in range(12): print(str(i) * 1_000_000)"
    path = notebook(tmp_path, many, "print('small')", TICKS)
    job = await left_run(desk, path, "10\n")
    assert await desk.attach(job.run_id, keep_kernel=True) == 0
    assert stdout_of(desk.output) == "".join(f"{str(i) * 1_000_000}\n" for i in range(12))
    assert stdout_of(desk.output, 1) == "small\n"
    assert stdout_of(desk.output, 2) == "".join(f"{i}\n" for i in range(40))
    listener = Recorder()
    with pytest.raises(
        Exception, match=r"The first \d+ messages of the run are no longer on the server"
    ):
        await other_desk.attach(job.run_id, listener)
    assert [notice.kind for notice in listener.of(Notice)] == ["output-lost", "kept"]
    assert stdout_of(other_desk.output, 2).endswith("38\n39\n")
    assert await desk.attach(job.run_id) == 0


async def killed_run(desk: Desk, path: Path, until: str) -> RunRecord:
    """``jrc run`` at this desk, killed when its result holds a text; what it remembered."""
    with subprocess.Popen(
        jrc_command("run", path, "-o", desk.output),
        env=jrc_environment({"JRC_HOME": str(desk.folder)}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as client:
        async with asyncio.timeout(60):
            while not desk.output.exists() or until not in desk.output.read_text():
                await asyncio.sleep(0.02)
        client.kill()
    (record,) = desk.records.all()
    return record


async def test_a_run_whose_client_was_killed(desk: Desk, tmp_path: Path) -> None:
    """Its recorder still has everything; the record on this computer says where."""
    go = tmp_path / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)"
    path = notebook(tmp_path, "print('saved')", f"{wait}\nfor i in range(40): print(i)")
    run = (await killed_run(desk, path, '"saved\\n"')).run
    row = await desk.row(run)
    assert row is not None
    assert (row.state, str(row.progress), row.detached) == ("running", "2/2", False)
    go.touch()
    await desk.until(run, "finished")
    assert await desk.attach(run) == 0
    assert stdout_of(desk.output) == "saved\n"
    assert stdout_of(desk.output, 1) == "".join(f"{i}\n" for i in range(40))


@pytest.mark.parametrize("how", ["restart", "delete"])
async def test_a_run_whose_client_and_kernel_are_gone(desk: Desk, tmp_path: Path, how: str) -> None:
    """What the client saved is all that there is, and the file says no longer that it goes on."""
    path = notebook(tmp_path, "print('saved')", "import time\ntime.sleep(60)")
    record = await killed_run(desk, path, '"saved\\n"')
    assert "jrc_unfinished" in desk.output.read_text()
    if how == "restart":
        desk.server.rest("POST", f"api/kernels/{record.place.kernel_id}/restart")
        await desk.until(record.run, "kernel-died")
    else:
        desk.server.rest("DELETE", f"api/kernels/{record.place.kernel_id}")
        await desk.until(record.run, "gone")
    listener = Recorder()
    with pytest.raises(KernelDiedError, match=f"{record.run} has lost its kernel") as caught:
        await desk.attach(record.run, listener)
    saved = str(desk.output)
    assert listener.events[-1] == RunFinished(record.run, "kernel-died", 8, saved, [])
    assert caught.value.hint == f"What arrived before is saved in {desk.output}."
    assert stdout_of(desk.output) == "saved\n"
    assert "jrc_unfinished" not in desk.output.read_text()
    assert nothing_is_left(desk.server, record.run)
    assert await desk.state(record.run) == "not listed"


SLOW = "import time\nfor i in range(6):\n    print('line', i, flush=True)\n    time.sleep(2.8)"


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("last", [0, 2, 3])
def test_a_client_that_is_killed_loses_and_doubles_nothing(tmp_path: Path, last: int) -> None:
    """In quiet moments the kernel frees what has arrived; the file is saved at other moments."""
    path, output = notebook(tmp_path, "print('first')", SLOW, "print('end')"), tmp_path / "o.ipynb"
    with subprocess.Popen(
        jrc_command("run", path, "-o", output),
        env=jrc_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as client:
        assert client.stdout
        while client.stdout.readline() != f"line {last}\n":
            pass
        time.sleep(2.4)
        client.kill()
    (record,) = RunRecords(Paths.from_environment()).all()
    done = run_jrc("attach", record.run)
    assert done.code == 0, done.stderr
    assert stdout_of(output, 0) == "first\n"
    assert stdout_of(output, 1) == "".join(f"line {i}\n" for i in range(6))
    assert stdout_of(output, 2) == "end\n"
    assert "jrc_" not in output.read_text()


async def test_a_run_with_a_client_on_this_computer_is_not_followed_twice(
    desk: Desk, tmp_path: Path
) -> None:
    run = await desk.begin(notebook(tmp_path, "print(1)"))
    (record,) = desk.records.all()
    desk.records.save(record._replace(detached=False, client=Process(1, start_time(1))))
    with pytest.raises(UsageError, match="followed already"):
        await desk.attach(run)
    desk.records.save(record)
    await desk.attach(run)


async def test_a_client_whose_line_is_gone_says_that_the_run_goes_on(
    desk: Desk, tmp_path: Path
) -> None:
    run, listener = await desk.begin(notebook(tmp_path, SLEEP)), Recorder()
    with Proxy(desk.server.url) as proxy:
        following = asyncio.create_task(
            desk.attach(run, listener, url=proxy.url, patience=0.5, keep_kernel=True)
        )
        while "on\n" not in printed(listener):
            await asyncio.sleep(0.05)
        await asyncio.to_thread(proxy.cut, refuse=True)
        with pytest.raises(UnreachableError):
            await following
    assert listener.of(RunStarted)
    left = listener.events[-1]
    assert isinstance(left, RunDetached)
    assert (left.run, left.attach) == (run, f"jrc attach {run}")
    await desk.cancel(run)


async def test_a_client_that_is_stopped_says_once_that_the_run_goes_on(
    desk: Desk, tmp_path: Path
) -> None:
    run = await desk.begin(notebook(tmp_path, SLEEP))
    for leaves in (False, True):
        listener = Recorder()
        async with client_of(desk.server) as client:
            attachment = Attachment(
                await desk.find(run),
                client,
                options=AttachOptions(),
                listener=listener,
                output=desk.output,
                records=desk.records,
            )
            following = asyncio.create_task(attachment.run())
            while not listener.of(RunStarted):
                await asyncio.sleep(0.05)
            if leaves:
                await attachment.leave()
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following
        assert len(listener.of(RunDetached)) == 1
        assert not listener.of(RunFinished)
    await desk.cancel(run)
