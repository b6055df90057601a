"""What a URL leads to: a server of a known kind, or what else, each with its sentence."""

import asyncio
import re
import ssl
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from jrc.errors import JrcError, UnreachableError
from jrc.server.address import ServerAddress
from jrc.server.connection import DIRECT, Way
from jrc.server.http import Answer, HttpClient, Request
from jrc.server.http_errors import INGRESS_HINT, classify, from_answer, login_at, not_tls
from jrc.server.kinds import every_kind
from jrc.server.kinds.recognition import Ask, Detected, Probed
from jrc.server.origin import on_same_origin, path_of


class DetectTiming(NamedTuple):
    """How long a server may take; somebody waits at a terminal.

    Attributes:
        answer: seconds for each answer.
        connect: seconds for the TCP connection and TLS.
        suspicious: seconds after which a TLS handshake that does not come is looked into.
    """

    answer: float = 15.0
    connect: float = 10.0
    suspicious: float = 2.0


# A Jupyter Server's 404 page links to its style under its real base URL.
_STATIC_LINK = re.compile(r'href="(?P<base>/[^"?#]*?)static/')
_PLAIN_TO_TLS = re.compile(
    "plain HTTP request was sent to HTTPS port|HTTP request to an HTTPS server|SSL-enabled server"
)


async def detect(
    address: ServerAddress, way: Way = DIRECT, timing: DetectTiming | None = None
) -> Detected:
    """Ask a URL, without any credentials, what it is.

    Args:
        address: what the person gave.
        way: how to get there.
        timing: how long the answers may take.

    Raises:
        UnreachableError: it is not a server that jrc can use, or it does not answer; the sentence
            says what it is instead and the hint what to type.
    """
    timing = timing or DetectTiming()
    async with HttpClient(address, way) as http:
        answers = {address.rest("api"): await _ask_api(http, address, timing)}
        probed = Probed(address, answers)
        for kind in every_kind():
            found = kind.recognise(probed)
            while isinstance(found, Ask):
                for url in found.urls:
                    answers[url] = await http.send(Request("GET", url, seconds=timing.answer))
                found = kind.recognise(probed)
            if found is not None:
                return found
    raise what_else(probed.api, address)


class BaseUrlError(UnreachableError):
    """The server is not at this base URL.

    Attributes:
        path: where it is instead; empty when nobody says it.
    """

    def __init__(self, message: str, *, hint: str, path: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


def what_else(api: Answer, address: ServerAddress) -> JrcError:
    """What answered ``GET /api`` if it was no server of a known kind. Pure."""
    if api.status == 200:
        what = "a web page" if api.is_html else "something"
        return UnreachableError(
            f"{address.base_url} answers {what}, but not as a Jupyter Server does.",
            hint="Copy the URL from the browser where JupyterLab is open.",
        )
    if api.location:
        return _redirect(api, address)
    if api.status == 404:
        return _not_there(api, address)
    if api.status == 401:
        return _wants_login(api, address)
    if api.status == 403:
        return _forbidden(api, address)
    if api.status == 400 and _PLAIN_TO_TLS.search(api.page()):
        return _wants_https(address)
    return from_answer(api, address)


def _redirect(api: Answer, address: ServerAddress) -> JrcError:
    there = on_same_origin(api.location, address.base_url)
    if there is not None and there.rstrip("/").endswith("/api"):
        return _elsewhere(address, there.rstrip("/").removesuffix("api"))
    return from_answer(api, address)


def _not_there(api: Answer, address: ServerAddress) -> JrcError:
    found = _STATIC_LINK.search(api.page()) if api.is_html else None
    there = on_same_origin(found["base"], address.base_url) if found else None
    if there is not None and there != address.base_url:
        return _elsewhere(address, there)
    again = login_at(f"{on_same_origin('/', address.base_url)}PREFIX/")
    return BaseUrlError(
        f"There is no Jupyter Server at {address.base_url} (HTTP 404).",
        hint=f"If it has a base URL, add it: {again}",
    )


def _elsewhere(address: ServerAddress, base_url: str) -> BaseUrlError:
    return BaseUrlError(
        f"The Jupyter Server of {address.host} is not at {address.base_url} but at {base_url}",
        hint=login_at(base_url),
        path=path_of(base_url),
    )


def _wants_login(api: Answer, address: ServerAddress) -> JrcError:
    if "www-authenticate" in api.headers:
        scheme = api.headers["www-authenticate"].partition(" ")[0]
        return UnreachableError(
            f"A proxy in front of {address.host} asks for a login of its own ({scheme}).",
            hint=INGRESS_HINT,
        )
    return UnreachableError(
        f"{address.base_url} wants a login before it says what it is (HTTP 401).",
        hint="If something in front of it wants a header: jrc login URL --header NAME=env:VARIABLE",
    )


def _forbidden(api: Answer, address: ServerAddress) -> JrcError:
    if api.is_html:
        return UnreachableError(
            f"A proxy in front of {address.host} does not let us through (HTTP 403).",
            hint="Check the URL, and whether a VPN is needed.",
        )
    return UnreachableError(
        f"The server refuses to be called {address.host} (HTTP 403 where no login is needed).",
        hint="Reach it as localhost, or start it with --ServerApp.allow_remote_access=True.",
    )


def _wants_https(address: ServerAddress) -> UnreachableError:
    return UnreachableError(
        f"{address.host} speaks TLS, and was asked in plain HTTP.",
        hint=login_at(f"https{address.base_url.removeprefix('http')}"),
    )


async def _ask_api(http: HttpClient, address: ServerAddress, timing: DetectTiming) -> Answer:
    """``GET /api``, or the error that says so when http was typed for https, or the reverse.

    A Jupyter Server that gets the beginning of TLS waits for more of it, so the first try is short;
    one that gets plain HTTP where TLS belongs closes the connection.
    """
    request = Request("GET", address.rest("api"), seconds=timing.answer)
    try:
        return await http.send(request._replace(connect=timing.suspicious))
    except UnreachableError as error:
        await _raise_for_other_scheme(error, address, timing)
        if not classify(error).no_connection:
            raise
    try:
        return await http.send(request._replace(connect=timing.connect))
    except UnreachableError as error:
        await _raise_for_other_scheme(error, address, timing)
        raise


async def _raise_for_other_scheme(
    error: UnreachableError, address: ServerAddress, timing: DetectTiming
) -> None:
    """Raise a better error where https was typed for http, or the reverse."""
    failure = classify(error)
    if not failure.no_connection and not failure.closed_early:
        return
    if address.is_tls and await _speaks_plain(address, timing):
        raise not_tls(address) from error
    if not address.is_tls and not failure.no_connection and await _speaks_tls(address, timing):
        raise _wants_https(address) from error


async def _speaks_plain(address: ServerAddress, timing: DetectTiming) -> bool:
    """Whether plain HTTP gets an answer."""
    plain = ServerAddress(f"http{address.base_url.removeprefix('https')}")
    with suppress(UnreachableError):
        async with HttpClient(plain) as http:
            soon = timing.suspicious
            request = Request("GET", plain.rest("api"), seconds=soon, connect=soon)
            answer = await http.send(request)
            # A TLS port may understand enough plain HTTP to complain about it.
            return answer.status != 400 and not answer.location
    return False


async def _speaks_tls(address: ServerAddress, timing: DetectTiming) -> bool:
    """Whether a TLS handshake succeeds, whatever the certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    parts = urlsplit(address.base_url)
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(timing.connect):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, ssl=context)
            writer.transport.abort()
            return True
    return False
