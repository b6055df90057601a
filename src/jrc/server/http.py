"""One HTTP client for one server: the thin edge around httpx, whose errors become ours here.

No redirect is followed and no cookie is kept: credentials go to the server that they are for, and
a token-authenticated client that sends the server's cookie back is asked for an XSRF token.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urljoin, urlsplit

from jrc.errors import ConfigError, ProtocolError, UnreachableError
from jrc.profile.limits import Limits, limits_from_environment
from jrc.server.address import ServerAddress
from jrc.server.bodies import ENCODINGS, lines_of, read_body
from jrc.server.connection import DIRECT, Way, tls_context
from jrc.server.models import answer_of
from jrc.server.origin import check_origin
from jrc.shapes import Reader, line_at, parse, text_at
from jrc.startup import COMMAND_LINE_OF_HTTPX, hidden
from jrc.tunnel import TUNNEL_DOWN

if TYPE_CHECKING:
    import httpx


class HttpTiming(NamedTuple):
    """How long requests may take, where they do not say it themselves.

    Attributes:
        connect: seconds for the TCP connection and TLS.
        answer: seconds for each part of an answer; a server that is busy with a large notebook
            needs some.
    """

    connect: float = 10.0
    answer: float = 30.0


class Request(NamedTuple):
    """What to ask a server.

    Attributes:
        method: ``GET`` and so on.
        url: holds no secret.
        json, form: the body.
        params: the query.
        seconds: how long the server may think; None for what ``HttpTiming`` says.
        connect: how long connecting may take, in seconds; None for what ``HttpTiming`` says.
        document: the answer holds a file, and may be large.
    """

    method: str
    url: str
    json: object = None
    form: dict[str, str] | None = None
    params: dict[str, str] | None = None
    seconds: float | None = None
    connect: float | None = None
    document: bool = False


class Answer(NamedTuple):
    """One HTTP response.

    Attributes:
        request: ``GET https://host/api/kernels``: what was asked, for sentences.
        status: the HTTP status.
        headers: by lower-case name.
        cookies: the values of its Set-Cookie headers.
        body: the bytes.
    """

    request: str
    status: int
    headers: dict[str, str]
    cookies: tuple[str, ...] = ()
    body: bytes = b""

    def __repr__(self) -> str:
        # The rest may hold credentials.
        return f"Answer({self.request!r}, {self.status})"

    @property
    def refused(self) -> bool:
        """The credentials were not accepted: 403 on a Jupyter Server, 401 on a gateway."""
        return self.status in (401, 403)

    @property
    def is_html(self) -> bool:
        """Whether it is a page for people."""
        return "html" in self.headers.get("content-type", "")

    @property
    def location(self) -> str:
        """Where a redirect leads: without its query, which may hold a secret. Else empty."""
        if self.status // 100 != 3 or "location" not in self.headers:
            return ""
        try:
            url = urljoin(self.request.partition(" ")[2], self.headers["location"])
            parts = urlsplit(url)
        except ValueError:
            return ""
        netloc = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{netloc}{parts.path}"

    def page(self) -> str:
        """The beginning of a page for people, as text; long enough for what jrc looks for there."""
        return self.body[:65536].decode(errors="replace")

    def message(self) -> str:
        """The server's own message in one short line; empty when there is none.

        Only JSON is looked at: Jupyter Server's HTML error pages contain its token.
        """
        try:
            value = parse(self.body)
        except ValueError:
            return ""
        return line_at(value, "message") or line_at(value, "reason")

    @property
    def is_of_tunnel(self) -> bool:
        """The tunnel's own end on this machine answers: the request did not leave it."""
        if self.status != 503:
            return False
        try:
            return text_at(parse(self.body), "reason") == TUNNEL_DOWN
        except ValueError:
            return False

    def json(self) -> Reader:
        """The decoded body.

        Raises:
            ProtocolError: it is not JSON.
        """
        try:
            return answer_of(self.request, parse(self.body))
        except ValueError as error:
            found = "a web page" if self.is_html else "something else"
            raise ProtocolError(
                f"{self.request} answered {found} where JSON belongs.",
                hint="Is this a Jupyter Server? A login page or a proxy may have answered.",
            ) from error


log = logging.getLogger("jrc.server")


def load_httpx() -> None:
    """Import httpx without its command line."""
    if "httpx" in sys.modules:
        return
    with hidden(*COMMAND_LINE_OF_HTTPX):
        import httpx  # noqa: F401


