"""The commands as people type them, through the real kubectl to a real Jupyter Server."""

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import nbformat
import psutil
import pytest

from jrc.errors import ExitCode
from jrc.profile.paths import Paths
from jrc.profile.store import ProfileStore
from jrc.tunnel.connect import keeper_status, keepers, stop_keeper
from tests.support.command import Result, jrc_command, jrc_environment, run_jrc
from tests.support.forms import login_form
from tests.support.jupyter import JupyterServer, StartJupyter, wait_until
from tests.support.kube import Kube
from tests.support.tunnels import forwarders_of
from tests.support.webapp import WebApp

pytestmark = pytest.mark.usefixtures("newest")


@pytest.fixture
def paths() -> Iterator[Paths]:
    """jrc's folders; the keepers that a test leaves are ended."""
    paths = Paths.from_environment()
    yield paths
    for profile in keepers(paths):
        stop_keeper(profile, paths)


@pytest.fixture
def cluster(
    kube: Kube, jupyter: JupyterServer, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> Kube:
    """A cluster with the real Jupyter Server and its token in a Secret."""
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig))
    put_jupyter(kube, jupyter)
    return kube


def put_jupyter(kube: Kube, server: JupyterServer, name: str = "jupyter-0") -> None:
    parts = urlsplit(server.url)
    assert parts.hostname
    assert parts.port
    kube.jupyter((parts.hostname, parts.port), name=name)
    kube.do(lambda stub: stub.cluster.secret("jupyter", {"token": server.token}))


def log_in(*more: str) -> Result:
    return run_jrc(
        *("login", "--context", "stub", "-n", "default", "--target", "svc/jupyter"),
        *("--port", "80", "--token-from", "secret/jupyter:token", "-P", "lab", *more),
    )


def row(profile: str = "lab") -> dict[str, object]:
    done = run_jrc("status", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return next(each for each in rows if each["profile"] == profile)


def test_login_brings_up_the_tunnel_and_saves_the_way(cluster: Kube, paths: Paths) -> None:
    done = log_in()
    assert (done.code, done.stdout) == (0, ""), done.stderr
    assert "The tunnel to svc/jupyter (pod jupyter-0) is up." in done.stderr
    profile = ProfileStore(paths).get("lab")
    assert profile.kubernetes
    assert profile.kubernetes.to_table() == {
        "context": "stub",
        "namespace": "default",
        "target": "svc/jupyter",
        "port": 80,
        "kubeconfig": str(cluster.kubeconfig),
    }
    shown = run_jrc("profile", "show", "lab").stdout
    assert "tunnel  svc/jupyter, port 80, in namespace default of context stub" in shown


def test_the_token_is_in_no_file_but_the_store_and_in_no_process_list(
    cluster: Kube, jupyter: JupyterServer, paths: Paths
) -> None:
    assert log_in().code == 0
    home = Path(os.environ["JRC_HOME"])
    files = [p.name for p in home.rglob("*") if p.is_file() and jupyter.token in p.read_text()]
    assert len(files) == 1
    status = keeper_status("lab", paths)
    assert status
    for process in (psutil.Process(status.pid), *forwarders_of(status.pid)):
        assert not any(jupyter.token in word for word in process.cmdline())


def test_login_finds_the_target_and_pins_the_current_context(cluster: Kube, paths: Paths) -> None:
    """One thing looks like Jupyter: no question is asked. Its name becomes the profile's."""
    done = run_jrc("login", "--token-from", "secret/jupyter:token")
    assert done.code == 0, done.stderr
    assert "context 'stub', kubectl's current one" in done.stderr
    assert "Found svc/jupyter" in done.stderr
    (profile,) = ProfileStore(paths).all().values()
    assert profile.name == "jupyter"
    assert profile.kubernetes
    assert (profile.kubernetes.context, profile.kubernetes.target) == ("stub", "svc/jupyter")


def test_login_lists_what_there_is_where_nobody_can_choose(
    cluster: Kube, app: WebApp, paths: Paths
) -> None:
    cluster.do(
        lambda stub: stub.cluster.pod("notebook-7", {8888: app.address}, labels={"app": "other"})
    )
    done = run_jrc("login", "--context", "stub")
    assert done.code == ExitCode.CONFIG
    assert "1  svc/jupyter, port 80" in done.stderr
    assert "2  pod/notebook-7, port 8888" in done.stderr
    assert "--target" in done.stderr
    assert not ProfileStore(paths).all()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--context", "nope"], ExitCode.NOT_FOUND, "kubectl has no context 'nope'; it has stub."),
        (["--target", "jupyter"], ExitCode.USAGE, "'jupyter' is not a target."),
        (["--target", "svc/nope"], ExitCode.NOT_FOUND, 'services "nope" not found'),
        (
            ["--target", "svc/jupyter", "--port", "81"],
            ExitCode.CONFIG,
            "has no port 81; it has 80.",
        ),
        (["--token-from", "x"], ExitCode.USAGE, "not a place to take a token from"),
        (["http://x/", "--target", "svc/jupyter"], ExitCode.USAGE, "exclude each other"),
        (["-n", "empty"], ExitCode.NOT_FOUND, "Nothing in namespace 'empty'"),
    ],
)
def test_login_says_what_is_wrong(
    words: list[str], code: int, text: str, cluster: Kube, paths: Paths
) -> None:
    done = run_jrc("login", *words)
    assert (done.code, done.stdout) == (code, ""), done.stderr
    assert text in done.stderr
    assert not ProfileStore(paths).all()


