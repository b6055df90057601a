"""The journal of a detached run, from the recorder's pen to the reader."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import WireError
from jrc.recorder.in_kernel.records import NOTE, SHELL, encode_record
from jrc.recorder.journal import JOURNAL_SUFFIX, STATE_SUFFIX, Journal, read_journal
from jrc.recorder.protocol import guarded_metadata
from jrc.recorder.tracker import Tracker
from jrc.wire.message import Message, new_message
from tests.support.fake_kernel import FakeKernel

ABOUT = {"document": "a.ipynb", "cells": 3}


def cell(number: int, code: str) -> Message:
    return new_message(
        "shell",
        "execute_request",
        {"code": ""},
        msg_id=f"cell{number}",
        session="client",
        username="test",
        date="2026-11-22T12:00:00.000000Z",
        metadata=guarded_metadata("r", code, {"cell": number}),
    )


def detached(
    monkeypatch: pytest.MonkeyPatch, folder: Path, codes: list[str], **options: Any
) -> bytes:
    """The journal of a run with these cells, in a kernel that was started in ``folder``."""
    monkeypatch.setenv("JPY_SESSION_NAME", str(folder / "a.ipynb"))
    kernel = FakeKernel()
    answer = kernel.install(monkeypatch, run="r", journal="jrc-runs", about=ABOUT, **options)
    assert answer["journal"] == str(folder / "jrc-runs" / ("r" + JOURNAL_SUFFIX))
    assert answer["folder"] == str(folder)
    for number, code in enumerate(codes):
        kernel.receive(cell(number, code))
    kernel.close()
    return Path(answer["journal"]).read_bytes()


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bytes:
    return detached(monkeypatch, tmp_path, ["a\nb", "c!", "d"])


def test_it_tells_the_whole_run(data: bytes) -> None:
    journal = read_journal(data)
    assert (journal.run, journal.about, journal.torn) == ("r", ABOUT, False)
    assert journal.opened is not None
    assert journal.size == len(data)
    assert [number for number, _ in journal.messages] == list(range(1, len(journal.messages) + 1))
    assert [
        (each.id, each.fields, each.status, each.done) for each in journal.requests.values()
    ] == [
        ("cell0", {"cell": 0}, "ok", True),
        ("cell1", {"cell": 1}, "error", True),
        ("cell2", {"cell": 2}, "aborted", True),
    ]
    texts = [
        message.content_fields["text"]
        for _, message in journal.messages
        if message.msg_type == "stream"
    ]
    assert texts == ["a", "b", "c!"]


def test_the_code_of_a_cell_is_written_once(data: bytes) -> None:
    assert data.count(b'"d"') == 0
    assert data.count(b'"code": "c!"') == 1


def test_the_state_file_tells_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    detached(monkeypatch, tmp_path, ["a", "b!", "c"])
    state = json.loads((tmp_path / "jrc-runs" / ("r" + STATE_SUFFIX)).read_text())
    assert (state["run"], state["running"], state["done"]) == ("r", 0, 3)
    assert (state["last"], state["stopped"]) == ({"cell": 2}, "failed")


def whole() -> bytes:
    notes = [{"run": "r", "about": {}, "instance": "i"}, {"request": "cell", "fields": {}}]
    records = [encode_record(0, NOTE, [json.dumps(note).encode()], checked=True) for note in notes]
    for number in range(1, 4):
        header = {"msg_type": "execute_reply", "msg_id": str(number)}
        parts = [json.dumps(header).encode(), b'{"msg_id": "cell"}', b"{}", b'{"status": "ok"}']
        records.append(encode_record(number, SHELL, parts, checked=True))
    return b"".join(records)


WHOLE = whole()


@given(st.integers(0, len(WHOLE)))
def test_a_torn_end_loses_nothing_before_it(cut: int) -> None:
    try:
        journal = read_journal(WHOLE[:cut])
    except WireError:
        assert cut < len(WHOLE) / 3
        return
    assert journal.torn == (journal.size != cut)
    assert [number for number, _ in journal.messages] == list(range(1, len(journal.messages) + 1))


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_damaged_record_costs_one_message_or_ends_the_journal(at: int, flip: int) -> None:
    whole = dict(read_journal(WHOLE).messages)
    damaged = bytearray(WHOLE)
    damaged[at] ^= flip
    try:
        journal = read_journal(bytes(damaged))
    except WireError:
        return
    numbers = [number for number, _ in journal.messages]
    assert numbers == list(range(1, len(numbers) + 1))
    for number, message in journal.messages:
        good = whole[number]
        assert good is not None
        assert message is None or message.header == good.header
    if journal.torn:
        assert journal.size <= at
    else:
        assert [message for _, message in journal.messages].count(None) == 1


def test_zeros_at_the_end_are_a_torn_record() -> None:
    """What some file systems leave after a power cut."""
    journal = read_journal(WHOLE + bytes(500))
    assert journal.torn
    assert journal.size == len(WHOLE)
    assert len(journal.messages) == 3


@pytest.mark.parametrize("data", [b"", b"x", b"jrcR", encode_record(1, 0, [b"{}"] * 4)])
def test_something_else_is_no_journal(data: bytes) -> None:
    with pytest.raises(WireError, match="not a journal"):
        read_journal(data)


def test_a_tracker_goes_on_with_a_journal(data: bytes) -> None:
    journal: Journal = read_journal(data)
    tracker = Tracker(after=4)
    given_out = [tracker.live(number, message) for number, message in journal.messages]
    assert sum(map(len, given_out)) == len(journal.messages) - 4


def test_a_kernel_without_a_writable_folder_records_without_a_journal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "jrc-runs").write_text("in the way")
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "a.ipynb"))
    kernel = FakeKernel()
    answer = kernel.install(monkeypatch, run="r", journal="jrc-runs")
    assert answer["installed"]
    assert answer["journal"] is None
    assert "jrc-runs" in answer["journal_error"]
    kernel.close()


@pytest.mark.parametrize("run", ["../x", "", "a/b", "a" * 65, 'a"b', ".hidden"])
def test_an_id_that_could_name_another_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: str
) -> None:
    kernel = FakeKernel()
    answer = kernel.install(monkeypatch, run=run, journal="jrc-runs")
    assert not answer["installed"]
    assert "can't be the id" in answer["reason"]
    kernel.close()


@pytest.mark.attacks
@pytest.mark.parametrize("opened", ["", None, [], 10**400, float("nan")])
def test_a_time_that_is_none_costs_nothing_else(data: bytes, opened: object) -> None:
    note = encode_record(0, NOTE, [json.dumps({"opened": opened}).encode()])
    journal = read_journal(data + note)
    assert (journal.opened, journal.torn) == (None, False)
    assert len(journal.messages) == len(read_journal(data).messages)
