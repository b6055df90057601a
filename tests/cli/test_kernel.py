"""`jrc kernel` on a real server."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import typer
from typer.main import get_command

from jrc.cli import kernel as module
from jrc.cli.kernel import Row, complete_kernel
from jrc.cli.terminal import duration
from jrc.server.models import KernelModel
from tests.support.command import Result, run_jrc
from tests.support.jupyter import JupyterServer
from tests.support.web import Reply, Web

Jrc = Callable[..., Result]


@pytest.fixture
def jrc(jupyter: JupyterServer) -> Iterator[Jrc]:
    """`jrc kernel …` on the shared server; afterwards no kernel of this test is left there."""
    before = {kernel["id"] for kernel in jupyter.rest("GET", "api/kernels")}

    def run(*args: str) -> Result:
        return run_jrc("kernel", *args, env={"JRC_URL": jupyter.url, "JRC_TOKEN": jupyter.token})

    yield run
    for kernel in jupyter.rest("GET", "api/kernels"):
        if kernel["id"] not in before:
            jupyter.rest("DELETE", f"api/kernels/{kernel['id']}")


def test_start_list_restart_interrupt_stop(jrc: Jrc, jupyter: JupyterServer) -> None:
    """A kernel's whole life, each time named by the beginning of its id."""
    started = jrc("start", "python3")
    assert started.code == 0, started.stderr
    kernel_id = started.stdout.strip()
    assert [kernel["id"] for kernel in jupyter.rest("GET", "api/kernels")] == [kernel_id]

    table = jrc("list").stdout.splitlines()
    assert table[0].split() == ["ID", "NAME", "STATE", "SESSION-PATH", "IDLE", "CONNECTIONS"]
    cells = table[1].split()
    assert cells[:2] == [kernel_id[:8], "python3"]
    assert re.fullmatch(r"jrc/.+@.+/kernel-[0-9a-f]{8}", cells[3])
    assert cells[-1] == "0"

    (line,) = jrc("list", "--json").stdout.splitlines()
    listed = json.loads(line)
    assert listed["id"] == kernel_id
    assert listed["session_path"] == cells[3]
    assert set(listed) == {
        *["id", "name", "state", "session_path", "last_activity", "connections"],
    }

    assert jrc("restart", kernel_id).stderr == f"Kernel {kernel_id[:8]} restarted.\n"
    assert jrc("interrupt", kernel_id[:6]).stderr == f"Kernel {kernel_id[:8]} interrupted.\n"
    stopped = jrc("stop", kernel_id[:4], kernel_id, "--json")
    assert json.loads(stopped.stdout) == {"id": kernel_id, "event": "stopped"}
    assert stopped.stderr == ""
    assert jupyter.rest("GET", "api/kernels") == []


def test_a_kernelspec_that_is_not_there_leads_to_those_that_are(jrc: Jrc) -> None:
    refused = jrc("start", "nope")
    assert refused.code == 5
    assert "The server has no kernel 'nope'. It has: " in refused.stderr
    assert refused.stderr.endswith("hint: Choose one of them: jrc kernel start NAME\n")
    assert jrc("start", "python3").code == 0


def test_start_prints_json(jrc: Jrc) -> None:
    started = json.loads(jrc("start", "--json").stdout)
    assert started["name"] == "python3"
    assert started["session_path"].startswith("jrc/")


def test_an_empty_list_is_said_on_stderr(jrc: Jrc) -> None:
    listed = jrc("list")
    assert (listed.code, listed.stdout) == (0, "")
    assert listed.stderr == "No kernel runs on the server.\n"
    assert jrc("list", "--json").stdout == ""


def test_an_unknown_kernel_stops_none(jrc: Jrc, jupyter: JupyterServer) -> None:
    kernel_id = jrc("start").stdout.strip()
    result = jrc("stop", kernel_id, "zzz")
    assert result.code == 5
    assert "error: No kernel's id begins with 'zzz'." in result.stderr
    assert "hint: See those that run: jrc kernel list" in result.stderr
    assert [kernel["id"] for kernel in jupyter.rest("GET", "api/kernels")] == [kernel_id]


def test_an_ambiguous_id_stands_for_no_kernel() -> None:
    two = Reply(body=b'[{"id": "3f2a91c0-1"}, {"id": "3f2a91c0-2"}]')
    with Web({"/api/kernels": two}) as web:
        env = {"JRC_URL": web.url, "JRC_TOKEN": "t"}
        result = run_jrc("kernel", "interrupt", "3f", env=env)
    assert result.code == 5
    assert "Several kernels' ids begin with '3f': 3f2a91c0-1, 3f2a91c0-2." in result.stderr
    assert [request.method for request in web.requests] == ["GET"]


def test_an_unknown_kernelspec(jrc: Jrc) -> None:
    result = jrc("start", "julia")
    assert result.code == 5
    assert "julia" in result.stderr
    assert "python3" in result.stderr


def test_without_a_profile() -> None:
    result = run_jrc("kernel", "list")
    assert result.code == 3
    assert "hint: Type: jrc login URL" in result.stderr


def test_a_wrong_token(jupyter: JupyterServer) -> None:
    env = {"JRC_URL": jupyter.url, "JRC_TOKEN": "wr0ng"}
    result = run_jrc("kernel", "list", env=env)
    assert result.code == 4
    assert "refused the credentials" in result.stderr
    assert "wr0ng" not in result.stderr


def test_help_fits_a_screen() -> None:
    for command in ([], ["list"], ["start"], ["stop"], ["interrupt"], ["restart"]):
        result = run_jrc("kernel", *command, "--help")
        assert result.code == 0
        assert len(result.stdout.splitlines()) <= 24
        assert "Example:" in result.stdout


def context() -> typer.Context:
    return typer.Context(get_command(module.app))


def test_completion_shows_ids_with_what_they_are(
    jrc: Jrc, jupyter: JupyterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JRC_URL", jupyter.url)
    monkeypatch.setenv("JRC_TOKEN", jupyter.token)
    kernel_id = jrc("start").stdout.strip()
    ((short, help_text),) = complete_kernel(context(), kernel_id[:3])
    assert short == kernel_id[:8]
    assert help_text.startswith("python3 ")
    assert complete_kernel(context(), "zzz") == []


def test_completion_is_silent_without_a_server(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert complete_kernel(context(), "") == []
    monkeypatch.setenv("JRC_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("JRC_TOKEN", "t")
    assert complete_kernel(context(), "") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0.9, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (2e5, "2d")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_busy_kernel_is_not_idle_and_one_without_a_session_has_no_path() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    busy = Row(KernelModel("abc", "python3", "busy", now - timedelta(hours=2), 1), "")
    assert busy.as_cells("abc", now) == ["abc", "python3", "busy", "-", "-", "1"]
    idle = Row(KernelModel("abc", "python3", "idle", now - timedelta(hours=2), 1), "a/b")
    assert idle.as_cells("abc", now)[3:5] == ["a/b", "2h"]
    assert Row(KernelModel("a", "b", "idle", None, 0), "").as_cells("a", now)[4] == "-"
