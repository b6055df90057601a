"""What a run of a person sees when its tunnel is taken away: real kubectl, real Jupyter Server."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jrc.errors import ExitCode
from jrc.profile.paths import Paths
from jrc.tunnel.connect import keeper_status, keepers, stop_keeper
from tests.support.command import jrc_command, jrc_environment, run_jrc
from tests.support.jupyter import JupyterServer, StartJupyter, wait_until
from tests.support.kube import Kube
from tests.support.mid_run import ALL, log_in, put_pod, running, texts
from tests.support.running import write_notebook
from tests.support.tunnels import forwarders_of

pytestmark = pytest.mark.usefixtures("newest")


@pytest.fixture
def paths() -> Iterator[Paths]:
    paths = Paths.from_environment()
    yield paths
    for profile in keepers(paths):
        stop_keeper(profile, paths)


@pytest.fixture
def cluster(
    kube: Kube, jupyter: JupyterServer, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> Kube:
    """A cluster with the real Jupyter Server, logged in to."""
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig))
    log_in(kube, jupyter)
    return kube


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_a_keeper_that_ends_unasked_costs_a_run_nothing(
    sign: signal.Signals, cluster: Kube, paths: Paths, tmp_path: Path
) -> None:
    with running(tmp_path) as (process, go_on):
        before = keeper_status("lab", paths)
        assert before
        os.kill(before.pid, sign)
        wait_until(
            lambda: (now := keeper_status("lab", paths)) and now.runs() and now.pid != before.pid,
            "another keeper",
        )
        go_on()
        output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output
    assert texts(tmp_path / "out.ipynb") == ALL


def test_a_disconnect_in_mid_run_is_said_at_once_and_the_run_can_be_attached_to(
    cluster: Kube, paths: Paths, tmp_path: Path
) -> None:
    with running(tmp_path) as (process, go_on):
        assert run_jrc("disconnect", "lab").code == 0
        # It does not wait for the patience of --reconnect; the cell still runs.
        output, _ = process.communicate(timeout=45)
        assert process.returncode == ExitCode.UNREACHABLE, output
        assert "The tunnel of 'lab' was ended (jrc disconnect)." in output
        assert keeper_status("lab", paths) is None
        (run, *_) = re.findall(r"jrc attach (\w+)", output)
        go_on()
    done = run_jrc("attach", run)
    assert done.code == 0, done.stderr
    assert texts(tmp_path / "out.ipynb") == ALL


def test_a_disconnect_while_a_kernel_starts_leaves_none(
    kube: Kube,
    start_jupyter: StartJupyter,
    paths: Paths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is named at once, and deleted by the next command that reaches its server."""
    server = start_jupyter()
    spec = server.folder / "home" / "data" / "kernels" / "mute"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-c", "import time; time.sleep(600)", "{connection_file}"]
    text = json.dumps({"argv": argv, "display_name": "mute", "language": "python"})
    (spec / "kernel.json").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig))
    log_in(kube, server)
    path = write_notebook(tmp_path / "n.ipynb", ["1"])
    process = subprocess.Popen(
        jrc_command("run", "-P", "lab", "--kernel", "mute", path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=jrc_environment(),
    )
    try:
        wait_until(lambda: server.rest("GET", "api/kernels"), "the kernel is asked for", timeout=60)
        (kernel,) = server.rest("GET", "api/kernels")
        assert run_jrc("disconnect", "lab").code == 0
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == ExitCode.UNREACHABLE, output
    assert "The tunnel of 'lab' was ended (jrc disconnect)." in output
    assert f"jrc kernel stop {kernel['id']}" in output
    assert run_jrc("kernel", "list", "-P", "lab").code == 0
    wait_until(lambda: not server.rest("GET", "api/kernels"), "the kernel is deleted")


@pytest.mark.parametrize("answer", [401, 403])
def test_an_api_server_that_restarts_costs_a_run_nothing(
    answer: int, cluster: Kube, paths: Paths, tmp_path: Path
) -> None:
    with running(tmp_path) as (process, go_on):
        cluster.restart(starting=answer)
        go_on()
        wait_until(lambda: cluster.do(lambda stub: stub.refusals) > 1, "refusals")
        cluster.started()
        output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output
    assert texts(tmp_path / "out.ipynb") == ALL


def test_a_killed_kubectl_does_not_lead_a_run_to_a_newer_pod(
    cluster: Kube, paths: Paths, tmp_path: Path, start_jupyter: StartJupyter
) -> None:
    put_pod(cluster, start_jupyter(), "jupyter-1", "2026-01-02T00:00:00Z")
    with running(tmp_path) as (process, go_on):
        status = keeper_status("lab", paths)
        assert status
        for kubectl in forwarders_of(status.pid):
            kubectl.kill()
        go_on()
        output, _ = process.communicate(timeout=90)
    assert process.returncode == 0, output
    assert texts(tmp_path / "out.ipynb") == ALL


def test_a_pod_that_is_replaced_in_mid_run_is_named_as_the_reason(
    cluster: Kube,
    jupyter: JupyterServer,
    tmp_path: Path,
    start_jupyter: StartJupyter,
) -> None:
    """Its successor knows no such kernel: nobody has "shut it down"."""
    with running(tmp_path) as (process, _):
        successor = start_jupyter(token=jupyter.token)
        cluster.do(lambda stub: stub.kill_pod("jupyter-0"))
        put_pod(cluster, successor, "jupyter-1")
        output, _ = process.communicate(timeout=90)
    assert process.returncode == ExitCode.KERNEL_DIED, output
    assert "Pod jupyter-0 was replaced by jupyter-1: all its kernels are gone." in output
    for session in jupyter.rest("GET", "api/sessions"):
        if "/n.ipynb-" in session["path"]:
            jupyter.rest("DELETE", f"api/sessions/{session['id']}")
