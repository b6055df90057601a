"""Is a process still the one that we know? Its start time tells: numbers are used again."""

import os
import subprocess
import sys
from pathlib import Path


def start_time(pid: int) -> str:
    """When a process started, as an opaque text; empty when it does not run (any more)."""
    if sys.platform == "win32":
        from jrc.tunnel import windows

        return windows.creation_time(pid)
    else:  # noqa: RET505  mypy takes what follows a return as never run
        return _from_proc(pid) if Path("/proc/self/stat").exists() else _from_ps(pid)


def _from_proc(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # "pid (name) state ppid …": the name may hold anything, a closing parenthesis too.
    fields = stat.rpartition(")")[2].split()
    # proc(5): field 3 is the state, field 22 the start time in ticks since boot.
    if len(fields) < 20 or fields[0] in ("Z", "X"):
        return ""
    return f"{_boot_id()}.{fields[19]}"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _from_ps(pid: int) -> str:
    command = ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    state, _, started = done.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()
