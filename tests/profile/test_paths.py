"""Folders: the platform's own, or all under JRC_HOME."""

import os
import stat
from pathlib import Path

import pytest

from jrc.profile.paths import Paths, write_crash_log


def test_jrc_home_moves_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JRC_HOME", str(tmp_path))
    assert Paths.from_environment() == Paths(
        tmp_path / "config", tmp_path / "state", tmp_path / "logs"
    )


def test_a_relative_jrc_home_does_not_move_with_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JRC_HOME", "here")
    assert Paths.from_environment().config == tmp_path / "here" / "config"


@pytest.mark.parametrize("value", [None, ""])
def test_without_it_they_are_in_the_home(
    home: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("JRC_HOME")
    if value is not None:
        monkeypatch.setenv("JRC_HOME", value)
    paths = Paths.from_environment()
    assert all(home in folder.parents for folder in (paths.config, paths.state, paths.logs))
    assert not paths.config.exists()


def _failure() -> Exception:
    try:
        raise ValueError("an odd \ud800 value") from KeyError("the cause")
    except ValueError as error:
        return error


def test_a_crash_log_holds_the_whole_chain_and_is_private(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "config", tmp_path / "state", tmp_path / "logs")
    written = write_crash_log(paths, _failure())
    assert written.parent == paths.logs
    text = written.read_text()
    assert "the cause" in text
    assert "an odd" in text
    assert "test_paths.py" in text
    if os.name == "posix":
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
        assert stat.S_IMODE(paths.logs.stat().st_mode) == 0o700


def test_two_crashes_in_one_second_are_two_files(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path, tmp_path)
    assert len({write_crash_log(paths, _failure()) for _ in range(3)}) == 3


def test_a_crash_log_is_written_elsewhere_when_its_folder_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    paths = Paths(tmp_path, tmp_path, tmp_path / "file" / "logs")
    written = write_crash_log(paths, _failure())
    try:
        assert "the cause" in written.read_text()
    finally:
        written.unlink()
