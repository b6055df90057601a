"""Settings folders on three platforms, none of which needs to be the one of the test."""

import json
from pathlib import PurePath, PurePosixPath

import pytest

from jrc.editor.places import (
    EDITORS,
    SettingsFile,
    SettingsKind,
    jupyter_data,
    server_folders,
    settings_files,
    workspace_settings,
)
from jrc.editor.surroundings import Surroundings, here
from tests.support.editors import machine


def found(machine: Surroundings[PurePath]) -> list[str]:
    return [str(place.path) for place in settings_files(machine)]


@pytest.mark.parametrize("editor", EDITORS, ids=lambda editor: editor.command)
@pytest.mark.parametrize(
    ("platform", "home", "base"),
    [
        ("linux", "/home/ada", "/home/ada/.config"),
        ("darwin", "/Users/ada", "/Users/ada/Library/Application Support"),
        ("win32", r"C:\Users\ada", r"C:\Users\ada\AppData\Roaming"),
    ],
)
def test_each_editor_has_a_folder_on_each_platform(
    platform: str, home: str, base: str, editor: object
) -> None:
    name = getattr(editor, "folder")  # noqa: B009
    slash = "\\" if platform == "win32" else "/"
    user = slash.join([base, name, "User"])
    assert found(machine(platform, home, folders=(user,))) == [user + slash + "settings.json"]


def test_an_editor_that_was_never_used_gets_no_folder() -> None:
    assert found(machine("linux", "/home/ada")) == []


@pytest.mark.parametrize(
    ("platform", "env", "folder"),
    [
        ("linux", {"XDG_CONFIG_HOME": "/cfg"}, "/cfg/Code/User"),
        ("linux", {"VSCODE_APPDATA": "/app"}, "/app/Code/User"),
        ("linux", {"VSCODE_PORTABLE": "/stick"}, "/stick/user-data/User"),
        ("win32", {"APPDATA": r"D:\Roaming"}, r"D:\Roaming\Code\User"),
    ],
)
def test_the_environment_moves_the_folders(platform: str, env: dict[str, str], folder: str) -> None:
    home = r"C:\Users\ada" if platform == "win32" else "/home/ada"
    (place,) = settings_files(machine(platform, home, folders=(folder,), env=env))
    assert str(place.path.parent) == folder


@pytest.mark.parametrize(
    ("platform", "home", "env", "folder"),
    [
        ("linux", "/home/ada", {}, "/home/ada/.local/share/code-server"),
        ("darwin", "/Users/ada", {}, "/Users/ada/.local/share/code-server"),
        ("linux", "/home/ada", {"XDG_DATA_HOME": "/data"}, "/data/code-server"),
        ("win32", r"C:\Users\ada", {}, r"C:\Users\ada\AppData\Local\code-server\Data"),
    ],
)
def test_code_server_reads_its_machine_settings(
    platform: str, home: str, env: dict[str, str], folder: str
) -> None:
    """On macOS too it follows XDG; its User/settings.json can't name programs."""
    (place,) = settings_files(machine(platform, home, folders=(folder,), env=env))
    assert (place.label, place.path.parts[-2:]) == ("code-server", ("Machine", "settings.json"))
    assert str(place.path.parent.parent) == folder


def test_code_server_is_where_its_config_file_says() -> None:
    config = {"/home/ada/.config/code-server/config.yaml": 'auth: none\nuser-data-dir: "/d ata"\n'}
    assert found(machine("linux", "/home/ada", folders=("/d ata",), files=config)) == [
        "/d ata/Machine/settings.json"
    ]


@pytest.mark.parametrize(
    ("folder", "editor"),
    [
        (".vscode-server", "VS Code"),
        (".vscode-remote", "VS Code"),
        (".vscode-server-insiders", "VS Code Insiders"),
        (".vscodium-server", "VSCodium"),
        (".cursor-server", "Cursor"),
        (".openvscode-server", "OpenVSCode Server"),
    ],
)
def test_the_far_side_of_a_remote_window_has_machine_settings(folder: str, editor: str) -> None:
    there = machine("linux", "/home/ada", folders=(f"/home/ada/{folder}",))
    assert settings_files(there) == [
        SettingsFile(
            editor,
            SettingsKind.REMOTE,
            PurePosixPath(f"/home/ada/{folder}/data/Machine/settings.json"),
        )
    ]
    assert [str(path) for _, path in server_folders(there)] == [f"/home/ada/{folder}"]


