"""The ways to authenticate at a server: a token, a password, or nothing.

Source: jupyter_server ``auth/identity.py``, ``auth/login.py``, ``base/handlers.py``.
"""

import asyncio
import secrets
from typing import TYPE_CHECKING, Protocol

from jrc.errors import AuthError
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress

if TYPE_CHECKING:
    from jrc.server.http import Answer, HttpClient

XSRF_COOKIE = "_xsrf"


class Auth(Protocol):
    """A way to authenticate."""

    @property
    def renewable(self) -> bool:
        """Whether a refused request is worth a second try after :meth:`forget`."""
        ...

    async def headers(self, http: "HttpClient") -> dict[str, str]:
        """The headers that every request carries, the websocket's included. May log in for them.

        Raises:
            AuthError: the login failed.
            UnreachableError: it could not be tried.
        """
        ...

    def forget(self) -> None:
        """Drop what the server gave: log in again when credentials are needed next."""
        ...


class NoAuth:
    """For a server that asks for nothing but still for the XSRF token.

    It compares the cookie with the header, and that is all: a value of our own will do.
    """

    renewable = False

    def __init__(self) -> None:
        self._headers = cookie_headers({XSRF_COOKIE: secrets.token_hex(16)})

    async def headers(self, http: "HttpClient") -> dict[str, str]:  # noqa: ARG002
        return dict(self._headers)

    def forget(self) -> None:
        """There is nothing to forget."""


class TokenAuth:
    """A token in a header. Needs no XSRF token, and works on websockets.

    Args:
        secret: the token.

    Raises:
        AuthError: no header can carry it.
    """

    renewable = False

    def __init__(self, secret: Secret) -> None:
        self._headers = token_headers(secret)

    async def headers(self, http: "HttpClient") -> dict[str, str]:  # noqa: ARG002
        return dict(self._headers)

    def forget(self) -> None:
        """A token stays the same."""


def token_headers(secret: Secret) -> dict[str, str]:
    """The header that carries a token.

    Raises:
        AuthError: no header can carry it.
    """
    token = secret.reveal()
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise AuthError(
            "This is not a token: it is empty, or has characters that no token has.",
            hint="Copy it again: jrc login URL",
        )
    # Lower case: gateways know neither "Token" nor "Bearer".
    return {"Authorization": f"token {token}"}


class PasswordAuth:
    """A password, exchanged for a cookie at the login page.

    Every request but GET must also repeat the XSRF cookie in a header. The cookie is named after
    the host and port, so it is kept here and not in a jar that several servers share.

    Args:
        secret: the password.
        address: the only server that the password is sent to.
    """

    renewable = True

    def __init__(self, secret: Secret, address: ServerAddress) -> None:
        self._secret = secret
        self._address = address
        self._headers: dict[str, str] | None = None
        self._logging_in = asyncio.Lock()

    async def headers(self, http: "HttpClient") -> dict[str, str]:
        async with self._logging_in:
            if self._headers is None:
                self._headers = await self._log_in(http)
            return dict(self._headers)

    def forget(self) -> None:
        """Drop the cookie."""
        self._headers = None

    async def _log_in(self, http: "HttpClient") -> dict[str, str]:
        from jrc.server.http import Request
        from jrc.server.http_errors import from_answer, login_at

        url = self._address.rest("login")
        page = await http.send(Request("GET", url))
        cookies = cookies_of(page)
        if page.status == 404 or (page.status == 200 and XSRF_COOKIE not in cookies):
            raise AuthError(
                f"{self._address.base_url} has no password login.",
                hint=f"It may want a token: {login_at(self._address.base_url)}",
            )
        if page.status != 200:
            raise from_answer(page, self._address)
        form = {"password": self._secret.reveal(), XSRF_COOKIE: cookies[XSRF_COOKIE]}
        answer = await http.send(Request("POST", url, form=form), cookie_headers(cookies))
        if answer.status == 401:
            raise AuthError(
                f"{self._address.base_url} refused the password.",
                hint=f"Try again: {login_at(self._address.base_url)}",
            )
        given = cookies_of(answer)
        if answer.status not in (200, 302):
            raise from_answer(answer, self._address)
        if not given.keys() - {XSRF_COOKIE}:
            raise AuthError(f"{self._address.base_url} took the password and gave no cookie.")
        return cookie_headers(cookies | given)


def cookies_of(answer: "Answer") -> dict[str, str]:
    """The cookies that an answer sets, as they are sent back."""
    from http.cookies import CookieError, SimpleCookie

    cookies = {}
    for line in answer.cookies:
        parsed: SimpleCookie = SimpleCookie()
        try:
            parsed.load(line)
        except CookieError:
            continue
        cookies.update({name: morsel.coded_value for name, morsel in parsed.items()})
    return cookies


def cookie_headers(cookies: dict[str, str]) -> dict[str, str]:
    return {
        "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        "X-XSRFToken": cookies[XSRF_COOKIE],
    }
