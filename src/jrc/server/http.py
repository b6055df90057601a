"""One HTTP request and its answer: the thin edge around httpx. What went wrong is ours from here.

No redirect is followed and no cookie is kept: credentials go to the server that they are for, and
a token-authenticated client that sends the server's cookie back is asked for an XSRF token.
"""

import logging
import sys
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Self

from jrc.errors import ConfigError
from jrc.server.address import ServerAddress
from jrc.server.connection import DIRECT, Way
from jrc.server.http_errors import Answer, from_answer, from_exception, no_socks
from jrc.server.tls import tls_context

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 10.0
"""For the TCP connection and TLS."""

ANSWER_SECONDS = 30.0
"""For each part of an answer; a server that is busy with a large notebook needs some."""

log = logging.getLogger("jrc.server")


def load_httpx() -> None:
    """Import httpx without its command line.

    That brings click, rich and pygments where somebody installed click: 60 ms and 5 MiB, which an
    editor would hold once for each notebook.
    """
    if "httpx" in sys.modules:
        return
    part = "httpx._main"
    sys.modules[part] = None  # type: ignore[assignment]  # it can't be imported, and httpx copes
    try:
        import httpx  # noqa: F401
    finally:
        del sys.modules[part]


class HttpClient:
    """A client for one server; httpx is loaded and asked at the first request.

    A run on a kernel that is already there needs the websocket only.

    Args:
        address: the server. On this machine it goes around the environment's proxies.
        way: how to get there.
    """

    def __init__(self, address: ServerAddress, way: Way = DIRECT) -> None:
        self._address = address
        self._way = way
        self._client: httpx.AsyncClient | None = None

    @property
    def client(self) -> "httpx.AsyncClient":
        if self._client is None:
            self._client = self._make()
        return self._client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _make(self) -> "httpx.AsyncClient":
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        load_httpx()
        import httpx

        # At DEBUG it logs the headers of requests and answers, and they hold credentials.
        logging.getLogger("httpcore").setLevel(logging.INFO)
        try:
            return httpx.AsyncClient(
                # Without TLS nothing is verified; not to load the CAs saves the time for it.
                verify=tls_context(self._address, self._way) or False,
                trust_env=not self._address.is_loopback,
                follow_redirects=False,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                headers={"User-Agent": "jrc", "Accept": "application/json", **self._way.headers},
            )
        except ImportError as error:
            raise no_socks(self._address) from error
        except ValueError as error:
            raise ConfigError(
                "The proxy that the environment names has no usable URL.",
                hint="Look at HTTPS_PROXY, HTTP_PROXY and ALL_PROXY.",
            ) from error


async def exchange(
    http: HttpClient,
    address: ServerAddress,
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    json: object = None,
    form: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
    seconds: float = ANSWER_SECONDS,
    connect: float = CONNECT_SECONDS,
) -> Answer:
    """Send a request and take the answer, whatever its status.

    Args:
        http: the client.
        address: the server, for the sentences of errors.
        method, url: what to ask; the URL holds no secret.
        headers: the credentials.
        json, form: the body.
        params: the query.
        seconds: how long the server may think.
        connect: how long it may take to connect, in seconds.

    Raises:
        UnreachableError: there is no answer.
    """
    load_httpx()
    import httpx

    request = f"{method} {url}"
    try:
        response = await http.client.request(
            method,
            url,
            headers=headers,
            json=json,
            data=form,
            params=params,
            timeout=httpx.Timeout(seconds, connect=connect),
        )
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise from_exception(error, request, address) from error
    log.info("%s: %d in %.0f ms", request, response.status_code, _milliseconds(response))
    return Answer(
        request=request,
        status=response.status_code,
        headers={name.lower(): value for name, value in response.headers.items()},
        cookies=response.headers.get_list("set-cookie"),
        body=response.content,
    )


async def lines(
    http: HttpClient, address: ServerAddress, url: str, *, headers: dict[str, str], seconds: float
) -> AsyncGenerator[str, None]:
    """The lines of an answer that comes piece by piece, as they come.

    Args:
        http: the client.
        address: the server, for the sentences of errors.
        url: what to get; it holds no secret.
        headers: the credentials.
        seconds: how long it may be silent.

    Raises:
        JrcError: there is no answer, it breaks off, or it has a status of 300 and more.
    """
    load_httpx()
    import httpx

    request = f"GET {url}"
    timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
    try:
        async with http.client.stream("GET", url, headers=headers, timeout=timeout) as response:
            if response.status_code >= 300:
                body = await response.aread()
                found = {name.lower(): value for name, value in response.headers.items()}
                raise from_answer(Answer(request, response.status_code, found, body=body), address)
            async for line in response.aiter_lines():
                yield line
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise from_exception(error, request, address) from error


def _milliseconds(response: "httpx.Response") -> float:
    return response.elapsed.total_seconds() * 1000
