"""Which editors are found, and how they are told to install the companion."""

import json
import shutil
from pathlib import Path, PurePath

import pytest

from jrc.editor import editors
from jrc.editor.editors import EXTENSION, EditorCommand, find_editors
from jrc.editor.surroundings import here
from jrc.editor.vsix import build_vsix
from jrc.errors import ConfigError, DeadlineError
from tests.support.editors import FakeEditor, fake_editor, machine


@pytest.fixture
def code(tmp_path: Path) -> FakeEditor:
    return fake_editor(tmp_path / "bin", "code")


@pytest.fixture
def vsix(tmp_path: Path) -> Path:
    path = tmp_path / "companion.vsix"
    path.write_bytes(build_vsix("1.2.3"))
    return path


def test_editors_on_the_search_path_are_found(tmp_path: Path) -> None:
    for name in ("code", "codium", "cursor", "code-server", "code-insiders"):
        fake_editor(tmp_path, name)
    found = find_editors(here(), lambda name: shutil.which(name, path=str(tmp_path)))
    assert [(editor.name, Path(editor.command).name) for editor in found] == [
        ("VS Code", "code"),
        ("VS Code Insiders", "code-insiders"),
        ("VSCodium", "codium"),
        ("Cursor", "cursor"),
        ("code-server", "code-server"),
    ]


@pytest.mark.parametrize(
    ("platform", "home", "program", "name"),
    [
        (
            "darwin",
            "/Users/ada",
            "/Applications/Visual Studio Code.app/Contents/Resources/app/bin/code",
            "VS Code",
        ),
        (
            "darwin",
            "/Users/ada",
            "/Users/ada/Applications/Cursor.app/Contents/Resources/app/bin/cursor",
            "Cursor",
        ),
        (
            "win32",
            r"C:\Users\ada",
            r"C:\Users\ada\AppData\Local\Programs\Microsoft VS Code\bin\code.cmd",
            "VS Code",
        ),
        (
            "win32",
            r"C:\Users\ada",
            r"C:\Program Files\VSCodium\bin\codium.cmd",
            "VSCodium",
        ),
        (
            "linux",
            "/home/ada",
            "/home/ada/.vscode-server/bin/f00d/bin/code-server",
            "VS Code, remote",
        ),
        (
            "linux",
            "/home/ada",
            "/home/ada/.vscode-server/cli/servers/Stable-f00d/server/bin/code-server",
            "VS Code, remote",
        ),
    ],
)
def test_editors_off_the_search_path_are_found(
    platform: str, home: str, program: str, name: str
) -> None:
    path: PurePath = type(machine(platform, home).home)(program)
    folders = (program, *(str(parent) for parent in path.parents))
    found = find_editors(machine(platform, home, folders=folders), lambda _: None)
    assert found == [EditorCommand(name, program)]


def test_in_a_remote_terminal_the_same_server_is_found_once() -> None:
    program = "/root/.vscode-server/bin/f00d/bin/remote-cli/code"
    folders = ("/root/.vscode-server", "/root/.vscode-server/bin/f00d/bin/code-server")
    there = machine("linux", "/root", folders=folders)
    found = find_editors(there, lambda name: program if name == "code" else None)
    assert found == [EditorCommand("VS Code", program)]


def test_profiles_with_extensions_of_their_own_are_served_too() -> None:
    user = "/home/ada/.config/Code/User"
    profiles = [
        {"location": "1", "name": "Data science"},
        {"location": "2", "name": "Same", "useDefaultFlags": {"extensions": True}},
    ]
    storage = {f"{user}/globalStorage/storage.json": json.dumps({"userDataProfiles": profiles})}
    there = machine("linux", "/home/ada", folders=(user,), files=storage)
    (found,) = find_editors(there, lambda name: "/usr/bin/code" if name == "code" else None)
    assert found.profiles == ("", "Data science")


def test_installing_listing_and_uninstalling(code: FakeEditor, vsix: Path) -> None:
    editor = EditorCommand("VS Code", str(code.command))
    assert editors.installed_version(editor, "") is None
    editors.install(editor, "", vsix)
    editors.install(editor, "Data science", vsix)
    assert editors.installed_version(editor, "") == "1.2.3"
    assert code.extensions("Data science") == [f"{EXTENSION}@1.2.3"]
    editors.uninstall(editor, "")
    assert (code.extensions(), editors.installed_version(editor, "")) == ([], None)
    assert code.calls[1] == ["--install-extension", str(vsix), "--force"]
    assert code.calls[2][-2:] == ["--profile", "Data science"]


def test_a_refusal_is_told_in_the_editors_own_words(code: FakeEditor, vsix: Path) -> None:
    code.break_with("You are trying to start it as a super user.\nUse --no-sandbox.")
    with pytest.raises(ConfigError, match=r"VS Code refused .*--install-extension`: Use --no-s"):
        editors.install(EditorCommand("VS Code", str(code.command)), "", vsix)


def test_a_program_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Can't run"):
        editors.installed_version(EditorCommand("VS Code", str(tmp_path / "code")), "")


def test_an_editor_that_hangs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = tmp_path / "code"
    sleeper.write_text("#!/bin/sh\nexec sleep 600\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(editors, "DEADLINE", 0.2)
    with pytest.raises(DeadlineError, match="VS Code did not answer"):
        editors.installed_version(EditorCommand("VS Code", str(sleeper)), "")
