"""A Kernel Gateway or Enterprise Gateway: kernels alone, each perhaps in a pod of its own.

What differs from a Jupyter Server: no contents and no identity; lists are forbidden unless the
administrator allowed them; a session can't carry an environment, so a kernel is started without
one; and a launch may take minutes.

Source: jupyter_kernel_gateway ``services/kernels/handlers.py``, jupyter_enterprise_gateway
``services/kernels/{handlers,remotemanager}.py``, both at their version 3.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from jrc.errors import AuthError, JrcError, ProtocolError, UnreachableError, UsageError
from jrc.profile.files import locked, write_atomically
from jrc.profile.model import Profile
from jrc.profile.owner import user_name
from jrc.profile.paths import Paths
from jrc.server import models
from jrc.server.address import ServerAddress
from jrc.server.auth import Auth
from jrc.server.authorized import Relogin
from jrc.server.client import ServerClient
from jrc.server.connection import DIRECT, Talk, Way
from jrc.server.http import Answer
from jrc.server.http_errors import from_answer
from jrc.server.kinds.kind import Kind
from jrc.server.kinds.recognition import Ask, Detected, Probed, read_versions
from jrc.server.models import KernelModel, SessionModel
from jrc.shapes import parse

LONGEST_VALUE = 4096
"""Characters of a variable's value. Source: Enterprise Gateway ``MAX_ENV_VALUE_LENGTH``."""


class LaunchTiming(NamedTuple):
    """How long the launch of a kernel may take.

    Attributes:
        launch: seconds; a node may have to be added to the cluster for its pod. The gateway has a
            shorter limit of its own, and says so when it is reached.
        tell: seconds after which, and again and again, jrc says that it still goes on.
    """

    launch: float = 900.0
    tell: float = 10.0


class Gateway(Kind):
    """Kernels alone."""

    name = "gateway"
    refused_hint = "The gateway's administrator has it."

    def recognise(self, probed: Probed) -> Detected | Ask | None:
        address = probed.address
        if _is_refusal(probed.api):
            return Detected(self.name, "a kernel gateway", "token", address.base_url)
        versions = read_versions(probed.api)
        if versions is None:
            return None
        status_url = address.rest("api", "status")
        status = probed.answers.get(status_url)
        if status is None:
            return Ask((status_url,))
        if not versions.gateway and status.status != 404:
            return None
        title = f"Enterprise Gateway {versions.gateway}" if versions.gateway else "a kernel gateway"
        return Detected(self.name, title, "none", address.base_url, versions.gateway)

    def check_kernel_env(self, env: Mapping[str, str], profile: str) -> None:  # noqa: ARG002
        """Check variables before the gateway does, with better messages."""
        for name, value in env.items():
            if not name.isidentifier():
                raise UsageError(f"{name!r} can't be the name of a variable.")
            if len(value) > LONGEST_VALUE:
                raise UsageError(
                    f"The value of {name} is longer than the {LONGEST_VALUE} characters that a "
                    "gateway takes."
                )

    def client(
        self,
        profile: Profile,
        address: ServerAddress,
        auth: Auth,
        way: Way,
        *,
        relogin: Relogin | None = None,
        kernel_env: Mapping[str, str] | None = None,
        talk: Talk | None = None,
    ) -> "GatewayClient":
        user = {"KERNEL_USERNAME": profile.user} if profile.user else {}
        memory = RememberedKernels(Paths.from_environment(), address.base_url)
        env = {**user, **(kernel_env or {})}
        return GatewayClient(
            address, auth, way, memory=memory, kernel_env=env, talk=talk, relogin=relogin
        )


KIND = Gateway()


def _is_refusal(api: Answer) -> bool:
    """Whether a refusal has the form that the two gateways' has; they refuse even ``/api``.

    Source: ``JSONErrorsMixin`` of either.
    """
    if api.status != 401 or api.is_html or "www-authenticate" in api.headers:
        return False
    with suppress(ProtocolError):
        body = api.json()
        return body.fields().keys() == {"reason", "message"} and (
            body.field("reason").value == "Unauthorized"
        )
    return False


