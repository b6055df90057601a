"""Kubernetes objects, reduced to what the tunnel decides on.

Source: the Kubernetes API reference, ``Pod``, ``Service``, ``Deployment``; JSON as ``kubectl get -o
json`` prints it. Foreign data ends here: a field that is missing or of another type reads as empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jrc.shapes import list_at, map_at, number_at, text_at, value_at
from jrc.tunnel.trouble import ContainerEnd, Trouble, read_ends, read_trouble


@dataclass(frozen=True)
class PodPort:
    """A port that a container declares."""

    number: int
    name: str = ""
    container: str = ""


@dataclass(frozen=True)
class Pod:
    """One pod.

    Attributes:
        created: its ``creationTimestamp``; these sort by time as text.
        terminating: it has a ``deletionTimestamp``: it is on its way out though it may be Ready.
        ports: what its containers declare; a server may listen on others too.
        started: when the last one of its containers began to run, as ``created``; empty for never.
        trouble: why it is not Ready; empty when the pod itself does not say it.
        ends: of its containers that began again, the last end of each.
    """

    name: str
    phase: str = "Running"
    ready: bool = True
    terminating: bool = False
    created: str = ""
    ports: tuple[PodPort, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    trouble: Trouble = Trouble()  # noqa: RUF009  it is frozen
    started: str = ""
    containers: tuple[str, ...] = ()
    uid: str = ""
    ends: tuple[ContainerEnd, ...] = ()


@dataclass(frozen=True)
class ServicePort:
    """One port of a Service; ``target`` is a container's port or the name of one."""

    port: int
    target: int | str
    name: str = ""


@dataclass(frozen=True)
class Service:
    """One Service. Its selector is empty when it stands for something outside the cluster."""

    name: str
    selector: str
    ports: tuple[ServicePort, ...]
    labels: tuple[tuple[str, str], ...] = ()


def items(listing: object) -> list[object]:
    """The objects of a List."""
    return list_at(listing, "items")


def read_pod(obj: object) -> Pod:
    """The pod in one JSON object."""
    return Pod(
        name=text_at(obj, "metadata", "name"),
        phase=text_at(obj, "status", "phase"),
        ready=any(
            text_at(condition, "type") == "Ready" and text_at(condition, "status") == "True"
            for condition in list_at(obj, "status", "conditions")
        ),
        terminating=bool(text_at(obj, "metadata", "deletionTimestamp")),
        created=text_at(obj, "metadata", "creationTimestamp"),
        ports=tuple(pod_ports(obj)),
        labels=_labels(obj),
        containers=tuple(
            name for each in list_at(obj, "spec", "containers") if (name := text_at(each, "name"))
        ),
        trouble=read_trouble(obj),
        started=max(
            (
                text_at(status, "state", "running", "startedAt")
                for status in list_at(obj, "status", "containerStatuses")
            ),
            default="",
        ),
        uid=text_at(obj, "metadata", "uid"),
        ends=tuple(read_ends(obj)),
    )


def pod_ports(obj: object) -> list[PodPort]:
    """The ports that the containers of a pod declare, or those of a workload's pods."""
    path = ("spec", "template", "spec") if map_at(obj, "spec", "template") else ("spec",)
    return [
        PodPort(number_at(port, "containerPort"), text_at(port, "name"), text_at(each, "name"))
        for each in list_at(obj, *path, "containers")
        for port in list_at(each, "ports")
    ]


def read_service(obj: object) -> Service:
    """The Service in one JSON object."""
    return Service(
        name=text_at(obj, "metadata", "name"),
        selector=_equals(map_at(obj, "spec", "selector")),
        ports=tuple(_service_port(port) for port in list_at(obj, "spec", "ports")),
        labels=_labels(obj),
    )


def read_replicas(obj: object) -> int | None:
    """How many pods a Deployment or StatefulSet shall have; None when it does not say."""
    value = value_at(obj, ("spec", "replicas"))
    return value if isinstance(value, int) else None


def read_workload_selector(obj: object) -> str:
    """The label selector of a Deployment's or StatefulSet's pods."""
    parts = [_equals(map_at(obj, "spec", "selector", "matchLabels"))]
    for expression in list_at(obj, "spec", "selector", "matchExpressions"):
        key, operator = text_at(expression, "key"), text_at(expression, "operator")
        values = ",".join(str(value) for value in list_at(expression, "values"))
        parts.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }.get(operator, "")
        )
    return ",".join(part for part in parts if part)


def read_secret_value(obj: object, key: str) -> str | None:
    """The base64 text of one key of a Secret; None when it does not have the key."""
    value = map_at(obj, "data").get(key)
    return value if isinstance(value, str) else None


def secret_keys(obj: object) -> list[str]:
    """The names of a Secret's keys."""
    return sorted(str(key) for key in map_at(obj, "data"))


def _service_port(obj: object) -> ServicePort:
    port = number_at(obj, "port")
    # "If this is not specified, the value of the 'port' field is used (an identity map)."
    target = number_at(obj, "targetPort") or text_at(obj, "targetPort") or port
    return ServicePort(port=port, target=target, name=text_at(obj, "name"))


def _labels(obj: object) -> tuple[tuple[str, str], ...]:
    labels = map_at(obj, "metadata", "labels")
    return tuple(sorted((str(key), str(value)) for key, value in labels.items()))


def _equals(labels: Mapping[str, object]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())
