"""``jrc doctor`` on a profile through Kubernetes: the real kubectl, a stand-in cluster."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from jrc.doctor.cluster import rights_for, version_in
from jrc.tunnel.target import Target
from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer
from tests.support.kube import Kube
from tests.support.profiles import save_lab

CLUSTER = ["kubectl", "context", "permissions", "pod", "tunnel"]


def examine(**env: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code and the checks by name."""
    ended = run_jrc("doctor", "--json", env=env)
    return ended.code, {each["name"]: each for each in json.loads(ended.stdout)["checks"]}


def failed(checks: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, each in checks.items() if each["verdict"] == "failed"]


def test_a_healthy_tunnel(kube: Kube) -> None:
    code, checks = examine()
    assert code == 0, failed(checks)
    assert [name for name in checks if name in CLUSTER] == CLUSTER
    assert checks["context"]["details"]["server_version"] == "1.33.1"
    assert checks["permissions"]["details"]["rights"] == [
        "get services",
        "get pods",
        "list pods",
        "create pods/portforward",
    ]
    assert checks["pod"]["details"]["pod"] == "jupyter-0"
    assert checks["websocket"]["details"]["protocol"] == "v1"


def test_no_kubectl(kube: Kube) -> None:
    code, checks = examine(JRC_KUBECTL="/no/such/kubectl")
    assert (code, failed(checks)) == (3, ["kubectl"])
    assert "JRC_KUBECTL" in checks["kubectl"]["remedy"]
    assert checks["server"]["because"] == ["kubectl"]


def test_a_context_that_does_not_exist(kube: Kube) -> None:
    save_lab(kube, context="gone")
    code, checks = examine()
    assert (code, failed(checks)) == (3, ["context"])
    assert "It has: stub" in checks["context"]["message"]


def test_an_api_server_that_is_away(kube: Kube) -> None:
    kube.stop()
    code, checks = examine()
    kube.start()
    assert (code, failed(checks)) == (6, ["context"])


def test_a_right_that_is_missing(kube: Kube) -> None:
    """It is named, before the tunnel stumbles over it."""
    kube.do(lambda stub: stub.faults.deny.add("create pods/portforward"))
    code, checks = examine()
    assert (code, failed(checks)) == (4, ["permissions"])
    assert "create pods/portforward" in checks["permissions"]["message"]
    assert checks["tunnel"]["because"] == ["permissions"]


@pytest.mark.parametrize("right", ["get pods", "list pods"])
def test_every_right_is_looked_at(kube: Kube, right: str) -> None:
    kube.do(lambda stub: stub.faults.deny.add(right))
    code, checks = examine()
    assert (code, failed(checks)) == (4, ["permissions"])
    assert f"may not: {right}." in checks["permissions"]["message"]


def test_a_right_for_websockets_that_is_missing(kube: Kube) -> None:
    """The tunnel works without it, in kubectl's old way."""
    kube.do(lambda stub: stub.faults.deny.add("get pods/portforward"))
    code, checks = examine()
    assert code == 0, failed(checks)
    assert checks["permissions"]["verdict"] == "warning"
    assert "get pods/portforward" in checks["permissions"]["message"]


def test_several_pods(kube: Kube, jupyter: JupyterServer) -> None:
    """Kernels live in one of them. What the remedy says to type is a login to one."""
    parts = urlsplit(jupyter.url)
    assert parts.hostname
    assert parts.port
    kube.jupyter((parts.hostname, parts.port), name="jupyter-1")
    code, checks = examine()
    assert code == 0, failed(checks)
    pod = checks["pod"]
    assert pod["verdict"] == "warning"
    assert "2 pods are behind svc/jupyter (jupyter-0, jupyter-1)" in pod["message"]
    assert "jrc login --profile lab " in pod["remedy"]
    assert f"--target pod/{pod['details']['pod']} --port 8888" in pod["remedy"]


def test_a_target_that_does_not_exist(kube: Kube) -> None:
    save_lab(kube, target="svc/other")
    code, checks = examine()
    assert (code, failed(checks)) == (5, ["pod"])


@pytest.mark.parametrize(
    ("target", "rights"),
    [
        ("svc/a", ["get services", "get pods", "list pods", "create pods/portforward"]),
        ("sts/a", ["get statefulsets.apps", "get pods", "list pods", "create pods/portforward"]),
        ("pod/a", ["get pods", "create pods/portforward"]),
        ("app=a", ["get pods", "list pods", "create pods/portforward"]),
    ],
)
def test_rights(target: str, rights: list[str]) -> None:
    assert [" ".join(right) for right in rights_for(Target.parse(target))] == rights


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"clientVersion": {"gitVersion": 1}}'])
def test_a_version_that_is_not_told(text: str) -> None:
    assert version_in(text, "clientVersion") == "unknown"
