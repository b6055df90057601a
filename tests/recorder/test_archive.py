"""What the recorder keeps, and its bounds."""

import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jrc.recorder.in_kernel import storage
from jrc.recorder.in_kernel.archive import MOST_RUNS, RECORD_OVERHEAD, Archive, Run
from jrc.recorder.in_kernel.records import IOPUB, decode_record
from jrc.recorder.in_kernel.storage import JournalFile
from jrc.recorder.journal import read_journal

TEXT = 1000


def publish(archive: Archive, run: Run, count: int, size: int = TEXT) -> None:
    for _ in range(count):
        number = run.count + 1
        archive.append(run, IOPUB, [b"{}", b"{}", b"{}", b"%d" % number, b"x" * size])
        archive.settle(run)


def numbers(archive: Archive, run: Run, start: int = 1, stop: int = 1 << 60) -> list[int]:
    """The numbers that a replay brings, each checked against its content."""
    batch = archive.replay(run, [(start, stop)], 0, 1 << 30)
    view = memoryview(b"".join(batch.pieces))
    found, at = [], 0
    while at < len(view):
        record = decode_record(view, at)
        assert record is not None
        assert int(bytes(record.parts[3])) == record.number
        found.append(record.number)
        at = record.end
    assert batch.next is None
    return found


@pytest.fixture
def small() -> Iterator[Archive]:
    """Ten messages fit into memory, two hundred into the spool."""
    archive = Archive(10 * (TEXT + RECORD_OVERHEAD), 200 * TEXT)
    yield archive
    archive.close()


def test_memory_then_disk_then_gone(small: Archive) -> None:
    run = small.open_run("r", None)
    publish(small, run, 100)
    assert numbers(small, run) == list(range(1, 101))
    assert run.gone == 0
    assert small.bytes <= small.memory_limit
    publish(small, run, 900)
    assert 700 < run.gone < 900
    assert small.spool.size <= small.spool_limit
    assert numbers(small, run) == list(range(run.gone + 1, 1001))
    batch = small.replay(run, [(1, 1 << 60)], 0, 100)
    assert batch.missing == [[1, run.gone + 1]]


def test_any_range_is_found_wherever_it_lies(small: Archive) -> None:
    run = small.open_run("r", None)
    publish(small, run, 60)
    for start in range(1, 61, 7):
        for stop in range(start, 65, 5):
            assert numbers(small, run, start, stop) == list(range(start, min(stop, 61)))


