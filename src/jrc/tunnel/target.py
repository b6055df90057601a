"""Which pod, and which of its ports: pure decisions on what the cluster said."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from jrc.errors import UsageError
from jrc.tunnel.objects import Pod, Service


class TargetKind(StrEnum):
    """What a target names; the value is kubectl's name for it."""

    SERVICE = "service"
    DEPLOYMENT = "deployment"
    STATEFULSET = "statefulset"
    POD = "pod"
    SELECTOR = "selector"


_WORDS = {
    **dict.fromkeys(("svc", "service", "services"), TargetKind.SERVICE),
    **dict.fromkeys(("deploy", "deployment", "deployments"), TargetKind.DEPLOYMENT),
    **dict.fromkeys(("sts", "statefulset", "statefulsets"), TargetKind.STATEFULSET),
    **dict.fromkeys(("po", "pod", "pods"), TargetKind.POD),
}
_SHORT = {
    TargetKind.SERVICE: "svc",
    TargetKind.DEPLOYMENT: "deploy",
    TargetKind.STATEFULSET: "sts",
    TargetKind.POD: "pod",
}
_ENDED = ("Succeeded", "Failed")
_FORMS = "A target is svc/NAME, deploy/NAME, sts/NAME, pod/NAME or a label selector (app=jupyter)."


@dataclass(frozen=True)
class Target:
    """What ``--target`` names; for a selector, ``name`` is the selector itself."""

    kind: TargetKind
    name: str

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read ``svc/NAME`` and the like, or a label selector.

        Raises:
            UsageError: it is neither.
        """
        text = text.strip()
        # First, because a label's key may hold a slash: app.kubernetes.io/name=jupyter.
        if "=" in text or " in (" in text or " notin (" in text:
            return cls(TargetKind.SELECTOR, text)
        word, slash, name = text.partition("/")
        kind = _WORDS.get(word.lower())
        if not slash or kind is None or not name or "/" in name or name.startswith("-"):
            raise UsageError(f"{text!r} is not a target.", hint=_FORMS)
        return cls(kind, name)

    def __str__(self) -> str:
        return self.name if self.kind is TargetKind.SELECTOR else f"{_SHORT[self.kind]}/{self.name}"


@dataclass(frozen=True)
class NoPod:
    """Why there is no pod to forward to right now, in a sentence.

    Attributes:
        pod: the one that is waited for; None when the target has none at all.
        stuck: it does not become ready unless a person acts.
    """

    reason: str
    pod: Pod | None = None
    stuck: bool = False


@dataclass(frozen=True)
class BadPort:
    """Why the port can't be resolved: a mistake in the profile, which does not pass."""

    reason: str


def pick_pod(pods: Sequence[Pod], target: Target, had: str = "") -> Pod | NoPod:
    """A pod that is Ready and not on its way out: the one that the tunnel had, else the newest.

    Kernels live in one pod: among several, another one would not know them. ``kubectl port-forward
    svc/…`` may take a terminating pod, even when its successor is Ready.
    """
    usable = [pod for pod in pods if is_usable(pod)]
    if usable:
        return max(usable, key=lambda pod: (pod.name == had, pod.created, pod.name))
    if not pods:
        return NoPod(f"No pod belongs to {target}.")
    staying = [pod for pod in pods if not pod.terminating]
    if not staying:
        return NoPod(
            f"Pod {pods[0].name} is being deleted, and no other belongs to {target}.", pods[0]
        )
    return unready(max(staying, key=lambda pod: (pod.phase not in _ENDED, pod.created, pod.name)))


def is_usable(pod: Pod) -> bool:
    """Whether a pod can be forwarded to."""
    return pod.ready and not pod.terminating and pod.phase == "Running"


def unready(pod: Pod) -> NoPod:
    """Why a pod is not ready, in a sentence."""
    why = f": {pod.trouble.text.rstrip('.')}" if pod.trouble.text else ""
    if pod.phase in _ENDED:
        return NoPod(f"Pod {pod.name} has ended ({pod.phase}){why}.", pod, stuck=True)
    if pod.phase == "Running":
        yet = "" if pod.trouble.stuck else " yet"
        return NoPod(f"Pod {pod.name} is not ready{yet}{why}.", pod, pod.trouble.stuck)
    state = pod.phase.lower() or "in no known phase"
    return NoPod(f"Pod {pod.name} is {state}{why}.", pod, pod.trouble.stuck)


def container_port(port: int, pod: Pod, service: Service | None) -> int | BadPort:
    """The pod's port behind the one that the profile names.

    Args:
        port: the Service's port when there is a Service, else the container's own.
        pod: the pod that was picked.
        service: the Service that the target names.
    """
    if service is None:
        return port
    match = next((candidate for candidate in service.ports if candidate.port == port), None)
    if match is None:
        known = ", ".join(str(candidate.port) for candidate in service.ports) or "none"
        return BadPort(f"Service {service.name} has no port {port}; it has {known}.")
    if isinstance(match.target, int):
        return match.target
    number = next((port.number for port in pod.ports if port.name == match.target), None)
    if number is None:
        return BadPort(
            f"Service {service.name} sends port {port} to {match.target!r}, "
            f"which pod {pod.name} does not declare."
        )
    return number
