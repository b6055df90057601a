"""From a target to a pod and a port: asks the cluster, decides with ``target``."""

import asyncio
from dataclasses import dataclass

from jrc.errors import UsageError
from jrc.profile.route import Route
from jrc.tunnel.cause import CauseError, Kind
from jrc.tunnel.kubectl import Kubectl, OnLine
from jrc.tunnel.objects import Service, items, read_pod, read_service, read_workload_selector
from jrc.tunnel.target import BadPort, NoPod, Target, TargetKind, container_port, pick_pod


@dataclass(frozen=True)
class Found:
    """Where to forward to; ``container`` is empty when none declares the port."""

    pod: str
    port: int
    container: str = ""
    uid: str = ""


class Resolver:
    """Finds the pod of a route, again and again.

    It remembers the selector, and asks for the Service and its pods at once: that halves the time
    in which a lost tunnel comes back.
    """

    def __init__(self, route: Route, kubectl: Kubectl) -> None:
        self._route = route
        self._kubectl = kubectl
        self._selector: str | None = None

    async def find(self, on_line: OnLine | None = None, *, had: str = "") -> Found:
        """The pod and its port.

        Args:
            on_line: called with each line that kubectl writes to stderr.
            had: the pod that the tunnel led to, which is preferred as long as it is fit.

        Raises:
            CauseError: there is none, or the cluster can't be asked.
        """
        try:
            target = Target.parse(self._route.target)
        except UsageError as error:
            raise CauseError(
                self._kubectl.explain(Kind.BAD_TARGET, subject=error.message)
            ) from error
        if target.kind is TargetKind.POD:
            pod = await self._kubectl.get("pod", target.name, on_line=on_line)
            return self._choose(target, [pod], None, had)
        if target.kind is TargetKind.SELECTOR:
            return self._choose(target, await self._pods(target.name, on_line), None, had)
        return await self._behind(target, on_line, had)

    async def _behind(self, target: Target, on_line: OnLine | None, had: str) -> Found:
        """The pod behind a Service, Deployment or StatefulSet."""
        owner, pods = await self._ask(target, on_line)
        is_service = target.kind is TargetKind.SERVICE
        service = read_service(owner) if is_service else None
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
        return self._choose(target, pods, service, had)

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

    def _choose(
        self, target: Target, pods: list[object], service: Service | None, had: str
    ) -> Found:
        pod = pick_pod([read_pod(pod) for pod in pods], target, had)
        if isinstance(pod, NoPod):
            raise CauseError(self._kubectl.explain(Kind.NO_POD, subject=pod.reason))
        port = container_port(self._route.port, pod, service)
        if isinstance(port, BadPort):
            raise CauseError(self._kubectl.explain(Kind.BAD_PORT, subject=port.reason))
        container = next((each.container for each in pod.ports if each.number == port), "")
        return Found(pod.name, port, container, pod.uid)