def test_several_ranges_and_their_bound(small: Archive) -> None:
    run = small.open_run("r", None)
    publish(small, run, 60)
    batch = small.replay(run, [(2, 4), (50, 52), (60, 1 << 60)], 0, 1 << 20)
    assert batch.first == [2, 0]
    assert batch.next is None
    size = sum(len(piece) for piece in batch.pieces)
    batch = small.replay(run, [(2, 4), (50, 52), (60, 1 << 60)], 0, size // 5 * 3 + 100)
    assert batch.next == [51, 0]
    assert len(batch.pieces) == 3


def test_what_was_acknowledged_takes_no_place(small: Archive) -> None:
    run = small.open_run("r", None)
    publish(small, run, 100)
    assert small.spool.size > 0
    small.release(run, 95)
    assert small.spool.segments == []
    assert small.spooled == type(small.spooled)()
    assert numbers(small, run) == list(range(96, 101))
    small.release(run, 1000)
    assert (run.gone, run.count, small.bytes, run.bytes) == (100, 100, 0, 0)
    publish(small, run, 3)
    assert numbers(small, run) == [101, 102, 103]


def test_the_oldest_run_goes_to_disk_first(small: Archive) -> None:
    first, second = small.open_run("a", None), small.open_run("b", None)
    publish(small, first, 9)
    publish(small, second, 9)
    assert first.memory == []
    assert len(second.memory) >= 5
    assert numbers(small, first) == numbers(small, second) == list(range(1, 10))


def test_one_message_larger_than_all_bounds_is_named_as_gone(small: Archive) -> None:
    run = small.open_run("r", None)
    publish(small, run, 3)
    publish(small, run, 1, 300 * TEXT)
    assert run.gone == 4
    publish(small, run, 3)
    assert numbers(small, run) == [5, 6, 7]


def test_a_full_disk_is_a_bound_like_another(
    small: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = small.open_run("r", None)
    publish(small, run, 50)

    def full(file: object, data: bytes) -> int:
        raise OSError("No space left on device")

    monkeypatch.setattr(storage.AppendFile, "append", full)
    publish(small, run, 50)
    assert run.gone > 80
    monkeypatch.undo()
    publish(small, run, 50)
    assert numbers(small, run) == list(range(run.gone + 1, 151))


def test_half_of_a_disk_stays_free(small: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small.open_run("r", None)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda place: usage)
    publish(small, run, 50)
    assert small.spool.segments == []
    assert run.gone >= 40


def test_runs_are_bounded_in_number() -> None:
    archive = Archive(1 << 20, 1 << 20)
    for number in range(MOST_RUNS + 5):
        archive.open_run(str(number), None)
    assert len(archive.runs) == MOST_RUNS
    assert "4" not in archive.runs
    archive.close()


def journal(tmp_path: Path, limit: int = 1 << 20) -> JournalFile:
    return JournalFile(str(tmp_path / "jrc-runs"), "r", limit, {"run": "r", "about": {"a": 1}})


def test_a_journal_holds_everything_and_is_the_spool_too(tmp_path: Path, small: Archive) -> None:
    run = small.open_run("r", journal(tmp_path))
    publish(small, run, 100)
    assert small.spool.segments == []
    assert len(run.memory) < 12
    assert numbers(small, run) == list(range(1, 101))
    small.release(run, 50)
    assert numbers(small, run) == list(range(51, 101))
    data = (tmp_path / "jrc-runs" / "r.jrcjournal").read_bytes()
    assert [number for number, _ in read_journal(data).messages] == list(range(1, 101))


def test_notes_between_messages_do_not_disturb(tmp_path: Path, small: Archive) -> None:
    run = small.open_run("r", journal(tmp_path))
    for _ in range(20):
        publish(small, run, 3)
        assert run.journal is not None
        run.journal.note({"request": "x"})
    assert numbers(small, run) == list(range(1, 61))


def test_a_full_journal_ends_and_the_spool_goes_on(tmp_path: Path, small: Archive) -> None:
    run = small.open_run("r", journal(tmp_path, limit=30 * TEXT))
    publish(small, run, 100)
    assert "bound" in run.journal_error
    assert 20 < run.journaled < 30
    assert numbers(small, run) == list(range(1, 101))
    publish(small, run, 900)
    assert numbers(small, run) == list(range(run.gone + 1, 1001))


def test_a_journal_is_for_its_owner_only(tmp_path: Path) -> None:
    file = journal(tmp_path)
    file.write_state({"run": "r"})
    for path in (file.path, file.state_path):
        if sys.platform != "win32":
            assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert json.loads(Path(file.state_path).read_text()) == {"run": "r"}
    file.file.close()


def test_a_forgotten_run_takes_its_journal_along_when_told(tmp_path: Path, small: Archive) -> None:
    run = small.open_run("r", journal(tmp_path))
    publish(small, run, 3)
    small.forget("r", delete_journal=False)
    assert (tmp_path / "jrc-runs" / "r.jrcjournal").exists()
    (tmp_path / "jrc-runs" / "r.jrcjournal").unlink()
    small.open_run("r", journal(tmp_path))
    small.forget("r", delete_journal=True)
    assert list((tmp_path / "jrc-runs").iterdir()) == []


def test_a_journal_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    first = journal(tmp_path)
    with pytest.raises(FileExistsError):
        journal(tmp_path)
    first.file.close()