@pytest.mark.parametrize("inside", ["p8888", 8888])
def test_the_only_port_of_a_service_need_not_be_named(
    inside: str | int, cluster: Kube, paths: Paths
) -> None:
    cluster.do(lambda stub: stub.cluster.service("jupyter", {"app": "jupyter"}, {80: inside}))
    words = ("--target", "svc/jupyter", "--token-from", "secret/jupyter:token", "-P", "lab")
    done = run_jrc("login", *words)
    assert done.code == 0, done.stderr
    route = ProfileStore(paths).get("lab").kubernetes
    assert route
    assert route.port == 80


def test_a_service_with_several_ports_says_them(cluster: Kube, paths: Paths) -> None:
    cluster.do(lambda stub: stub.cluster.service("web", {"app": "jupyter"}, {80: 8080, 443: 8443}))
    done = run_jrc("login", "--target", "svc/web")
    assert done.code == ExitCode.CONFIG
    assert "svc/web has the ports 80, 443" in done.stderr
    assert "--port, one of: 80, 443" in done.stderr


def hint_of(done: Result) -> list[str]:
    """The words of the command in a hint."""
    hint = next(line for line in done.stderr.splitlines() if line.startswith("hint: "))
    return shlex.split(hint[hint.index("jrc ") :])[1:]


