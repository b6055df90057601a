"""Why a pod is not Ready: what its status and its events say, in a sentence. Pure.

Source: the Kubernetes API reference, ``PodStatus`` and ``Event``; the reasons are the kubelet's
(``pkg/kubelet/container/sync_result.go``, ``pkg/kubelet/images/types.go``, ``events/event.go``).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from jrc.shapes import line_at, list_at, number_at, text_at

_STARTING = frozenset({"ContainerCreating", "PodInitializing", ""})
_NO_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
    | {"ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed"}
)
_NO_START = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_MISSING = re.compile(
    r"\b(secret|configmap|persistentvolumeclaim|serviceaccount)s? \"[^\"]+\" not found"
)
_INFORMATIVE = frozenset(
    {"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "Unhealthy", "Failed"}
    | {"FailedScheduling", "NotTriggerScaleUp", "TriggeredScaleUp", "BackOff", "FailedPreStopHook"}
)


@dataclass(frozen=True)
class Trouble:
    """Why a pod is not Ready.

    Attributes:
        text: the cluster's own message where it has one; empty when the pod has none.
        stuck: it does not pass unless a person acts.
        known: the pod's events need not be searched for the reason.
    """

    text: str = ""
    stuck: bool = False
    known: bool = False


@dataclass(frozen=True)
class ContainerEnd:
    """How a container of a pod ended last. The pod lives on, and the container began again.

    Attributes:
        container: its name.
        at: when, as the cluster writes times.
        how: ``exit code 137 (OOMKilled)``.
    """

    container: str
    at: str
    how: str


def read_ends(pod: object) -> list[ContainerEnd]:
    """The last end of each container that began again."""
    return [
        ContainerEnd(line_at(status, "name"), finished, _ended(status, "lastState"))
        for status in _statuses(pod, "")
        if (finished := text_at(status, "lastState", "terminated", "finishedAt"))
    ]


def read_trouble(pod: object) -> Trouble:
    """What the pod's own status says: a container, else a condition that is not met."""
    states = [
        *(_container(status, "init container") for status in _statuses(pod, "init")),
        *(_container(status, "container") for status in _statuses(pod, "")),
    ]
    found = [trouble for trouble in states if trouble]
    # An init container that still runs says less than a container that can't start.
    return min(found, key=lambda trouble: not trouble.stuck) if found else _condition(pod)


def with_event(trouble: Trouble, events: Iterable[object]) -> Trouble:
    """A trouble with what the newest informative event of the pod adds to it."""
    informative = [event for event in events if text_at(event, "reason") in _INFORMATIVE]
    # BackOff only repeats what the status says.
    better = [event for event in informative if text_at(event, "reason") != "BackOff"]
    newest = max(better or informative, key=_when, default=None)
    if newest is None:
        return trouble
    text = f"{line_at(newest, 'reason')}: {line_at(newest, 'message').rstrip('.')}"
    return Trouble(
        f"{trouble.text}; {text}" if trouble.text else text,
        trouble.stuck or _MISSING.search(text) is not None,
        known=True,
    )


def _statuses(pod: object, kind: str) -> Iterable[object]:
    return list_at(pod, "status", "initContainerStatuses" if kind else "containerStatuses")


def _container(status: object, what: str) -> Trouble | None:
    """What is wrong with one container; None when nothing is, or it does not say."""
    name = f"{what} {line_at(status, 'name')}"
    reason = line_at(status, "state", "waiting", "reason")
    message = line_at(status, "state", "waiting", "message").rstrip(".")
    if reason == "CrashLoopBackOff":
        text = f"{name} keeps ending (CrashLoopBackOff){_restarts(status)}"
        return Trouble(text, stuck=True, known=True)
    if reason in _NO_IMAGE:
        image = line_at(status, "image")
        why = f": {message}" if message else ""
        # "Back-off pulling image" alone hides why it could not be pulled.
        known = bool(message) and not re.fullmatch(r'Back-off pulling image "[^"]*"', message)
        text = f"the image {image} of {name} can't be pulled ({reason}){why}"
        return Trouble(text, stuck=True, known=known)
    if reason not in _STARTING:
        why = f": {message}" if message else ""
        stuck = reason in _NO_START or _MISSING.search(message) is not None
        return Trouble(f"{name} can't start ({reason}){why}", stuck, bool(message))
    return _started(status, name, init=what.startswith("init"))


def _started(status: object, name: str, *, init: bool) -> Trouble | None:
    """What is wrong with a container that has begun; None for nothing."""
    code = number_at(status, "state", "terminated", "exitCode")
    if text_at(status, "state", "terminated", "reason") and not (init and code == 0):
        return Trouble(f"{name} has ended: {_ended(status, 'state')}", known=True)
    if not text_at(status, "state", "running", "startedAt"):
        return None
    if init:
        return Trouble(f"{name} is still running")
    if _is_ready(status):
        return None
    return Trouble(f"{name} runs and does not pass its readiness check{_restarts(status)}")


def _is_ready(status: object) -> bool:
    """Whether a container's status says that it is ready."""
    return isinstance(status, dict) and status.get("ready") is True


def _restarts(status: object) -> str:
    """How often a container began again and how it ended last; empty for never."""
    count = number_at(status, "restartCount")
    times = f", restarted {count} time{'' if count == 1 else 's'}, last with "
    return f"{times}{_ended(status, 'lastState')}" if count else ""


def _ended(status: object, state: str) -> str:
    """How a container ended: ``exit code 137 (OOMKilled): …``."""
    where = (state, "terminated")
    reason, message = line_at(status, *where, "reason"), line_at(status, *where, "message")
    text = f"exit code {number_at(status, *where, 'exitCode')}"
    text += f" ({reason})" if reason not in ("", "Error") else ""
    return text + (f": {message.rstrip('.')}" if message else "")


def _condition(pod: object) -> Trouble:
    """The condition that is not met and says why; else why the pod as a whole ended."""
    missing = [
        condition
        for condition in list_at(pod, "status", "conditions")
        if text_at(condition, "status") == "False"
    ]
    # The scheduler's message comes first: the others only follow from it.
    for condition in sorted(missing, key=lambda each: text_at(each, "type") != "PodScheduled"):
        text = line_at(condition, "message")
        # "containers with unready status: [main]" says no more than that.
        if text and not text.startswith("containers with"):
            return Trouble(text, _MISSING.search(text) is not None, known=True)
    reason, message = line_at(pod, "status", "reason"), line_at(pod, "status", "message")
    text = ": ".join(part for part in (reason, message) if part)
    return Trouble(text, known=bool(text))


def _when(event: object) -> str:
    times = (("series", "lastObservedTime"), ("lastTimestamp",), ("eventTime",))
    texts = (text_at(event, *path) for path in (*times, ("metadata", "creationTimestamp")))
    return next((text for text in texts if text), "")
