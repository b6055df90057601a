"""What a URL leads to: a Jupyter Server that jrc can use, or what else, each with its sentence."""

import asyncio
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from jrc.errors import JrcError, ProtocolError, UnreachableError
from jrc.server.address import ServerAddress
from jrc.server.exchange import CONNECT_SECONDS, HttpClient, exchange
from jrc.server.failure import (
    Answer,
    closed_early,
    found_no_connection_in_time,
    from_answer,
    not_tls,
)

DETECT_SECONDS = 15.0
"""For each answer; somebody waits at a terminal."""

SLOW_SECONDS = 2.0
"""After that a TLS handshake that does not come is looked into."""

_HUB_HEADER = "x-jupyterhub-version"
_USER_PATH = re.compile(r"(?P<hub>/.*?)user/(?P<user>[^/]+)/")
# A Jupyter Server's 404 page links to its style under its real base URL.
_STATIC_LINK = re.compile(r'href="(?P<base>/[^"?#]*?)static/')
_PLAIN_TO_TLS = re.compile(
    "plain HTTP request was sent to HTTPS port|HTTP request to an HTTPS server|SSL-enabled server"
)


@dataclass(frozen=True)
class Detected:
    """A server that jrc can use.

    Attributes:
        kind: ``server``, for now.
        version: of the Jupyter Server.
        auth: what it wants: ``token``, ``password`` or ``none``. A server that takes both says
            ``token``.
    """

    kind: str
    version: str
    auth: str


async def detect(address: ServerAddress, *, verify_tls: bool = True) -> Detected:
    """Ask a URL, without any credentials, what it is.

    Args:
        address: what the person gave.
        verify_tls: whether its certificate must be valid.

    Raises:
        UnreachableError: it is not a Jupyter Server that jrc can use, or it does not answer; the
            sentence says what it is instead and the hint what to type.
    """
    async with HttpClient(address, verify_tls=verify_tls) as http:

        async def ask(*segments: str) -> Answer:
            url = address.rest(*segments)
            return await exchange(http, address, "GET", url, seconds=DETECT_SECONDS)

        api = await _ask_api(http, address)
        version = version_from(api, address)
        status = await ask("api", "status")
        login = await ask("login") if status.refused else None
    return Detected(kind="server", version=version, auth=auth_from(status, login, address))


def version_from(api: Answer, address: ServerAddress) -> str:
    """The version of the Jupyter Server that answered ``GET /api``.

    Raises:
        UnreachableError: it was no Jupyter Server.
    """
    if fault := _fault(api, address):
        raise fault
    try:
        body = api.json()
        fields = body.fields()
        version = body.field("version").text()
    except ProtocolError as error:
        what = "a web page" if api.is_html else "something"
        raise UnreachableError(
            f"{address.base_url} answers {what}, but not as a Jupyter Server does.",
            hint="Copy the URL from the browser where JupyterLab is open.",
        ) from error
    if "gateway_version" in fields:
        raise _gateway(address)
    if _HUB_HEADER in api.headers and not _USER_PATH.search(_path(address)):
        raise _hub(address, api.headers[_HUB_HEADER])
    return version


def auth_from(status: Answer, login: Answer | None, address: ServerAddress) -> str:
    """What the server wants.

    Args:
        status: the answer of ``GET /api/status``, sent without credentials.
        login: the answer of ``GET /login`` if the first was a refusal.
        address: the server.

    Returns:
        ``token``, ``password`` or ``none``.

    Raises:
        UnreachableError: the answers are none of a Jupyter Server.
    """
    if status.status == 404:
        raise _gateway(address)
    if login is None:
        if status.status != 200:
            raise from_answer(status, address)
        return "none"
    page = _text(login) if login.status == 200 and login.is_html else ""
    asks_for_password = 'name="password"' in page
    return "password" if asks_for_password and not _mentions_token(page) else "token"


def _mentions_token(page: str) -> bool:
    """Source: jupyter_server ``templates/login.html``; the heading is in every version of it."""
    return "Token authentication is enabled" in page


def _fault(api: Answer, address: ServerAddress) -> JrcError | None:
    """Why this answer of ``GET /api`` can't be a Jupyter Server's."""
    if api.status == 200:
        return None
    if _HUB_HEADER in api.headers:
        return _hub(address, api.headers[_HUB_HEADER])
    if api.location:
        return _redirect(api, address)
    if api.status == 404:
        return _not_there(api, address)
    if api.status == 401:
        return _wants_login(api, address)
    if api.status == 403:
        return _forbidden(api, address)
    if api.status == 400 and _PLAIN_TO_TLS.search(_text(api)):
        return _wants_https(address)
    return from_answer(api, address)


