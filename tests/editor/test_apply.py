"""Settings files and kernelspecs changed on a real disk, with everything that can be in the way."""

import os
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jrc.editor import apply as apply_module
from jrc.editor.apply import apply_settings, apply_spec, plan_settings, read_settings, read_specs
from jrc.editor.kernelspecs import Launch, ServerKernelspec, spec_folders
from jrc.editor.ledger import Installed, Ledger, open_ledger, read_ledger
from jrc.editor.places import SettingsFile, SettingsKind, workspace_settings
from jrc.editor.plan import SpecChange, diff, spec_changes
from jrc.editor.settings import Outcome, SettingsRecord, WantedSettings, connected, disconnected
from jrc.errors import ConfigError
from jrc.profile.paths import Paths

WANTED = WantedSettings(
    servers={"ml": {"label": "ml", "url": "http://127.0.0.1:40001/", "profile": "ml"}},
    own={"jrc.path": "/bin/jrc"},
    defaults={"jupyter.disableJupyterAutoStart": True},
)
CONNECT = partial(connected, profile="ml", wanted=WANTED)
DISCONNECT = partial(disconnected, profile="ml")

BYTES = (
    (
        """// café
{
\t"a": 1, // one
\t"b": [
\t\t2, /* two */
\t],
}"""
    )
    .replace("\n", "\r\n")
    .encode("utf-8-sig")
)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with open_ledger(Paths.from_environment()) as ledger:
        yield ledger


@pytest.fixture
def place(tmp_path: Path) -> SettingsFile[Path]:
    return SettingsFile("VS Code", SettingsKind.USER, tmp_path / "User" / "settings.json")


def write(place: SettingsFile[Path], content: bytes) -> Path:
    place.path.parent.mkdir(exist_ok=True)
    place.path.write_bytes(content)
    return place.path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [BYTES, b"", b"{}\n", b"\xef\xbb\xbf", b'{"a":1}'])
def test_undo_gives_back_the_same_bytes(
    ledger: Ledger, place: SettingsFile[Path], content: bytes
) -> None:
    path = write(place, content)
    change = apply_settings(place, ledger, CONNECT)
    assert change.changes_file
    assert b"jrc.servers" in path.read_bytes()
    apply_settings(place, ledger, DISCONNECT)
    assert path.read_bytes() == content
    assert ledger.settings == {}


def test_a_file_that_was_not_there_goes_again(ledger: Ledger, tmp_path: Path) -> None:
    place = workspace_settings(tmp_path)
    apply_settings(place, ledger, CONNECT)
    assert place.path.is_file()
    apply_settings(place, ledger, DISCONNECT)
    assert not (tmp_path / ".vscode").exists()


def test_a_workspace_folder_with_other_files_stays(ledger: Ledger, tmp_path: Path) -> None:
    place = workspace_settings(tmp_path)
    apply_settings(place, ledger, CONNECT)
    (tmp_path / ".vscode" / "launch.json").write_text("{}")
    apply_settings(place, ledger, DISCONNECT)
    assert names(tmp_path / ".vscode") == ["launch.json"]


def test_what_is_remembered_survives_the_process(place: SettingsFile[Path]) -> None:
    path = write(place, BYTES)
    with open_ledger(Paths.from_environment()) as ledger:
        apply_settings(place, ledger, CONNECT)
    with open_ledger(Paths.from_environment()) as ledger:
        assert ledger.profiles() == {"ml"}
        apply_settings(place, ledger, DISCONNECT)
    assert path.read_bytes() == BYTES
    assert read_ledger(Paths.from_environment()).settings == {}


def test_the_ledger_is_private_and_a_settings_file_keeps_its_mode(
    ledger: Ledger, place: SettingsFile[Path]
) -> None:
    """The ledger holds whole settings files, and other programs keep secrets there."""
    path = write(place, BYTES)
    path.chmod(0o640)
    apply_settings(place, ledger, CONNECT)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, ledger.path)]
    assert modes == [0o640, 0o600] or os.name == "nt"


def test_a_symbolic_link_stays_one(
    ledger: Ledger, place: SettingsFile[Path], tmp_path: Path
) -> None:
    """As people have it who keep their settings in a repository."""
    real = tmp_path / "dotfiles" / "settings.json"
    real.parent.mkdir()
    real.write_bytes(BYTES)
    place.path.parent.mkdir()
    place.path.symlink_to(real)
    apply_settings(place, ledger, CONNECT)
    assert place.path.is_symlink()
    assert b"jrc.servers" in real.read_bytes()
    apply_settings(place, ledger, DISCONNECT)
    assert place.path.is_symlink()
    assert real.read_bytes() == BYTES


