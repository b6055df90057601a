"""Finds the pod and the port of a target: asks the cluster, and decides with ``target``."""

import asyncio
import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from jrc.errors import UsageError
from jrc.profile.route import Route
from jrc.shapes import NotJsonError, parse_first
from jrc.tasks import first_of
from jrc.tunnel.cause import Cause, CauseError, Kind
from jrc.tunnel.kubectl import Kubectl, OnLine
from jrc.tunnel.machine import Destination
from jrc.tunnel.objects import (
    Pod,
    Service,
    items,
    read_pod,
    read_replicas,
    read_service,
    read_workload_selector,
)
from jrc.tunnel.target import (
    BadPort,
    NoPod,
    Target,
    TargetKind,
    container_port,
    is_usable,
    pick_pod,
    unready,
)
from jrc.tunnel.trouble import with_event


@dataclass(frozen=True)
class Found:
    """Where to forward to.

    Attributes:
        containers: of the pod, the one that declares the port first.
        uid: of the pod.
        others: pods that would do as well.
    """

    pod: str
    port: int
    containers: tuple[str, ...] = ()
    uid: str = ""
    others: tuple[str, ...] = ()

    @property
    def destination(self) -> Destination:
        return Destination(self.pod, self.port, self.uid)

    def several(self, target: str) -> str:
        """A warning for a target with several pods; empty where it has one."""
        if not self.others:
            return ""
        names = ", ".join(sorted((self.pod, *self.others)))
        return (
            f"{len(self.others) + 1} pods are behind {target} ({names}), and a kernel lives in one "
            "of them."
        )


EVENTS_SECONDS = 5.0
"""How often the events of a pod are asked for."""

_WITH_PODS = frozenset({TargetKind.SERVICE, TargetKind.DEPLOYMENT, TargetKind.STATEFULSET})
"""What selects pods under a name."""

START_SECONDS = 120.0
"""A server that does not listen so long after its container began will not do so at all."""


