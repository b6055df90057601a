"""Runs that go on without a client, and clients that come back."""

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest

from jrc.errors import (
    ConfigError,
    NotFoundError,
    OutputLostError,
    RemoteError,
    UnreachableError,
)
from jrc.notebook.document import load
from jrc.notebook.outputs import Outputs
from jrc.notebook.widgets import CommMessage
from jrc.profile.owner import owner
from jrc.run.events import (
    CellOutput,
    CellStarted,
    Notice,
    RunEvent,
    RunFinished,
    RunStarted,
)
from jrc.run.job import Job
from jrc.run.options import Options
from jrc.run.timing import Timing
from jrc.runs.manifest import About, about_from_json
from jrc.runs.records import Process, RunPlace, RunRecord, record_from_json
from jrc.server.client import ServerClient
from jrc.server.models import KernelModel
from jrc.wire.message import Message
from tests.support.desk import Desk, nothing_is_left, printed
from tests.support.proxy import Proxy
from tests.support.running import (
    TICKS,
    Recorder,
    SwallowedAnswer,
    client_of,
    notebook,
    options_of,
    stdout_of,
)

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


async def test_the_folder_of_journals_is_never_deleted(desk: Desk, tmp_path: Path) -> None:
    """A colleague's run may begin its journal there in just that moment."""
    desk.server.mark_log()
    run = await desk.begin(notebook(tmp_path, "print('one')"))
    assert await desk.attach(run) == 0
    deleted = re.findall(r"delete /(\S+)", desk.server.new_log())
    assert deleted
    assert all(path.startswith(f"jrc-runs/{run}") for path in deleted)
    assert (desk.server.root / "jrc-runs").is_dir()


async def test_a_servers_trash_holds_nothing_of_a_run(
    desk: Desk, other_desk: Desk, tmp_path: Path
) -> None:
    """A Jupyter Server moves what is deleted to a trash, and nobody empties it."""
    run = await desk.begin(notebook(tmp_path, "print('the ' + 'secret')  # of the code"))
    left = desk.server.root / "jrc-runs" / "0000aaaa-retired"
    left.write_text("what a client left that was killed while it deleted")
    assert await other_desk.attach(run) == 0
    assert await desk.attach(run) == 0
    assert not left.exists()
    deleted = list(desk.server.folder.glob("**/Trash/files/*"))
    assert {f"{run}-retired", left.name} <= {path.name for path in deleted}
    assert {path.read_bytes() for path in deleted} == {b""}


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


