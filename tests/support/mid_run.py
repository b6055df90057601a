"""A run through a tunnel that waits in its first cell, so that a test can break what it needs."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import nbformat

from tests.support.command import jrc_command, jrc_environment, run_jrc
from tests.support.jupyter import JupyterServer, wait_until
from tests.support.kube import Kube
from tests.support.running import write_notebook

ALL = ["through\n", "second\n"]


def put_pod(kube: Kube, server: JupyterServer, name: str, created: str | None = None) -> None:
    parts = urlsplit(server.url)
    assert parts.hostname
    assert parts.port
    kube.jupyter((parts.hostname, parts.port), name=name, created=created)


def log_in(kube: Kube, server: JupyterServer) -> None:
    put_pod(kube, server, "jupyter-0", "2026-01-01T00:00:00Z")
    kube.do(lambda stub: stub.cluster.secret("jupyter", {"token": server.token}))
    done = run_jrc(
        *("login", "--context", "stub", "-n", "default", "--target", "svc/jupyter"),
        *("--port", "80", "--token-from", "secret/jupyter:token", "-P", "lab"),
    )
    assert done.code == 0, done.stderr


@contextmanager
def running(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", Callable[[], None]]]:
    """``jrc run`` in its first cell, which waits; and what lets it go on."""
    begun, gate = folder / "begun", folder / "gate"
    wait = (
        f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\n"
        f"while not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)\nprint('through')"
    )
    path = write_notebook(folder / "n.ipynb", [wait, "print('second')"])
    command = jrc_command("run", "-P", "lab", "-o", folder / "out.ipynb", path)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=jrc_environment(),
    )
    try:
        wait_until(begun.exists, "the first cell begins", timeout=60)
        yield process, gate.touch
    finally:
        gate.touch()
        process.kill()
        process.communicate()


def texts(path: Path) -> list[str]:
    """What each cell printed."""
    notebook = nbformat.read(path, as_version=4)
    return ["".join(each.get("text", "") for each in cell.outputs) for cell in notebook.cells]
