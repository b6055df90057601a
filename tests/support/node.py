"""Node.js, and the packages that the tests of the companion extension need."""

import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "editor" / "javascript"


def program(name: str) -> str:
    """The path of ``node`` or ``npm``; a failure that says how to get it where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not on the search path. Debian: apt-get install nodejs npm")
    return found


def prepare(folder: Path) -> Path:
    """A folder with the companion, its tests, and the packages that these need.

    The stand-in of VS Code is where ``require('vscode')`` finds it.
    """
    for source in SOURCES.iterdir():
        shutil.copy(source, folder)
    companion = files("jrc.editor") / "companion" / "extension.js"
    (folder / "extension.js").write_bytes(companion.read_bytes())
    done = subprocess.run(
        [program("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "npm_config_cache": str(folder / ".npm")},
    )
    if done.returncode:
        pytest.fail(f"npm install ended with {done.returncode}:\n{done.stderr}")
    stand_in = folder / "node_modules" / "vscode"
    stand_in.mkdir()
    shutil.move(folder / "vscode.js", stand_in / "index.js")
    return folder


def run(folder: Path, *words: str, env: dict[str, str] | None = None) -> None:
    """Run a program of Node there; fail with all that it printed unless it ends well."""
    done = subprocess.run(
        [program("node"), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        printed = done.stdout + done.stderr
        pytest.fail(f"node {' '.join(words)} ended with {done.returncode}:\n{printed}")
