"""What a URL leads to: a Jupyter Server that jrc can use, or what else, each with its sentence."""

import asyncio
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from jrc.errors import JrcError, ProtocolError, UnreachableError
from jrc.server.address import ServerAddress
from jrc.server.connection import DIRECT, Way
from jrc.server.http import HttpClient, Request
from jrc.server.http_errors import (
    INGRESS_HINT,
    Answer,
    classify,
    from_answer,
    login_at,
    not_tls,
)


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


_HUB_HEADER = "x-jupyterhub-version"
_USER_PATH = re.compile(r"(?P<hub>/(?:.*?/)?)user/(?P<user>[^/]+)/(?:(?P<server>[^/]+)/)?$")
# A Jupyter Server's 404 page links to its style under its real base URL.
_STATIC_LINK = re.compile(r'href="(?P<base>/[^"?#]*?)static/')
_PLAIN_TO_TLS = re.compile(
    "plain HTTP request was sent to HTTPS port|HTTP request to an HTTPS server|SSL-enabled server"
)


@dataclass(frozen=True)
class Detected:
    """A server that jrc can use.

    Attributes:
        kind: ``server``, ``hub`` or ``gateway``.
        version: of the Jupyter Server, the JupyterHub, or the Enterprise Gateway; empty where it
            is not told without a token.
        auth: what it wants: ``token``, ``password`` or ``none``. One that takes both says
            ``token``; a hub with a form for user name and password says ``password``.
        hub: base URL of the JupyterHub.
        user: whose server at the hub the URL is; empty when it is the hub's own.
        server: the name of that server; empty for the default one.
    """

    kind: str
    version: str
    auth: str
    hub: str = ""
    user: str = ""
    server: str = ""

    @property
    def title(self) -> str:
        """What was found, in words."""
        if self.kind == "gateway":
            return f"Enterprise Gateway {self.version}" if self.version else "a kernel gateway"
        return f"{'JupyterHub' if self.kind == 'hub' else 'Jupyter Server'} {self.version}"


async def detect(
    address: ServerAddress, way: Way = DIRECT, timing: DetectTiming | None = None
) -> Detected:
    """Ask a URL, without any credentials, what it is.

    Args:
        address: what the person gave.
        way: how to get there.
        timing: how long the answers may take.

    Raises:
        UnreachableError: it is not a Jupyter Server that jrc can use, or it does not answer; the
            sentence says what it is instead and the hint what to type.
    """
    timing = timing or DetectTiming()
    async with HttpClient(address, way) as http:

        async def ask(*segments: str, at: ServerAddress = address) -> Answer:
            return await http.send(Request("GET", at.rest(*segments), seconds=timing.answer))

        api = await _ask_api(http, address, timing)
        if place := hub_from(api, address):
            at = ServerAddress(place.url)
            return hub_detected(
                place, await ask("hub", "api", at=at), await ask("hub", "login", at=at)
            )
        if _is_gateway(api):
            return Detected(kind="gateway", version="", auth="token")
        version, gateway_version = versions_from(api, address)
        status = await ask("api", "status")
        if gateway_version or status.status == 404:
            return Detected(kind="gateway", version=gateway_version, auth="none")
        login = await ask("login") if status.refused else None
    return Detected(kind="server", version=version, auth=auth_from(status, login, address))


@dataclass(frozen=True)
class HubPlace:
    """A JupyterHub, and whose server there a URL is.

    Attributes:
        url: the hub's base URL: ``{url}hub/api`` is its interface.
        user: empty for the hub itself.
        server: the name of the user's server; empty for the default one.
    """

    url: str
    user: str = ""
    server: str = ""


def hub_from(api: Answer, address: ServerAddress) -> HubPlace | None:
    """The JupyterHub behind a URL; None when there is none.

    Args:
        api: the answer of ``GET /api``. A hub names its version in a header of every answer, the
            servers behind it do so too, and its proxy sends the rest to ``/hub/``.
        address: what was asked.
    """
    here, there = urlsplit(address.base_url), urlsplit(api.location)
    sent_to_hub = "/hub/" in there.path and there.netloc == here.netloc
    if _HUB_HEADER not in api.headers and not sent_to_hub:
        return None
    if found := _USER_PATH.match(here.path):
        return HubPlace(
            urljoin(address.base_url, found["hub"]),
            unquote(found["user"]),
            unquote(found["server"] or ""),
        )
    base = (there if sent_to_hub else here).path.partition("/hub/")[0].rstrip("/") + "/"
    return HubPlace(urljoin(address.base_url, base))


