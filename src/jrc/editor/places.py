"""Where VS Code and its relatives keep settings, and Jupyter its kernelspecs. Pure.

A desktop editor reads ``User/settings.json`` and one such file for each of its own profiles. What
runs on the far side of Remote-SSH, WSL or a dev container reads ``data/Machine/settings.json`` of
the server that the editor put there, and code-server the one in its data folder. In remote windows
VS Code ignores the paths of programs that the person's own settings name.

Source: vscode ``src/vs/platform/environment/node/userDataPath.ts``,
``src/vs/platform/userDataProfile/node/userDataProfile.ts``; code-server ``src/node/util.ts``;
jupyter_core ``paths.py``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic

from jrc.editor.surroundings import P, Surroundings
from jrc.shapes import list_at, map_at, parse, text_at


@dataclass(frozen=True)
class Editor:
    """An editor of the VS Code family. To support another one, add it to ``EDITORS``.

    Attributes:
        command: its command line.
        name: what people call it.
        folder: its folder among the platform's application data; empty for none.
        servers: the folders under the home folder where its remote servers live.
        mac_application: its name among the applications of macOS; empty for none.
        windows_program: its folder among the programs of Windows; empty for none.
    """

    command: str
    name: str
    folder: str
    servers: tuple[str, ...] = ()
    mac_application: str = ""
    windows_program: str = ""


EDITORS = (
    Editor(
        "code",
        "VS Code",
        "Code",
        (".vscode-server", ".vscode-remote"),  # the second one in GitHub Codespaces
        "Visual Studio Code",
        "Microsoft VS Code",
    ),
    Editor(
        "code-insiders",
        "VS Code Insiders",
        "Code - Insiders",
        (".vscode-server-insiders",),
        "Visual Studio Code - Insiders",
        "Microsoft VS Code Insiders",
    ),
    Editor("codium", "VSCodium", "VSCodium", (".vscodium-server",), "VSCodium", "VSCodium"),
    Editor(
        "codium-insiders",
        "VSCodium Insiders",
        "VSCodium - Insiders",
        (".vscodium-server-insiders",),
        "VSCodium - Insiders",
        "VSCodium Insiders",
    ),
    Editor("cursor", "Cursor", "Cursor", (".cursor-server",), "Cursor", r"cursor\resources\app"),
    Editor("windsurf", "Windsurf", "Windsurf", (".windsurf-server",), "Windsurf", "Windsurf"),
    Editor("code-oss", "Code - OSS", "Code - OSS", (".vscode-server-oss",)),
)

CODE_SERVER = Editor("code-server", "code-server", "code-server")
OPENVSCODE = Editor("openvscode-server", "OpenVSCode Server", "", (".openvscode-server",))


class SettingsKind(StrEnum):
    """Whose settings a file holds."""

    USER = "user"
    PROFILE = "profile"
    REMOTE = "remote"
    WORKSPACE = "workspace"


@dataclass(frozen=True)
class SettingsFile(Generic[P]):
    """A settings file, which may not exist yet.

    Attributes:
        editor: the name of the editor; empty for a workspace, which all of them read.
        kind: whose settings it holds.
        path: the file.
        profile: the name of the editor's own profile; empty for its default one.
    """

    editor: str
    kind: SettingsKind
    path: P
    profile: str = ""

    @property
    def label(self) -> str:
        """The place in words."""
        if self.kind is SettingsKind.WORKSPACE:
            return "this workspace"
        if self.kind is SettingsKind.PROFILE:
            return f"{self.editor}, profile {self.profile}"
        return f"{self.editor}, remote" if self.kind is SettingsKind.REMOTE else self.editor


@dataclass(frozen=True)
class EditorProfile:
    """A profile of an editor: a set of settings and extensions beside the default one.

    Attributes:
        location: its folder among the profiles.
        name: what people call it.
        own_settings, own_extensions: whether it shares those of the default profile, or not.
    """

    location: str
    name: str
    own_settings: bool
    own_extensions: bool


def settings_files(machine: Surroundings[P]) -> list[SettingsFile[P]]:
    """The settings files of every editor that was used on this machine, each file once."""
    found: dict[P, SettingsFile[P]] = {}
    for place in _all_files(machine):
        found.setdefault(place.path, place)
    return list(found.values())


def workspace_settings(folder: P) -> SettingsFile[P]:
    """The settings file of a workspace folder."""
    return SettingsFile("", SettingsKind.WORKSPACE, folder / ".vscode" / "settings.json")


def profiles_with_extensions(machine: Surroundings[P], editor: Editor) -> list[str]:
    """The names of a desktop editor's profiles that have extensions of their own."""
    user = application_data(machine) / editor.folder / "User"
    profiles = _editor_profiles(machine.read(user / "globalStorage" / "storage.json"))
    return [profile.name for profile in profiles if profile.own_extensions]