class Resolver:
    """Finds the pod of a route, again and again.

    It remembers the selector. The first look after the tunnel was up asks for the pods alone, and
    the others for the Service and its pods at once: so a lost tunnel comes back sooner.

    Args:
        route: where to look.
        kubectl: how.
        on_ready: called when a pod became ready that was waited for; see ``await_pod``.

    Attributes:
        coming: the pod that will probably be found next, where the last look found none.
    """

    def __init__(
        self, route: Route, kubectl: Kubectl, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        self._route = route
        self._kubectl = kubectl
        self._selector: str | None = None
        self._service: Service | None = None
        self._found: tuple[Pod, int] | None = None
        self._events = _PodEvents(kubectl)
        self._was_up = False
        self._on_ready = on_ready
        self._ready = asyncio.Event()
        self._watch = PodWatch(kubectl, self._changed)
        self.coming: Destination | None = None

    @property
    def can_guess(self) -> bool:
        """Probably only the pod has changed since the tunnel was up, and kubectl finds it, too."""
        return self._was_up and bool(self._selector) and self._target().kind in _WITH_PODS

    async def find_first(self, on_line: OnLine | None, had: str) -> Found:
        """As ``find``, or the pod that the watch reports, whichever comes first."""
        look = asyncio.create_task(self.find(on_line, had=had), name="look for a pod")
        try:
            while not look.done():
                if found := self._reported(had):
                    return found
                self._ready.clear()
                await first_of(asyncio.shield(look), self._ready.wait())
            return look.result()
        finally:
            look.cancel()

    async def find(self, on_line: OnLine | None = None, *, had: str = "") -> Found:
        """The pod and its port.

        Args:
            on_line: called with each line that kubectl writes to stderr.
            had: the pod that the tunnel led to, which is preferred as long as it is fit.

        Raises:
            CauseError: there is none, or the cluster can't be asked.
        """
        self.coming = None
        target = self._target()
        if target.kind is TargetKind.POD:
            pod = await self._kubectl.get("pod", target.name, on_line=on_line)
            return await self._choose(target, [pod], None, had)
        if target.kind is TargetKind.SELECTOR:
            self._selector = target.name
            return await self._choose(target, await self._pods(target.name, on_line), None, had)
        return await self._behind(target, on_line, had)

    def await_pod(self) -> None:
        """Watch for a pod that becomes ready, until ``rest``."""
        if self._selector:
            self._watch.start(self._selector)

    async def rest(self) -> None:
        """Stop watching: the tunnel is up, or has ended."""
        self._was_up = True
        await self._watch.stop()

    def _target(self) -> Target:
        try:
            return Target.parse(self._route.target)
        except UsageError as error:
            cause = self._kubectl.explain(Kind.BAD_TARGET, subject=error.message)
            raise CauseError(cause) from error

    def _reported(self, had: str) -> Found | None:
        """The pod that the watch reported; None where none is ready."""
        if not self._watch.pods:
            return None
        return self._usable(list(self._watch.pods.values()), had)

    def _changed(self) -> None:
        if any(is_usable(read_pod(pod)) for pod in self._watch.pods.values()):
            self._ready.set()
            self._on_ready()

    def judged(self, cause: Cause, now: float) -> Cause:
        """A cause of the forward with what is known of the pod.

        Args:
            cause: what kubectl said.
            now: seconds since 1970.
        """
        if cause.kind is not Kind.NOT_LISTENING or self._found is None:
            return cause
        pod, port = self._found
        if not _runs_long(pod, now):
            return cause
        declared = [str(each.number) for each in pod.ports if each.number != port]
        subject = f"Nothing listens on port {port} of pod {pod.name}, which is not just starting"
        if declared:
            subject += f"; it declares port {', '.join(declared)}"
        words = ["--port", declared[0] if len(declared) == 1 else "PORT"]
        if self._selector and self._target().kind is TargetKind.SERVICE:
            # Its ports are not those of the pod: a way around the Service.
            words = ["--target", self._selector, *words]
        about = shlex.join(words)
        return self._kubectl.explain(Kind.NOTHING_LISTENS, subject=subject, about=about)

    async def _behind(self, target: Target, on_line: OnLine | None, had: str) -> Found:
        """The pod behind a Service, Deployment or StatefulSet."""
        was_up, self._was_up = self._was_up, False
        if was_up and self._selector and (found := await self._same_way(on_line, had)):
            return found
        owner, pods = await self._ask(target, on_line)
        is_service = target.kind is TargetKind.SERVICE
        self._service = service = read_service(owner) if is_service else None
        selector = service.selector if service else read_workload_selector(owner)
        if not selector:
            raise CauseError(
                self._kubectl.explain(
                    Kind.BAD_TARGET, subject=f"{target} selects no pods of this cluster"
                )
            )
        if pods is None or selector != self._selector:
            pods = await self._pods(selector, on_line)
            self._selector = selector
        if not pods:
            raise CauseError(self._nothing(target, selector, read_replicas(owner)))
        return await self._choose(target, pods, service, had)

    async def _same_way(self, on_line: OnLine | None, had: str) -> Found | None:
        """A pod, where nothing but the pods has changed; None where none is ready."""
        assert self._selector
        return self._usable(await self._pods(self._selector, on_line), had)

    def _usable(self, listed: list[object], had: str) -> Found | None:
        pods = [read_pod(pod) for pod in listed]
        pod = pick_pod(pods, self._target(), had)
        if isinstance(pod, NoPod):
            return None
        port = container_port(self._route.port, pod, self._service)
        return None if isinstance(port, BadPort) else self._chosen(pod, port, pods)

    def _nothing(self, target: Target, selector: str, replicas: int | None) -> Cause:
        """Why a target has no pod at all."""
        subject, about = f"No pod belongs to {target} (selector {selector})", "pods --show-labels"
        if replicas == 0:
            subject, about = f"No pod belongs to {target}: it is scaled to 0", str(target)
        return self._kubectl.explain(Kind.SELECTS_NOTHING, subject=subject, about=about)

    async def _ask(
        self, target: Target, on_line: OnLine | None
    ) -> tuple[object, list[object] | None]:
        """The object that a target names, and the pods of the selector that it had last."""
        asked = self._kubectl.get(target.kind.value, target.name, on_line=on_line)
        if self._selector is None:
            return await asked, None
        try:
            async with asyncio.TaskGroup() as group:
                owner = group.create_task(asked)
                pods = group.create_task(self._pods(self._selector, on_line))
        except* CauseError as errors:
            failure = errors.exceptions[0]
        else:
            return owner.result(), pods.result()
        raise failure

    async def _pods(self, selector: str, on_line: OnLine | None) -> list[object]:
        return items(await self._kubectl.get("pods", "--selector", selector, on_line=on_line))

    async def _choose(
        self, target: Target, listed: list[object], service: Service | None, had: str
    ) -> Found:
        pods = [read_pod(pod) for pod in listed]
        pod = pick_pod(pods, target, had)
        if isinstance(pod, NoPod):
            self.coming = self._next(pod, service)
            raise CauseError(await self._unready(pod))
        port = container_port(self._route.port, pod, service)
        if isinstance(port, BadPort):
            raise CauseError(self._kubectl.explain(Kind.BAD_PORT, subject=port.reason))
        return self._chosen(pod, port, pods)

    def _chosen(self, pod: Pod, port: int, pods: list[Pod]) -> Found:
        self._found = pod, port
        declares = {each.container for each in pod.ports if each.number == port}
        containers = tuple(sorted(pod.containers, key=lambda name: name not in declares))
        others = tuple(each.name for each in pods if is_usable(each) and each.name != pod.name)
        return Found(pod.name, port, containers, pod.uid, others)

    def _next(self, found: NoPod, service: Service | None) -> Destination | None:
        """A pod that runs, and is not ready yet."""
        pod = found.pod
        if pod is None or pod.terminating or found.stuck or pod.phase != "Running":
            return None
        port = container_port(self._route.port, pod, service)
        return None if isinstance(port, BadPort) else Destination(pod.name, port, pod.uid)

    async def _unready(self, found: NoPod) -> Cause:
        """Why there is no pod to forward to, with what its events add."""
        pod = found.pod
        if pod is None:
            about = "pods --show-labels"
            return self._kubectl.explain(Kind.SELECTS_NOTHING, subject=found.reason, about=about)
        if not (pod.terminating or pod.trouble.known):
            trouble = with_event(pod.trouble, await self._events.about(pod.name))
            found = unready(replace(pod, trouble=trouble))
        kind = Kind.POD_STUCK if found.stuck else Kind.NO_POD
        about = f"pod/{shlex.quote(pod.name)}"
        return self._kubectl.explain(kind, subject=found.reason, about=about)


class _PodEvents:
    """The events of a pod, asked for now and then."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._events: list[object] = []
        self._pod = ""
        self._due = 0.0

    async def about(self, pod: str) -> list[object]:
        """The events of a pod; none where you are not allowed to see them."""
        if pod != self._pod or time.monotonic() >= self._due:
            selector = f"involvedObject.name={pod}"
            self._events, self._pod = [], pod
            with contextlib.suppress(CauseError):
                listed = await self._kubectl.get("events", "--field-selector", selector)
                self._events = items(listed)
            self._due = time.monotonic() + EVENTS_SECONDS
        return self._events


def _runs_long(pod: Pod, now: float) -> bool:
    """Whether all containers began long ago. The cluster's clock may differ from this one."""
    try:
        began = datetime.fromisoformat(pod.started).timestamp()
    except ValueError:
        return False
    return now - began > START_SECONDS


AGAIN_SECONDS = 10.0
"""A watch that ended is begun again after so long."""

_READ_BYTES = 64 * 1024
_MOST_BYTES = 16 * 1024 * 1024


class PodWatch:
    """The changes of a selector's pods, while one is awaited: one watch at a time.

    It needs the right to watch pods. Without it, and where the watch breaks, the pods are only
    looked for now and then.

    Args:
        kubectl: how the cluster is asked.
        on_change: called after each change.

    Attributes:
        pods: what the cluster reported, by name; empty where nothing is known.
    """

    def __init__(self, kubectl: Kubectl, on_change: Callable[[], None]) -> None:
        self.pods: dict[str, object] = {}
        self._kubectl = kubectl
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None

    def start(self, selector: str) -> None:
        """Begin, unless it is on."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(selector), name="watch of pods")

    async def stop(self) -> None:
        """End it. Where this is cancelled, the next call does the rest."""
        self.pods = {}
        if self._task:
            if not self._task.cancelling():
                self._task.cancel()
            # Not gather, which would cancel it once more, in the midst of ending kubectl.
            await asyncio.wait({self._task})

    async def _run(self, selector: str) -> None:
        while True:
            # The next look finds the cause.
            with contextlib.suppress(CauseError):
                await self._watch(selector)
            self.pods = {}
            await asyncio.sleep(AGAIN_SECONDS)

    async def _watch(self, selector: str) -> None:
        child = await self._kubectl.watch(selector)
        events = Events()
        try:
            while data := await child.stdout.read(_READ_BYTES):
                changed = False
                for event in events.feed(data):
                    changed = self._take(event) or changed
                if changed:
                    self._on_change()
        finally:
            await child.stop()

    def _take(self, event: object) -> bool:
        """Note one change."""
        if not isinstance(event, Mapping):
            return False
        kind, pod = event.get("type"), event.get("object")
        name = read_pod(pod).name
        if not name or kind not in ("ADDED", "MODIFIED", "DELETED"):
            return False
        if kind == "DELETED":
            self.pods.pop(name, None)
        else:
            self.pods[name] = pod
        return True


class Events:
    """JSON documents in a stream, one after the other, with space in between."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, data: bytes) -> Iterator[object]:
        """The documents that are whole with ``data``."""
        # Only names that people gave are not ASCII, and a torn letter there does not matter.
        self._rest = (self._rest + data.decode(errors="replace")).lstrip()
        while self._rest:
            try:
                found, end = parse_first(self._rest)
            except NotJsonError:
                if len(self._rest) > _MOST_BYTES:
                    self._rest = ""
                return
            self._rest = self._rest[end:].lstrip()
            yield found
