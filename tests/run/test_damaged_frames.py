"""Runs whose server sends frames that can't be read: a gap like any other."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jrc.errors import OutputLostError
from jrc.kernel.channels import ChannelEvent, Channels
from jrc.recorder.in_kernel.records import CHANNELS, decode_record, encode_record
from jrc.run.events import CellFinished, Notice
from jrc.run.timing import DetachedTiming, Timing
from jrc.wire.message import Message
from tests.support.desk import Desk
from tests.support.jupyter import JupyterServer
from tests.support.proxy import Tearing
from tests.support.running import Recorder, notebook, run_document, stdout_of
from tests.support.scripted import from_kernel

pytestmark = pytest.mark.anyio

PRINTS = "for i in range(20): print(i, flush=True)"
ALL = "".join(f"{i}\n" for i in range(20))


def once(*parts: bytes) -> Callable[[bytes], bool]:
    """Whether this is the first message with all these parts."""
    found: list[bytes] = []

    def tears(message: bytes) -> bool:
        hit = not found and all(part in message for part in parts)
        if hit:
            found.append(message)
        return hit

    return tears


def most(count: int, *any_of: bytes) -> Callable[[bytes], bool]:
    """Whether this is one of the first messages with any of these parts."""
    found: list[bytes] = []

    def tears(message: bytes) -> bool:
        hit = len(found) < count and any(part in message for part in any_of)
        if hit:
            found.append(message)
        return hit

    return tears


def every(n: int) -> Callable[[bytes], bool]:
    count = 0

    def tears(_: bytes) -> bool:
        nonlocal count
        count += 1
        return count % n == 0

    return tears


async def run_through(
    jupyter: JupyterServer, folder: Path, tears: Callable[[bytes], bool], **options: object
) -> tuple[Recorder, Path]:
    path, output = notebook(folder, PRINTS, "print('next')"), folder / "out.ipynb"
    listener = Recorder()
    with Tearing(jupyter.url, tears) as proxy:
        try:
            await run_document(jupyter, path, output, url=proxy.url, listener=listener, **options)
        finally:
            assert proxy.torn
    return listener, output


@pytest.mark.parametrize(
    "tears",
    [
        pytest.param(once(b'"stream"', b'"7\\n"'), id="output"),
        pytest.param(once(b'"execute_reply"'), id="reply"),
        pytest.param(once(b'"execute_reply"', b'"execution_count": 2'), id="last reply"),
        pytest.param(once(b'"kernel_info_reply"'), id="language"),
        pytest.param(every(2), id="every other message"),
    ],
)
async def test_what_was_torn_comes_from_the_recorder(
    jupyter: JupyterServer, tmp_path: Path, tears: Callable[[bytes], bool]
) -> None:
    listener, output = await run_through(jupyter, tmp_path, tears)
    assert (stdout_of(output), stdout_of(output, 1)) == (ALL, "next\n")
    assert [notice.text for notice in listener.of(Notice)] == []
    assert [each.status for each in listener.of(CellFinished)] == ["ok", "ok"]


async def test_a_torn_message_is_missed_neither_by_a_detached_run_nor_by_its_followers(
    desk: Desk, tmp_path: Path
) -> None:
    with Tearing(desk.server.url, every(3)) as proxy:
        run = await desk.begin(notebook(tmp_path, PRINTS, "print('next')"), url=proxy.url)
        assert await desk.attach(run, url=proxy.url) == 0
        assert proxy.torn
    assert (stdout_of(desk.output), stdout_of(desk.output, 1)) == (ALL, "next\n")


PATIENT = Timing(detached=DetachedTiming(begin=20.0, unanswered=600.0))
"""A detached run does not change its session."""


@pytest.mark.parametrize(
    "tears",
    [
        pytest.param(once(b'"installed"'), id="the recorder's answer"),
        pytest.param(most(2, b'"kernel_info_reply"'), id="the answers to the last request"),
        pytest.param(most(2, b'"installed"', b'"jrc_replay_reply"'), id="each first answer"),
        pytest.param(every(2), id="every other message"),
    ],
)
async def test_a_torn_message_holds_up_no_detached_run(
    desk: Desk, tmp_path: Path, tears: Callable[[bytes], bool]
) -> None:
    path = notebook(tmp_path, "import time\ntime.sleep(5)\nprint('on')")
    with Tearing(desk.server.url, tears) as proxy:
        run = await desk.begin(path, url=proxy.url, timing=PATIENT)
        assert proxy.torn
    record = desk.records.find(run)
    assert record is not None
    assert record.place.journal.endswith(f"{run}.jrcjournal")
    assert (record.language_info or {})["name"] == "python"
    assert await desk.attach(run) == 0
    assert stdout_of(desk.output) == "on\n"


@pytest.mark.parametrize(
    "breaks",
    [
        pytest.param(
            lambda message: b'"installed"' in bytes(message.metadata), id="the recorder's"
        ),
        pytest.param(lambda message: message.msg_type == "kernel_info_reply", id="the last"),
        pytest.param(lambda message: not message.parent_id, id="another client's"),
    ],
)
async def test_an_answer_that_is_no_json_ends_no_detached_run(
    desk: Desk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    breaks: Callable[[Message], bool],
) -> None:
    events, broken = Channels.events, []

    async def breaking(channels: Channels) -> AsyncIterator[ChannelEvent]:
        yield replace(status, content=b"[1]") if breaks(status) else status
        async for event in events(channels):
            if isinstance(event, Message) and breaks(event) and not broken:
                broken.append(event)
                event = replace(event, content=b"[1]")
            yield event

    status = from_kernel("iopub", "status", {"execution_state": "busy"})
    with monkeypatch.context() as hostile:
        hostile.setattr(Channels, "events", breaking)
        run = await desk.begin(notebook(tmp_path, "print('on')"), timing=PATIENT)
    assert await desk.attach(run) == 0
    assert stdout_of(desk.output) == "on\n"


def no_json(journal: bytes) -> bytes:
    """The journal of a kernel that published ``7`` in a form that is no JSON."""
    view, at, records = memoryview(journal), 0, []
    channels = {name: number for number, name in enumerate(CHANNELS)}
    while record := decode_record(view, at):
        parts = [bytes(part).replace(b'"text": "7\\n"', b'"text": 7n') for part in record.parts]
        records.append(encode_record(record.number, channels[record.channel], parts, checked=True))
        at = record.end
        if at == len(view):
            break
    return b"".join(records)


def other_bytes(journal: bytes) -> bytes:
    """The same journal from a disk that lost some bits of the same message."""
    assert journal.count(b'"text": "7\\n"') == 1
    return journal.replace(b'"text": "7\\n"', b'"text": "8\\n"')


@pytest.mark.parametrize("damaged", [no_json, other_bytes])
async def test_a_journal_with_a_message_that_can_not_be_read_gives_all_others(
    desk: Desk, tmp_path: Path, damaged: Callable[[bytes], bytes]
) -> None:
    run = await desk.begin(notebook(tmp_path, PRINTS, "print('next')"))
    await desk.until(run, "finished")
    journal = desk.server.root / "jrc-runs" / f"{run}.jrcjournal"
    whole = journal.read_bytes()
    for session in desk.server.rest("GET", "api/sessions"):
        if run in session["path"]:
            desk.server.rest("DELETE", f"api/sessions/{session['id']}")
    journal.write_bytes(damaged(whole))
    with pytest.raises(OutputLostError, match="1 message is lost"):
        await desk.attach(run)
    assert stdout_of(desk.output) == ALL.replace("7\n", "", 1)
    assert stdout_of(desk.output, 1) == "next\n"


async def test_without_a_recorder_it_is_named_as_lost_and_the_run_goes_on(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    with pytest.raises(OutputLostError, match=r"complete, but output was lost.*can't be read"):
        await run_through(jupyter, tmp_path, once(b'"stream"', b'"7\\n"'), recorder=False)
    output = tmp_path / "out.ipynb"
    assert stdout_of(output) == ALL.replace("7\n", "", 1)
    assert stdout_of(output, 1) == "next\n"


async def test_without_a_recorder_a_torn_reply_ends_the_run_all_the_same(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    with pytest.raises(OutputLostError, match="can't be read"):
        await run_through(jupyter, tmp_path, once(b'"execute_reply"'), recorder=False)
    assert stdout_of(tmp_path / "out.ipynb") == ALL


async def test_what_the_kernel_itself_broke_is_named_and_the_run_goes_on(
    jupyter: JupyterServer, tmp_path: Path
) -> None:
    """The recorder has it no better: its content is no JSON object."""
    breaks = (
        "session = get_ipython().kernel.session\n"
        "good = session.pack\n"
        "session.pack = lambda o: b'[1]' if o.get('text') == 'broken' else good(o)\n"
        "print('before', flush=True)\n"
        "kernel = get_ipython().kernel\n"
        "session.send(kernel.iopub_thread, 'stream', {'name': 'stdout', 'text': 'broken'},"
        " parent=kernel.get_parent('shell'), ident=b'stream')\n"
        "session.pack = good\n"
        "print('behind')"
    )
    path, output = notebook(tmp_path, breaks, "print('next')"), tmp_path / "out.ipynb"
    with pytest.raises(OutputLostError, match="1 message is lost"):
        await run_document(jupyter, path, output)
    assert stdout_of(output) == "before\nbehind\n"
    assert stdout_of(output, 1) == "next\n"
    assert json.loads(output.read_text())["cells"][1]["execution_count"] == 2
