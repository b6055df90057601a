"""Machines with editors of the VS Code family, and such editors as programs.

The programs keep a list of extensions, and note each call.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

from jrc.editor.surroundings import Surroundings

_PROGRAM = """\
#!{python}
import json, pathlib, sys, zipfile
folder = pathlib.Path({folder!r})
words = sys.argv[1:]
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps(words) + "\\n")
fault = folder / "fault"
if fault.exists():
    print(fault.read_text(), file=sys.stderr)
    sys.exit(1)
profile = words[words.index("--profile") + 1] if "--profile" in words else "default"
listed = folder / profile
there = set(listed.read_text().split()) if listed.exists() else set()
if words[0] == "--list-extensions":
    print(*sorted(there), sep="\\n")
elif words[0] == "--install-extension":
    package = json.loads(zipfile.ZipFile(words[1]).read("extension/package.json"))
    name = package["publisher"] + "." + package["name"]
    there = {{each for each in there if not each.startswith(name + "@")}}
    there.add(name + "@" + package["version"])
elif words[0] == "--uninstall-extension":
    there = {{each for each in there if not each.startswith(words[1] + "@")}}
listed.write_text("\\n".join(there))
"""


@dataclass(frozen=True)
class FakeEditor:
    """An editor's command line on the search path, and what it was asked."""

    command: Path
    folder: Path

    @property
    def calls(self) -> list[list[str]]:
        """The words of each call."""
        notes = self.folder / "calls"
        return (
            [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
        )

    def extensions(self, profile: str = "default") -> list[str]:
        """``publisher.name@version`` of what is installed."""
        listed = self.folder / profile
        return sorted(listed.read_text().split()) if listed.exists() else []

    def break_with(self, words: str) -> None:
        """From now on every call fails with these words."""
        (self.folder / "fault").write_text(words)


def fake_editor(bin_folder: Path, name: str) -> FakeEditor:
    """Put an editor into a folder of programs."""
    folder = bin_folder / f".{name}"
    folder.mkdir(parents=True)
    command = bin_folder / name
    command.write_text(_PROGRAM.format(python=sys.executable, folder=os.fspath(folder)))
    command.chmod(0o755)
    return FakeEditor(command, folder)


def machine(
    platform: str,
    home: str,
    *,
    folders: tuple[str, ...] = (),
    files: dict[str, str] | None = None,
    env: dict[str, str] | None = None,
) -> Surroundings[PurePath]:
    """A machine of which these folders and files exist."""
    kind = PureWindowsPath if platform == "win32" else PurePosixPath
    there = {kind(folder) for folder in folders}
    texts = {kind(file): text for file, text in (files or {}).items()}
    return Surroundings(
        platform=platform,
        environment=env or {},
        home=kind(home),
        exists=lambda path: path in there,
        read=lambda path: texts.get(kind(path)),
        children=lambda path: sorted(folder for folder in there if folder.parent == path),
    )