def test_the_variable_of_a_remote_server_moves_its_folder() -> None:
    there = machine(
        "linux", "/root", folders=("/srv/agent",), env={"VSCODE_AGENT_FOLDER": "/srv/agent"}
    )
    assert found(there) == ["/srv/agent/data/Machine/settings.json"]


def test_a_folder_that_two_rules_name_is_listed_once() -> None:
    env = {"VSCODE_AGENT_FOLDER": "/root/.vscode-server"}
    assert len(found(machine("linux", "/root", folders=("/root/.vscode-server",), env=env))) == 1


PROFILES = {
    "userDataProfiles": [
        {"location": "-1a2b", "name": "Data"},
        {"location": "3c", "name": "Docs", "useDefaultFlags": {"settings": True}},
        {"location": {"path": "/c:/Users/ada/x/profiles/5e"}, "name": "Old"},
        {"location": "../../outside", "name": "Odd"},
        {"location": "..", "name": "Odder"},
        {"location": "gone", "name": "Removed"},
        {"name": "No place"},
        "text",
    ]
}


@pytest.mark.parametrize(
    ("platform", "home", "user"),
    [
        ("linux", "/home/ada", "/home/ada/.config/Code/User"),
        ("win32", r"C:\Users\ada", r"C:\Users\ada\AppData\Roaming\Code\User"),
    ],
)
def test_profiles_with_settings_of_their_own_are_found(platform: str, home: str, user: str) -> None:
    slash = "\\" if platform == "win32" else "/"
    base = slash.join([user, "profiles", ""])
    folders = (user, base + "-1a2b", base + "3c", base + "5e", base + "outside")
    storage = {slash.join([user, "globalStorage", "storage.json"]): json.dumps(PROFILES)}
    places = settings_files(machine(platform, home, folders=folders, files=storage))
    assert [(place.kind.value, place.profile, place.path.parent.name) for place in places] == [
        ("user", "", "User"),
        ("profile", "Data", "-1a2b"),
        ("profile", "Old", "5e"),
        ("profile", "Odd", "outside"),
    ]
    assert places[1].label == "VS Code, profile Data"


@pytest.mark.parametrize("storage", ["", "{", "[]", '{"userDataProfiles": {}}'])
def test_an_unreadable_list_of_profiles_hides_only_them(storage: str) -> None:
    user = "/home/ada/.config/Code/User"
    files = {f"{user}/globalStorage/storage.json": storage}
    assert len(found(machine("linux", "/home/ada", folders=(user,), files=files))) == 1


@pytest.mark.parametrize(
    ("platform", "home", "env", "folder"),
    [
        ("linux", "/home/ada", {}, "/home/ada/.local/share/jupyter"),
        ("linux", "/home/ada", {"XDG_DATA_HOME": "/data"}, "/data/jupyter"),
        ("darwin", "/Users/ada", {"XDG_DATA_HOME": "/data"}, "/Users/ada/Library/Jupyter"),
        ("win32", r"C:\Users\ada", {}, r"C:\Users\ada\AppData\Roaming\jupyter"),
        ("win32", r"C:\Users\ada", {"APPDATA": r"D:\R"}, r"D:\R\jupyter"),
        ("darwin", "/Users/ada", {"JUPYTER_DATA_DIR": "/j"}, "/j"),
    ],
)
def test_jupyters_data_folder_follows_jupyters_rules(
    platform: str, home: str, env: dict[str, str], folder: str
) -> None:
    assert str(jupyter_data(machine(platform, home, env=env))) == folder


def test_jupyter_itself_agrees_about_its_data_folder() -> None:
    """The oracle, on the platform of the test."""
    from jupyter_core.paths import jupyter_data_dir

    assert str(jupyter_data(here())) == jupyter_data_dir()


def test_a_workspace_has_its_own_file() -> None:
    place = workspace_settings(PurePosixPath("/w"))
    assert (str(place.path), place.label) == ("/w/.vscode/settings.json", "this workspace")
