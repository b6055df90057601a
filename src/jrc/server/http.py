"""One HTTP client for one server: the thin edge around httpx, whose errors become ours here.

No redirect is followed and no cookie is kept: credentials go to the server that they are for, and
a token-authenticated client that sends the server's cookie back is asked for an XSRF token.
"""

import logging
import sys
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Self

from jrc.errors import ConfigError
from jrc.server.address import ServerAddress
from jrc.server.connection import DIRECT, Way, tls_context
from jrc.server.http_errors import Answer, from_answer, from_exception, no_socks
from jrc.startup import COMMAND_LINE_OF_HTTPX, hidden

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
    """

    method: str
    url: str
    json: object = None
    form: dict[str, str] | None = None
    params: dict[str, str] | None = None
    seconds: float | None = None
    connect: float | None = None


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
    """

    def __init__(
        self, address: ServerAddress, way: Way = DIRECT, timing: HttpTiming | None = None
    ) -> None:
        self.address = address
        self.way = way
        self._timing = timing or HttpTiming()
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
            UnreachableError: there is no answer.
        """
        client = self._client()
        import httpx

        asked = f"{request.method} {request.url}"
        try:
            response = await client.request(
                request.method,
                request.url,
                headers=headers,
                json=request.json,
                data=request.form,
                params=request.params,
                timeout=self._timeout(request.seconds, request.connect),
            )
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise from_exception(error, asked, self.address) from error
        took = response.elapsed.total_seconds() * 1000
        log.info("%s: %d in %.0f ms", asked, response.status_code, took)
        return _answer(asked, response, response.content)

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
        client = self._client()
        import httpx

        asked = f"GET {url}"
        try:
            async with client.stream(
                "GET", url, headers=headers, timeout=self._timeout(seconds)
            ) as response:
                if response.status_code >= 300:
                    answer = _answer(asked, response, await response.aread())
                    raise from_answer(answer, self.address)
                async for line in response.aiter_lines():
                    yield line
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise from_exception(error, asked, self.address) from error

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
                follow_redirects=False,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                headers={"User-Agent": "jrc", "Accept": "application/json", **self.way.headers},
            )
        except ImportError as error:
            raise no_socks(self.address) from error
        except ValueError as error:
            raise ConfigError(
                "The proxy that the environment names has no usable URL.",
                hint="Look at HTTPS_PROXY, HTTP_PROXY and ALL_PROXY.",
            ) from error


def _answer(asked: str, response: "httpx.Response", body: bytes) -> Answer:
    return Answer(
        request=asked,
        status=response.status_code,
        headers={name.lower(): value for name, value in response.headers.items()},
        cookies=tuple(response.headers.get_list("set-cookie")),
        body=body,
    )
