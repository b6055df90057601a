"""The ``jrc-kernel`` command: its probe, and the one line of a relay that can't start."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from jrc.errors import ExitCode
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.store import ProfileStore
from tests.support.jupyter import JupyterServer
from tests.support.relay import StartKernel, free_ports, relay_argv, write_kernelspec

ROOT = Path(__file__).parents[2]

BEFORE_THE_PORTS = {
    "asyncio",
    "filelock",
    "httpx",
    "logging",
    "platformdirs",
    "ssl",
    "tomlkit",
    "websockets",
    "zmq.asyncio",
}
"""What the listening ports must not wait for."""


@pytest.fixture
def connection_file(tmp_path: Path) -> Path:
    names = ("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port")
    with free_ports(len(names)) as ports:
        fields = {"ip": "127.0.0.1", "key": "k", **dict(zip(names, ports, strict=True))}
    path = tmp_path / "connection.json"
    path.write_text(json.dumps(fields))
    return path


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*relay_argv()[:-2], *args],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **env},
        timeout=60,
    )


def test_the_command_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"]["jrc-kernel"] == "jrc.relay.main:main"


def test_the_probe_of_an_editor_is_refused_without_a_word() -> None:
    """VS Code's Python extension runs every argv[0] like this."""
    ended = run("-I", "/extensions/python/interpreterInfo.py")
    assert (ended.stdout, ended.stderr) == ("", "")
    assert ended.returncode != 0


@pytest.mark.parametrize("args", [(), ("-f",), ("--help",), ("-f=",), ("--debug", "a")])
def test_no_connection_file_gets_one_line(args: tuple[str, ...]) -> None:
    ended = run(*args)
    assert ended.returncode == ExitCode.USAGE
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert "jrc connect" in ended.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("-f", "FILE", "--HistoryManager.hist_file=:memory:"),
        ("--debug", "-f=FILE"),
        ("extra", "--f=FILE"),
        ("--IPKernelApp.connection_file=FILE", "--"),
    ],
)
def test_other_arguments_are_passed_over(args: tuple[str, ...], connection_file: Path) -> None:
    """Clients add some for ipykernel; a kernel that refuses them looks dead."""
    ended = run(*(word.replace("FILE", str(connection_file)) for word in args))
    assert ended.stderr == "jrc-kernel: No server is saved yet. (Type: jrc login URL)\n"


def test_a_missing_connection_file_gets_one_line(tmp_path: Path) -> None:
    ended = run("-f", str(tmp_path / "none.json"))
    assert ended.returncode == ExitCode.CONFIG
    assert len(ended.stderr.splitlines()) == 1


def test_little_is_imported_before_the_ports_are_bound(connection_file: Path) -> None:
    code = (
        "import sys; import jrc.relay.main; from pathlib import Path;"
        "from jrc.relay.sockets import Sockets, read_connection_file;"
        "s = Sockets(read_connection_file(Path(sys.argv[1]))); print(*sys.modules); s.close()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(connection_file)], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert BEFORE_THE_PORTS.isdisjoint(ended.stdout.split())


def test_no_server_is_an_error_of_configuration(connection_file: Path) -> None:
    ended = run("-f", str(connection_file))
    assert ended.returncode == ExitCode.CONFIG
    assert ended.stderr == "jrc-kernel: No server is saved yet. (Type: jrc login URL)\n"


def test_a_missing_profile_is_named(connection_file: Path) -> None:
    ended = run("-f", str(connection_file), JRC_PROFILE="ml")
    assert ended.returncode == ExitCode.NOT_FOUND
    assert "'ml'" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_wrong_token_is_an_error_of_authentication(
    connection_file: Path, jupyter: JupyterServer
) -> None:
    ended = run("-f", str(connection_file), JRC_URL=jupyter.url, JRC_TOKEN="wrong")
    assert ended.returncode == ExitCode.AUTH
    assert len(ended.stderr.splitlines()) == 1
    assert "wrong" not in ended.stderr


def test_a_server_that_is_away_is_named(connection_file: Path) -> None:
    with free_ports(1) as (port,):
        url = f"http://127.0.0.1:{port}/"
    ended = run("-f", str(connection_file), JRC_URL=url, JRC_TOKEN="x")
    assert ended.returncode == ExitCode.UNREACHABLE
    assert str(port) in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_an_unknown_kernelspec_is_named(connection_file: Path, remote: JupyterServer) -> None:
    ended = run("-f", str(connection_file), JRC_KERNEL="cobol")
    assert ended.returncode == ExitCode.NOT_FOUND
    assert "cobol" in ended.stderr
    assert "python3" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert list((Paths.from_environment().state / "relays").iterdir()) == []


def test_the_profile_of_the_kernelspec_is_used(
    start_kernel: StartKernel,
    kernelspecs: Path,
    jupyter: JupyterServer,
    at_server: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even where the environment of the editor names another server."""
    ProfileStore(Paths.from_environment()).save(Profile("ml", jupyter.url), make_default=False)
    write_kernelspec(kernelspecs, "ml", JRC_PROFILE="ml")
    monkeypatch.setenv("JRC_TOKEN", jupyter.token)
    monkeypatch.setenv("JRC_URL", "http://127.0.0.1:9/")
    assert start_kernel("ml").ready().run("print('here')").text == "here\n"
