"""``jrc connect --vscode`` and ``jrc disconnect`` as people type them, tunnel or not."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jrc.editor.connect import console_script
from jrc.editor.jsonc import loads
from jrc.editor.places import application_data, jupyter_data
from jrc.editor.surroundings import here
from jrc.profile.paths import Paths
from jrc.tunnel.connect import keepers, stop_keeper
from tests.support import node
from tests.support.command import Result, run_jrc
from tests.support.editors import FakeEditor, fake_editor
from tests.support.jupyter import JupyterServer
from tests.support.kube import Kube
from tests.support.kubectls import chosen_kubectls

pytestmark = pytest.mark.timeout(600)

SETTINGS = '{\r\n\t// mine\r\n\t"editor.fontSize": 14,\r\n}\r\n'


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEditor:
    """VS Code, used before."""
    editor = fake_editor(tmp_path / "bin", "code")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    settings().parent.mkdir(parents=True)
    settings().write_bytes(SETTINGS.encode())
    return editor


def settings() -> Path:
    return application_data(here()) / "Code" / "User" / "settings.json"


def kernelspec() -> dict[str, object]:
    file = jupyter_data(here()) / "kernels" / "jrc-lab-python3" / "kernel.json"
    loaded: dict[str, object] = json.loads(file.read_text("utf-8"))
    return loaded


@pytest.fixture
def direct(jupyter: JupyterServer) -> None:
    """The server, reached without a tunnel, is the profile ``lab``."""
    token = f"{jupyter.token}\n"
    ended_well(run_jrc("login", jupyter.url, "-P", "lab", "--token-stdin", input=token))


@pytest.fixture
def tunnelled(
    jupyter: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The server, in a cluster, is the profile ``lab``; its tunnel is down."""
    monkeypatch.setenv("JRC_KUBECTL", chosen_kubectls()[-1].path)
    with Kube(tmp_path) as kube:
        monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig))
        parts = urlsplit(jupyter.url)
        assert parts.hostname
        assert parts.port
        kube.jupyter((parts.hostname, parts.port), name="jupyter-0")
        kube.do(lambda stub: stub.cluster.secret("jupyter", {"token": jupyter.token}))
        words = ["--context", "stub", "-n", "default", "--target", "svc/jupyter", "--port", "80"]
        ended_well(run_jrc("login", *words, "--token-from", "secret/jupyter:token", "-P", "lab"))
        run_jrc("disconnect", "lab")
        yield
        paths = Paths.from_environment()
        for profile in keepers(paths):
            stop_keeper(profile, paths)


def ended_well(done: Result) -> Result:
    assert done.code == 0, done.stderr
    return done


def secret_is_nowhere(secret: str, code: FakeEditor) -> bool:
    """In none of the files that an editor or Jupyter reads, nor in what the editor was asked."""
    folders = (application_data(here()), jupyter_data(here()))
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 2
    return not any(
        secret.encode() in content
        for content in (*(path.read_bytes() for path in files), repr(code.calls).encode())
    )


@pytest.mark.usefixtures("direct")
def test_a_server_without_a_tunnel(code: FakeEditor, jupyter: JupyterServer) -> None:
    done = ended_well(run_jrc("connect", "lab", "--vscode", "--yes"))
    assert done.stdout == f"{jupyter.url}\n"
    assert f"changed {settings()} (VS Code)" in done.stderr
    servers = {"lab": {"label": "lab", "url": jupyter.url, "profile": "lab"}}
    assert loads(settings().read_text())["jrc.servers"] == servers
    assert kernelspec()["argv"] == [console_script("jrc-kernel"), "-f", "{connection_file}"]
    assert len(code.extensions()) == 1
    assert secret_is_nowhere(jupyter.token, code)
    ended_well(run_jrc("disconnect", "lab"))
    assert settings().read_bytes() == SETTINGS.encode()
    assert code.extensions() == []


@pytest.mark.usefixtures("direct", "code")
def test_disconnecting_all_says_what_it_did_for_a_server_without_a_tunnel() -> None:
    ended_well(run_jrc("connect", "lab", "--vscode", "--yes"))
    said = ended_well(run_jrc("disconnect", "--all")).stderr
    assert f"changed {settings()}" in said
    assert "tunnel" not in said
    said = ended_well(run_jrc("disconnect", "--all")).stderr
    assert said == "Nothing was connected: no tunnel was up, and no editor had settings of jrc.\n"
    # Kernelspecs stay until they are asked for, also when the settings are gone already.
    said = ended_well(run_jrc("disconnect", "--all", "--remove-kernelspecs")).stderr
    assert f"removed {jupyter_data(here()) / 'kernels'}" in said
    assert not list((jupyter_data(here()) / "kernels").iterdir())


