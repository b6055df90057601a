"""The companion extension under Node.js, and what ``jrc companion`` answers it."""

import json
import os
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from jrc.editor.connect import console_script
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.route import Route
from jrc.profile.store import ProfileStore
from jrc.tunnel.cause import Cause, Kind
from jrc.tunnel.machine import Phase
from jrc.tunnel.processes import start_time
from jrc.tunnel.status import KeeperFiles, KeeperStatus, Spec
from tests.support import node
from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer, StartJupyter, wait_until

# The first test that needs the packages waits for them.
pytestmark = pytest.mark.timeout(600)


def login(server: JupyterServer) -> str:
    """Save a server as the profile ``ml`` and give its secret."""
    word = "--token-stdin" if server.token else "--password-stdin"
    secret = server.token or server.password
    done = run_jrc("login", server.url, "--profile", "ml", word, input=f"{secret}\n")
    assert done.code == 0, done.stderr
    return secret


def test_the_types_fit_the_published_ones(javascript: Path) -> None:
    """Against the typings of the oldest VS Code that package.json allows."""
    node.run(javascript, "node_modules/typescript/bin/tsc", "--project", ".")


def test_the_typings_are_those_of_the_oldest_editor(javascript: Path) -> None:
    package = files("jrc.editor") / "companion" / "package.json"
    oldest = json.loads(package.read_text("utf-8"))["engines"]["vscode"].removeprefix("^")
    tests = json.loads((javascript / "package.json").read_text("utf-8"))
    assert tests["devDependencies"]["@types/vscode"] == oldest


def test_no_workspace_chooses_a_program() -> None:
    package = json.loads((files("jrc.editor") / "companion" / "package.json").read_text("utf-8"))
    untrusted = package["capabilities"]["untrustedWorkspaces"]
    settings = package["contributes"]["configuration"]["properties"]
    assert untrusted["supported"] == "limited"
    assert set(untrusted["restrictedConfigurations"]) == set(settings)
    assert settings["jrc.path"]["scope"] == settings["jrc.home"]["scope"] == "machine"


def test_the_companion_in_a_stand_in_of_vscode(javascript: Path) -> None:
    node.run(javascript, "--test", "extension.test.js")


@pytest.mark.parametrize("kind", ["token", "password"])
def test_the_companion_with_vscodes_library_and_a_real_server(
    javascript: Path, start_jupyter: StartJupyter, kind: str
) -> None:
    """The base URL has a part that must stay quoted, as in a hub's URL of a user."""
    password = "open sesame/1" if kind == "password" else ""
    server = start_jupyter(password=password, base_url="/user/a%20b/")
    env = {
        "JRC_TEST_SECRET": login(server),
        "JRC_TEST_PATH": console_script("jrc"),
        "JRC_TEST_PROFILE": "ml",
    }
    node.run(javascript, "--test", "services.test.js", env=env)
    wait_until(lambda: not server.kernel_processes(), "the end of the kernels")


def test_resolve_gives_address_and_credentials(jupyter: JupyterServer) -> None:
    login(jupyter)
    done = run_jrc("companion", "resolve", "ml")
    assert json.loads(done.stdout) == {
        "id": "ml",
        "base_url": jupyter.url,
        "headers": {"Authorization": f"token {jupyter.token}"},
    }
    assert done.stderr == ""


def test_resolve_tells_what_is_wrong(jupyter: JupyterServer) -> None:
    login(jupyter)
    missing = run_jrc("companion", "resolve", "other")
    assert (missing.code, missing.stdout) == (5, "")
    assert "error: There is no profile 'other'. Saved: ml." in missing.stderr
    refused = run_jrc("companion", "resolve", "ml", env={"JRC_TOKEN": "wrong-planted-secret"})
    assert (refused.code, refused.stdout) == (4, "")
    assert "planted" not in refused.stderr


def test_status_tells_each_servers_state(start_jupyter: StartJupyter) -> None:
    server = start_jupyter()
    login(server)
    both = run_jrc("companion", "status", "ml", "other")
    ready, unknown = map(json.loads, both.stdout.splitlines())
    assert ready == {"profile": "ml", "state": "ready", "detail": server.url}
    assert (unknown["profile"], unknown["state"]) == ("other", "failed")
    server.stop()
    gone = json.loads(run_jrc("companion", "status", "ml").stdout)
    assert gone["state"] == "failed"
    assert server.url.rstrip("/").rpartition("/")[2] in gone["detail"]


ROUTE = Route(context="c", namespace="n", target="svc/jupyter", port=8888)


@pytest.mark.parametrize(
    ("phase", "cause", "expected"),
    [
        (None, None, ("stopped", "The tunnel comes up when it is needed.")),
        (Phase.RESOLVING, None, ("starting", "svc/jupyter")),
        (Phase.PROBING, None, ("starting", "svc/jupyter")),
        (Phase.READY, None, ("failed", "The tunnel's background process ended unexpectedly.")),
        (Phase.FAILED, Cause(Kind.LOST, "No pod."), ("failed", "No pod.")),
        (Phase.WAITING, Cause(Kind.LOST, "Lost."), ("waiting", "Lost.")),
    ],
)
def test_status_tells_of_tunnels_and_starts_none(
    phase: Phase | None, cause: Cause | None, expected: tuple[str, str]
) -> None:
    paths = Paths.from_environment()
    profile = Profile("k8s", "http://127.0.0.1:1/", kubernetes=ROUTE)
    ProfileStore(paths).save(profile, make_default=True)
    if phase:
        files = KeeperFiles.of(paths, "k8s")
        files.prepare()
        # This test's own process stands for a keeper, unless it is to be gone.
        started = "" if phase is Phase.READY else start_time(os.getpid())
        spec = Spec("k8s", ROUTE, 40001)
        files.write(KeeperStatus(spec, os.getpid(), started, phase, 0.0, cause=cause))
    answer = json.loads(run_jrc("companion", "status", "k8s").stdout)
    assert (answer["state"], answer["detail"]) == expected


def test_vsix_is_written_to_a_file(tmp_path: Path) -> None:
    done = run_jrc("companion", "vsix", tmp_path / "companion.vsix")
    assert done.code == 0
    assert str(tmp_path / "companion.vsix") in done.stderr
    with zipfile.ZipFile(tmp_path / "companion.vsix") as vsix:
        assert vsix.testzip() is None


def test_the_command_is_for_programs_and_not_in_the_help() -> None:
    assert "companion" not in run_jrc("--help").stdout
    assert "companion vsix" in run_jrc("companion", "--help").stdout
