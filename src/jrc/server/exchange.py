"""One HTTP request and its answer: the thin edge around httpx. What went wrong is ours from here.

No redirect is followed and no cookie is kept: credentials go to the server that they are for, and
a token-authenticated client that sends the server's cookie back is asked for an XSRF token.
"""

import logging
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

from jrc.server.address import ServerAddress
from jrc.server.failure import Answer, from_exception
from jrc.server.tls import tls_context

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 10.0
"""For the TCP connection and TLS."""

ANSWER_SECONDS = 30.0
"""For each part of an answer; a server that is busy with a large notebook needs some."""

log = logging.getLogger("jrc.server")


def http_client(address: ServerAddress, *, verify_tls: bool) -> "httpx.AsyncClient":
    """A client for one server. On this machine it goes around the environment's proxies."""
    import httpx

    # At DEBUG it logs the headers of requests and answers, and they hold credentials.
    logging.getLogger("httpcore").setLevel(logging.INFO)
    return httpx.AsyncClient(
        # Without TLS nothing is verified; not to load the CAs saves the time for it.
        verify=tls_context(address, verify=verify_tls) or False,
        trust_env=not address.is_loopback,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        headers={"User-Agent": "jrc", "Accept": "application/json"},
    )


async def exchange(
    http: "httpx.AsyncClient",
    address: ServerAddress,
    method: str,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    json: object = None,
    form: dict[str, str] | None = None,
    params: dict[str, str] | None = None,
    seconds: float = ANSWER_SECONDS,
) -> Answer:
    """Send a request and take the answer, whatever its status.

    Args:
        http: from :func:`http_client`.
        address: the server, for the sentences of errors.
        method, url: what to ask; the URL holds no secret.
        headers: the credentials.
        json, form: the body.
        params: the query.
        seconds: how long the server may think.

    Raises:
        UnreachableError: there is no answer.
    """
    import httpx

    request = f"{method} {url}"
    try:
        response = await http.request(
            method,
            url,
            headers=headers,
            json=json,
            data=form,
            params=params,
            timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
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


def _milliseconds(response: "httpx.Response") -> float:
    return response.elapsed.total_seconds() * 1000
