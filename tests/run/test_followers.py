"""Several clients that follow one run."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from jrc.errors import (
    ConfigError,
    InterruptedByUserError,
    JrcError,
    NotFoundError,
    RemoteError,
    UsageError,
)
from jrc.notebook.saving import UnsavedError
from jrc.recorder.asking import Timing
from jrc.recorder.recording import Recording
from jrc.run import following
from jrc.run.attach import Attachment, AttachOptions
from jrc.run.events import (
    CellOutput,
    Notice,
    RunEvent,
    RunFinished,
)
from jrc.run.timing import Timing as RunTiming
from jrc.run.timing import WatchTiming
from jrc.runs import followers
from jrc.runs.followers import Followers
from jrc.runs.lookup import journal_path
from jrc.runs.questions import KeptPast, kept_past
from jrc.runs.records import Process
from jrc.server.client import ServerClient
from jrc.tunnel.processes import start_time
from tests.support.desk import Desk, nothing_is_left, printed
from tests.support.proxy import Proxy
from tests.support.running import SLEEP, Recorder, client_of, notebook, stdout_of

pytestmark = pytest.mark.anyio


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
    monkeypatch.setitem(Recording.__init__.__kwdefaults__, "timing", Timing(gap_grace=60.0))
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

    async def ask_late(self: Followers, *, began_here: bool, began_by: str) -> str:
        if began_here:
            left.set()
            await go_on.wait()
        return await ask(self, began_here=began_here, began_by=began_by)

    monkeypatch.setattr(Followers, "who_needs_it", ask_late)
    run = await desk.begin(notebook(tmp_path, "print('one')"))
    home = asyncio.create_task(desk.attach(run))
    leaving = asyncio.create_task(left.wait())
    await asyncio.wait([home, leaving], return_when=asyncio.FIRST_COMPLETED)
    assert leaving.done(), home.result()
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
        assert await other.who_needs_it(began_here=False, began_by="") == ""
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


async def test_a_follower_whose_note_meets_an_outage_writes_it_again(
    desk: Desk, other_desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the first one takes itself for the only one, and deletes the journal."""
    write = followers.write_text
    run = await desk.begin(notebook(tmp_path, ticking(60), "print('last')"))
    slow = Recorder()
    with Proxy(desk.server.url) as proxy:

        async def write_into_outage(server: ServerClient, path: str, text: str) -> None:
            monkeypatch.setattr(followers, "write_text", write)
            proxy.cut(refuse=True)
            asyncio.get_running_loop().call_later(0.5, proxy.restore)
            await write(server, path, text)

        monkeypatch.setattr(followers, "write_text", write_into_outage)
        lagging = asyncio.create_task(other_desk.attach(run, slow, url=proxy.url))
        while "3\n" not in printed(slow):
            await asyncio.sleep(0.02)
        proxy.cut()
        proxy.black_hole()
        assert await desk.attach(run) == 0
        proxy.cut()
        proxy.restore()
        assert await lagging == 0
    assert stdout_of(other_desk.output) == "".join(f"{i}\n" for i in range(60))
    assert stdout_of(other_desk.output, 1) == "last\n"
    assert nothing_is_left(desk.server, run)