class GatewayClient(ServerClient):
    """One gateway, while the context is open. See ``ServerClient``.

    Args:
        address: where.
        auth: with which credentials.
        way: how to get there.
        memory: the kernels that jrc started there.
        kernel_env: variables for the kernels; ``KERNEL_USERNAME`` is added where it is missing.
        talk: called with a line for the person while a kernel is launched.
        relogin: see ``ServerClient``.
        launch_timing: how long the launch of a kernel may take.
    """

    refusals = frozenset((401,))  # 403 is about what the gateway does not allow anybody

    def __init__(
        self,
        address: ServerAddress,
        auth: Auth,
        way: Way = DIRECT,
        *,
        memory: "RememberedKernels",
        kernel_env: Mapping[str, str] | None = None,
        talk: Talk | None = None,
        relogin: Relogin | None = None,
        launch_timing: LaunchTiming | None = None,
    ) -> None:
        super().__init__(address, auth, way, relogin=relogin)
        self._memory = memory
        self._env = {"KERNEL_USERNAME": user_name(), **(kernel_env or {})}
        self._talk = talk or _silent
        self._launch_timing = launch_timing or LaunchTiming()

    async def title(self) -> str:
        """``Enterprise Gateway 3.3.0``; it tells only with its token."""
        body = (await self._ask("GET", "api")).json()
        version = body.field("gateway_version").text(default="")
        # A Kernel Gateway names the version of the Jupyter Server that it is made of.
        return f"Enterprise Gateway {version}" if version else "Kernel Gateway"

    async def verify(self) -> None:
        await self._ask("GET", "api", "kernelspecs")

    async def user(self) -> str:
        """It does not know users."""
        return ""

    async def kernels(self) -> list[KernelModel]:
        """The kernels that run; where the gateway does not list them, those that jrc started."""
        answer = await self._send("GET", "api", "kernels")
        if answer.status != 403:
            return models.list_of(models.kernel, self._checked(answer).json())
        self.lists_kernels = False
        return await self._remembered()

    async def sessions(self) -> list[SessionModel]:
        """A session for each kernel that jrc started: its document and its kernel.

        The gateway's own sessions can't be listed by default, and jrc makes none.
        """
        paths = self._memory.all()
        return [_session(kernel, paths[kernel.id]) for kernel in await self._remembered()]

    async def create_session(
        self,
        path: str,
        name: str,
        type: str,
        kernel_name: str | None,
    ) -> SessionModel:
        """Start a kernel for a document, and remember it. Its id is the session's id."""
        kernel = await self.start_kernel(kernel_name)
        self._memory.add(kernel.id, path)
        return _session(kernel, path, name, type)

    async def delete_session(self, session_id: str) -> None:
        answer = await self._surely(lambda: self._delete_surely("kernels", session_id))
        self._checked(answer, fine=(404,))
        self._memory.forget(session_id)

    async def start_kernel(self, name: str | None, path: str | None = None) -> KernelModel:  # noqa: ARG002
        """Launch a kernel with the environment. It has no folder: a gateway has no files."""
        body = {"env": self._env} if name is None else {"name": name, "env": self._env}
        async with self._reporting_progress():
            answer = await self._start(name, "kernels", body, seconds=self._launch_timing.launch)
        return models.kernel(answer.json())

    async def delete_kernel(self, kernel_id: str) -> None:
        await super().delete_kernel(kernel_id)
        self._memory.forget(kernel_id)

    async def _remembered(self) -> list[KernelModel]:
        """The remembered kernels that still run; the others are forgotten."""
        ids = list(self._memory.all())
        found = await asyncio.gather(*(self.kernel(kernel_id) for kernel_id in ids))
        ended = [kernel_id for kernel_id, kernel in zip(ids, found, strict=True) if kernel is None]
        self._memory.forget(*ended)
        return [kernel for kernel in found if kernel is not None]

    def _error(self, answer: Answer) -> JrcError:
        return error_from(answer, self.address)

    @asynccontextmanager
    async def _reporting_progress(self) -> AsyncIterator[None]:
        async def tell() -> None:
            begun = asyncio.get_running_loop().time()
            while True:
                await asyncio.sleep(self._launch_timing.tell)
                seconds = asyncio.get_running_loop().time() - begun
                self._talk(f"The gateway is still launching the kernel ({seconds:.0f} s).")

        telling = asyncio.create_task(tell(), name="launch-talk")
        try:
            yield
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling


Kernels = dict[str, str]
"""By the kernel's id: the path of the document that it was started for."""


class RememberedKernels:
    """A file of kernels by gateway. Losing it loses no kernel, so an unreadable one is empty.

    Args:
        paths: where the file is.
        base_url: the gateway.
    """

    def __init__(self, paths: Paths, base_url: str) -> None:
        self._path: Path = paths.state / "gateway-kernels.json"
        self._base_url = base_url

    def all(self) -> Kernels:
        """Those of this gateway that were not forgotten yet; the last started one is the last."""
        return self._read().get(self._base_url, {})

    def add(self, kernel_id: str, path: str) -> None:
        """Remember one.

        Raises:
            ConfigError: the file can't be written.
        """
        with locked(self._path):
            gateways = self._read()
            gateways.setdefault(self._base_url, {})[kernel_id] = path
            self._write(gateways)

    def forget(self, *kernel_ids: str) -> None:
        """Forget some: they ended.

        Raises:
            ConfigError: the file can't be written.
        """
        if not self.all().keys() & set(kernel_ids):
            return
        with locked(self._path):
            gateways = self._read()
            kernels = gateways.get(self._base_url, {})
            for kernel_id in kernel_ids:
                kernels.pop(kernel_id, None)
            if not kernels:
                gateways.pop(self._base_url, None)
            self._write(gateways)

    def _read(self) -> dict[str, Kernels]:
        try:
            value = parse(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(value, dict):
            return {}
        return {
            str(url): {str(key): str(path) for key, path in kernels.items()}
            for url, kernels in value.items()
            if isinstance(kernels, dict)
        }

    def _write(self, gateways: dict[str, Kernels]) -> None:
        write_atomically(self._path, json.dumps(gateways, indent=2) + "\n", private=True)


def error_from(answer: Answer, address: ServerAddress) -> JrcError:
    """The error that a gateway's status of 300 and more means: 403 is not about the token."""
    said = answer.message()
    if "not authorized to start kernel" in said:
        return AuthError(
            f"{address.base_url} does not let this user start the kernel ({_without_code(said)}).",
            hint="Say who you are there: jrc run --kernel-env KERNEL_USERNAME=NAME FILE",
        )
    if answer.status == 403 and "Resource Limit" in said:
        return UnreachableError(
            f"{address.base_url} starts no more kernels: its limit is reached.",
            hint="Stop one that is not needed: jrc kernel list",
        )
    if answer.status == 403:
        return UnreachableError(f"{address.base_url} does not allow {answer.request} ({said}).")
    return from_answer(answer, address)


def _without_code(said: str) -> str:
    return said.removeprefix("HTTP 403: ").rstrip(".")


def _session(
    kernel: KernelModel, path: str, name: str = "", type: str = "notebook"
) -> SessionModel:
    return SessionModel(id=kernel.id, path=path, name=name, type=type, kernel=kernel)


def _silent(_: str) -> None:
    """Where nobody listens."""
