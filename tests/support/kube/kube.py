"""The stand-in cluster as a test uses it: started in a thread, steered from anywhere."""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import trustme

from tests.support.kube.api import KubeStub
from tests.support.kube.cluster import Address

Result = TypeVar("Result")


class Kube:
    """A cluster with a kubeconfig. ``with Kube(folder) as kube: …``

    Attributes:
        kubeconfig: the file that points kubectl at it; its only context is called ``stub``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert("127.0.0.1").configure_cert(self._tls)
        self._stub = KubeStub()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kube")

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        self.write_kubeconfig()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

        async def finish() -> None:
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        self._run(finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def do(self, action: Callable[[KubeStub], Result]) -> Result:
        """Run ``action`` on the server inside its thread."""

        async def act() -> Result:
            return action(self._stub)

        result: Result = self._run(act())
        return result

    def start(self) -> None:
        """Listen; after a ``stop`` on the same port again."""
        self._run(self._stub.start(self._tls))

    def stop(self) -> None:
        """The API server goes away, with every connection."""
        self._run(self._stub.stop())

    def restart(self, starting: int) -> None:
        """The API server restarts, and refuses everybody with 401 or 403 until ``started``."""
        self.stop()
        self.do(lambda stub: setattr(stub.faults, "starting", starting))
        self.start()

    def started(self) -> None:
        """The API server has filled its caches."""
        self.do(lambda stub: setattr(stub.faults, "starting", 0))

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._stub.port}"

    def write_kubeconfig(
        self,
        *,
        server: str | None = None,
        user: dict[str, Any] | None = None,
        trusted: bool = True,
    ) -> None:
        """Replace the kubeconfig.

        Args:
            server: the API server's URL, if not this one's.
            user: the user entry; a token by default.
            trusted: False for a file that knows another certificate authority.
        """
        ca = self.folder / "ca.pem"
        if not trusted:
            ca = self.folder / "other-ca.pem"
            trustme.CA().cert_pem.write_to_path(str(ca))
        cluster = {"server": server or self.url, "certificate-authority": str(ca)}
        context = {"cluster": "stub", "user": "stub", "namespace": "default"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "stub",
            "clusters": [{"name": "stub", "cluster": cluster}],
            "contexts": [{"name": "stub", "context": context}],
            "users": [{"name": "stub", "user": {"token": "good"} if user is None else user}],
        }
        self.kubeconfig.write_text(json.dumps(config))

    def jupyter(self, app: Address, *, name: str = "jupyter-0", **options: Any) -> None:
        """A pod ``name`` that runs ``app`` on port 8888, and the Service ``jupyter`` before it."""

        def create(stub: KubeStub) -> None:
            stub.cluster.pod(name, {8888: app}, labels={"app": "jupyter"}, **options)
            stub.cluster.service("jupyter", {"app": "jupyter"}, {80: "p8888"})

        self.do(create)