async def test_a_follower_that_comes_while_the_kernel_is_ended_has_the_journal(
    desk: Desk, other_desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one has looked for others before, and the end of a kernel takes seconds."""
    run = await desk.begin(notebook(tmp_path, "print('one')", "print('last')"))
    await desk.until(run, "finished")
    join, delete = Followers.join, ServerClient.delete_session
    joined, first_has_ended = asyncio.Event(), asyncio.Event()
    heard = Recorder()
    late: list[asyncio.Task[int]] = []

    async def join_and_wait(self: Followers) -> None:
        await join(self)
        joined.set()
        await first_has_ended.wait()

    async def delete_slowly(self: ServerClient, session_id: str) -> None:
        monkeypatch.setattr(ServerClient, "delete_session", delete)
        monkeypatch.setattr(Followers, "join", join_and_wait)
        late.append(asyncio.create_task(other_desk.attach(run, heard)))
        await joined.wait()
        await delete(self, session_id)

    monkeypatch.setattr(ServerClient, "delete_session", delete_slowly)
    assert await desk.attach(run) == 0
    first_has_ended.set()
    assert await late[0] == 0
    assert printed(heard) == "one\nlast\n"
    assert stdout_of(other_desk.output, 1) == "last\n"
    assert desk.records.find(run) is None
    assert nothing_is_left(desk.server, run)


class Pager(Recorder):
    """A listener whose reader takes its time for each output."""

    def on_event(self, event: RunEvent) -> None:
        super().on_event(event)
        if isinstance(event, CellOutput):
            time.sleep(0.3)


async def test_a_journal_is_read_to_its_end_however_slowly_it_is_shown(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks meanwhile whether its kernel is still there."""
    run = await desk.begin(notebook(tmp_path, ticking(8), "print('last')"))
    await desk.until(run, "finished")
    async with client_of(desk.server) as client:
        await client.delete_session((await desk.find(run)).session_id)
    heard = Pager()
    timing = RunTiming(watch=WatchTiming(quiet_before_poll=0.2), journal_at_once=1)
    assert await desk.attach(run, heard, timing=timing) == 0
    assert printed(heard) == "".join(f"{i}\n" for i in range(8)) + "last\n"
    assert nothing_is_left(desk.server, run)


async def test_a_follower_that_comes_as_another_ends_has_everything(
    desk: Desk, other_desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, and asks the kernel, when the first one ends that."""
    run = await desk.begin(notebook(tmp_path, "print('one')", "print('last')"))
    await desk.until(run, "finished")
    ended: list[int] = []

    async def late(*args: Any, **how: Any) -> KeptPast | None:
        if not ended:
            ended.append(1)
            ended.append(await desk.attach(run))
        return await kept_past(*args, **how)

    monkeypatch.setattr(following, "kept_past", late)
    listener = Recorder()
    assert await other_desk.attach(run, listener) == 0
    assert ended == [1, 0]
    assert printed(listener) == "one\nlast\n"
    assert stdout_of(other_desk.output, 1) == "last\n"
    assert nothing_is_left(desk.server, run)


async def test_a_run_that_was_fetched_just_now_is_said_to_be(
    desk: Desk, other_desk: Desk, tmp_path: Path
) -> None:
    run = await desk.begin(notebook(tmp_path, "print('one')"))
    await desk.until(run, "finished")
    found = await other_desk.find(run)
    assert await desk.attach(run) == 0
    async with client_of(desk.server) as client:
        attachment = Attachment(
            found,
            client,
            options=AttachOptions(),
            listener=Recorder(),
            output=other_desk.output,
            records=other_desk.records,
        )
        with pytest.raises(NotFoundError, match="another client has fetched it just now"):
            await attachment.run()
    assert nothing_is_left(desk.server, run)


async def test_a_wrong_clock_takes_no_journal_from_those_who_follow(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note is as old as the server's clock says: this computer's is 40 days ahead."""
    run = await desk.begin(notebook(tmp_path, "print('one')"))
    await desk.until(run, "finished")
    folder = desk.server.root / "jrc-runs"
    note = folder / f"{run}-0123abcd.jrcfollower"
    note.write_text("{}")
    with monkeypatch.context() as wrong:
        wrong.setattr(followers.time, "time", lambda: time.time_ns() / 1e9 + 40 * 86400)
        assert await desk.attach(run) == 0
    assert (folder / f"{run}.jrcjournal").exists()
    old = time.time() - followers.FOLLOWER_SECONDS - 60
    os.utime(note, (old, old))
    assert await desk.attach(run) == 0
    assert not (folder / f"{run}.jrcjournal").exists()
    for left in folder.glob(f"{run}*"):
        left.unlink()


async def test_one_attach_a_computer(desk: Desk, tmp_path: Path) -> None:
    """Two would write one file."""
    run = await desk.begin(notebook(tmp_path, SLEEP))
    desk.records.note_follower(run, Process(1, start_time(1)))
    with pytest.raises(UsageError, match="followed already: by the process 1 on this computer"):
        await desk.attach(run)
    desk.records.note_follower(run, Process())
    await desk.cancel(run)
    with pytest.raises(JrcError, match="was cancelled"):
        await desk.attach(run)


def full_disk(*_: object, **__: object) -> None:
    raise ConfigError("The record can't be written: no space left on the device.")


async def test_a_run_is_followed_also_where_that_can_not_be_noted(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await desk.begin(notebook(tmp_path, "print(1)"))
    monkeypatch.setattr("jrc.runs.records.write_atomically", full_disk)
    assert await desk.attach(run) == 0
    assert stdout_of(desk.output) == "1\n"
    assert nothing_is_left(desk.server, run)


async def test_a_follower_that_fails_on_a_full_disk_says_why_and_leaves_the_others(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await desk.begin(notebook(tmp_path, "print(1)"))
    await desk.until(run, "finished")

    def nothing_fits(*_: object, **__: object) -> None:
        full.setattr("jrc.runs.records.write_atomically", full_disk)
        raise UnsavedError("The result can be saved nowhere.")

    with monkeypatch.context() as full:
        full.setattr("jrc.notebook.saving.Saver.save", nothing_fits)
        with pytest.raises(UnsavedError, match="nowhere"):
            await desk.attach(run)
    left = [path.name for path in desk.server.root.glob(f"jrc-runs/{run}*")]
    assert not [name for name in left if name.endswith(followers.FOLLOWER_SUFFIX)]
    assert await desk.attach(run) == 0
