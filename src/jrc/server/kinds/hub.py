"""A JupyterHub: whose token this is, and the start of a user's server."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple, Self

from jrc.errors import AuthError, DeadlineError, JrcError, NotFoundError, UnreachableError
from jrc.profile.model import Profile
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.auth import XSRF_COOKIE, Auth, NoAuth, cookie_headers, cookies_of
from jrc.server.authorized import AuthorizedClient
from jrc.server.connection import DIRECT, Talk, Way
from jrc.server.http import Answer, Request
from jrc.server.http_errors import from_answer, login_at
from jrc.server.kinds.hub_answers import (
    HubUser,
    SpawnEvent,
    State,
    hub_from,
    missing_scopes,
    read_event,
    read_user,
    scope_warnings,
    server_url,
    state_of,
)
from jrc.server.kinds.kind import Kind
from jrc.server.kinds.recognition import Ask, Detected, Identity, Probed, has_password_field


class Hub(Kind):
    """It makes tokens, and starts a Jupyter Server for each user."""

    name = "hub"
    api = ("hub", "api")
    makes_tokens = True

    def recognise(self, probed: Probed) -> Detected | Ask | None:
        place = hub_from(probed.api, probed.address)
        if place is None:
            return None
        address = ServerAddress(place.url)
        api_url, login_url = address.rest(*self.api), address.rest("hub", "login")
        api, login = probed.answers.get(api_url), probed.answers.get(login_url)
        if api is None or login is None:
            return Ask((api_url, login_url))
        if api.status != 200:
            raise from_answer(api, address)
        version = api.json().field("version").text(default="")
        return Detected(
            kind=self.name,
            title=f"JupyterHub {version}",
            auth="password" if has_password_field(login) else "token",
            url=place.url,
            version=version,
            user=place.user,
            server=place.server,
        )

    async def find_server(
        self,
        profile: Profile,
        address: ServerAddress,
        auth: Auth,
        way: Way,
        talk: Talk,
        *,
        start: bool = True,
    ) -> ServerAddress:
        async with HubClient(address, auth, way) as hub:
            user, server, options = profile.user, profile.server, profile.options
            found = await hub.running_server(user, server, options if start else None, talk)
        if found is None:
            raise UnreachableError(
                f"The server of '{profile.name}' is not running on the hub.",
                hint=f"Start it: jrc kernel list --profile {profile.name}",
            )
        return found

    async def identify(
        self, profile: Profile, address: ServerAddress, auth: Auth, way: Way
    ) -> Identity:
        async with HubClient(address, auth, way) as hub:
            me = await hub.me()
        return Identity(me.name, tuple(scope_warnings(me, profile.user, profile.server)))

    def token_page(self, address: ServerAddress) -> str:
        return address.rest("hub", "token")

    async def make_token(
        self, address: ServerAddress, way: Way, user: str, password: Secret, note: str
    ) -> Secret:
        async with HubClient(address, NoAuth(), way) as hub:
            return await hub.make_token(user, password, note)


KIND = Hub()


class HubTiming(NamedTuple):
    """How long a hub may take.

    Attributes:
        spawn: seconds for the start of a server; a node may have to be added to the cluster. The
            hub has a limit of its own (``Spawner.start_timeout``) and says so when it is reached.
        silence: seconds without a line of progress; a hub sends a blank line every 8 s.
        stop: seconds for the end of a server.
        poll: seconds between two looks at a server that stops.
    """

    spawn: float = 900.0
    silence: float = 60.0
    stop: float = 120.0
    poll: float = 0.5


class HubClient:
    """One JupyterHub, while the context is open.

    Args:
        address: the hub's base URL, the part before ``hub/``.
        auth: a token of the hub.
        way: how to get there.
        timing: how long the hub may take.
    """

    def __init__(
        self,
        address: ServerAddress,
        auth: Auth,
        way: Way = DIRECT,
        timing: HubTiming | None = None,
    ) -> None:
        self.address = address
        self._client = AuthorizedClient(address, auth, way)
        self._timing = timing or HubTiming()

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.__aexit__(*error)

    @property
    def token_page(self) -> str:
        """Where a person makes a token."""
        return KIND.token_page(self.address)

    async def me(self) -> HubUser:
        """Whom the token belongs to, and what it may do.

        Raises:
            AuthError: the hub does not know it.
        """
        answer = await self._send("GET", "user")
        if answer.refused:
            raise AuthError(
                f"The hub at {self.address.base_url} refused the token.",
                hint=f"Make one at {self.token_page} and log in: {login_at(self.address.base_url)}",
            )
        return read_user(self._checked(answer).json())

    async def make_token(self, user: str, password: Secret, note: str) -> Secret:
        """Get a token for a user name and a password, which the hub's authenticator checks.

        Raises:
            AuthError: it does not accept them.
        """
        url = self.address.rest(*_api("users", user, "tokens"))
        body = {"auth": {"username": user, "password": password.reveal()}, "note": note}
        request, http = Request("POST", url, json=body), self._client.http
        answer = await http.send(request)
        # The hub also refuses those who never logged in before: it has no such user yet.
        if answer.refused and await self._log_in_by_form(user, password):
            answer = await http.send(request)
        if answer.refused:
            raise AuthError(
                f"The hub at {self.address.base_url} refused the user name or the password.",
                hint=f"If the hub wants a login in the browser, make a token at {self.token_page} "
                f"and log in with it: {login_at(self.address.base_url)}",
            )
        return Secret(self._checked(answer).json().field("token").text())

    async def _log_in_by_form(self, user: str, password: Secret) -> bool:
        """Log in as a browser does. Returns whether the hub accepted it."""
        url = self.address.rest("hub", "login")
        cookies = cookies_of(await self._client.http.send(Request("GET", url)))
        if XSRF_COOKIE not in cookies:
            return False
        form = {"username": user, "password": password.reveal(), XSRF_COOKIE: cookies[XSRF_COOKIE]}
        request = Request("POST", url, form=form)
        answer = await self._client.http.send(request, cookie_headers(cookies))
        # A wrong password shows the form again, with 403.
        return answer.status == 302 and bool(cookies_of(answer).keys() - {XSRF_COOKIE})

    async def running_server(
        self, user: str, server: str, options: Mapping[str, str] | None, talk: Talk
    ) -> ServerAddress | None:
        """The user's server; None where it is down and is not to be started.

        Args:
            user: whose; empty for the token's owner.
            server: its name; empty for the default one.
            options: what it is started with; None to start nothing.
            talk: called with the progress.

        Raises:
            AuthError: the token may not use it, or not start it.
            UnreachableError: it could not be started.
            DeadlineError: that took too long.
        """
        me = await self.me()
        user = user or me.name
        lacks = missing_scopes(me.scopes, user, server)
        if "access:servers" in lacks and me.scopes:
            raise self._not_allowed("use", user, server, "access:servers")
        state = state_of(me, server) if user == me.name else State.UNKNOWN
        if options is None and state not in (State.READY, State.UNKNOWN):
            return None
        if state is State.STOPPING:
            talk(f"The server {_name(user, server)} is stopping; waiting for its end.")
            await self._stopped(server)
            state = State.STOPPED
        if state is State.STOPPED and "start:servers" in lacks and me.scopes:
            raise self._not_allowed("start", user, server, "start:servers")
        if options is not None and state in (State.STOPPED, State.STARTING):
            await self._start(user, server, options, talk, begin=state is State.STOPPED)
            me = await self.me()
        found = (me.servers or {}).get(server) if user == me.name else None
        return ServerAddress(server_url(self.address.base_url, found, user, server))

    async def _start(
        self, user: str, server: str, options: Mapping[str, str], talk: Talk, *, begin: bool
    ) -> None:
        """Start a server, or join its start, and follow the hub's own progress."""
        segments = ["users", user, "servers", server] if server else ["users", user, "server"]
        if begin:
            talk(f"Starting the server {_name(user, server)} on the hub.")
            body = {"user_options": dict(options)} if options else None
            posting = asyncio.create_task(
                self._send("POST", *segments, json=body, seconds=self._timing.silence),
                name="hub-start",
            )
            try:
                async with self._within_spawn(user, server):
                    await self._follow_while(posting, segments, user, server, talk)
                    answer = await posting
            finally:
                posting.cancel()
            if answer.status == 201:
                return
            if answer.status != 202:
                raise self._refused_start(answer, user, server)
        async with self._within_spawn(user, server):
            await self._follow(segments, user, server, talk)

    @asynccontextmanager
    async def _within_spawn(self, user: str, server: str) -> AsyncIterator[None]:
        """A hub that reports for ever on a start does not hold a command for ever."""
        try:
            async with asyncio.timeout(self._timing.spawn):
                yield
        except TimeoutError as error:
            raise DeadlineError(
                f"The server {_name(user, server)} did not start within "
                f"{self._timing.spawn:.0f} s.",
                hint=f"See {self.address.rest('hub', 'home')}",
            ) from error

    async def _follow_while(
        self,
        posting: "asyncio.Task[Answer]",
        segments: list[str],
        user: str,
        server: str,
        talk: Talk,
    ) -> None:
        """Follow the progress of a start that the hub has begun, but not yet answered.

        A hub waits ten seconds for the server before it answers (``slow_spawn_timeout``).
        """
        while not posting.done():
            await asyncio.wait({posting}, timeout=self._timing.poll)
            if not posting.done() and state_of(await self.me(), server) is State.STARTING:
                await self._follow(segments, user, server, talk)
                return

    async def _follow(self, segments: list[str], user: str, server: str, talk: Talk) -> None:
        url = self.address.rest(*_api(*segments, "progress"))
        headers = await self._client.headers()
        shown = ""
        stream = self._client.http.lines(url, headers, self._timing.silence)
        async with aclosing(stream):
            async for line in stream:
                event = read_event(line)
                if event is None:
                    continue
                if event.failed:
                    raise _failed(event, user, server, self.address)
                if event.message and event.message != shown:
                    shown = event.message
                    talk(shown if event.progress is None else f"{event.progress:>3} %  {shown}")
                if event.ready:
                    return
        raise UnreachableError(
            f"The hub stopped reporting on the start of {_name(user, server)}.",
            hint=f"See {self.address.rest('hub', 'home')} and try again.",
        )

    async def _stopped(self, server: str) -> None:
        try:
            async with asyncio.timeout(self._timing.stop):
                while state_of(await self.me(), server) is State.STOPPING:  # noqa: ASYNC110
                    await asyncio.sleep(self._timing.poll)
        except TimeoutError as error:
            raise DeadlineError(
                f"The server did not stop within {self._timing.stop:.0f} s, so it can't be "
                "started.",
                hint=f"See {self.address.rest('hub', 'home')}",
            ) from error

    def _refused_start(self, answer: Answer, user: str, server: str) -> JrcError:
        said = answer.message()
        if answer.refused:
            return self._not_allowed("start", user, server, "start:servers")
        if answer.status == 404:
            return NotFoundError(f"The hub has no user {user}.")
        if answer.status in (400, 409):
            return UnreachableError(
                f"The hub does not start the server {_name(user, server)}: {said or 'no reason'}",
                hint=f"See {self.address.rest('hub', 'home')}",
            )
        if answer.status == 429:
            return UnreachableError(
                f"The hub is starting too many servers just now ({said or 'HTTP 429'}).",
                hint="Try again in a minute.",
            )
        if answer.status >= 500:
            return _failed(SpawnEvent(said, failed=True), user, server, self.address)
        return from_answer(answer, self.address)

    def _not_allowed(self, action: str, user: str, server: str, scope: str) -> AuthError:
        return AuthError(
            f"The token may not {action} the server {_name(user, server)}: it lacks the scope "
            f"{scope}.",
            hint=f"Make a token without narrowed scopes at {self.token_page}, then: "
            f"{login_at(self.address.base_url)}",
        )

    def _checked(self, answer: Answer) -> Answer:
        if answer.status >= 300:
            raise from_answer(answer, self.address)
        return answer

    async def _send(
        self,
        method: str,
        *segments: str,
        json: object = None,
        seconds: float | None = None,
    ) -> Answer:
        url = self.address.rest(*_api(*segments))
        return await self._client.send(Request(method, url, json=json, seconds=seconds))


def _api(*segments: str) -> tuple[str, ...]:
    return ("hub", "api", *segments)


def _name(user: str, server: str) -> str:
    return f"{user}/{server}" if server else f"of {user}"


def _failed(event: SpawnEvent, user: str, server: str, address: ServerAddress) -> UnreachableError:
    why = event.message.removeprefix("Spawn failed: ") or "the hub does not say why"
    return UnreachableError(
        f"The start of the server {_name(user, server)} failed: {why}",
        hint=f"See its log, or start it on {address.rest('hub', 'home')}",
    )