class HttpClient:
    """The connections to one server, while the context is open.

    httpx is loaded at the first request: a run on a kernel that is already there needs the
    websocket only.

    Args:
        address: the server. On this machine it goes around the environment's proxies.
        way: how to get there.
        timing: how long requests may take.
        limits: how large answers may be; None for those of the environment.

    Raises:
        ConfigError: the environment names a limit that is none.
    """

    def __init__(
        self,
        address: ServerAddress,
        way: Way = DIRECT,
        timing: HttpTiming | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.address = address
        self.way = way
        self._timing = timing or HttpTiming()
        self._limits = limits or limits_from_environment()
        self._is_open = False
        self._made: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_open = False
        client, self._made = self._made, None
        if client is not None:
            await client.aclose()

    async def send(self, request: Request, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request and take the answer, whatever its status.

        Args:
            request: what to ask.
            headers: the credentials.

        Raises:
            UnreachableError: there is no answer, or not the whole of it in time.
            ProtocolError: the URL is another server's, or the answer is too large.
        """
        check_origin(request.url, self.address.base_url)
        client = self._client()
        import httpx

        asked = f"{request.method} {request.url}"
        document = request.document
        timeout = self._timeout(request.seconds, request.connect)
        thinks = (timeout.connect or 0) + (timeout.read or 0)
        try:
            async with (
                self._in_time(asked, thinks, document=document),
                client.stream(
                    request.method,
                    request.url,
                    headers=headers,
                    json=request.json,
                    data=request.form,
                    params=request.params,
                    timeout=timeout,
                ) as response,
            ):
                most = self._limits.document if document else self._limits.answer
                body = await read_body(response, asked, most, document=document)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            from jrc.server.http_errors import from_exception

            raise from_exception(error, asked, self.address) from error
        took = response.elapsed.total_seconds() * 1000
        log.info("%s: %d in %.0f ms", asked, response.status_code, took)
        return _answer(asked, response, body)

    async def lines(
        self, url: str, headers: Mapping[str, str], seconds: float
    ) -> AsyncGenerator[str, None]:
        """The lines of an answer that comes piece by piece, as they come.

        Args:
            url: what to get; it holds no secret.
            headers: the credentials.
            seconds: how long the server may be silent.

        Raises:
            JrcError: there is no answer, it breaks off, or it has a status of 300 and more.
        """
        check_origin(url, self.address.base_url)
        client = self._client()
        import httpx

        asked = f"GET {url}"
        try:
            async with client.stream(
                "GET", url, headers=headers, timeout=self._timeout(seconds)
            ) as response:
                if response.status_code >= 300:
                    from jrc.server.http_errors import from_answer

                    async with self._in_time(asked):
                        body = await read_body(response, asked, self._limits.answer)
                    raise from_answer(_answer(asked, response, body), self.address)
                async with aclosing(lines_of(response, asked, self._limits.line)) as lines:
                    async for line in lines:
                        yield line
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            from jrc.server.http_errors import from_exception

            raise from_exception(error, asked, self.address) from error

    @asynccontextmanager
    async def _in_time(
        self, asked: str, thinks: float = 0.0, *, document: bool = False
    ) -> AsyncIterator[None]:
        """What is awaited in it has to come as a whole in the time of an answer.

        Args:
            asked: for the sentence.
            thinks: seconds that the server may need before it answers.
            document: the answer holds a file.
        """
        limits = self._limits
        whole = thinks + (limits.document_seconds if document else limits.answer_seconds)
        try:
            async with asyncio.timeout(whole):
                yield
        except TimeoutError as error:
            raise UnreachableError(
                f"{asked} was answered so slowly that the whole did not come within {whole:g} s."
            ) from error

    def _timeout(self, seconds: float | None, connect: float | None = None) -> "httpx.Timeout":
        import httpx

        answer = self._timing.answer if seconds is None else seconds
        return httpx.Timeout(answer, connect=self._timing.connect if connect is None else connect)

    def _client(self) -> "httpx.AsyncClient":
        if self._made is None:
            if not self._is_open:
                raise RuntimeError("HttpClient is used outside of its context")
            self._made = self._make()
        return self._made

    def _make(self) -> "httpx.AsyncClient":
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        load_httpx()
        import httpx

        # httpcore logs headers at DEBUG, and they hold credentials; httpx logs each request, which
        # is logged here already.
        logging.getLogger("httpcore").setLevel(logging.INFO)
        logging.getLogger("httpx").setLevel(logging.WARNING)
        try:
            return httpx.AsyncClient(
                # Without TLS nothing is verified; not to load the CAs saves the time for it.
                verify=tls_context(self.address, self.way) or False,
                trust_env=not self.address.is_loopback,
                transport=self._transport(),
                follow_redirects=False,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                headers={
                    "User-Agent": "jrc",
                    "Accept": "application/json",
                    "Accept-Encoding": ENCODINGS,
                    **self.way.headers,
                },
            )
        except ImportError as error:
            from jrc.server.http_errors import no_socks

            raise no_socks(self.address) from error
        except ValueError as error:
            raise ConfigError(
                "The proxy that the environment names has no usable URL.",
                hint="Look at HTTPS_PROXY, HTTP_PROXY and ALL_PROXY.",
            ) from error

    def _transport(self) -> "httpx.AsyncBaseTransport | None":
        """What makes the connections; None for httpx's own, which knows about proxies."""
        if self.way.entrance is None:
            return None
        from jrc.server.tunnelled import TunnelTransport

        return TunnelTransport(self.way.entrance)


def _answer(asked: str, response: "httpx.Response", body: bytes) -> Answer:
    return Answer(
        request=asked,
        status=response.status_code,
        headers={name.lower(): value for name, value in response.headers.items()},
        cookies=tuple(response.headers.get_list("set-cookie")),
        body=body,
    )
