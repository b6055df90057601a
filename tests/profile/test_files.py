"""Files: replaced whole or not at all, private where they must be."""

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from jrc.errors import ConfigError
from jrc.profile import files
from jrc.profile.files import locked, replace_content, seen, write_atomically


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_text_is_stored_as_utf8_with_its_line_ends(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "é\r\nx\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9\r\nx\n"


def test_bytes_replace_what_was_there(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"a longer text")
    write_atomically(tmp_path / "a", b"\x00")
    assert (tmp_path / "a").read_bytes() == b"\x00"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_missing_folders_are_created(tmp_path: Path) -> None:
    write_atomically(tmp_path / "b" / "c" / "a", "x")
    assert (tmp_path / "b" / "c" / "a").read_text() == "x"


def test_a_name_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_atomically(path, "x")
    assert path.read_text() == "x"


def test_all_names_of_a_file_get_its_content(tmp_path: Path) -> None:
    """Hard links: a file that is replaced would be new under one name only."""
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"a longer text")
    os.link(path, other)
    write_atomically(path, b"new")
    assert (path.read_bytes(), other.read_bytes()) == (b"new", b"new")
    assert path.stat().st_nlink == 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_with_several_names_that_is_written_in_part_has_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"old")
    os.link(path, tmp_path / "b")

    def fail(_source: object, file: IO[bytes], _size: int) -> None:
        file.write(b"n")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", fail)
    with pytest.raises(ConfigError, match="its whole content is in") as caught:
        write_atomically(path, b"new")
    (copy,) = {*tmp_path.iterdir()} - {path, tmp_path / "b"}
    assert copy.read_bytes() == b"new"
    assert str(copy) in caught.value.message
    assert copy.suffix == ".ipynb"


def test_a_file_that_is_not_as_expected_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    first = replace_content(path, [b"1"], expected=(None,))
    assert first == seen(path)
    assert replace_content(path, [b"2"], expected=(None,)) is None
    path.write_bytes(b"of somebody else")
    assert replace_content(path, [b"2"], expected=(first,)) is None
    assert path.read_bytes() == b"of somebody else"
    assert replace_content(path, [b"3"], expected=(seen(path),)) == seen(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


if os.name == "posix":

    @pytest.mark.parametrize("bits", [0o600, 0o640])
    def test_the_new_content_is_never_open_to_more_than_the_old_one(
        tmp_path: Path, bits: int
    ) -> None:
        """Not from the first byte on, while it still has another name."""
        path = tmp_path / "a"
        path.touch()
        path.chmod(bits)
        seen_modes = []

        def chunks() -> Iterator[bytes]:
            (temporary,) = {*tmp_path.iterdir()} - {path}
            seen_modes.append(mode(temporary))
            yield b"x"

        replace_content(path, chunks())
        assert (seen_modes, mode(path)) == ([0o600], bits)

    def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            write_atomically(tmp_path / "a", "x")
        finally:
            os.umask(before)
        assert mode(tmp_path / "a") == 0o640

    def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.touch()
        path.chmod(0o754)
        write_atomically(path, "x")
        assert mode(path) == 0o754

    def test_private_means_owner_only_even_for_a_file_that_was_open_to_all(tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.touch()
        path.chmod(0o666)
        write_atomically(path, "x", private=True)
        assert mode(path) == 0o600

    def test_new_private_folders_are_the_owners_only(tmp_path: Path) -> None:
        write_atomically(tmp_path / "b" / "c" / "a", "x", private=True)
        folders = [tmp_path / "b", tmp_path / "b" / "c"]
        assert [mode(folder) for folder in folders] == [0o700, 0o700]
        assert mode(tmp_path / "b" / "c" / "a") == 0o600

    def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
        target = tmp_path / "real" / "a"
        target.parent.mkdir()
        target.write_text("old")
        link = tmp_path / "link"
        link.symlink_to(target)
        write_atomically(link, "new")
        assert link.is_symlink()
        assert target.read_text() == "new"

    def test_a_link_to_nothing_creates_its_target(tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "not-yet")
        write_atomically(link, "new")
        assert link.is_symlink()
        assert (tmp_path / "not-yet").read_text() == "new"

    def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        read: list[str] = []
        reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
        reader.start()
        write_atomically(pipe, "through")
        reader.join(30)
        assert read == ["through"]
        assert pipe.is_fifo()


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ConfigError, match=r"Can't write .*a: ") as caught:
        write_atomically(tmp_path / "a", "x")
    assert isinstance(caught.value.__cause__, OSError)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("not a folder")
    with pytest.raises(ConfigError, match=r"Can't write .*b"):
        write_atomically(tmp_path / "a" / "b", "x")


def test_a_read_only_file_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rights are asked, not tried: the superuser of a container may write everything."""
    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="the file is read-only"):
        write_atomically(path, "new")
    assert path.read_text() == "old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr(
        *((files.os, "fsync") if step == "fsync" else (files.Path, "replace")), full
    )
    with pytest.raises(ConfigError, match="no space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_an_interrupt_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "a"
    path.write_text("old")
    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a", "old")]


def test_a_target_that_windows_holds_for_a_moment_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [PermissionError(13, "held"), PermissionError(13, "held")]
    really = Path.replace

    def replace(source: Path, target: Path) -> Path:
        if refusals:
            raise refusals.pop()
        return really(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(files, "_READERS_BLOCK_REPLACE", True)
    write_atomically(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"


def test_a_target_that_windows_holds_for_ever_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(files, "_READERS_BLOCK_REPLACE", True)
    monkeypatch.setattr(files, "REPLACE_DEADLINE", 0.1)
    with pytest.raises(ConfigError, match="permission denied"):
        write_atomically(tmp_path / "a", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a"
    versions = {letter * 200_000 for letter in "abc"}
    write_atomically(path, "a" * 200_000)
    ended = threading.Event()

    def write() -> None:
        for _ in range(20):
            for version in versions:
                write_atomically(path, version)
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not ended.is_set():
        assert path.read_text() in versions
    writer.join()


def test_a_lock_that_stays_held_ends_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a"
    with (
        locked(path),
        pytest.raises(ConfigError, match=r"another jrc has held it for 0\.1 s"),
        locked(path, deadline=0.1),
    ):
        pass


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "a"):
        raise ZeroDivisionError
    with locked(tmp_path / "a", deadline=0):
        pass


def test_a_lock_in_a_folder_that_can_not_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("not a folder")
    with pytest.raises(ConfigError, match=r"Can't write .*b"), locked(tmp_path / "a" / "b"):
        pass


COUNT_UP = """
import sys
from pathlib import Path
from jrc.profile.files import locked, replace_content, seen, write_atomically

path = Path(sys.argv[1])
for _ in range(25):
    with locked(path):
        write_atomically(path, str(int(path.read_text()) + 1))
"""


def test_processes_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_text("0")
    argv = [sys.executable, "-c", COUNT_UP, str(path)]
    processes = [subprocess.Popen(argv) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert path.read_text() == "75"
