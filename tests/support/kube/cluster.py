"""What the stand-in cluster holds: Kubernetes objects, where their ports really are, and faults."""

import base64
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
Address = tuple[str, int]
Exec = Callable[[list[str]], tuple[str, str, int]]
"""Stands for a program in a container: argv -> (stdout, stderr, exit code)."""


@dataclass(frozen=True)
class Kind:
    """One resource type as discovery lists it."""

    group_version: str
    name: str
    short: tuple[str, ...] = ()
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.group_version.partition("/")[0] if "/" in self.group_version else ""


KINDS = {
    "namespaces": Kind("v1", "Namespace", ("ns",), namespaced=False),
    "pods": Kind("v1", "Pod", ("po",)),
    "services": Kind("v1", "Service", ("svc",)),
    "secrets": Kind("v1", "Secret"),
    "events": Kind("v1", "Event", ("ev",)),
    "deployments": Kind("apps/v1", "Deployment", ("deploy",)),
    "statefulsets": Kind("apps/v1", "StatefulSet", ("sts",)),
}


@dataclass
class Faults:
    """What goes wrong, from now on.

    Attributes:
        deny: ``"verb resource"`` that RBAC forbids, such as ``"create pods/portforward"``.
        tokens: the bearer tokens that are accepted; None accepts every caller.
        starting: what an API server answers everybody while it starts: 403, its RBAC caches being
            empty, or 401, its token's issuer being out of reach; 0 when it has started.
        upgrade: ``ok``, ``hang`` (no answer), ``500`` (the kubelet can't be reached).
        black_hole: an open port-forward swallows everything in both directions.
        websocket: offer the websocket tunnel that kubectl ≥ 1.31 asks for first.
    """

    deny: set[str] = field(default_factory=set)
    tokens: set[str] | None = None
    starting: int = 0
    upgrade: str = "ok"
    black_hole: bool = False
    websocket: bool = True