async def test_what_a_dying_line_swallowed_is_asked_again(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line swallows the websocket and the question after it, and is whole again then."""
    run = await desk.begin(notebook(tmp_path, TICKS))
    ask = ServerClient.kernel
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
        timing = Timing(answer=1.0)
        assert await desk.attach(run, url=proxy.url, timing=timing) == 0
    assert stdout_of(desk.output) == "".join(f"{i}\n" for i in range(40))


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


async def test_a_question_waits_for_whoever_attaches(desk: Desk, tmp_path: Path) -> None:
    path = notebook(tmp_path, "print(input('first? '))", "print(input('second? '))")
    somebody = Recorder(answers=["somebody sits at the terminal"])
    run = await desk.begin(path, listener=somebody)
    await desk.until(run, "waiting")
    listener = Recorder(answers=["ada", "grace"])
    assert await desk.attach(run, listener) == 0
    assert [question for question, _ in listener.asked] == ["first? ", "second? "]
    assert "grace" in stdout_of(desk.output, 1)


async def test_an_answer_to_an_attached_run_that_a_line_swallowed_comes_through_once(
    desk: Desk, tmp_path: Path
) -> None:
    path = notebook(tmp_path, "print([input('one? '), input('two? ')])")
    run = await desk.begin(path, listener=Recorder(answers=["somebody sits at the terminal"]))
    await desk.until(run, "waiting")
    with Proxy(desk.server.url) as proxy:
        listener = SwallowedAnswer(proxy, ["1", "2"])
        async with asyncio.timeout(30):
            assert await desk.attach(run, listener, url=proxy.url) == 0
    assert [question for question, _ in listener.asked] == ["one? ", "two? "]
    assert "['1', '2']" in stdout_of(desk.output)


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


@pytest.mark.parametrize(
    ("option", "code", "stays"),
    [
        ("keep_kernel", "print('one')", True),
        ("keep_kernel_on_error", "print('one')", False),
        ("keep_kernel_on_error", "print('one'); 1 / 0", True),
    ],
)
async def test_a_run_that_is_begun_so_keeps_its_kernel(
    desk: Desk, other_desk: Desk, tmp_path: Path, option: str, code: str, stays: bool
) -> None:
    """Whoever fetches it, and nothing else of the run stays."""
    run = await desk.begin(notebook(tmp_path, code), **{option: True})
    kernel = (await desk.find(run)).kernel_id
    heard = Recorder()
    for each in (other_desk, desk):
        with suppress(RemoteError):
            await each.attach(run, heard)
        assert stdout_of(each.output) == "one\n"
    kernels = [each["id"] for each in desk.server.rest("GET", "api/kernels")]
    try:
        assert (kernel in kernels) == stays
        assert await desk.state(run) == "not listed"
        assert desk.records.find(run) is None
        assert not list(desk.server.root.glob(f"jrc-runs/{run}*"))
        says = [event.text for event in heard.of(Notice) if event.kind == "kernel"]
        assert says == [f"The kernel is kept: jrc run --kernel-id {kernel} FILE"] * stays
    finally:
        if stays:
            desk.server.rest("DELETE", f"api/kernels/{kernel}")


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
                options=options_of(kernel_id=kernel, recorder=False),
                listener=Recorder(),
                output=None,
            )
            await job.run()
        with pytest.raises(ConfigError, match=r"can't run detached: .*not JSON"):
            await desk.begin(path, kernel_id=kernel)
    finally:
        desk.server.rest("DELETE", f"api/kernels/{kernel}")


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
    place = RunPlace("team", "http://h/", "k", "s")
    desk.records.save(RunRecord("abc", place, 1.0, {}))
    (path,) = (desk.paths.state / "runs").glob("*.json")
    assert path.stat().st_mode & 0o077 == 0
    desk.records.save(RunRecord("abd", place, 2.0, {}))
    assert [record.run for record in desk.records.all()] == ["abd", "abc"]
    with pytest.raises(NotFoundError, match="Several"):
        desk.records.find("ab")
    assert desk.records.find("abd") is not None
    path.write_text("{")
    assert [record.run for record in desk.records.all()] == ["abd"]


def test_a_record_is_read_as_it_was_written() -> None:
    """Also one of an older jrc, which wrote less, and of a newer one, which writes more."""
    about = {"owner": "ada@desk", "document": "/home/ada/a.ipynb"}
    place = RunPlace("team", "http://h/", "k", "s", "/srv/abc.jrcjournal")
    record = RunRecord(
        *("abc", place, 1.0, about, "/home/ada/b.ipynb", "lr", True),
        client=Process(3, "t1"),
        follower=Process(4, "t2"),
        shown=5,
        language_info={"name": "python"},
    )
    written = json.loads(json.dumps(record.to_json()))
    assert all(not isinstance(value, list) for value in written.values())
    assert record_from_json({**written, "of a newer jrc": 1}) == record
    assert (record.owner, record.document) == ("ada@desk", "a.ipynb")
    first = {key: written[key] for key in ("run", "profile", "server", "kernel_id", "session_id")}
    old = record_from_json({**first, "output": "", "started": 1, "about": {}})
    assert (old.client, old.detached, old.is_followed) == (Process(), False, False)
    for broken in (None, [], {}, {**written, "pid": "3"}, {**written, "about": None}):
        with pytest.raises(ValueError, match="instead of"):
            record_from_json(broken)