def test_a_read_only_file_is_left_alone(
    ledger: Ledger, place: SettingsFile[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(place, BYTES)
    # Root may write everything: take the word of the mode for it.
    monkeypatch.setattr(
        os, "access", lambda asked, mode: not (mode == os.W_OK and Path(asked) == path)
    )
    with pytest.raises(ConfigError, match="the file is read-only") as refused:
        apply_settings(place, ledger, CONNECT)
    assert str(path) in refused.value.message
    assert path.read_bytes() == BYTES
    assert read_ledger(Paths.from_environment()).settings == {}


def test_a_file_that_does_not_parse_is_left_alone(
    ledger: Ledger, place: SettingsFile[Path]
) -> None:
    path = write(place, b'{\n  "a": 1\n  "b": 2\n}\n')
    with pytest.raises(ConfigError, match=r"settings\.json: line 3, column 3: a comma or '}' is"):
        apply_settings(place, ledger, CONNECT)
    assert path.read_bytes() == b'{\n  "a": 1\n  "b": 2\n}\n'
    assert ledger.settings == {}


def test_a_file_that_broke_meanwhile_is_left_alone_and_remembered(
    ledger: Ledger, place: SettingsFile[Path]
) -> None:
    path = write(place, BYTES)
    apply_settings(place, ledger, CONNECT)
    path.write_bytes(b"{ broken")
    with pytest.raises(ConfigError, match="line 1, column 3"):
        apply_settings(place, ledger, DISCONNECT)
    assert path.read_bytes() == b"{ broken"
    assert str(path) in ledger.settings


def test_a_file_that_is_not_utf8_is_left_alone(ledger: Ledger, place: SettingsFile[Path]) -> None:
    path = write(place, b'{"a": "\xff"}')
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 7\)"):
        apply_settings(place, ledger, CONNECT)
    assert path.read_bytes() == b'{"a": "\xff"}'


def test_a_folder_in_the_place_of_the_file_is_an_error(
    ledger: Ledger, place: SettingsFile[Path]
) -> None:
    place.path.mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"settings\.json"):
        apply_settings(place, ledger, CONNECT)


class Editing:
    """Somebody who saves the file in the moment in which jrc has read it."""

    def __init__(self, path: Path, times: int) -> None:
        self.path, self.left = path, times

    def __call__(self, text: str | None, record: SettingsRecord | None) -> Outcome:
        if self.left:
            self.left -= 1
            self.path.write_text(f'{{"saved": {self.left}}}\n')
        return CONNECT(text, record)


def test_an_edit_in_the_same_moment_is_not_overwritten(
    ledger: Ledger, place: SettingsFile[Path]
) -> None:
    path = write(place, BYTES)
    apply_settings(place, ledger, Editing(path, 2))
    assert '"saved": 0' in path.read_text()
    assert "jrc.servers" in path.read_text()
    apply_settings(place, ledger, DISCONNECT)
    assert path.read_text() == '{"saved": 0}\n'


def test_a_program_that_never_stops_writing_wins(ledger: Ledger, place: SettingsFile[Path]) -> None:
    path = write(place, BYTES)
    with pytest.raises(ConfigError, match="Another program keeps changing"):
        apply_settings(place, ledger, Editing(path, 1000))
    assert "jrc" not in path.read_text()
    assert ledger.settings == {}


@pytest.mark.parametrize("stopped_at", [1, 2])
def test_undo_works_wherever_a_connect_was_stopped(
    place: SettingsFile[Path], monkeypatch: pytest.MonkeyPatch, stopped_at: int
) -> None:
    """Stopped before the first or the second file is replaced: the ledger, then the settings."""
    path = write(place, BYTES)
    real, count = apply_module.write_atomically, 0

    def stop(target: Path, data: bytes | str, **how: Any) -> None:
        nonlocal count
        count += 1
        if count == stopped_at:
            raise KeyboardInterrupt
        real(target, data, **how)

    with monkeypatch.context() as patched:
        for module in ("jrc.editor.apply", "jrc.editor.ledger"):
            patched.setattr(f"{module}.write_atomically", stop)
        with pytest.raises(KeyboardInterrupt), open_ledger(Paths.from_environment()) as ledger:
            apply_settings(place, ledger, CONNECT)
    with open_ledger(Paths.from_environment()) as ledger:
        apply_settings(place, ledger, CONNECT)
        apply_settings(place, ledger, DISCONNECT)
    assert path.read_bytes() == BYTES


OTHERS = b'{\n    "x.token": "theirs",\n    "a": 1,\n    "b": 2,\n    "c": 3\n}\n'


