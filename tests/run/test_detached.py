"""Runs that go on without a client, and clients that come back."""

import asyncio
import json
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from jrc.errors import (
    ConfigError,
    InterruptedByUserError,
    JrcError,
    KernelDiedError,
    NotFoundError,
    OutputLostError,
    RemoteError,
    UnreachableError,
    UsageError,
)
from jrc.kernel.channels import Channels
from jrc.kernel.messages import owner
from jrc.notebook.document import load
from jrc.notebook.outputs import Outputs
from jrc.notebook.widgets import CommMessage
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.recorder import recording
from jrc.run.events import (
    CellOutput,
    CellStarted,
    Notice,
    RunDetached,
    RunEvent,
    RunFinished,
    RunStarted,
)
from jrc.run.job import Job, Options
from jrc.runs import cancel as cancelling
from jrc.runs import questions as asking
from jrc.runs.followers import Followers
from jrc.runs.lookup import journal_path
from jrc.runs.manifest import About, about_from_json
from jrc.runs.questions import state_of_run
from jrc.runs.records import RunRecord, RunRecords
from jrc.server.client import ServerClient
from jrc.server.models import KernelModel
from jrc.tunnel.processes import start_time
from jrc.wire.message import Message
from tests.support.command import jrc_command, jrc_environment, run_jrc
from tests.support.desk import Desk, nothing_is_left, printed
from tests.support.jupyter import JupyterServer, launch_jupyter
from tests.support.proxy import Proxy
from tests.support.running import TICKS, Recorder, client_of, notebook, stdout_of

pytestmark = pytest.mark.anyio


async def test_a_run_goes_on_without_us_and_is_taken_home(desk: Desk, tmp_path: Path) -> None:
    run = await desk.begin(notebook(tmp_path, "print('one')", "x = 2", "print(x)"))
    await desk.until(run, "finished")
    listener = Recorder()
    assert await desk.attach(run[:5], listener) == 0
    assert printed(listener) == "one\n2\n"
    assert [stdout_of(desk.output, cell) for cell in range(3)] == ["one\n", "", "2\n"]
    assert listener.of(RunFinished)[0].status == "ok"
    assert desk.records.all() == []
    assert nothing_is_left(desk.server, run)


async def test_nothing_is_freed_by_the_client_that_leaves(desk: Desk, tmp_path: Path) -> None:
    """It sees the first outputs go by when the link breaks under it, and gives them to nobody."""
    flood = "print(i, flush=True); print(i, file=sys.stderr, flush=True)"
    path = notebook(tmp_path, f"import sys\nfor i in range(2000): {flood}")
    listener = Recorder()
    with Proxy(desk.server.url) as proxy:

        async def cut() -> None:
            while not listener.of(RunStarted):
                await asyncio.sleep(0.01)
            for _ in range(12):
                await asyncio.to_thread(proxy.cut)
                await asyncio.sleep(0.15)

        cutting = asyncio.create_task(cut())
        run = await desk.begin(path, listener=listener, url=proxy.url)
        await cutting
    assert await desk.attach(run) == 0
    assert stdout_of(desk.output) == "".join(f"{i}\n" for i in range(2000))


async def test_a_run_is_followed_live(desk: Desk, tmp_path: Path) -> None:
    run = await desk.begin(notebook(tmp_path, TICKS, "print('next')"))
    listener = Recorder()
    assert await desk.attach(run, listener) == 0
    assert stdout_of(desk.output) == "".join(f"{i}\n" for i in range(40))
    assert [event.cell for event in listener.of(CellStarted)] == [0, 1]
    assert stdout_of(desk.output, 1) == "next\n"


