"""Why a pod is not Ready, from JSON as the Kubernetes API documents it for such pods."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.tunnel.trouble import Trouble, read_trouble, with_event

CRASH = {
    "waiting": {
        "reason": "CrashLoopBackOff",
        "message": "back-off 5m0s restarting failed container=main pod=a_default(6ae4)",
    }
}
PULL_MESSAGE = (
    'Back-off pulling image "quay.io/team/lab:typo": ErrImagePull: rpc error: code = NotFound '
    'desc = failed to pull and unpack image "quay.io/team/lab:typo": not found'
)


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    more = {"message": message} if message else {}
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


def container(state: dict[str, Any], name: str = "main", **more: Any) -> dict[str, Any]:
    return {"name": name, "ready": False, "restartCount": 0, "state": state, **more}


def status(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"status": {"containerStatuses": list(containers), **more}}


@pytest.mark.parametrize(
    ("pod", "text", "stuck"),
    [
        (
            status(container(CRASH, restartCount=7, lastState=ended(1))),
            "container main keeps ending (CrashLoopBackOff), restarted 7 times, last with exit "
            "code 1",
            True,
        ),
        (
            status(container(CRASH, restartCount=1, lastState=ended(137, "OOMKilled"))),
            "container main keeps ending (CrashLoopBackOff), restarted 1 time, last with exit "
            "code 137 (OOMKilled)",
            True,
        ),
        (
            status(container(CRASH, restartCount=2, lastState=ended(2, message="no such\noption"))),
            "container main keeps ending (CrashLoopBackOff), restarted 2 times, last with exit "
            "code 2: no such option",
            True,
        ),
        (
            status(
                container(
                    {"waiting": {"reason": "ImagePullBackOff", "message": PULL_MESSAGE}},
                    image="quay.io/team/lab:typo",
                )
            ),
            "the image quay.io/team/lab:typo of container main can't be pulled "
            f"(ImagePullBackOff): {PULL_MESSAGE}",
            True,
        ),
        (
            status(
                container(
                    {
                        "waiting": {
                            "reason": "CreateContainerConfigError",
                            "message": 'secret "jupyter-token" not found',
                        }
                    }
                )
            ),
            "container main can't start (CreateContainerConfigError): "
            'secret "jupyter-token" not found',
            True,
        ),
        (
            status(
                container({"waiting": {"reason": "PodInitializing"}}),
                initContainerStatuses=[
                    container(CRASH, "migrate", restartCount=3, lastState=ended(4)),
                ],
            ),
            "init container migrate keeps ending (CrashLoopBackOff), restarted 3 times, last with "
            "exit code 4",
            True,
        ),
        (
            status(
                container({"waiting": {"reason": "PodInitializing"}}),
                initContainerStatuses=[
                    container(ended(0, "Completed"), "first", ready=True),
                    container({"running": {"startedAt": "2026-11-22T10:00:05Z"}}, "second"),
                ],
            ),
            "init container second is still running",
            False,
        ),
        (
            status(container(ended(0, "Completed"))),
            "container main has ended: exit code 0 (Completed)",
            False,
        ),
        (
            status(
                container(
                    {"running": {"startedAt": "2026-11-22T10:00:05Z"}},
                    restartCount=2,
                    lastState=ended(137, "OOMKilled"),
                )
            ),
            "container main runs and does not pass its readiness check, restarted 2 times, last "
            "with exit code 137 (OOMKilled)",
            False,
        ),
        (
            {
                "status": {
                    "conditions": [
                        {"type": "Ready", "status": "False", "message": "no"},
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "reason": "Unschedulable",
                            "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
                        },
                    ]
                }
            },
            "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
            False,
        ),
        (
            {
                "status": {
                    "conditions": [
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "message": 'persistentvolumeclaim "home" not found. not found',
                        }
                    ]
                }
            },
            'persistentvolumeclaim "home" not found. not found',
            True,
        ),
        (
            {"status": {"reason": "Evicted", "message": "The node was low on resource: memory."}},
            "Evicted: The node was low on resource: memory.",
            False,
        ),
        (status(container({"waiting": {"reason": "ContainerCreating"}})), "", False),
    ],
)
def test_what_the_status_says(pod: dict[str, Any], text: str, stuck: bool) -> None:
    found = read_trouble(pod)
    assert (found.text, found.stuck) == (text, stuck)


def event(reason: str, message: str, when: str, field: str = "lastTimestamp") -> dict[str, Any]:
    return {"reason": reason, "message": message, field: when}


def test_the_newest_telling_event_is_added() -> None:
    """A missing Secret that is mounted is in no status: only the events name it."""
    missing = 'MountVolume.SetUp failed for volume "t" : secret "jupyter-token" not found'
    events = [
        event("Scheduled", "Successfully assigned default/a to node", "2026-11-22T10:00:09Z"),
        event("FailedMount", missing, "2026-11-22T10:00:08Z"),
        event("FailedMount", "older", "2026-11-22T10:00:07.5Z", "eventTime"),
    ]
    assert with_event(Trouble(), events) == Trouble(
        f"FailedMount: {missing}", stuck=True, known=True
    )
    assert with_event(Trouble("it waits"), events).text.startswith("it waits; FailedMount: ")
    assert with_event(Trouble("it waits"), []) == Trouble("it waits")


def test_words_of_the_cluster_can_not_steer_a_terminal() -> None:
    pod = status(container({"waiting": {"reason": "X", "message": "a\x1b[2Jb\n" + "c" * 1000}}))
    text = read_trouble(pod).text
    assert text.isprintable()
    assert len(text) < 400


FIELDS = [
    *("status", "containerStatuses", "initContainerStatuses", "state", "lastState", "conditions"),
    *("waiting", "terminated", "running", "reason", "message"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
)


@given(JSON, st.lists(JSON, max_size=3))
def test_any_json_is_read(pod: object, events: list[object]) -> None:
    assert with_event(read_trouble(pod), events).text.isprintable()
