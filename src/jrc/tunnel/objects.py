"""Kubernetes objects, reduced to what the tunnel decides on.

Source: the Kubernetes API reference, ``Pod``, ``Service``, ``Deployment``; JSON as ``kubectl get -o
json`` prints it. Foreign data ends here: a field that is missing or of another type reads as empty.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


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
        trouble: why it is not Ready, in the cluster's own words; empty when it does not say.
    """

    name: str
    phase: str = "Running"
    ready: bool = True
    terminating: bool = False
    created: str = ""
    ports: tuple[PodPort, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    trouble: str = ""
    uid: str = ""


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
    return list(_list(listing, "items"))


def read_pod(obj: object) -> Pod:
    """The pod in one JSON object."""
    return Pod(
        name=_text(obj, "metadata", "name"),
        phase=_text(obj, "status", "phase"),
        ready=any(
            _text(condition, "type") == "Ready" and _text(condition, "status") == "True"
            for condition in _list(obj, "status", "conditions")
        ),
        terminating=bool(_text(obj, "metadata", "deletionTimestamp")),
        created=_text(obj, "metadata", "creationTimestamp"),
        ports=tuple(
            PodPort(_number(port, "containerPort"), _text(port, "name"), _text(container, "name"))
            for container in _list(obj, "spec", "containers")
            for port in _list(container, "ports")
        ),
        labels=_labels(obj),
        trouble=_trouble(obj),
        uid=_text(obj, "metadata", "uid"),
    )


def read_service(obj: object) -> Service:
    """The Service in one JSON object."""
    return Service(
        name=_text(obj, "metadata", "name"),
        selector=_equals(_map(obj, "spec", "selector")),
        ports=tuple(_service_port(port) for port in _list(obj, "spec", "ports")),
        labels=_labels(obj),
    )


def read_workload_selector(obj: object) -> str:
    """The label selector of a Deployment's or StatefulSet's pods."""
    parts = [_equals(_map(obj, "spec", "selector", "matchLabels"))]
    for expression in _list(obj, "spec", "selector", "matchExpressions"):
        key, operator = _text(expression, "key"), _text(expression, "operator")
        values = ",".join(str(value) for value in _list(expression, "values"))
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
    value = _map(obj, "data").get(key)
    return value if isinstance(value, str) else None


def secret_keys(obj: object) -> list[str]:
    """The names of a Secret's keys."""
    return sorted(str(key) for key in _map(obj, "data"))


def _service_port(obj: object) -> ServicePort:
    port = _number(obj, "port")
    # "If this is not specified, the value of the 'port' field is used (an identity map)."
    target = _number(obj, "targetPort") or _text(obj, "targetPort") or port
    return ServicePort(port=port, target=target, name=_text(obj, "name"))


def _trouble(pod: object) -> str:
    """What keeps a pod from being Ready: a container's reason, else that of a failed condition."""
    for status in _list(pod, "status", "containerStatuses"):
        for phase in ("waiting", "terminated"):
            if reason := _text(status, "state", phase, "reason"):
                return f"container {_text(status, 'name')}: {reason}"
    for condition in _list(pod, "status", "conditions"):
        if _text(condition, "status") == "False" and _text(condition, "message"):
            return _text(condition, "message")
    return _text(pod, "status", "reason")


def _labels(obj: object) -> tuple[tuple[str, str], ...]:
    labels = _map(obj, "metadata", "labels")
    return tuple(sorted((str(key), str(value)) for key, value in labels.items()))


def _equals(labels: Mapping[object, object]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _at(obj: object, path: tuple[str, ...]) -> object:
    for key in path:
        obj = obj.get(key) if isinstance(obj, Mapping) else None
    return obj


def _text(obj: object, *path: str) -> str:
    value = _at(obj, path)
    return value if isinstance(value, str) else ""


def _number(obj: object, *path: str) -> int:
    value = _at(obj, path)
    return value if isinstance(value, int) else 0


def _list(obj: object, *path: str) -> Iterator[object]:
    value = _at(obj, path)
    yield from value if isinstance(value, list) else []


def _map(obj: object, *path: str) -> Mapping[object, object]:
    value = _at(obj, path)
    return value if isinstance(value, Mapping) else {}