def application_data(machine: Surroundings[P]) -> P:
    """The folder that holds the desktop editors' own folders."""
    if machine.platform == "win32":
        default = machine.folder("APPDATA", machine.home / "AppData" / "Roaming")
    elif machine.platform == "darwin":
        default = machine.home / "Library" / "Application Support"
    else:
        default = machine.folder("XDG_CONFIG_HOME", machine.home / ".config")
    return machine.folder("VSCODE_APPDATA", default)


def jupyter_data(machine: Surroundings[P]) -> P:
    """Jupyter's data folder of this person: kernelspecs are in its folder ``kernels``."""
    if machine.platform == "win32":
        default = machine.folder("APPDATA", machine.home / "AppData" / "Roaming") / "jupyter"
    elif machine.platform == "darwin":
        default = machine.home / "Library" / "Jupyter"
    else:
        default = machine.folder("XDG_DATA_HOME", machine.home / ".local" / "share") / "jupyter"
    return machine.folder("JUPYTER_DATA_DIR", default)


def server_folders(machine: Surroundings[P]) -> list[tuple[Editor, P]]:
    """The folders of remote servers that are on this machine, each with its editor."""
    folders = [
        (editor, machine.home / name)
        for editor in (*EDITORS, OPENVSCODE)
        for name in editor.servers
    ]
    agent = machine.environment.get("VSCODE_AGENT_FOLDER")
    if agent:
        folders.append((EDITORS[0], machine.path(agent)))
    return [(editor, folder) for editor, folder in folders if machine.exists(folder)]


def _all_files(machine: Surroundings[P]) -> Iterator[SettingsFile[P]]:
    portable = machine.environment.get("VSCODE_PORTABLE")
    if portable:
        user = machine.path(portable) / "user-data" / "User"
        yield from _user_files(machine, EDITORS[0], user)
    for editor in EDITORS:
        user = application_data(machine) / editor.folder / "User"
        yield from _user_files(machine, editor, user)
    data = _code_server_data(machine)
    if machine.exists(data):
        # Its windows are remote windows: settings of the machine are read from here only.
        yield SettingsFile(CODE_SERVER.name, SettingsKind.USER, data / "Machine" / "settings.json")
    for editor, folder in server_folders(machine):
        settings = folder / "data" / "Machine" / "settings.json"
        yield SettingsFile(editor.name, SettingsKind.REMOTE, settings)


def _user_files(machine: Surroundings[P], editor: Editor, user: P) -> Iterator[SettingsFile[P]]:
    if not machine.exists(user):
        return
    yield SettingsFile(editor.name, SettingsKind.USER, user / "settings.json")
    for profile in _editor_profiles(machine.read(user / "globalStorage" / "storage.json")):
        folder = user / "profiles" / profile.location
        if profile.own_settings and machine.exists(folder):
            settings = folder / "settings.json"
            yield SettingsFile(editor.name, SettingsKind.PROFILE, settings, profile.name)


def _editor_profiles(storage: str | None) -> list[EditorProfile]:
    """The profiles that an editor's storage.json lists."""
    try:
        stored = parse(storage or "{}")
    except ValueError:
        return []
    found = []
    for profile in list_at(stored, "userDataProfiles"):
        # Older versions store a whole URI. Whatever the file says, the folder is taken to be
        # directly below the folder of profiles.
        path = text_at(profile, "location") or text_at(profile, "location", "path")
        location = re.split(r"[/\\]", path)[-1]
        name = text_at(profile, "name")
        if location in ("", ".", "..") or not name:
            continue
        shared = map_at(profile, "useDefaultFlags")
        found.append(
            EditorProfile(
                location,
                name,
                own_settings=shared.get("settings") is not True,
                own_extensions=shared.get("extensions") is not True,
            )
        )
    return found


def _code_server_data(machine: Surroundings[P]) -> P:
    """code-server's data folder: named in its config file, or the XDG one, on macOS too."""
    if machine.platform == "win32":
        local = machine.folder("LOCALAPPDATA", machine.home / "AppData" / "Local")
        config, data = local / "code-server" / "Config", local / "code-server" / "Data"
    else:
        config = machine.folder("XDG_CONFIG_HOME", machine.home / ".config") / "code-server"
        data = machine.folder("XDG_DATA_HOME", machine.home / ".local" / "share") / "code-server"
    text = machine.read(machine.folder("CODE_SERVER_CONFIG", config / "config.yaml")) or ""
    named = re.search(r"""^user-data-dir:[ \t]*(["']?)(.+?)\1[ \t]*$""", text, re.MULTILINE)
    return machine.path(named[2]) if named else data
