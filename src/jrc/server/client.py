"""A server's REST interface: kernels, sessions, kernelspecs.

Source: jupyter_server ``services/api/api.yaml``; a live server where it is silent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from jrc.errors import AuthError, JrcError, NotFoundError, UnreachableError
from jrc.server import models
from jrc.server.address import ServerAddress
from jrc.server.auth import Auth
from jrc.server.authorized import Relogin
from jrc.server.connection import DIRECT, Way
from jrc.server.http import ANSWER_SECONDS, HttpClient, exchange
from jrc.server.http_errors import Answer, from_answer, may_pass, was_silent
from jrc.server.models import KernelModel, KernelSpecs, SessionModel

START_SECONDS = 120.0
"""For a request that starts or stops a kernel: a pod may have to be made for it."""

RETRY_PAUSES = (0.2, 0.6)
"""Seconds before a request that found no server, and may be sent twice, is sent again."""

SWALLOWED_SECONDS = 15.0
"""Without an answer for so long, a request may have met a line that is dead."""

DELETE_PAUSES = (0.1, 0.3, 0.6, 1.5)
"""Seconds before a DELETE that the server failed to do is sent again."""


class ServerClient:
    """One server, while the context is open.

    Every method raises ``AuthError`` when the credentials are refused, ``NotFoundError``,
    ``UnreachableError`` when there is no usable answer, and ``ProtocolError`` for an answer of the
    wrong shape.

    Args:
        address: where.
        auth: with which credentials.
        way: how to get there.
        relogin: what to do in a session when the credentials are refused; None for nothing.

    Attributes:
        lists_kernels: False once the server refused to list its kernels: then ``kernels`` knows
            only those that jrc started.
    """

    lists_kernels = True

    def __init__(
        self,
        address: ServerAddress,
        auth: Auth,
        way: Way = DIRECT,
        *,
        relogin: Relogin | None = None,
    ) -> None:
        self.address = address
        self._relogin = relogin
        self._in_session = False
        self.way = way
        self._auth = auth
        self._client: HttpClient | None = None

    async def __aenter__(self) -> Self:
        self._client = HttpClient(self.address, self.way)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(kind, error, traceback)

    async def headers(self) -> dict[str, str]:
        """What the websocket must carry: the credentials, and the headers of the way there."""
        return {**self.way.headers, **await self._auth.headers(self._http)}

    def forget_login(self) -> None:
        """The credentials were refused: get new ones at the next need, where that is possible."""
        self._auth.forget()

    def session_began(self) -> None:
        """From now on a refusal is not the end: the person is asked to log in again."""
        self._in_session = True

    @property
    def logins(self) -> int:
        """How often the person logged in again so far."""
        return self._relogin.logins if self._relogin is not None else 0

    async def login_again(self, since: int) -> bool:
        """In a session, wait until the person logged in again. Returns whether that happened.

        Args:
            since: ``logins`` when the request was sent that was refused.
        """
        return self._in_session and self._relogin is not None and await self._relogin.wait(since)

    async def request(
        self,
        method: str,
        *segments: str,
        json: object = None,
        params: dict[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> object:
        """Ask an endpoint that has no method of its own here.

        Args:
            method: ``GET`` and so on. A GET that finds no server is tried again for a moment.
            segments: of the path below the base URL, unquoted: ``"api", "contents", "a b.txt"``.
            json: the body.
            params: the query.
            seconds: how long the server may think.

        Returns:
            the decoded JSON body; None for an empty one.
        """
        answer = self._checked(
            await self._send(method, *segments, json=json, params=params, seconds=seconds)
        )
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

    async def kernelspecs(self) -> KernelSpecs:
        """What kernels the server can start."""
        return models.kernelspecs((await self._ask("GET", "api", "kernelspecs")).json())

    async def kernels(self) -> list[KernelModel]:
        """The kernels that run."""
        return models.list_of(models.kernel, (await self._ask("GET", "api", "kernels")).json())

    async def kernel(self, kernel_id: str) -> KernelModel | None:
        """One running kernel; None when there is none of that id."""
        answer = await self._send("GET", "api", "kernels", kernel_id)
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
        kernel_id: str | None = None,
    ) -> SessionModel:
        """Tie a document to a kernel: a new one, or the running one of ``kernel_id``.

        The endpoint is idempotent by path: whoever asks for the same path gets the same kernel.

        Args:
            path: unique on the server; need not exist.
            name: of the document.
            type: ``notebook``, ``console`` or ``file``.
            kernel_name: the kernelspec; None for the server's default.
            kernel_id: a running kernel.

        Raises:
            NotFoundError: there is no such kernelspec; the hint names those that exist.
        """
        kernel = {"id": kernel_id} if kernel_id is not None else {"name": kernel_name}
        body = {"path": path, "name": name, "type": type, "kernel": kernel}
        answer = await self._start(kernel_name, "sessions", body)
        return models.session(answer.json())

    async def delete_session(self, session_id: str) -> None:
        """Delete a session and its kernel. It is fine when it is gone already."""
        answer = await self._delete_surely("sessions", session_id)
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
        seconds: float = START_SECONDS,
    ) -> Answer:
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
            method, "api", "kernels", kernel_id, *action, seconds=START_SECONDS
        )
        return await self._check_kernel(kernel_id, answer)

    async def _delete_surely(self, endpoint: str, id: str) -> Answer:
        """Delete what may be gone already: so it can be asked for again, over another connection.

        A line that goes dead swallows a request, or its answer.
        """
        try:
            return await self._delete(endpoint, id, seconds=SWALLOWED_SECONDS, again=True)
        except UnreachableError as error:
            if not was_silent(error):
                raise
        return await self._delete(endpoint, id, again=True)

    async def _delete(
        self, endpoint: str, id: str, *, seconds: float = START_SECONDS, again: bool = False
    ) -> Answer:
        """Delete a kernel or a session, whatever else the server is doing to it just now.

        A kernel that the server itself is restarting, since it died, can not be deleted: 500
        (jupyter_client ``multikernelmanager.py`` asks a future that is not done). A moment later
        it can.
        """
        for pause in (*DELETE_PAUSES, 0.0):
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

    def _checked(self, answer: Answer, *, fine: tuple[int, ...] = ()) -> Answer:
        if answer.status >= 300 and answer.status not in fine:
            raise self._error(answer)
        return answer

    def _error(self, answer: Answer) -> JrcError:
        """What a status of 300 and more means here."""
        return from_answer(answer, self.address)

    def _refuses(self, answer: Answer) -> bool:
        """Whether it is the credentials that an answer refuses."""
        return answer.refused

    async def _send(
        self,
        method: str,
        *segments: str,
        json: object = None,
        params: dict[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
        again: bool = False,
    ) -> Answer:
        """Send a request with the credentials, and once more with new ones when it is refused.

        A GET, and what may be done ``again``, is sent again where the server could not be reached.
        """

        async def send() -> Answer:
            return await exchange(
                self._http,
                self.address,
                method,
                self.address.rest(*segments),
                headers=await self._auth.headers(self._http),
                json=json,
                params=params,
                seconds=seconds,
            )

        patient_send = _again_after_pauses(send) if again or method == "GET" else send
        renewed = False
        while True:
            answer = refusal = None
            logins = self.logins
            try:
                answer = await patient_send()
                if not self._refuses(answer):
                    return answer
            except AuthError as error:
                refusal = error
            if answer is not None and not renewed and self._auth.renewable:
                renewed = True
            elif await self.login_again(logins):
                renewed = False
            elif answer is not None:
                return answer
            elif refusal is not None:
                raise refusal
            self._auth.forget()

    @property
    def _http(self) -> HttpClient:
        if self._client is None:
            raise RuntimeError("ServerClient is used outside of its context")
        return self._client


def _again_after_pauses(send: Callable[[], Awaitable[Answer]]) -> Callable[[], Awaitable[Answer]]:
    """Send again when the server could not be reached and may be back a moment later."""

    async def patient_send() -> Answer:
        for pause in RETRY_PAUSES:
            try:
                return await send()
            except UnreachableError as error:
                if not may_pass(error):
                    raise
            await asyncio.sleep(pause)
        return await send()

    return patient_send