async def test_another_computer_attaches(desk: Desk, other_desk: Desk, tmp_path: Path) -> None:
    path = notebook(tmp_path, "print('one')", "1 / 0", "print('never')")
    run = await desk.begin(path)
    await desk.until(run, "failed")
    path.unlink()
    with pytest.raises(RemoteError, match=r"Cell 2 of document.ipynb failed at line 1 \(1 / 0\)"):
        await other_desk.attach(run)
    assert stdout_of(other_desk.output) == "one\n"
    assert json.loads(other_desk.output.read_text())["cells"][2]["outputs"] == []
    # Its kernel is gone; the run waits for the computer that began it.
    assert (await other_desk.row(run)).kernel_id is None
    assert await desk.state(run) == "failed"
    with pytest.raises(RemoteError, match=r"Cell 2 of document\.ipynb failed"):
        await desk.attach(run)
    assert stdout_of(desk.output) == "one\n"
    assert nothing_is_left(desk.server, run)


async def test_without_the_backlog(desk: Desk, tmp_path: Path) -> None:
    run = await desk.begin(notebook(tmp_path, "print('old')", TICKS))
    journal = desk.server.root / "jrc-runs" / f"{run}.jrcjournal"
    while b"5\\n" not in journal.read_bytes():
        await asyncio.sleep(0.05)
    listener = Recorder()
    assert await desk.attach(run, listener, latest=True) == 0
    assert "old" not in printed(listener)
    assert printed(listener).endswith("38\n39\n")
    assert listener.of(CellStarted)[0].cell == 1
    assert stdout_of(desk.output) == "old\n"
    assert stdout_of(desk.output, 1) == "".join(f"{i}\n" for i in range(40))


async def test_a_script_and_its_exit_code(desk: Desk, tmp_path: Path) -> None:
    script = tmp_path / "s.py"
    script.write_text("import sys\nprint(sys.argv[1:])\nsys.exit(3)\n")
    run = await desk.begin(script, args=["--lr", "1"])
    listener = Recorder()
    assert await desk.attach(run, listener) == 3
    assert printed(listener) == "['--lr', '1']\n"


async def test_scripts_with_cells_and_notebooks_that_exit(desk: Desk, tmp_path: Path) -> None:
    script = tmp_path / "s.py"
    script.write_text("# %%\nprint('a')\n# %%\nimport sys\nsys.exit(4)\n# %%\nprint('never')\n")
    listener = Recorder()
    assert await desk.attach(await desk.begin(script), listener) == 4
    assert printed(listener) == "a\n"
    run = await desk.begin(notebook(tmp_path, "print('b')", "exit(0)", "print('never')"))
    await desk.until(run, "finished")
    assert await desk.attach(run) == 0
    with pytest.raises(RemoteError, match="SystemExit: 3"):
        await desk.attach(await desk.begin(notebook(tmp_path, "exit(3)", "print('never')")))


async def test_results_survive_their_kernel(desk: Desk, other_desk: Desk, tmp_path: Path) -> None:
    """A server that culls idle kernels takes the finished one away."""
    run = await desk.begin(notebook(tmp_path, "print('one')", "print('two')"))
    # On this computer the kernel itself may be asked; on another one there is only what it wrote.
    await other_desk.until(run, "finished")
    desk.server.rest("DELETE", f"api/kernels/{(await desk.find(run)).kernel_id}")
    assert await other_desk.state(run) == "finished"
    listener = Recorder()
    for _ in range(2):
        assert await other_desk.attach(run, listener) == 0
    assert stdout_of(other_desk.output, 1) == "two\n"
    (kept,) = {notice.text for notice in listener.of(Notice)}
    who = f"{owner()}, who began it"
    assert (
        kept == f"The run stays readable on the server for {who}. To delete it: jrc runs rm {run}"
    )
    assert await desk.attach(run) == 0
    assert nothing_is_left(desk.server, run)


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


