"""``jrc doctor`` on a profile through Kubernetes: the real kubectl, a stand-in cluster."""

import json
from typing import Any

import pytest

from jrc.doctor.cluster import rights_for, version_in
from jrc.tunnel.target import Target
from tests.doctor.conftest import save_lab
from tests.support.command import run_jrc
from tests.support.kube import Kube

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


def test_a_target_that_does_not_exist(kube: Kube) -> None:
    save_lab(kube, target="svc/other")
    code, checks = examine()
    assert (code, failed(checks)) == (5, ["pod"])


@pytest.mark.parametrize(
    ("target", "rights"),
    [
        ("svc/a", ["get services", "list pods", "create pods/portforward"]),
        ("sts/a", ["get statefulsets.apps", "list pods", "create pods/portforward"]),
        ("pod/a", ["get pods", "create pods/portforward"]),
        ("app=a", ["list pods", "create pods/portforward"]),
    ],
)
def test_rights(target: str, rights: list[str]) -> None:
    assert [" ".join(right) for right in rights_for(Target.parse(target))] == rights


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"clientVersion": {"gitVersion": 1}}'])
def test_a_version_that_is_not_told(text: str) -> None:
    assert version_in(text, "clientVersion") == "unknown"
