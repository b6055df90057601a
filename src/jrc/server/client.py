"""A server's REST interface: kernels, sessions, kernelspecs.

Source: jupyter_server ``services/api/api.yaml``; a live server where it is silent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Self

from jrc.errors import JrcError, NotFoundError, ProtocolError, UnreachableError
from jrc.server import models
from jrc.server.address import ServerAddress
from jrc.server.auth import Auth
from jrc.server.authorized import REFUSALS, RETRY_PAUSES, AuthorizedClient, Relogin
from jrc.server.connection import DIRECT, Way
from jrc.server.http import Answer, Request
from jrc.server.models import KernelModel, KernelSpecs, SessionModel


class ClientTiming(NamedTuple):
    """How long a server may take, and when it is asked again.

    Attributes:
        start: seconds for a request that starts or stops a kernel: a pod may have to be made.
        swallowed: seconds without an answer after which a request may have met a dead line.
        retry_pauses: see ``RETRY_PAUSES``.
        delete_pauses: seconds before a DELETE that the server failed to do is sent again.
    """

    start: float = 120.0
    swallowed: float = 15.0
    retry_pauses: tuple[float, ...] = RETRY_PAUSES
    delete_pauses: tuple[float, ...] = (0.1, 0.3, 0.6, 1.5)


class ServerClient:
    """One server, while the context is open.

    Every method raises ``AuthError`` when the credentials are refused, ``NotFoundError``,
    ``UnreachableError`` when there is no usable answer, and ``ProtocolError`` for an answer of the
    wrong shape.

    Args:
        address: where.
        auth: with which credentials.
        way: how to get there.
        relogin: waits for a new login when a session's credentials are refused; None to fail.
        timing: how long the server may take.

    Attributes:
        lists_kernels: False once the server refused to list its kernels: then ``kernels`` knows
            only those that jrc started.
    """

    lists_kernels = True
    refusals = REFUSALS

    def __init__(
        self,
        address: ServerAddress,
        auth: Auth,
        way: Way = DIRECT,
        *,
        relogin: Relogin | None = None,
        timing: ClientTiming | None = None,
    ) -> None:
        self.address = address
        self.way = way
        self.timing = timing or ClientTiming()
        self._client = AuthorizedClient(
            address,
            auth,
            way,
            relogin=relogin,
            refusals=self.refusals,
            retry_pauses=self.timing.retry_pauses,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.__aexit__(*error)

    async def headers(self) -> dict[str, str]:
        """What the websocket must carry: the credentials, and the headers of the way there."""
        return {**self.way.headers, **await self._client.headers()}

    def forget_login(self) -> None:
        """See ``AuthorizedClient``."""
        self._client.forget_login()

    def session_began(self) -> None:
        """See ``AuthorizedClient``."""
        self._client.session_began()

    @property
    def logins(self) -> int:
        """See ``AuthorizedClient``."""
        return self._client.logins

    async def login_again(self, since: int) -> bool:
        """See ``AuthorizedClient``."""
        return await self._client.login_again(since)

    async def request(
        self,
        method: str,
        *segments: str,
        json: object = None,
        params: dict[str, str] | None = None,
        seconds: float | None = None,
        document: bool = False,
    ) -> object:
        """Ask an endpoint that has no method of its own here.

        Args:
            method: ``GET`` and so on. A GET that finds no server is tried again for a moment.
            segments: of the path below the base URL, unquoted: ``"api", "contents", "a b.txt"``.
            json: the body.
            params: the query.
            seconds: how long the server may think; None for the usual time.
            document: the answer holds a file, and may be large.

        Returns:
            the decoded JSON body; None for an empty one.
        """
        request = Request(
            method,
            self.address.rest(*segments),
            json=json,
            params=params,
            seconds=seconds,
            document=document,
        )
        answer = self._checked(await self._client.send(request))
        return answer.json().value if answer.body else None

    async def download(self, *segments: str) -> bytes:
        """The content of a file that the server serves.

        Args:
            segments: of the path below the base URL, unquoted.
        """
        return (await self._ask("GET", *segments)).body

    async def version(self) -> str:
        """The version of the server. Needs no credentials on a Jupyter Server."""
        return models.version((await self._ask("GET", "api")).json())

    async def verify(self) -> None:
        """Check that the server accepts the credentials.

        Raises:
            AuthError: it does not.
        """
        await self._ask("GET", "api", "status")

    async def title(self) -> str:
        """What it is in words, where it says so only with credentials; else empty."""
        return ""

    async def user(self) -> str:
        """Your user name there; empty where the server does not say it."""
        try:
            return models.user_of_identity(await self.request("GET", "api", "me"))
        except JrcError:
            # Servers before 2.0 do not say who asks.
            return ""

    async def kernelspecs(self) -> KernelSpecs:
        """What kernels the server can start."""
        return models.kernelspecs((await self._ask("GET", "api", "kernelspecs")).json())

    async def kernels(self) -> list[KernelModel]:
        """The kernels that run."""
        return models.list_of(models.kernel, (await self._ask("GET", "api", "kernels")).json())

    async def kernel(self, kernel_id: str) -> KernelModel | None:
        """One running kernel; None when there is none of that id."""
        answer = await self._surely(lambda: self._send("GET", "api", "kernels", kernel_id))
        return None if answer.status == 404 else models.kernel(self._checked(answer).json())

    async def sessions(self) -> list[SessionModel]:
        """The sessions with their kernels."""
        return models.list_of(models.session, (await self._ask("GET", "api", "sessions")).json())

    async def create_session(
        self,
        path: str,
        name: str,
        type: str,
        kernel_name: str | None,
    ) -> SessionModel:
        """Start a kernel for a document.

        The endpoint is idempotent by path: clients that ask for the same path get the same kernel.

        Args:
            path: unique on the server; need not exist.
            name: of the document.
            type: ``notebook``, ``console`` or ``file``.
            kernel_name: the kernelspec; None for the server's default.

        Raises:
            NotFoundError: there is no such kernelspec; the hint names those that exist.
        """
        body = {"path": path, "name": name, "type": type, "kernel": {"name": kernel_name}}
        answer = await self._start(kernel_name, "sessions", body)
        return models.session(answer.json())

    async def delete_session(self, session_id: str) -> None:
        """Delete a session and its kernel. It is fine when it is gone already."""
        answer = await self._surely(lambda: self._delete_surely("sessions", session_id))
        # 410: the session was there, and its kernel was not.
        self._checked(answer, fine=(404, 410))

    async def start_kernel(self, name: str | None, path: str | None = None) -> KernelModel:
        """Start a kernel without a session.

        Args:
            name: the kernelspec; None for the server's default.
            path: the folder to start in, below the server's root. One that does not exist
                silently becomes its nearest parent.

        Raises:
            NotFoundError: there is no such kernelspec; the hint names those that exist.
        """
        body = {"name": name} if path is None else {"name": name, "path": path}
        return models.kernel((await self._start(name, "kernels", body)).json())

    async def delete_kernel(self, kernel_id: str) -> None:
        """Stop a kernel."""
        await self._check_kernel(kernel_id, await self._delete("kernels", kernel_id))

    async def interrupt(self, kernel_id: str) -> None:
        """Interrupt what a kernel executes."""
        await self._ask_kernel("POST", kernel_id, "interrupt")

    async def restart(self, kernel_id: str) -> KernelModel:
        """Restart a kernel: same id, new process."""
        return models.kernel((await self._ask_kernel("POST", kernel_id, "restart")).json())

    async def _start(
        self,
        kernel_name: str | None,
        endpoint: str,
        body: object,
        *,
        seconds: float | None = None,
    ) -> Answer:
        seconds = self.timing.start if seconds is None else seconds
        answer = await self._send("POST", "api", endpoint, json=body, seconds=seconds)
        # An unknown kernelspec is 500 on one endpoint and 501 on the other.
        if answer.status in (500, 501) and kernel_name is not None:
            await self._check_kernelspec(kernel_name)
        return self._checked(answer)

    async def _check_kernelspec(self, name: str) -> None:
        specs = (await self.kernelspecs()).specs
        if name not in specs:
            raise NotFoundError(
                f"{self.address.base_url} has no kernelspec {name!r}.",
                hint=f"It has: {', '.join(sorted(specs)) or 'none at all'}",
            )

    async def _ask_kernel(self, method: str, kernel_id: str, *action: str) -> Answer:
        answer = await self._send(
            method, "api", "kernels", kernel_id, *action, seconds=self.timing.start
        )
        return await self._check_kernel(kernel_id, answer)

    async def _delete_surely(self, endpoint: str, id: str) -> Answer:
        """Delete what may be gone already: so it can be asked for again, over another connection.

        A line that goes dead swallows a request, or its answer.
        """
        try:
            return await self._delete(endpoint, id, seconds=self.timing.swallowed, again=True)
        except UnreachableError as error:
            from jrc.server.http_errors import classify

            if not classify(error).was_silent:
                raise
        return await self._delete(endpoint, id, again=True)

    async def _delete(
        self, endpoint: str, id: str, *, seconds: float | None = None, again: bool = False
    ) -> Answer:
        """Delete a kernel or a session, whatever else the server is doing to it just now.

        A kernel that the server itself is restarting, since it died, can not be deleted: 500
        (jupyter_client ``multikernelmanager.py`` asks a future that is not done). A moment later
        it can.
        """
        seconds = self.timing.start if seconds is None else seconds
        for pause in (*self.timing.delete_pauses, 0.0):
            answer = await self._send("DELETE", "api", endpoint, id, seconds=seconds, again=again)
            if answer.status != 500:
                break
            await asyncio.sleep(pause)
        return answer

    async def _check_kernel(self, kernel_id: str, answer: Answer) -> Answer:
        # The restart of a kernel that is gone is 500.
        if answer.status == 404 or (answer.status == 500 and await self.kernel(kernel_id) is None):
            raise NotFoundError(
                f"{self.address.base_url} has no kernel {kernel_id}.",
                hint="See those that run: jrc kernel list",
            )
        return self._checked(answer)

    async def _ask(self, method: str, *segments: str) -> Answer:
        return self._checked(await self._send(method, *segments))

    async def _surely(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask, and make sure that a 404 is the server's own.

        A proxy whose server is away may give it to every request. The server may come back between
        two of them, so it is asked again when it was seen.

        Raises:
            UnreachableError: the server is not there.
        """
        answer = await ask()
        if answer.status != 404:
            return answer
        try:
            await self.version()
        except (NotFoundError, ProtocolError) as error:
            raise UnreachableError(
                f"There is no Jupyter Server at {self.address.base_url} now: a proxy answers "
                f"in its place ({error.message.rstrip('.')}).",
                hint="Is the server running? See: jrc doctor",
            ) from error
        return await ask()

    def _checked(self, answer: Answer, *, fine: tuple[int, ...] = ()) -> Answer:
        if answer.status >= 300 and answer.status not in fine:
            raise self._error(answer)
        return answer

    def _error(self, answer: Answer) -> JrcError:
        """What a status of 300 and more means here."""
        from jrc.server.http_errors import from_answer

        return from_answer(answer, self.address)

    async def _send(
        self,
        method: str,
        *segments: str,
        json: object = None,
        seconds: float | None = None,
        again: bool = False,
    ) -> Answer:
        """See ``AuthorizedClient.send``."""
        url = self.address.rest(*segments)
        request = Request(method, url, json=json, seconds=seconds)
        return await self._client.send(request, again=again)