async def test_what_a_dying_line_swallowed_is_asked_again(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line swallows the websocket and the question after it, and is whole again then."""
    run = await desk.begin(notebook(tmp_path, TICKS))
    ask = ServerClient.kernel
    monkeypatch.setattr(asking, "state_of_run", partial(state_of_run, seconds=1.0))
    with Proxy(desk.server.url) as proxy:

        async def ask_impatiently(client: ServerClient, kernel_id: str) -> KernelModel | None:
            try:
                async with asyncio.timeout(1):
                    return await ask(client, kernel_id)
            except TimeoutError as error:
                proxy.cut()
                proxy.restore()
                raise UnreachableError("nothing was heard") from error

        monkeypatch.setattr(ServerClient, "kernel", ask_impatiently)
        proxy.black_hole(swallow=True)
        assert await desk.attach(run, url=proxy.url) == 0
    assert stdout_of(desk.output) == "".join(f"{i}\n" for i in range(40))


async def test_a_run_is_cancelled(desk: Desk, tmp_path: Path) -> None:
    path = notebook(tmp_path, "import time\nprint('on')\ntime.sleep(60)", "print('never')")
    run = await desk.begin(path)
    await desk.until(run, "running")
    said = await desk.cancel(run)
    assert said.startswith("Cell 1 of 2 was interrupted; none of those behind it will run.")
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
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: list[str], follow: bool
) -> None:
    if BUSY in sources:
        monkeypatch.setattr(cancelling, "STOP_SECONDS", 2.0)
    run = await desk.begin(notebook(tmp_path, *sources))
    await desk.until_journal_has(run, "on")
    listener = Recorder()
    following = asyncio.create_task(desk.attach(run, listener)) if follow else None
    if following:
        while "on" not in printed(listener):
            await asyncio.sleep(0.05)
    ended = "Its client saw the end, and ended the kernel." if follow else "Its kernel was ended"
    said = await desk.cancel(run)
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


class Clumsy(Recorder):
    """Trips over what it shall show."""

    def on_event(self, event: RunEvent) -> None:
        super().on_event(event)
        if isinstance(event, CellOutput) and "tricky" in str(event.output):
            raise ValueError("no idea")


async def test_what_can_not_be_shown_is_saved(desk: Desk, tmp_path: Path) -> None:
    run = await desk.begin(notebook(tmp_path, "print('tricky')", "print('last')"))
    listener = Clumsy()
    assert await desk.attach(run, listener) == 0
    assert [stdout_of(desk.output, cell) for cell in range(2)] == ["tricky\n", "last\n"]
    assert nothing_is_left(desk.server, run)


async def test_what_is_not_understood_costs_nothing_else(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever attaches next would trip over it again: the run could never be taken home."""
    publish = Outputs.publish

    def trip(outputs: Outputs, cell: int, message: Message) -> list[CommMessage]:
        if "tricky" in str(message.content_fields):
            raise TypeError("no idea")
        return publish(outputs, cell, message)

    monkeypatch.setattr(Outputs, "publish", trip)
    run = await desk.begin(notebook(tmp_path, "print('tricky')", "print('last')"))
    with pytest.raises(OutputLostError, match="Cell 1: an output could not be understood"):
        await desk.attach(run)
    # The end of its line may come as a piece of its own.
    assert [stdout_of(desk.output, cell).strip() for cell in range(2)] == ["", "last"]
    assert nothing_is_left(desk.server, run)


def ticking(count: int) -> str:
    return f"import time\nfor i in range({count}):\n    print(i, flush=True)\n    time.sleep(0.05)"


@pytest.mark.parametrize("late", [False, True])
async def test_each_follower_sees_the_end(
    desk: Desk, other_desk: Desk, tmp_path: Path, late: bool
) -> None:
    """Whichever of them ends the kernel, the others have what it printed from the journal."""
    last = "print('last')" if not late else "print('last')\n1 / 0"
    run = await desk.begin(notebook(tmp_path, ticking(40), last))
    desks = [desk, other_desk, Desk(desk.server, tmp_path / "third")]
    listeners = [Recorder() for _ in desks]
    ends = await asyncio.gather(
        *(each.attach(run, heard) for each, heard in zip(desks, listeners, strict=True)),
        return_exceptions=True,
    )
    for each, heard, end in zip(desks, listeners, ends, strict=True):
        assert end == 0 if not late else isinstance(end, RemoteError), end
        assert stdout_of(each.output) == "".join(f"{i}\n" for i in range(40))
        assert stdout_of(each.output, 1) == "last\n"
        assert printed(heard).endswith("39\nlast\n")
        assert not [notice for notice in heard.of(Notice) if notice.kind.startswith("kernel")]
    assert nothing_is_left(desk.server, run)


async def test_followers_of_a_run_that_is_cancelled_in_its_last_cell(
    desk: Desk, other_desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is ended before they ask for its last reply: only the journal has that."""
    monkeypatch.setattr(recording, "GAP_GRACE", 60.0)
    script = tmp_path / "script.py"
    script.write_text(ticking(600))
    run = await desk.begin(script)
    desks, listeners = [desk, other_desk], [Recorder(), Recorder()]
    following = [
        asyncio.create_task(each.attach(run, heard))
        for each, heard in zip(desks, listeners, strict=True)
    ]
    async with asyncio.timeout(60):
        while not all(printed(heard) for heard in listeners):
            await asyncio.sleep(0.05)
    await desk.cancel(run)
    for end in await asyncio.gather(*following, return_exceptions=True):
        assert isinstance(end, InterruptedByUserError), end
        assert "was cancelled" in end.message
    for heard in listeners:
        assert heard.of(RunFinished)[0].status == "cancelled"
        assert not [notice for notice in heard.of(Notice) if notice.kind == "output-lost"]


async def test_of_two_that_end_together_none_misses_the_other(
    desk: Desk, other_desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that began the run follows no longer, and has deleted nothing yet."""
    left, go_on = asyncio.Event(), asyncio.Event()
    ask = Followers.who_needs_it

    async def ask_late(self: Followers, *, began_here: bool, owner: str) -> str:
        if began_here:
            left.set()
            await go_on.wait()
        return await ask(self, began_here=began_here, owner=owner)

    monkeypatch.setattr(Followers, "who_needs_it", ask_late)
    run = await desk.begin(notebook(tmp_path, "print('one')"))
    home = asyncio.create_task(desk.attach(run))
    await left.wait()
    heard = Recorder()
    assert await other_desk.attach(run, heard) == 0
    assert not heard.of(Notice)
    go_on.set()
    assert await home == 0
    assert stdout_of(desk.output) == stdout_of(other_desk.output) == "one\n"
    assert nothing_is_left(desk.server, run)


async def test_a_run_that_is_fetched_while_another_computer_looks_for_it(
    desk: Desk, other_desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It found the kernel and the journal, and says what became of them."""
    join = Followers.join
    run = await desk.begin(notebook(tmp_path, "print('one')"))
    await desk.until(run, "finished")

    async def join_late(self: Followers) -> None:
        monkeypatch.setattr(Followers, "join", join)
        assert await desk.attach(run) == 0
        await join(self)

    monkeypatch.setattr(Followers, "join", join_late)
    with pytest.raises(NotFoundError, match="another client has fetched it just now"):
        await other_desk.attach(run)
    assert nothing_is_left(desk.server, run)


async def test_a_run_that_is_fetched_twice_is_left_to_those_who_follow(
    desk: Desk, other_desk: Desk, tmp_path: Path
) -> None:
    """Each time the computer that began it says that it has it."""
    run = await desk.begin(notebook(tmp_path, "print('one')"))
    record = desk.records.find(run)
    assert record is not None
    found = await desk.find(run)
    async with client_of(desk.server) as client:
        other = Followers(client, await journal_path(client, found))
        await other.join()
        for _ in range(2):
            assert await desk.attach(run) == 0
            assert desk.records.find(run) is None
            desk.records.save(record)
        assert not nothing_is_left(desk.server, run)
        await other.leave()
        assert await other.who_needs_it(began_here=False, owner="") == ""
    assert await other_desk.attach(run) == 0
    assert nothing_is_left(desk.server, run)


async def test_a_follower_that_lags_behind_has_the_rest_from_the_journal(
    desk: Desk, other_desk: Desk, tmp_path: Path
) -> None:
    """Its link is down when the first one ends the kernel."""
    run = await desk.begin(notebook(tmp_path, ticking(60), "print('last')"))
    slow = Recorder()
    with Proxy(desk.server.url) as proxy:
        lagging = asyncio.create_task(other_desk.attach(run, slow, url=proxy.url))
        while "3\n" not in printed(slow):
            await asyncio.sleep(0.02)
        proxy.cut()
        proxy.black_hole()
        assert await desk.attach(run) == 0
        assert await desk.state(run) != "running"
        proxy.cut()
        proxy.restore()
        assert await lagging == 0
    assert stdout_of(other_desk.output) == "".join(f"{i}\n" for i in range(60))
    assert stdout_of(other_desk.output, 1) == "last\n"
    assert nothing_is_left(desk.server, run)


async def test_one_attach_a_computer(desk: Desk, tmp_path: Path) -> None:
    """Two would write one file."""
    run = await desk.begin(notebook(tmp_path, SLEEP))
    desk.records.change(run, follower=1, follower_began=start_time(1))
    with pytest.raises(UsageError, match="followed already: by the process 1 on this computer"):
        await desk.attach(run)
    desk.records.change(run, follower=0, follower_began="")
    await desk.cancel(run)
    with pytest.raises(JrcError, match="was cancelled"):
        await desk.attach(run)


async def test_what_is_not_there_can_not_be_cancelled(desk: Desk, tmp_path: Path) -> None:
    run = await desk.begin(notebook(tmp_path, "print(1)"))
    await desk.until(run, "finished")
    desk.server.rest("DELETE", f"api/kernels/{(await desk.find(run)).kernel_id}")
    with pytest.raises(NotFoundError, match="nothing to stop"):
        await desk.cancel(run)
    await desk.attach(run)


async def test_a_question_waits_for_whoever_attaches(desk: Desk, tmp_path: Path) -> None:
    path = notebook(tmp_path, "print(input('first? '))", "print(input('second? '))")
    somebody = Recorder(answers=["somebody sits at the terminal"])
    run = await desk.begin(path, listener=somebody)
    await desk.until(run, "waiting")
    listener = Recorder(answers=["ada", "grace"])
    assert await desk.attach(run, listener) == 0
    assert [question for question, _ in listener.asked] == ["first? ", "second? "]
    assert "grace" in stdout_of(desk.output, 1)


async def test_a_run_in_a_kernel_of_somebody_else(desk: Desk, tmp_path: Path) -> None:
    """It has no session of ours, and it stays."""
    kernel = desk.server.rest("POST", "api/kernels", {"name": "python3"})["id"]
    try:
        run = await desk.begin(notebook(tmp_path, "print('one')"), kernel_id=kernel)
        assert await desk.attach(run) == 0
        assert stdout_of(desk.output) == "one\n"
        assert kernel in [each["id"] for each in desk.server.rest("GET", "api/kernels")]
    finally:
        desk.server.rest("DELETE", f"api/kernels/{kernel}")


async def test_the_kernel_can_be_kept(desk: Desk, tmp_path: Path) -> None:
    run = await desk.begin(notebook(tmp_path, "print('one')"))
    for _ in range(2):
        assert await desk.attach(run, keep_kernel=True) == 0
    assert not nothing_is_left(desk.server, run)
    assert await desk.attach(run) == 0
    assert nothing_is_left(desk.server, run)


async def test_a_kernel_that_can_not_be_recorded_is_not_left_alone(
    desk: Desk, tmp_path: Path
) -> None:
    """Here one whose messages are not JSON; its session is not left behind either."""
    path = notebook(tmp_path, "print(1)")
    kernel = desk.server.rest("POST", "api/kernels", {"name": "python3"})["id"]
    try:
        breaker = tmp_path / "break"
        breaker.mkdir()
        spoil = notebook(
            breaker,
            "get_ipython().kernel.session.pack = lambda obj: __import__('json').dumps("
            "obj, default=str, indent=1).encode() + b' '",
        )
        async with client_of(desk.server) as client:
            job = Job(
                load(spoil, args=[]),
                client,
                options=Options(kernel_id=kernel, recorder=False),
                listener=Recorder(),
                output=None,
            )
            await job.run()
        with pytest.raises(ConfigError, match=r"can't run detached: .*not JSON"):
            await desk.begin(path, kernel_id=kernel)
    finally:
        desk.server.rest("DELETE", f"api/kernels/{kernel}")


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
    with pytest.raises(Exception, match="What the run published first"):
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
    assert (row.state, row.progress, row.detached) == ("running", "2/2", False)
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
        desk.server.rest("POST", f"api/kernels/{record.kernel_id}/restart")
        await desk.until(record.run, "kernel-died")
    else:
        desk.server.rest("DELETE", f"api/kernels/{record.kernel_id}")
        await desk.until(record.run, "gone")
    with pytest.raises(KernelDiedError, match=f"{record.run} has lost its kernel") as caught:
        await desk.attach(record.run)
    assert caught.value.hint == f"What arrived before is saved in {desk.output}."
    assert stdout_of(desk.output) == "saved\n"
    assert "jrc_unfinished" not in desk.output.read_text()
    assert nothing_is_left(desk.server, record.run)
    assert await desk.state(record.run) == "not listed"


SLEEP = "import time\nprint('on', flush=True)\ntime.sleep(60)"
SLOW = "import time\nfor i in range(6):\n    print('line', i, flush=True)\n    time.sleep(2.8)"


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
    desk.records.save(record._replace(detached=False, pid=1, client=start_time(1)))
    with pytest.raises(UsageError, match="followed already"):
        await desk.attach(run)
    desk.records.save(record)
    await desk.attach(run)


async def test_a_finished_run_leaves_no_record(desk: Desk, tmp_path: Path) -> None:
    async with client_of(desk.server) as client:
        job = Job(
            load(notebook(tmp_path, "print(1)"), args=[]),
            client,
            options=Options(profile="team"),
            listener=Recorder(),
            output=desk.output,
            records=desk.records,
        )
        assert await job.run() == 0
    assert desk.records.all() == []


def test_what_a_run_says_of_itself_comes_back(tmp_path: Path) -> None:
    path = notebook(tmp_path, "print(1)")
    content = json.loads(path.read_text())
    content["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "old"}]
    path.write_text(json.dumps(content))
    document = load(path, args=[])
    told = About("ada@desk", document, ["a"], allow_loss=True).to_json()
    back = about_from_json(json.loads(json.dumps(told)))
    assert back.document.cells == document.cells
    assert back.document.notebook["cells"][0]["outputs"] == []
    assert document.notebook["cells"][0]["outputs"] != []
    assert (back.owner, back.requests, back.allow_loss) == ("ada@desk", ["a"], True)


def test_records_are_private(desk: Desk) -> None:
    from jrc.runs.records import RunRecord

    desk.records.save(RunRecord("abc", "team", "http://h/", "k", "s", "", 1.0, {}))
    (path,) = (desk.paths.state / "runs").glob("*.json")
    assert path.stat().st_mode & 0o077 == 0
    desk.records.save(RunRecord("abd", "team", "http://h/", "k", "s", "", 2.0, {}))
    assert [record.run for record in desk.records.all()] == ["abd", "abc"]
    with pytest.raises(NotFoundError, match="Several"):
        desk.records.find("ab")
    assert desk.records.find("abd") is not None
    path.write_text("{")
    assert [record.run for record in desk.records.all()] == ["abd"]
