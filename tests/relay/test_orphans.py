"""A relay that is killed without a word, and the next jrc command, whichever it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer
from tests.support.relay import StartKernel

SCRIPT = "print(1)\n"


@pytest.mark.parametrize("words", [["run", "a.py"], ["kernel", "list"]], ids=" ".join)
def test_the_next_command_deletes_the_kernel(
    words: list[str],
    remote: JupyterServer,
    start_kernel: StartKernel,
    tmp_path: Path,
    home: Path,
) -> None:
    (tmp_path / "a.py").write_text(SCRIPT)
    kernel = start_kernel().ready()
    (session,) = sessions(remote)
    kernel.process.kill()
    kernel.wait_for_exit()
    ended = run_jrc(*words, cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert sessions(remote) == []
    assert list((home / "jrc" / "state" / "relays").iterdir()) == []
    told = f"Deleted the kernel of {session['path']}: its editor was killed."
    assert told in ended.stderr
    assert ended.stdout == ("1\n" if words[0] == "run" else "")


def test_a_relay_that_lives_keeps_its_kernel(
    remote: JupyterServer, start_kernel: StartKernel, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text(SCRIPT)
    kernel = start_kernel().ready()
    assert run_jrc("run", "a.py", cwd=tmp_path).stdout == "1\n"
    assert kernel.run("print(2)").text == "2\n"


def sessions(server: JupyterServer) -> list[dict[str, Any]]:
    """The sessions on a server."""
    ask: Callable[..., list[dict[str, Any]]] = server.rest
    return ask("GET", "api/sessions")
