"""Cells run in their order, also where the link breaks while they are sent."""

import asyncio
from pathlib import Path

import pytest

from jrc.errors import KernelDiedError, RemoteError
from jrc.kernel.link import Link
from jrc.recorder import asking
from jrc.run.events import Notice, RunStarted
from jrc.run.timing import DetachedTiming, Timing, WatchTiming
from jrc.runs.questions import state_of_run
from jrc.wire.message import Message
from tests.support.desk import Desk, nothing_is_left
from tests.support.jupyter import JupyterServer
from tests.support.proxy import Proxy, SlowUplink
from tests.support.running import Recorder, client_of, notebook, run_document, stdout_of

pytestmark = pytest.mark.anyio

CELLS = ["log = ['a']", *(f"log.append('{letter}')" for letter in "bcde"), "print(*log)"]


@pytest.fixture(autouse=True)
def environment(jupyter: JupyterServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever attaches finds the server that runs begin on."""
    monkeypatch.setenv("JRC_URL", jupyter.url)
    monkeypatch.setenv("JRC_TOKEN", jupyter.token)


class BreakingLine:
    """Swallows the first two cells, is cut at the third one, and is whole again for the others."""

    def __init__(self, server: JupyterServer, proxy: Proxy, listener: Recorder) -> None:
        self._server = server
        self._proxy = proxy
        self._listener = listener
        self._sent = 0

    async def send(self, link: Link, message: Message, *, recorder_first: bool) -> None:
        if "code" not in message.metadata_fields.get("jrc", {}):
            return
        self._sent += 1
        if self._sent == 1:
            if recorder_first:
                await self._until_recorder()
            await asyncio.to_thread(lambda: self._proxy.black_hole(swallow=True))
        elif self._sent == 3:
            await asyncio.to_thread(self._proxy.cut)
            await asyncio.to_thread(self._proxy.restore)
            while link.usable:
                await asyncio.sleep(0.01)

    async def _until_recorder(self) -> None:
        while not self._listener.of(RunStarted):
            await asyncio.sleep(0.01)
        (started,) = self._listener.of(RunStarted)
        async with client_of(self._server) as client:
            while await state_of_run(client, started.kernel_id, started.run) is None:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("recorder_first", [True, False])
@pytest.mark.parametrize("detached", [True, False])
async def test_a_link_that_breaks_between_two_cells(
    jupyter: JupyterServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recorder_first: bool,
    detached: bool,
) -> None:
    path, desk = notebook(tmp_path, *CELLS), Desk(jupyter, tmp_path / "desk")
    listener = Recorder()
    send = Link.send
    with Proxy(jupyter.url) as proxy:
        line = BreakingLine(jupyter, proxy, listener)

        async def send_on_line(link: Link, message: Message) -> None:
            await line.send(link, message, recorder_first=recorder_first)
            await send(link, message)

        monkeypatch.setattr(Link, "send", send_on_line)
        async with asyncio.timeout(60):
            if detached:
                run = await desk.begin(path, listener=listener, url=proxy.url)
                assert await desk.attach(run) == 0
            else:
                await run_document(jupyter, path, desk.output, listener=listener, url=proxy.url)
    assert stdout_of(desk.output, 5) == "a b c d e\n"


class LossyLine:
    """Loses the third cell and those behind it, once."""

    def __init__(self) -> None:
        self._sent: set[str] = set()

    def loses(self, message: Message) -> bool:
        if "code" not in message.metadata_fields.get("jrc", {}) or message.msg_id in self._sent:
            return False
        self._sent.add(message.msg_id)
        return len(self._sent) > 2


@pytest.mark.parametrize("detached", [True, False])
async def test_cells_that_a_server_loses(
    jupyter: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detached: bool
) -> None:
    """A client that stays sends them again; one that comes later has none, and does not wait."""
    timing = Timing(watch=WatchTiming(quiet_before_poll=0.5))
    path, desk = notebook(tmp_path, *CELLS), Desk(jupyter, tmp_path / "desk")
    send, line = Link.send, LossyLine()

    async def lose_or_send(link: Link, message: Message) -> None:
        if not line.loses(message):
            await send(link, message)

    monkeypatch.setattr(Link, "send", lose_or_send)
    async with asyncio.timeout(90):
        if detached:
            run = await desk.begin(path, timing=timing)
            with pytest.raises(KernelDiedError, match=r"Cell 3 of .*: The kernel is idle"):
                await desk.attach(run, timing=timing)
            assert nothing_is_left(jupyter, run)
        else:
            await run_document(jupyter, path, desk.output, timing=timing)
            assert stdout_of(desk.output, 5) == "a b c d e\n"


async def test_a_detached_run_needs_the_recorder_before_its_cells(
    jupyter: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the kernel executes nothing of them, and nobody would wait for that in vain."""
    send = Link.send

    async def lose_the_recorder(link: Link, message: Message) -> None:
        if message.msg_type != "execute_request" or "jrc" in message.metadata_fields:
            await send(link, message)

    monkeypatch.setattr(Link, "send", lose_the_recorder)
    desk = Desk(jupyter, tmp_path / "desk")
    with pytest.raises(RemoteError, match="refused the cells"):
        await desk.begin(notebook(tmp_path, *CELLS))


@pytest.mark.parametrize("detached", [True, False])
async def test_a_session_that_a_server_has_broken_is_given_up_for_another(
    jupyter: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detached: bool
) -> None:
    """The link lives, and nothing that is sent over it comes to the kernel."""
    timing = Timing(
        detached=DetachedTiming(unanswered=1.0), watch=WatchTiming(quiet_before_poll=0.2)
    )
    path, desk = notebook(tmp_path, *CELLS), Desk(jupyter, tmp_path / "desk")
    send, broken = Link.send, list[Link]()

    async def send_over_another(link: Link, message: Message) -> None:
        broken.append(link)
        if link is not broken[0]:
            await send(link, message)

    monkeypatch.setattr(Link, "send", send_over_another)
    async with asyncio.timeout(90):
        if detached:
            run = await desk.begin(path, timing=timing)
            assert await desk.attach(run, timing=timing) == 0
        else:
            await run_document(jupyter, path, desk.output, timing=timing)
    assert stdout_of(desk.output, 5) == "a b c d e\n"


async def test_a_slow_replay_is_no_sign_of_missing_cells(
    jupyter: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is idle, and its recorder says the same again with each piece that it sends."""
    timing = Timing(watch=WatchTiming(quiet_before_poll=0.02))
    monkeypatch.setattr(asking, "FIRST_BATCH", 1 << 18)
    monkeypatch.setattr(asking, "LARGEST_BATCH", 1 << 18)
    desk, listener = Desk(jupyter, tmp_path / "desk"), Recorder()
    run = await desk.begin(notebook(tmp_path, "for i in range(4): print(str(i) * 1_000_000)"))
    await desk.until(run, "finished")
    with Proxy(jupyter.url, delay_ms=150) as proxy:
        assert await desk.attach(run, listener, url=proxy.url, timing=timing) == 0
    assert [notice.kind for notice in listener.of(Notice)] == []
    assert len(stdout_of(desk.output)) > 4_000_000


class SlowLine(Proxy):
    """Brings 200 kB a second from the server."""

    def _to_client(self, writer: asyncio.StreamWriter) -> "SlowWriter":
        return SlowWriter(writer)


class SlowWriter:
    """Writes little by little."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._left = b""

    def write(self, data: bytes) -> None:
        self._left += data

    def write_eof(self) -> None:
        self._writer.write_eof()

    async def drain(self) -> None:
        while self._left:
            piece, self._left = self._left[:4096], self._left[4096:]
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0.02)


async def test_a_message_that_takes_long_is_no_silence(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    """The kernel is idle, and its recorder says nothing before all of the message is here."""
    timing = Timing(watch=WatchTiming(quiet_before_poll=0.3, unresponsive_polls=8))
    desk, listener = Desk(jupyter, tmp_path / "desk"), Recorder()
    run = await desk.begin(notebook(tmp_path, "print('x' * 2_000_000)"))
    await desk.until(run, "finished")
    with SlowLine(jupyter.url) as proxy:
        assert await desk.attach(run, listener, url=proxy.url, timing=timing) == 0
    assert [notice.kind for notice in listener.of(Notice)] == []
    assert stdout_of(desk.output) == "x" * 2_000_000 + "\n"


@pytest.mark.parametrize("detached", [True, False])
async def test_a_cell_that_takes_long_to_send_is_no_silence(
    jupyter: JupyterServer, tmp_path: Path, detached: bool
) -> None:
    """The kernel is idle, and answers nothing before all of the cell is there."""
    timing = Timing(
        detached=DetachedTiming(unanswered=1.0), watch=WatchTiming(quiet_before_poll=0.2)
    )
    desk = Desk(jupyter, tmp_path / "desk")
    path = notebook(tmp_path, "print(len('" + 2_000_000 * "x" + "'))")
    with SlowUplink(jupyter.url) as proxy:
        async with asyncio.timeout(90):
            if detached:
                run = await desk.begin(path, url=proxy.url, timing=timing)
                assert await desk.attach(run, timing=timing) == 0
            else:
                await run_document(jupyter, path, desk.output, url=proxy.url, timing=timing)
        assert proxy.bytes_up < 3_000_000
    assert stdout_of(desk.output) == "2000000\n"


async def test_a_kernel_that_begins_nothing_is_given_up(
    jupyter: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is asked again and again, and loses all cells each time."""
    timing = Timing(watch=WatchTiming(quiet_before_poll=0.2))
    send = Link.send

    async def lose_cells(link: Link, message: Message) -> None:
        if "code" not in message.metadata_fields.get("jrc", {}):
            await send(link, message)

    monkeypatch.setattr(Link, "send", lose_cells)
    path = notebook(tmp_path, *CELLS)
    with pytest.raises(KernelDiedError, match="is idle and executes nothing"):
        async with asyncio.timeout(120):
            await run_document(jupyter, path, tmp_path / "out.ipynb", timing=timing)
