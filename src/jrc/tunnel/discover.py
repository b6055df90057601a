"""What in a namespace looks like a Jupyter Server, and which contexts kubectl knows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jrc.errors import ConfigError
from jrc.profile.route import Route
from jrc.tunnel.cause import CauseError
from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.objects import Pod, Service, items, pod_ports, read_pod, read_service
from jrc.tunnel.target import Target, TargetKind, is_usable

JUPYTER_PORT = 8888
_WORDS = ("jupyter", "notebook", "jupyterlab")
# Parts of a JupyterHub that are not a person's server.
_NOT_A_SERVER = ("hub", "proxy", "scheduler", "image-puller", "placeholder")


@dataclass(frozen=True)
class Candidate:
    """Something that may be a Jupyter Server.

    Attributes:
        target: what to pass as ``--target``.
        port: what to pass as ``--port``.
        why: what made it look like one.
    """

    target: str
    port: int
    why: str


@dataclass(frozen=True)
class Context:
    """One of kubectl's contexts; ``namespace`` is where its commands go by default."""

    name: str
    namespace: str


async def find_candidates(route: Route) -> list[Candidate]:
    """The Services and pods of a namespace that look like Jupyter, the likeliest first.

    Args:
        route: context and namespace count; its target does not.

    Raises:
        JrcError: the cluster can't be asked; another class for each kind of cause.
    """
    try:
        listed = items(await Kubectl(route).get("services,pods"))
    except CauseError as error:
        raise error.cause.error() from error
    kinds: dict[str, list[object]] = {"Service": [], "Pod": []}
    for obj in listed:
        if isinstance(obj, Mapping) and (kind := obj.get("kind")) in kinds:
            kinds[kind].append(obj)
    return candidates(map(read_service, kinds["Service"]), map(read_pod, kinds["Pod"]))


async def find_port(route: Route) -> int:
    """The port to take where the person named a target and no port.

    That of Jupyter if the target has it, else the only one that there is.

    Raises:
        ConfigError: there are several, and none is Jupyter's.
        JrcError: the cluster can't be asked; another class for each kind of cause.
    """
    target = Target.parse(route.target)
    if target.kind is TargetKind.SELECTOR:
        return JUPYTER_PORT
    kubectl = Kubectl(route)
    try:
        owner = await kubectl.get(target.kind.value, target.name)
        if target.kind is not TargetKind.SERVICE:
            declared = pod_ports(owner)
            return choose_port(target, [(port.number, port.number) for port in declared])
        service = read_service(owner)
        selector = ["--selector", service.selector] if service.selector else []
        pods = items(await kubectl.get("pods", *selector)) if _has_names(service) else []
    except CauseError as error:
        raise error.cause.error("", route) from error
    return choose_port(target, service_ports(service, map(read_pod, pods)))


def choose_port(target: Target, ports: Sequence[tuple[int, int]]) -> int:
    """The port to take of those that a target has: pairs of its own port and the container's.

    Raises:
        ConfigError: there are several, and none is Jupyter's.
    """
    likely = [port for port, inside in ports if JUPYTER_PORT in (port, inside)]
    if likely or not ports:
        return likely[0] if likely else JUPYTER_PORT
    if len(ports) == 1:
        return ports[0][0]
    known = ", ".join(str(port) for port, _ in ports)
    raise ConfigError(
        f"{target} has the ports {known}, and none of them is {JUPYTER_PORT}, Jupyter's.",
        hint=f"Add --port, one of: {known}",
    )


def service_ports(service: Service, pods: Iterable[Pod]) -> list[tuple[int, int]]:
    """A Service's ports, each with the container's port behind it; 0 where its name is unknown."""
    names = {port.name: port.number for pod in pods for port in pod.ports if port.name}
    return [
        (port.port, port.target if isinstance(port.target, int) else names.get(port.target, 0))
        for port in service.ports
    ]


def _has_names(service: Service) -> bool:
    return any(isinstance(port.target, str) for port in service.ports)


async def find_contexts(kubeconfig: str = "") -> tuple[list[Context], str]:
    """kubectl's contexts, and the name of the current one; empty when there is none.

    Raises:
        JrcError: kubectl or its configuration is missing or broken.
    """
    try:
        config = await Kubectl(Route("", "", "", 0, kubeconfig=kubeconfig)).kubeconfig()
    except CauseError as error:
        raise error.cause.error() from error
    return read_contexts(config)


def read_contexts(config: object) -> tuple[list[Context], str]:
    """The contexts of a kubeconfig in JSON, and the name of the current one."""
    if not isinstance(config, Mapping):
        return [], ""
    contexts = []
    for entry in config.get("contexts") or ():
        if isinstance(entry, Mapping) and isinstance(name := entry.get("name"), str):
            inner = entry.get("context")
            namespace = inner.get("namespace") if isinstance(inner, Mapping) else None
            contexts.append(Context(name, namespace or "default"))
    return contexts, config.get("current-context") or ""


def candidates(services: Iterable[Service], pods: Iterable[Pod]) -> list[Candidate]:
    """What looks like Jupyter. A pod that a listed Service leads to is not listed again."""
    pods = list(pods)
    ranked: list[tuple[int, Candidate]] = []
    selectors: list[set[str]] = []
    for service in services:
        selector = set(service.selector.split(","))
        behind = [pod for pod in pods if selector <= _labels(pod)]
        ports = service_ports(service, behind)
        named = _looks_named(service.name, service.labels)
        port = next((port for port, target in ports if JUPYTER_PORT in (port, target)), 0)
        if not (service.selector and ports and (port or named)):
            continue
        selectors.append(selector)
        ready = any(is_usable(pod) for pod in behind)
        target = f"svc/{service.name}"
        ranked.append(_candidate(target, port or ports[0][0], bool(port), named, ready))
    for pod in pods:
        if pod.terminating or any(selector <= _labels(pod) for selector in selectors):
            continue
        numbers = [port.number for port in pod.ports]
        named = _looks_named(pod.name, pod.labels)
        has_port = JUPYTER_PORT in numbers
        if has_port or named:
            port = JUPYTER_PORT if has_port or not numbers else numbers[0]
            ranked.append(_candidate(f"pod/{pod.name}", port, has_port, named, is_usable(pod)))
    ranked.sort(key=lambda pair: (-pair[0], pair[1].target.startswith("pod/"), pair[1].target))
    return [candidate for _, candidate in ranked]


def _labels(pod: Pod) -> set[str]:
    return {f"{key}={value}" for key, value in pod.labels}


def _candidate(
    target: str, port: int, has_port: bool, named: bool, ready: bool
) -> tuple[int, Candidate]:
    reasons = [f"port {JUPYTER_PORT}"] * has_port + ["name or labels"] * named
    why = " and ".join(reasons) + ("" if ready else "; no pod of it is ready")
    # One that can be used comes before all that can't.
    return len(reasons) + 10 * ready, Candidate(target, port, why)


def _looks_named(name: str, labels: tuple[tuple[str, str], ...]) -> bool:
    component = dict(labels).get("component") or dict(labels).get("app.kubernetes.io/component")
    if component and any(word in component for word in _NOT_A_SERVER):
        return False
    texts = [name, *(value for _, value in labels)]
    return any(word in text.lower() for text in texts for word in _WORDS)
