"""Running kubectl: always with the profile's context and namespace, never with a stdin."""

import asyncio
import json
import os
from collections.abc import Callable, Sequence

from jrc.profile.route import Route
from jrc.tunnel.cause import Cause, CauseError, Kind, explain
from jrc.tunnel.children import Child, lines
from jrc.tunnel.classify import classify

REQUEST_SECONDS = 15
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

    def explain(self, kind: Kind, *, subject: str = "", quote: str = "") -> Cause:
        """A cause in words, for this route."""
        return explain(kind, self.where, subject=subject, quote=quote)

    async def get(self, *words: str, on_line: OnLine | None = None) -> object:
        """``kubectl get … -o json``.

        Args:
            words: what to get.
            on_line: called with each line on stderr while it runs.

        Raises:
            CauseError: it failed.
        """
        wait = f"--request-timeout={REQUEST_SECONDS}s"
        text = await self.run("get", *words, "-o", "json", wait, on_line=on_line)
        try:
            found: object = json.loads(text)
        except ValueError as error:
            cause = self.explain(Kind.API_UNREACHABLE, quote="kubectl's answer is not JSON")
            raise CauseError(cause) from error
        return found

    async def run(self, *words: str, on_line: OnLine | None = None) -> str:
        """Run one command and return its stdout.

        Raises:
            CauseError: it failed.
        """
        child = await self._start(words)
        said: list[str] = []

        async def listen() -> None:
            async for line in lines(child.stderr):
                said.append(line)
                if on_line:
                    on_line(line)

        try:
            output, _, code = await asyncio.gather(child.stdout.read(), listen(), child.wait())
        except BaseException:
            child.kill()
            raise
        if code != 0:
            raise CauseError(classify(said, where=self.where))
        return output.decode(errors="replace")

    async def forward(self, pod: str, port: int) -> Child:
        """Start ``kubectl port-forward`` to a pod, on a free port of 127.0.0.1.

        Raises:
            CauseError: there is no kubectl.
        """
        return await self._start(
            # Without --address it may listen on ::1 alone, without a word.
            ["port-forward", "--address", "127.0.0.1", f"pod/{pod}", f":{port}"]
        )

    async def _start(self, words: Sequence[str]) -> Child:
        route = self._route
        argv = [self.program, "--context", route.context, "--namespace", route.namespace, *words]
        environment = dict(os.environ)
        if route.kubeconfig:
            environment["KUBECONFIG"] = route.kubeconfig
        try:
            return await Child.start(argv, environment)
        except OSError as error:
            cause = self.explain(Kind.NO_KUBECTL, subject=self.program)
            raise CauseError(cause) from error