class Cluster:
    """The objects by (plural, namespace, name)."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.backends: dict[str, dict[int, Address]] = {}
        # By the pod's uid, or by uid/container.
        self.programs: dict[str, Exec] = {}
        self.put("namespaces", "", {"metadata": {"name": "default"}})

    def put(self, plural: str, namespace: str, obj: Object) -> Object:
        """Create or replace an object; fills in what every object has."""
        metadata = obj["metadata"]
        if namespace:
            metadata.setdefault("namespace", namespace)
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("resourceVersion", "1")
        metadata.setdefault("creationTimestamp", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        obj |= {"apiVersion": KINDS[plural].group_version, "kind": KINDS[plural].name}
        self.objects[plural, namespace, metadata["name"]] = obj
        return obj

    def get(self, plural: str, namespace: str, name: str) -> Object | None:
        return self.objects.get((plural, namespace, name))

    def remove(self, plural: str, namespace: str, name: str) -> Object | None:
        return self.objects.pop((plural, namespace, name), None)

    def select(self, plural: str, namespace: str, selector: str, fields: str = "") -> list[Object]:
        return [
            obj
            for (kind, where, _), obj in sorted(self.objects.items())
            if kind == plural
            and where == namespace
            and _matches(obj["metadata"].get("labels", {}), selector)
            and all(_has(obj, part) for part in fields.split(",") if part)
        ]

    def pod(
        self,
        name: str,
        ports: dict[int, Address],
        *,
        labels: dict[str, str] | None = None,
        namespace: str = "default",
        phase: str = "Running",
        ready: bool = True,
        port_names: dict[int, str] | None = None,
        created: str | None = None,
        program: Exec | None = None,
    ) -> Object:
        """A pod whose container ports are at ``ports`` on this machine."""
        names = port_names or {}
        metadata: Object = {"name": name, "labels": labels or {}}
        if created:
            metadata["creationTimestamp"] = created
        declared = [{"containerPort": port, "name": names.get(port, f"p{port}")} for port in ports]
        pod = self.put(
            "pods",
            namespace,
            {
                "metadata": metadata,
                "spec": {"containers": [{"name": "main", "ports": declared}], "nodeName": "node"},
                "status": {
                    "phase": phase,
                    "conditions": [{"type": "Ready", "status": str(ready)}],
                    "containerStatuses": [{"name": "main", "ready": ready, "restartCount": 0}],
                },
            },
        )
        self.backends[pod["metadata"]["uid"]] = dict(ports)
        if program:
            self.programs[pod["metadata"]["uid"]] = program
        return pod

    def make_ready(self, name: str, app: Address | None = None) -> None:
        """Let a pod become Ready, with what runs in it from now on."""
        pod = self.objects["pods", "default", name]
        pod["status"] |= {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        if app:
            ports = self.backends[pod["metadata"]["uid"]]
            ports.update(dict.fromkeys(ports, app))

    def stick(self, name: str, status: Object, *, namespace: str = "default") -> None:
        """Let a pod have this status instead of its own: it does not come up."""
        pod = self.objects["pods", namespace, name]
        pod["status"] = {"conditions": [{"type": "Ready", "status": "False"}], **status}

    def event(
        self, pod: str, reason: str, message: str, *, kind: str = "Warning", seconds: int = 0
    ) -> Object:
        """What the cluster notes about a pod; a later one has more ``seconds``."""
        return self.put(
            "events",
            "default",
            {
                "metadata": {"name": f"{pod}.{uuid.uuid4().hex[:16]}"},
                "involvedObject": {"kind": "Pod", "namespace": "default", "name": pod},
                "reason": reason,
                "message": message,
                "type": kind,
                "lastTimestamp": f"2026-11-22T10:00:{seconds:02}Z",
            },
        )

    def service(
        self,
        name: str,
        selector: dict[str, str],
        ports: dict[int, int | str],
        *,
        namespace: str = "default",
    ) -> Object:
        listed = [
            {"port": port, "targetPort": target, "name": f"s{port}"}
            for port, target in ports.items()
        ]
        spec = {"selector": selector, "ports": listed, "type": "ClusterIP"}
        return self.put("services", namespace, {"metadata": {"name": name}, "spec": spec})

    def workload(
        self, plural: str, name: str, labels: dict[str, str], *, namespace: str = "default"
    ) -> Object:
        """A Deployment or StatefulSet that owns the pods with these labels."""
        spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}
        return self.put(plural, namespace, {"metadata": {"name": name}, "spec": spec})

    def secret(self, name: str, values: dict[str, str], *, namespace: str = "default") -> Object:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        return self.put("secrets", namespace, {"metadata": {"name": name}, "data": data})


def is_selector(text: str) -> bool:
    """Whether the API server would understand a label selector."""
    key, value = r"[\w./-]+", r"[\w.-]*"
    return all(
        re.fullmatch(rf"!?{key}|{key}\s*(=|==|!=)\s*{value}|{key}\s+(in|notin)\s+\([^()]*\)", part)
        for part in map(str.strip, re.split(r",(?![^(]*\))", text))
        if text
    )


def _has(obj: Object, part: str) -> bool:
    """Does a field selector (``involvedObject.name=x``) select this object?"""
    path, _, value = part.partition("=")
    found: Any = obj
    for key in path.split("."):
        found = found.get(key, {})
    return bool(found == value)


def _matches(labels: dict[str, str], selector: str) -> bool:
    """Does a label selector (``a=b,c in (d,e),!f``) select these labels?"""
    return all(_meets(labels, part.strip()) for part in re.split(r",(?![^(]*\))", selector) if part)


def _meets(labels: dict[str, str], part: str) -> bool:
    if in_set := re.fullmatch(r"(\S+)\s+(in|notin)\s+\((.*)\)", part):
        values = {value.strip() for value in in_set[3].split(",")}
        return (labels.get(in_set[1]) in values) == (in_set[2] == "in")
    if compared := re.fullmatch(r"([^!=]+)(==?|!=)(.*)", part):
        return (labels.get(compared[1]) == compared[3]) == (compared[2] != "!=")
    return part[1:] not in labels if part.startswith("!") else part in labels