def test_a_base_url_is_named_as_an_option_and_no_tunnel_stays(
    kube: Kube,
    start_jupyter: StartJupyter,
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The hint of a login that failed is typed as it is printed, and works."""
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig))
    put_jupyter(kube, start_jupyter(base_url="/a/team/"))
    done = log_in()
    assert done.code == ExitCode.UNREACHABLE
    assert "The Jupyter Server behind svc/jupyter is not at / but at /a/team/." in done.stderr
    assert keeper_status("lab", paths) is None
    again = run_jrc(*hint_of(done))
    assert again.code == 0, again.stderr
    assert ProfileStore(paths).get("lab").url.endswith("/a/team/")


def test_several_pods_are_named(cluster: Kube, jupyter: JupyterServer, paths: Paths) -> None:
    put_jupyter(cluster, jupyter, "jupyter-1")
    done = log_in()
    assert done.code == 0, done.stderr
    assert "2 pods are behind svc/jupyter (jupyter-0, jupyter-1)" in done.stderr


def test_a_port_where_nothing_listens_is_put_right_by_its_hint(cluster: Kube, paths: Paths) -> None:
    """The profile is saved; the hint changes it and makes no second one."""
    assert log_in().code == 0
    profile = ProfileStore(paths).get("lab")
    assert profile.kubernetes
    wrong = replace(profile, kubernetes=replace(profile.kubernetes, port=81))
    ProfileStore(paths).save(wrong, make_default=True)
    done = run_jrc("connect", "lab")
    assert done.code == ExitCode.CONFIG
    words = [word.replace("PORT", "80") for word in hint_of(done)]
    again = run_jrc(*words, "--token-from", "secret/jupyter:token")
    assert again.code == 0, again.stderr
    assert run_jrc("connect", "lab").code == 0
    assert len(ProfileStore(paths).all()) == 1


def test_a_run_brings_up_the_tunnel_and_leaves_it_to_its_idle_end(
    cluster: Kube, paths: Paths, tmp_path: Path
) -> None:
    assert log_in().code == 0
    stop_keeper("lab", paths)
    script = tmp_path / "hello.py"
    script.write_text("print('through the tunnel')\n")
    done = run_jrc("run", script)
    assert (done.code, done.stdout) == (0, "through the tunnel\n"), done.stderr
    assert "Looking for a pod of svc/jupyter" in done.stderr
    status = keeper_status("lab", paths)
    assert status
    assert status.runs()
    again = run_jrc("run", script)
    assert "Looking for a pod" not in again.stderr
    second = keeper_status("lab", paths)
    assert second
    assert second.pid == status.pid


def test_connect_status_disconnect(cluster: Kube, paths: Paths) -> None:
    assert log_in().code == 0
    assert run_jrc("disconnect", "lab").stderr == "The tunnel of 'lab' is ended.\n"
    assert row()["state"] == "down"
    done = run_jrc("connect", "lab")
    assert done.code == 0, done.stderr
    url = done.stdout.strip()
    assert httpx.get(f"{url}api", trust_env=False).json()["version"]
    assert url == ProfileStore(paths).get("lab").url
    state = row()
    assert (state["state"], state["pod"], state["url"]) == ("ready", "jupyter-0", url)
    table = run_jrc("status").stdout
    assert table.splitlines()[0].split()[:3] == ["PROFILE", "STATE", "URL"]
    assert run_jrc("connect", "lab").stdout == done.stdout
    assert run_jrc("disconnect", "--all").stderr == "The tunnel of 'lab' is ended.\n"
    assert run_jrc("disconnect", "lab").stderr == "The tunnel of 'lab' was not up.\n"
    assert run_jrc("disconnect", "--all").stderr == (
        "Nothing was connected: no tunnel was up, and no editor had settings of jrc.\n"
    )
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_the_reason_of_a_failure_stays_to_be_seen(cluster: Kube, paths: Paths) -> None:
    assert log_in().code == 0
    stop_keeper("lab", paths)
    cluster.do(lambda stub: stub.faults.deny.add("create pods/portforward"))
    done = run_jrc("connect", "lab")
    assert done.code == ExitCode.AUTH
    assert "pods/portforward" in done.stderr
    assert "hint:" in done.stderr
    state = row()
    assert state["state"] == "failed"
    error = state["last_error"]
    assert isinstance(error, dict)
    assert error["kind"] == "forbidden"


def test_a_missing_pod_is_told_at_the_deadline(cluster: Kube, paths: Paths) -> None:
    assert log_in().code == 0
    stop_keeper("lab", paths)
    cluster.do(lambda stub: stub.kill_pod("jupyter-0"))
    done = run_jrc("connect", "lab", "--timeout", "3")
    assert done.code == ExitCode.DEADLINE
    assert "No pod belongs to svc/jupyter (selector app=jupyter). Trying again" in done.stderr
    assert "was not ready within 3 s" in done.stderr


def test_connect_in_the_foreground_ends_with_ctrl_c(cluster: Kube, paths: Paths) -> None:
    assert log_in().code == 0
    stop_keeper("lab", paths)
    with subprocess.Popen(
        jrc_command("connect", "--foreground"),
        env=jrc_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}api", trust_env=False).is_success
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert keeper_status("lab", paths) is None


def test_a_direct_profile_needs_no_tunnel(jupyter: JupyterServer, paths: Paths) -> None:
    run_jrc("login", jupyter.url, "-P", "near", "--token-stdin", input=jupyter.token)
    done = run_jrc("connect", "near")
    assert (done.code, done.stdout) == (0, f"{jupyter.url}\n")
    assert "needs no tunnel" in done.stderr
    found = row("near")
    assert (found["url"], found["state"], found["reachable"]) == (jupyter.url, "direct", True)
    assert run_jrc("disconnect", "near").stderr == (
        "'near' has no tunnel: its server is reached directly.\n"
    )


def test_removing_and_renaming_a_profile_ends_its_tunnel(cluster: Kube, paths: Paths) -> None:
    assert log_in().code == 0
    first = keeper_status("lab", paths)
    assert first
    assert run_jrc("profile", "rename", "lab", "laboratory").code == 0
    assert not first.runs()
    assert run_jrc("connect", "laboratory").code == 0
    second = keeper_status("laboratory", paths)
    assert second
    assert second.port == first.port
    assert run_jrc("profile", "remove", "laboratory", "--yes").code == 0
    assert not second.runs()


def test_open_leads_the_browser_there_once(cluster: Kube, jupyter: JupyterServer) -> None:
    """No address carries the token: the page posts it."""
    assert log_in().code == 0
    with subprocess.Popen(
        jrc_command("open", "lab", "--print"),
        env=jrc_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        assert jupyter.token not in address
        with httpx.Client(trust_env=False) as browser:
            assert browser.get(f"{address}x").status_code == 404
            action, form = login_form(browser.get(address))
            assert urlsplit(action).port == urlsplit(ProfileUrl.get()).port
            assert browser.post(action, data=form).status_code == 302
            assert browser.get(f"{ProfileUrl.get()}api/status").status_code == 200
        assert process.wait(60) == 0


class ProfileUrl:
    """The URL of the profile under test."""

    @staticmethod
    def get() -> str:
        return ProfileStore(Paths.from_environment()).get("lab").url


def test_a_tab_key_starts_no_tunnel(cluster: Kube, paths: Paths) -> None:
    assert log_in().code == 0
    stop_keeper("lab", paths)
    words = {"COMP_WORDS": "jrc kernel stop ", "COMP_CWORD": "3", "_JRC_COMPLETE": "complete_bash"}
    run_jrc("kernel", "stop", env=words)
    assert keeper_status("lab", paths) is None


CELL_SECONDS = 30


def test_a_run_survives_lost_connections_and_a_dead_keeper(
    cluster: Kube, paths: Paths, start_jupyter: StartJupyter, tmp_path: Path
) -> None:
    """A minute of a notebook, three lost pod connections, a keeper killed: the same outputs."""
    server = start_jupyter()
    cluster.do(lambda stub: stub.kill_pod("jupyter-0"))
    put_jupyter(cluster, server, "jupyter-1")
    assert log_in().code == 0
    ticks = CELL_SECONDS * 4
    source = (
        f"import time\nfor i in range({ticks}):\n    print(i, flush=True)\n    time.sleep(0.25)"
    )
    cells = [nbformat.v4.new_code_cell(source) for _ in range(2)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(notebook, tmp_path / "ticks.ipynb")
    with subprocess.Popen(
        jrc_command("run", tmp_path / "ticks.ipynb"),
        env=jrc_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        for tick, line in enumerate(process.stdout):
            if tick in (20, 70, 110):
                cluster.do(lambda stub: stub.drop_sessions())
            if tick == 160:
                status = keeper_status("lab", paths)
                assert status
                os.kill(status.pid, signal.SIGKILL)
            last = line
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert last == f"{ticks - 1}\n"
    result = nbformat.read(tmp_path / "ticks.out.ipynb", as_version=4)
    text = "".join(f"{tick}\n" for tick in range(ticks))
    for cell in result.cells:
        assert "".join(output.text for output in cell.outputs) == text
    wait_until(lambda: not server.rest("GET", "api/kernels"), "the kernel is deleted")


def test_a_password_server_behind_the_tunnel(
    kube: Kube,
    paths: Paths,
    start_jupyter: StartJupyter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig))
    put_jupyter(kube, start_jupyter(password="open sésame"))
    target = ("--context", "stub", "-n", "default", "--target", "svc/jupyter", "--port", "80")
    refused = run_jrc("login", *target, "-P", "lab", "--password-stdin", input="wrong\n")
    assert refused.code == ExitCode.AUTH
    assert "password" in refused.stderr
    done = run_jrc("login", *target, "-P", "lab", "--password-stdin", input="open sésame\n")
    assert done.code == 0, done.stderr
    assert ProfileStore(paths).get("lab").auth == "password"
    (tmp_path / "hello.py").write_text("print('hello')\n")
    done = run_jrc("run", tmp_path / "hello.py")
    assert (done.code, done.stdout) == (0, "hello\n"), done.stderr
