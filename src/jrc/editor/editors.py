"""Finds VS Code and its relatives, and manages the companion extension in each of them."""

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jrc.editor.places import (
    CODE_SERVER,
    EDITORS,
    OPENVSCODE,
    Editor,
    profiles_with_extensions,
    server_folders,
)
from jrc.editor.surroundings import P, Surroundings
from jrc.errors import ConfigError, DeadlineError
from jrc.profile.environment import for_programs

EXTENSION = "jrc-cli.jrc-companion"
"""The companion's identifier: publisher and name of its package.json."""

DEADLINE = 180.0
"""Seconds for one command of an editor. A cold start of VS Code in WSL takes half a minute."""


@dataclass(frozen=True)
class EditorCommand:
    """An editor that can install an extension from the command line.

    Attributes:
        name: what people call it.
        command: the absolute path of its command line.
        profiles: its own profiles that have extensions of their own; the empty name, first, is
            the default one.
    """

    name: str
    command: str
    profiles: tuple[str, ...] = ("",)


def find_editors(
    machine: Surroundings[P], which: Callable[[str], str | None]
) -> list[EditorCommand]:
    """The editors of this machine: on the search path, or where their installers put them.

    Args:
        machine: what is there.
        which: finds a program on the search path, as ``shutil.which``.
    """
    found = []
    seen: set[str] = set()
    for editor in (*EDITORS, CODE_SERVER, OPENVSCODE):
        command = which(editor.command) or _installed(machine, editor)
        if command:
            seen.add(command)
            profiles = ("", *profiles_with_extensions(machine, editor)) if editor.folder else ("",)
            found.append(EditorCommand(editor.name, command, profiles))
    for editor, folder in server_folders(machine):
        server = _server_program(machine, folder)
        # In a terminal of a remote window, the search path already has this server.
        if server and not any(command.startswith(str(folder)) for command in seen):
            found.append(EditorCommand(f"{editor.name}, remote", server))
    return found


def installed_version(editor: EditorCommand, profile: str) -> str | None:
    """The version of the companion in a profile of an editor; None if it is not there.

    Raises:
        ConfigError: the editor could not say.
        DeadlineError: it did not answer.
    """
    listed = _run(editor, profile, "--list-extensions", "--show-versions")
    found = re.search(rf"^{re.escape(EXTENSION)}@(\S+)\s*$", listed, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else None


def install(editor: EditorCommand, profile: str, vsix: Path) -> None:
    """Install the companion in a profile of an editor, over any other version of it.

    Raises:
        ConfigError: the editor refused; the message quotes it.
        DeadlineError: it did not answer.
    """
    _run(editor, profile, "--install-extension", str(vsix), "--force")


def uninstall(editor: EditorCommand, profile: str) -> None:
    """Uninstall the companion from a profile of an editor.

    Raises:
        ConfigError: the editor refused; the message quotes it.
        DeadlineError: it did not answer.
    """
    _run(editor, profile, "--uninstall-extension", EXTENSION)


def _run(editor: EditorCommand, profile: str, *words: str) -> str:
    command = [editor.command, *words, *(["--profile", profile] if profile else [])]
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=DEADLINE,
            env=for_programs(os.environ),
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineError(
            f"{editor.name} did not answer `{editor.command} {words[0]}` within {DEADLINE:g} s."
        ) from error
    except OSError as error:
        raise ConfigError(f"Can't run {editor.command}: {error.strerror}.") from error
    if ended.returncode:
        raise ConfigError(
            f"{editor.name} refused `{editor.command} {words[0]}`: {_last_line(ended)}"
        )
    return ended.stdout


def _last_line(ended: "subprocess.CompletedProcess[str]") -> str:
    lines = [line.strip() for line in (ended.stderr or ended.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {ended.returncode}, without a message"


def _installed(machine: Surroundings[P], editor: Editor) -> str | None:
    """The command line where an installer puts it, for when it is not on the search path."""
    places = []
    if machine.platform == "darwin" and editor.mac_application:
        bundle = f"{editor.mac_application}.app"
        inside = machine.path("Contents") / "Resources" / "app" / "bin"
        for folder in (machine.path("/Applications"), machine.home / "Applications"):
            places += [folder / bundle / inside / name for name in (editor.command, "code")]
    elif machine.platform == "win32" and editor.windows_program:
        local = machine.folder("LOCALAPPDATA", machine.home / "AppData" / "Local") / "Programs"
        for folder in (local, machine.folder("PROGRAMFILES", machine.path(r"C:\Program Files"))):
            program = folder / editor.windows_program / "bin" / f"{editor.command}.cmd"
            places.append(program)
    return next((str(place) for place in places if machine.exists(place)), None)


def _server_program(machine: Surroundings[P], folder: P) -> str | None:
    """The command line of a remote server that an editor installed, in any of its versions."""
    homes = machine.children(folder / "bin")
    homes += [home / "server" for home in machine.children(folder / "cli" / "servers")]
    for home in homes:
        for program in machine.children(home / "bin"):
            if "server" in program.name:
                return str(program)
    return None