def test_a_plan_touches_nothing_and_shows_everything(
    ledger: Ledger, place: SettingsFile[Path], tmp_path: Path
) -> None:
    path = write(place, OTHERS)
    settings = plan_settings(place, ledger, CONNECT)
    kernels = [ServerKernelspec("ir", "R", "R", logos={"logo-svg.svg": b"<svg/>"})]
    specs = spec_changes(
        spec_folders("ml", kernels, Launch("/bin/jrc-kernel"), {}), "ml", tmp_path / "k", {}
    )
    text = diff([settings], specs)
    assert '+    "jrc.path": "/bin/jrc",' in text
    assert "theirs" not in text
    assert "+++ " + str(tmp_path / "k" / "jrc-ml-ir" / "kernel.json") in text
    assert "a picture: 0 to 6 bytes" in text
    assert path.read_bytes() == OTHERS
    assert not (tmp_path / "k").exists()
    assert not ledger.path.exists()


def test_a_plan_that_does_nothing_shows_nothing(ledger: Ledger, place: SettingsFile[Path]) -> None:
    write(place, BYTES)
    apply_settings(place, ledger, CONNECT)
    assert diff([plan_settings(place, ledger, CONNECT)], []) == ""


# Kernelspecs.

KERNELS = [
    ServerKernelspec("python3", "Python 3", "python"),
    ServerKernelspec("ir", "R", "R", logos={"logo-64x64.png": b"PNG"}),
]


def spec_plan(root: Path, kernels: list[ServerKernelspec], profile: str = "ml") -> list[SpecChange]:
    existing = read_specs(root)
    texts = {name: files.get("kernel.json") for name, files in existing.items()}
    folders = spec_folders(profile, kernels, Launch("/bin/jrc-kernel"), texts)
    return spec_changes(folders, profile, root, existing)


def apply_all(changes: list[SpecChange]) -> None:
    for change in changes:
        apply_spec(change)


def test_kernelspecs_are_written_once(tmp_path: Path) -> None:
    root = tmp_path / "kernels"
    first = spec_plan(root, KERNELS)
    apply_all(first)
    assert [change.new for change in first] == [True, True]
    assert names(root / "jrc-ml-ir") == ["kernel.json", "logo-64x64.png"]
    assert spec_plan(root, KERNELS) == []


def test_kernels_that_the_server_lost_go_and_others_stay(tmp_path: Path) -> None:
    root = tmp_path / "kernels"
    apply_all(spec_plan(root, KERNELS))
    apply_all(spec_plan(root, KERNELS, profile="gpu"))
    (root / "theirs").mkdir()
    (root / "theirs" / "kernel.json").write_text('{"argv": ["x"]}')
    changes = spec_plan(root, KERNELS[:1])
    assert [(change.folder.name, change.goes) for change in changes] == [("jrc-ml-ir", True)]
    apply_all(changes)
    assert names(root) == ["jrc-gpu-ir", "jrc-gpu-python3", "jrc-ml-python3", "theirs"]


def test_all_of_a_profile_are_removed_but_not_what_somebody_put_there(tmp_path: Path) -> None:
    root = tmp_path / "kernels"
    apply_all(spec_plan(root, KERNELS))
    (root / "jrc-ml-python3" / "notes.txt").write_text("mine")
    apply_all(spec_plan(root, []))
    assert [str(path.relative_to(root)) for path in sorted(root.rglob("*"))] == [
        "jrc-ml-python3",
        "jrc-ml-python3/notes.txt",
    ]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "kernels").write_text("a file")
    with pytest.raises(ConfigError, match="jrc-ml-python3"):
        apply_all(spec_plan(tmp_path / "kernels", KERNELS))


# The ledger.


@pytest.mark.parametrize("text", ["{", "\xff", "[]", '{"version": 2}'])
def test_a_ledger_that_is_not_one_is_refused(text: str) -> None:
    paths = Paths.from_environment()
    paths.state.mkdir(parents=True)
    (paths.state / "editors.json").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"editors\.json"):
        read_ledger(paths)


def test_the_ledger_keeps_installed_extensions_and_the_answer(ledger: Ledger) -> None:
    ledger.installed.append(Installed("VS Code", "/usr/bin/code", "Data", "0.1.0"))
    ledger.consent = False
    ledger.save()
    again = read_ledger(Paths.from_environment())
    assert (again.installed, again.consent) == (ledger.installed, False)


def test_settings_are_read_as_they_are(tmp_path: Path) -> None:
    assert read_settings(tmp_path / "missing.json") is None
    (tmp_path / "s.json").write_bytes(BYTES)
    text = read_settings(tmp_path / "s.json")
    assert text is not None
    assert text.encode() == BYTES
