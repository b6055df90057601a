"""Which kubectl programs this machine has. ``python -m tests.support.kubectls`` lists them.

Port-forward speaks SPDY up to 1.30 and a websocket from 1.31 on, and 1.20 differs in how it ends:
the tests want one of each kind. ``.ci/kubectl`` gets what is missing.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path.home() / ".cache" / "jrc-tests" / "kubectl"
"""Where ``.ci/kubectl`` puts those that the system does not have."""


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
    candidates = list(FOLDER.glob("kubectl*"))
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
        AssertionError: a kind is missing; says how to get it.
    """
    spdy = [program for program in all_kubectls() if program.version <= (1, 30)]
    websocket = [program for program in all_kubectls() if program.version > (1, 30)]
    assert spdy, "no kubectl up to 1.30 is installed: run .ci/kubectl"
    assert websocket, "no kubectl from 1.31 on is installed: run .ci/kubectl"
    return tuple(dict.fromkeys((spdy[0], spdy[-1], websocket[-1])))


def _version(path: Path) -> tuple[int, int] | None:
    if not os.access(path, os.X_OK) or path.is_dir():
        return None
    command = [str(path), "version", "--client", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    try:
        client = json.loads(done.stdout)["clientVersion"]
        return int(client["major"]), int(client["minor"].rstrip("+"))
    except (ValueError, KeyError):
        return None


if __name__ == "__main__":
    for program in all_kubectls():
        print(program, program.path)