@pytest.mark.usefixtures("direct")
def test_a_dry_run_touches_nothing(code: FakeEditor) -> None:
    done = ended_well(run_jrc("connect", "lab", "--vscode", "--dry-run"))
    assert f"+++ {settings()}" in done.stdout
    assert settings().read_bytes() == SETTINGS.encode()
    assert not (jupyter_data(here()) / "kernels").exists()
    assert code.extensions() == []


@pytest.mark.usefixtures("direct")
def test_a_workspace(code: FakeEditor, tmp_path: Path) -> None:
    ended_well(
        run_jrc("connect", "lab", "--vscode", "--yes", "--workspace", ".", cwd=tmp_path / "bin")
    )
    shared = tmp_path / "bin" / ".vscode" / "settings.json"
    assert "jrc.servers" in loads(shared.read_text())
    ended_well(run_jrc("disconnect", "lab"))
    assert not shared.parent.exists()


@pytest.mark.usefixtures("direct")
def test_a_broken_file_makes_the_exit_code_3_and_the_rest_is_done(code: FakeEditor) -> None:
    settings().write_text('{\n  "a": 1,\n  "b"\n}\n')
    done = run_jrc("connect", "lab", "--vscode", "--yes")
    assert done.code == 3
    assert f"error: {settings()}: line 4, column 1: a ':' is missing." in done.stderr
    assert kernelspec()["display_name"] == "Python 3 · lab (jrc)"
    assert settings().read_text() == '{\n  "a": 1,\n  "b"\n}\n'


@pytest.mark.usefixtures("direct")
def test_a_profile_that_is_renamed_and_removed(code: FakeEditor) -> None:
    ended_well(run_jrc("connect", "lab", "--vscode", "--yes"))
    done = ended_well(run_jrc("profile", "rename", "lab", "gpu"))
    assert f"changed {settings()} (VS Code)" in done.stderr
    assert kernelspec()["display_name"] == "Python 3 · gpu (jrc)"
    assert list(loads(settings().read_text())["jrc.servers"]) == ["gpu"]  # type: ignore[arg-type]
    done = ended_well(run_jrc("profile", "remove", "gpu", "--yes"))
    assert f"removed {jupyter_data(here()) / 'kernels' / 'jrc-lab-python3'}" in done.stderr
    assert settings().read_bytes() == SETTINGS.encode()
    assert code.extensions() == []


@pytest.mark.usefixtures("direct")
def test_what_keeps_an_editors_file_from_a_removal_is_corrected_later(code: FakeEditor) -> None:
    """The profile is gone, and its traces can be taken out all the same."""
    ended_well(run_jrc("connect", "lab", "--vscode", "--yes"))
    good = settings().read_bytes()
    settings().write_bytes(good + b"{")
    done = run_jrc("profile", "remove", "lab", "--yes")
    assert done.code == 3
    assert "'lab' is removed." in done.stderr
    assert "hint: Correct it, then type: jrc disconnect lab --remove-kernelspecs" in done.stderr
    settings().write_bytes(good)
    ended_well(run_jrc("disconnect", "lab", "--remove-kernelspecs"))
    assert settings().read_bytes() == SETTINGS.encode()


@pytest.mark.usefixtures("tunnelled")
def test_a_server_in_a_cluster(code: FakeEditor, jupyter: JupyterServer, javascript: Path) -> None:
    """Settings name the tunnel's address; VS Code's own library works through the keeper."""
    url = ended_well(run_jrc("connect", "lab", "--vscode", "--yes")).stdout.strip()
    assert url != jupyter.url
    servers = loads(settings().read_text())["jrc.servers"]
    assert servers == {"lab": {"label": "lab", "url": url, "profile": "lab"}}
    assert secret_is_nowhere(jupyter.token, code)
    state = json.loads(run_jrc("companion", "status", "lab").stdout)
    assert (state["state"], state["detail"]) == ("ready", "jupyter-0")
    env = {
        "JRC_TEST_SECRET": jupyter.token,
        "JRC_TEST_PATH": console_script("jrc"),
        "JRC_TEST_PROFILE": "lab",
    }
    node.run(javascript, "--test", "services.test.js", env=env)
    ended_well(run_jrc("disconnect", "lab"))
    assert settings().read_bytes() == SETTINGS.encode()
    state = json.loads(run_jrc("companion", "status", "lab").stdout)
    assert state["state"] == "stopped"


@pytest.mark.usefixtures("tunnelled", "code")
def test_the_companion_brings_the_tunnel_up(jupyter: JupyterServer) -> None:
    """A notebook is opened before anybody has typed connect."""
    answer = json.loads(ended_well(run_jrc("companion", "resolve", "lab")).stdout)
    assert answer["base_url"].startswith("http://127.0.0.1:")
    assert answer["headers"] == {"Authorization": f"token {jupyter.token}"}
    state = json.loads(run_jrc("companion", "status", "lab").stdout)
    assert state["state"] == "ready"
