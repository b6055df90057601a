"""``jrc status`` of servers that are reached without a tunnel."""

import json
from typing import Any

from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer
from tests.support.servers import free_port


def log_in(server: JupyterServer, name: str) -> None:
    done = run_jrc("login", server.url, "-P", name, "--token-stdin", input=server.token)
    assert done.code == 0, done.stderr


def row(name: str, **env: str) -> dict[str, Any]:
    done = run_jrc("status", "--json", env=env)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return next(each for each in rows if each["profile"] == name)


def test_a_server_that_answers(jupyter: JupyterServer) -> None:
    log_in(jupyter, "near")
    found = row("near")
    assert found["reachable"]
    assert found["server"].startswith("Jupyter Server ")
    assert found["last_error"] is None
    done = run_jrc("status")
    assert done.stdout.splitlines()[1].split()[:3] == ["near", "reachable", jupyter.url]
    assert f"near: {found['server']}" in done.stderr


def test_a_secret_of_the_environment_goes_to_one_server_only(jupyter: JupyterServer) -> None:
    """The other profile's server does not see it, and is not said to refuse it."""
    log_in(jupyter, "first")
    log_in(jupyter, "second")
    assert row("first", JRC_TOKEN="wr0ng")["last_error"]["kind"] == "refused"
    assert row("second", JRC_TOKEN="wr0ng")["last_error"] is None


def test_a_server_that_refuses(jupyter: JupyterServer) -> None:
    log_in(jupyter, "near")
    error = row("near", JRC_TOKEN="wr0ng")["last_error"]
    assert error["kind"] == "refused"
    assert "_xsrf" not in error["message"]
    assert "unset JRC_TOKEN" in error["hint"]
    assert run_jrc("status", env={"JRC_TOKEN": "wr0ng"}).stdout.split()[9] == "refused"


def test_a_server_that_is_gone(jupyter: JupyterServer) -> None:
    log_in(jupyter, "near")
    url = f"http://127.0.0.1:{free_port()}/"
    from jrc.profile.model import Profile
    from jrc.profile.paths import Paths
    from jrc.profile.store import ProfileStore

    ProfileStore(Paths.from_environment()).save(Profile("gone", url), make_default=False)
    found = row("gone")
    assert not found["reachable"]
    assert "Nothing listens" in found["last_error"]["message"]
    assert "unreachable" in run_jrc("status").stdout