def hub_detected(place: HubPlace, api: Answer, login: Answer) -> Detected:
    """A JupyterHub that was found.

    Args:
        place: where.
        api: its answer of ``GET /hub/api``.
        login: its answer of ``GET /hub/login``.

    Raises:
        UnreachableError: its interface does not answer as a hub's.
    """
    address = ServerAddress(place.url)
    if api.status != 200:
        raise from_answer(api, address)
    page = _text(login) if login.status == 200 and login.is_html else ""
    return Detected(
        kind="hub",
        version=api.json().field("version").text(default=""),
        auth="password" if 'name="password"' in page else "token",
        hub=place.url,
        user=place.user,
        server=place.server,
    )


def versions_from(api: Answer, address: ServerAddress) -> tuple[str, str]:
    """The version of the Jupyter Server that answered ``GET /api``, and that of its gateway.

    Raises:
        UnreachableError: it was no Jupyter Server.
    """
    if fault := _fault(api, address):
        raise fault
    try:
        body = api.json()
        version = body.field("version").text()
        return version, body.field("gateway_version").text(default="")
    except ProtocolError as error:
        what = "a web page" if api.is_html else "something"
        raise UnreachableError(
            f"{address.base_url} answers {what}, but not as a Jupyter Server does.",
            hint="Copy the URL from the browser where JupyterLab is open.",
        ) from error


def _is_gateway(api: Answer) -> bool:
    """Whether a refusal has the form that the two gateways' has; they refuse even ``/api``.

    Source: ``JSONErrorsMixin`` of either.
    """
    if api.status != 401 or api.is_html or "www-authenticate" in api.headers:
        return False
    with suppress(ProtocolError):
        body = api.json()
        return body.fields().keys() == {"reason", "message"} and (
            body.field("reason").value == "Unauthorized"
        )
    return False


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


class BaseUrlError(UnreachableError):
    """The server is not at this base URL.

    Attributes:
        path: where it is instead; empty when nobody says it.
    """

    def __init__(self, message: str, *, hint: str, path: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


def _fault(api: Answer, address: ServerAddress) -> JrcError | None:
    """Why this answer of ``GET /api`` can't be a Jupyter Server's."""
    if api.status == 200:
        return None
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


def _redirect(api: Answer, address: ServerAddress) -> JrcError:
    there = urlsplit(api.location)
    here = urlsplit(address.base_url)
    same = there.netloc == here.netloc and there.scheme == here.scheme
    if same and there.path.rstrip("/").endswith("/api"):
        return _elsewhere(address, api.location.rstrip("/").removesuffix("api"))
    return from_answer(api, address)


def _not_there(api: Answer, address: ServerAddress) -> JrcError:
    found = _STATIC_LINK.search(_text(api)) if api.is_html else None
    if found and found["base"] != _path(address):
        return _elsewhere(address, urljoin(address.base_url, found["base"]))
    again = login_at(f"{urljoin(address.base_url, '/')}PREFIX/")
    return BaseUrlError(
        f"There is no Jupyter Server at {address.base_url} (HTTP 404).",
        hint=f"If it has a base URL, add it: {again}",
    )


def _elsewhere(address: ServerAddress, base_url: str) -> BaseUrlError:
    return BaseUrlError(
        f"The Jupyter Server of {address.host} is not at {address.base_url} but at {base_url}",
        hint=login_at(base_url),
        path=urlsplit(base_url).path,
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
    """``GET /api``, or the error that says it when http was typed for https, or the reverse.

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
            # A TLS port may know plain HTTP well enough to complain about it.
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


def _path(address: ServerAddress) -> str:
    return urlsplit(address.base_url).path


def _text(answer: Answer) -> str:
    return answer.body[:65536].decode(errors="replace")