def _hub(address: ServerAddress, version: str) -> UnreachableError:
    found = _USER_PATH.search(_path(address))
    if found:
        return UnreachableError(
            f"JupyterHub answers for {found['user']}, whose server is not running.",
            hint=f"Start it at {urljoin(address.base_url, found['hub'])}hub/home and try again.",
        )
    hub = re.sub(r"hub/$", "", address.base_url)
    return UnreachableError(
        f"{address.base_url} is a JupyterHub ({version}), which jrc can't log in to yet.",
        hint=f"Start your server there, make a token at {hub}hub/token, "
        f"and log in to your own server: jrc login {hub}user/NAME/",
    )


def _gateway(address: ServerAddress) -> UnreachableError:
    return UnreachableError(
        f"{address.base_url} is a Kernel Gateway or Enterprise Gateway, which jrc can't use yet.",
        hint="Log in to a Jupyter Server instead, for example one that uses this gateway.",
    )


def _redirect(api: Answer, address: ServerAddress) -> JrcError:
    there = urlsplit(api.location)
    here = urlsplit(address.base_url)
    if there.netloc == here.netloc and there.scheme == here.scheme:
        if "/hub/" in there.path:
            return _hub(address, "of an unknown version")
        if there.path.rstrip("/").endswith("/api"):
            return _elsewhere(address, api.location.rstrip("/").removesuffix("api"))
    return from_answer(api, address)


def _not_there(api: Answer, address: ServerAddress) -> JrcError:
    found = _STATIC_LINK.search(_text(api)) if api.is_html else None
    if found and found["base"] != _path(address):
        return _elsewhere(address, urljoin(address.base_url, found["base"]))
    return UnreachableError(
        f"There is no Jupyter Server at {address.base_url} (HTTP 404).",
        hint=f"If it has a base URL, add it: jrc login {urljoin(address.base_url, '/')}PREFIX/",
    )


def _elsewhere(address: ServerAddress, base_url: str) -> UnreachableError:
    return UnreachableError(
        f"The Jupyter Server of {address.host} is not at {address.base_url} but at {base_url}",
        hint=f"jrc login {base_url}",
    )


def _wants_login(api: Answer, address: ServerAddress) -> JrcError:
    if "www-authenticate" in api.headers:
        scheme = api.headers["www-authenticate"].partition(" ")[0]
        return UnreachableError(
            f"A proxy in front of {address.host} asks for a login of its own ({scheme}).",
            hint="Ask for a way to the server that needs its token only, or use a port-forward.",
        )
    return _gateway(address) if not api.is_html else from_answer(api, address)


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
        hint=f"jrc login https{address.base_url.removeprefix('http')}",
    )


async def _ask_api(http: HttpClient, address: ServerAddress) -> Answer:
    """``GET /api``, or the error that says it when http was typed for https, or the reverse.

    A Jupyter Server that gets the beginning of TLS waits for more of it, so the first try is short;
    one that gets plain HTTP where TLS belongs closes the connection.
    """
    for connect in (SLOW_SECONDS, CONNECT_SECONDS):
        try:
            return await exchange(
                *(http, address, "GET", address.rest("api")),
                seconds=DETECT_SECONDS,
                connect=connect,
            )
        except UnreachableError as error:
            slow = found_no_connection_in_time(error)
            if slow or closed_early(error):
                if address.is_tls and await _speaks_plain(address):
                    raise not_tls(address) from error
                if not address.is_tls and not slow and await _speaks_tls(address):
                    raise _wants_https(address) from error
            if not slow or connect == CONNECT_SECONDS:
                raise
    raise AssertionError("unreachable")


async def _speaks_plain(address: ServerAddress) -> bool:
    """Whether plain HTTP gets an answer."""
    plain = ServerAddress(f"http{address.base_url.removeprefix('https')}")
    with suppress(UnreachableError):
        async with HttpClient(plain, verify_tls=False) as http:
            answer = await exchange(
                *(http, plain, "GET", plain.rest("api")),
                seconds=SLOW_SECONDS,
                connect=SLOW_SECONDS,
            )
            # A TLS port may know plain HTTP well enough to complain about it.
            return answer.status != 400 and not answer.location
    return False


async def _speaks_tls(address: ServerAddress) -> bool:
    """Whether a TLS handshake succeeds, whatever the certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    parts = urlsplit(address.base_url)
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, ssl=context)
            writer.transport.abort()
            return True
    return False


def _path(address: ServerAddress) -> str:
    return urlsplit(address.base_url).path


def _text(answer: Answer) -> str:
    return answer.body[:65536].decode(errors="replace")
