"""Requests with credentials, which may change while jrc runs.

A cookie or a short-lived token is renewed. Saved credentials are read again when you log in in
another terminal, and in a session jrc waits for that.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Self

from jrc.errors import AuthError, JrcError, UnreachableError
from jrc.server.address import ServerAddress
from jrc.server.auth import Auth
from jrc.server.connection import DIRECT, Talk, Way
from jrc.server.hints import login

if TYPE_CHECKING:
    from jrc.server.http import Answer, HttpClient, Request

REFUSALS = frozenset((401, 403))
"""With these a server refuses the credentials: 403 is a Jupyter Server's, 401 a gateway's."""

RETRY_PAUSES = (0.2, 0.6)
"""Seconds before a request that found no server, and may be sent twice, is sent again."""

log = logging.getLogger("jrc.server.authorized")


class ReloginTiming(NamedTuple):
    """How a session waits for a new login.

    Attributes:
        wait: seconds until the refusal is an error after all.
        poll: seconds between two looks at what is saved.
    """

    wait: float = 3600.0
    poll: float = 2.0


class SavedAuth:
    """A profile's credentials, read again when they changed.

    Args:
        read: makes the authentication from what is saved now.
        stamp: a value that changes with every login.

    Attributes:
        logins: how many new logins were read so far.

    Raises:
        JrcError: nothing is saved.
    """

    def __init__(self, read: Callable[[], Auth], stamp: Callable[[], object]) -> None:
        self._read = read
        self._stamp = stamp
        self._auth = read()
        self._seen = stamp()
        self.logins = 0

    def has_changed(self) -> bool:
        """Whether there was a login since the credentials were read."""
        return self._stamp() != self._seen

    @property
    def renewable(self) -> bool:
        return self._auth.renewable or self.has_changed()

    async def headers(self, http: "HttpClient") -> dict[str, str]:
        return await self._auth.headers(http)

    def forget(self) -> None:
        """Drop what the server gave, and read what is saved if it changed."""
        self._auth.forget()
        if not self.has_changed():
            return
        self._seen = self._stamp()
        self.logins += 1
        try:
            self._auth = self._read()
        except JrcError as error:
            log.info("the new login can't be used: %s", error)


class Relogin:
    """Waits, in the middle of a session, for you to log in again.

    Args:
        auth: whose change is waited for.
        profile: its name, for what to type.
        talk: called with a line when it waits, and when it goes on.
        timing: how long it waits.
    """

    def __init__(
        self, auth: SavedAuth, profile: str, talk: Talk, timing: ReloginTiming | None = None
    ) -> None:
        self._auth = auth
        self._profile = profile
        self._talk = talk
        self._timing = timing or ReloginTiming()
        self._waiting = asyncio.Lock()

    @property
    def logins(self) -> int:
        """How many new logins were read so far."""
        return self._auth.logins

    async def wait(self, since: int) -> bool:
        """Wait for a login. Returns whether there was one.

        Requests that wait at the same time say so once, and go on together.

        Args:
            since: ``logins`` when the request was sent that was refused.
        """
        async with self._waiting:
            if self._auth.has_changed() or self._auth.logins != since:
                return True
            self._talk(
                "The server refuses the credentials; they may have expired. Nothing is lost. "
                f"In another terminal: {login(self._profile)}"
            )
            try:
                async with asyncio.timeout(self._timing.wait):
                    # Another request may read the new login before this one sees the change.
                    while not self._auth.has_changed() and self._auth.logins == since:  # noqa: ASYNC110
                        await asyncio.sleep(self._timing.poll)
            except TimeoutError:
                return False
            self._talk("Logged in again; going on.")
            return True


class AuthorizedClient:
    """Requests to one server with its credentials, while the context is open.

    Args:
        address: where.
        auth: with which credentials.
        way: how to get there.
        relogin: waits for a new login when a session's credentials are refused; None to fail.
        refusals: the statuses that refuse credentials.
        retry_pauses: see ``RETRY_PAUSES``.
    """

    def __init__(
        self,
        address: ServerAddress,
        auth: Auth,
        way: Way = DIRECT,
        *,
        relogin: Relogin | None = None,
        refusals: frozenset[int] = REFUSALS,
        retry_pauses: tuple[float, ...] = RETRY_PAUSES,
    ) -> None:
        from jrc.server.http import HttpClient

        self.http = HttpClient(address, way)
        self._auth = auth
        self._relogin = relogin
        self._refusals = refusals
        self._retry_pauses = retry_pauses
        self._in_session = False

    async def __aenter__(self) -> Self:
        await self.http.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.__aexit__(*error)

    async def headers(self) -> dict[str, str]:
        """The headers that carry the credentials. May log in for them."""
        return await self._auth.headers(self.http)

    def forget_login(self) -> None:
        """The credentials were refused: get new ones at the next need, where that is possible."""
        self._auth.forget()

    def session_began(self) -> None:
        """From now on a refusal is not final: jrc asks you to log in again."""
        self._in_session = True

    @property
    def logins(self) -> int:
        """How often you logged in again so far."""
        return self._relogin.logins if self._relogin is not None else 0

    async def login_again(self, since: int) -> bool:
        """In a session, wait until you log in again. Returns whether that happened.

        Args:
            since: ``logins`` when the request was sent that was refused.
        """
        return self._in_session and self._relogin is not None and await self._relogin.wait(since)

    async def send(self, request: "Request", *, again: bool = False) -> "Answer":
        """Send a request with the credentials, and once more with new ones when it is refused.

        Args:
            request: what to ask.
            again: it may be done twice. As a GET, it is sent again where the server could not be
                reached.

        Raises:
            AuthError: there are no credentials, or no new ones.
            UnreachableError: there is no answer.
        """
        patient = again or request.method == "GET"
        renewed = False
        while True:
            answer = refusal = None
            logins = self.logins
            try:
                answer = await (self._send_patiently if patient else self._send_once)(request)
                if answer.status not in self._refusals:
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
            self.forget_login()

    async def _send_once(self, request: "Request") -> "Answer":
        return await self.http.send(request, await self.headers())

    async def _send_patiently(self, request: "Request") -> "Answer":
        for pause in self._retry_pauses:
            try:
                return await self._send_once(request)
            except UnreachableError as error:
                from jrc.server.http_errors import classify

                if not classify(error).may_pass:
                    raise
            await asyncio.sleep(pause)
        return await self._send_once(request)
