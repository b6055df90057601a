"""Running kubectl: always with the profile's context and namespace, never with a stdin."""

import asyncio
import os
import shlex
from collections.abc import Callable, Sequence

from jrc.profile.environment import for_programs
from jrc.profile.route import Route
from jrc.shapes import NotJsonError, parse
from jrc.tunnel.cause import Cause, CauseError, Kind, explain
from jrc.tunnel.classify import classify, is_hopeless, plain
from jrc.tunnel.processes import Child, lines
from jrc.tunnel.target import Target

REQUEST_SECONDS = 10
"""What one answer of the API server may take. A login program has its own time."""

OnLine = Callable[[str], None]


class Kubectl:
    """kubectl, bound to one route.

    Args:
        route: whose context, namespace and kubeconfig are used.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self.program = os.environ.get("JRC_KUBECTL") or "kubectl"

    @property
    def where(self) -> str:
        """Context and namespace, for people."""
        return f"context {self._route.context!r}, namespace {self._route.namespace!r}"

    @property
    def typed(self) -> str:
        """The beginning of a command for this context and namespace, to be typed."""
        words = ["kubectl", "--context", self._route.context, "-n", self._route.namespace]
        return shlex.join(words)

    def explain(self, kind: Kind, *, subject: str = "", quote: str = "", about: str = "") -> Cause:
        """A cause with its message, for this route."""
        more = {"kubectl": self.typed, "about": about}
        return explain(kind, self.where, subject=subject, quote=quote, **more)

    def classify(self, said: Sequence[str]) -> Cause:
        """What lines on kubectl's stderr mean, for this route."""
        return classify(said, where=self.where, kubectl=self.typed)

    async def kubeconfig(self) -> object:
        """What ``kubectl config view`` shows: contexts, and which is the current one.

        Raises:
            CauseError: it can't be read.
        """
        return self._decoded(await self.run("config", "view", "-o", "json", bare=True))

    async def get(self, *words: str, on_line: OnLine | None = None) -> object:
        """``kubectl get … -o json``.

        Args:
            words: what to get.
            on_line: called with each line on stderr while it runs.

        Raises:
            CauseError: it failed.
        """
        wait = f"--request-timeout={REQUEST_SECONDS}s"
        return self._decoded(await self.run("get", *words, "-o", "json", wait, on_line=on_line))

    async def run(self, *words: str, on_line: OnLine | None = None, bare: bool = False) -> str:
        """Run one command and return its stdout.

        Args:
            words: the command.
            on_line: called with each line on stderr while it runs.
            bare: without context and namespace.

        Raises:
            CauseError: it failed.
        """
        child = await self._start(words, bare=bare)
        said: list[str] = []

        async def listen() -> None:
            async for line in lines(child.stderr):
                said.append(line)
                if is_hopeless(line):
                    # It would try four more times, each as long as a request may take.
                    raise CauseError(self.classify([plain(line)]))
                if on_line:
                    on_line(line)

        try:
            output, _, code = await asyncio.gather(child.stdout.read(), listen(), child.wait())
        finally:
            await child.stop()
        if code != 0:
            raise CauseError(self.classify(said))
        return output.decode(errors="replace")

    async def can_i(self, verb: str, resource: str) -> bool:
        """``kubectl auth can-i``: whether the cluster allows something in the namespace.

        Args:
            verb: ``get`` and so on.
            resource: ``pods``, or with a subresource ``pods/portforward``.

        Raises:
            CauseError: it could not be asked.
        """
        kind, _, part = resource.partition("/")
        words = ["auth", "can-i", verb, kind, *([f"--subresource={part}"] if part else [])]
        child = await self._start([*words, f"--request-timeout={REQUEST_SECONDS}s"])
        try:
            output, complaints, _ = await asyncio.gather(
                child.stdout.read(), child.stderr.read(), child.wait()
            )
        finally:
            await child.stop()
        # It ends with 1 for a no, and for not having been able to ask.
        answer = output.decode(errors="replace").split()[:1]
        if answer not in (["yes"], ["no"]):
            said = complaints.decode(errors="replace").splitlines()
            raise CauseError(self.classify(said))
        return answer == ["yes"]

    async def forward(self, pod: str, port: int) -> Child:
        """Start ``kubectl port-forward`` to a pod, on a free port of 127.0.0.1.

        Raises:
            CauseError: there is no kubectl.
        """
        return await self._start(_forward_to(f"pod/{pod}", port))

    async def forward_to_target(self, target: Target, port: int) -> Child:
        """The same to a pod that kubectl chooses; its requests, with the pod, are on stderr.

        Raises:
            CauseError: there is no kubectl.
        """
        return await self._start(["-v=6", *_forward_to(f"{target.kind.value}/{target.name}", port)])

    async def watch(self, selector: str) -> Child:
        """Start ``kubectl get pods --watch``: a JSON document for each pod and each change.

        Raises:
            CauseError: there is no kubectl.
        """
        words = ["get", "pods", "--selector", selector, "--watch", "--output-watch-events"]
        return await self._start([*words, "-o", "json"], ignore_errors=True)

    def _decoded(self, text: str) -> object:
        try:
            return parse(text)
        except NotJsonError as error:
            cause = self.explain(Kind.API_UNREACHABLE, quote="kubectl's answer is not JSON")
            raise CauseError(cause) from error

    async def _start(
        self, words: Sequence[str], *, bare: bool = False, ignore_errors: bool = False
    ) -> Child:
        route = self._route
        where = [] if bare else ["--context", route.context, "--namespace", route.namespace]
        argv = [self.program, *where, *words]
        environment = for_programs(os.environ)
        if route.kubeconfig:
            environment["KUBECONFIG"] = route.kubeconfig
        try:
            return await Child.start(argv, environment, ignore_errors=ignore_errors)
        except OSError as error:
            cause = self.explain(Kind.NO_KUBECTL, subject=self.program)
            raise CauseError(cause) from error


def _forward_to(object_name: str, port: int) -> list[str]:
    # Without --address it may listen on ::1 alone, silently.
    return ["port-forward", "--address", "127.0.0.1", object_name, f":{port}"]
