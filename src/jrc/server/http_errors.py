"""Turn what went wrong with a request into one of our errors: pure."""

import re
import shlex
import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from jrc.errors import (
    AuthError,
    ConfigError,
    JrcError,
    NotFoundError,
    ProtocolError,
    UnreachableError,
)
from jrc.server.address import ServerAddress

if TYPE_CHECKING:
    import httpx

    from jrc.server.http import Answer

_TRUST_HINT = (
    "Ask the server's administrator for the CA's certificate: jrc login URL --ca-file FILE"
)

INGRESS_HINT = (
    "Ask for a way around it, or give it what it wants: jrc login URL --header NAME=env:VARIABLE "
    "(or --credential-command PROGRAM)"
)
"""For a login page in front of the server."""

_CLIENT_CERTIFICATE = re.compile(rb"No required SSL certificate|The SSL certificate error")
"""What nginx answers when a client certificate is missing or not signed by its CA."""

_PLAIN_TEXT_REASON = re.compile(
    "WRONG_VERSION_NUMBER|UNKNOWN_PROTOCOL|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG|RECORD_LAYER_FAILURE"
)
"""What OpenSSL calls bytes that are not TLS, by version."""


def from_answer(answer: "Answer", address: ServerAddress) -> JrcError:
    """The error that a status of 300 and more means."""
    message = answer.message()
    if answer.refused and "_xsrf" in message:
        # Without credentials the server complains first about the XSRF token that browsers send.
        message = ""
    said = f"HTTP {answer.status}: {message}" if message else f"HTTP {answer.status}"
    if answer.refused:
        return AuthError(
            f"{address.base_url} refused the credentials ({said}).",
            hint=f"Log in again: {login_at(address.base_url)}",
        )
    if answer.status == 404:
        return NotFoundError(f"{answer.request} does not exist ({said}).")
    if answer.location:
        return _redirected(answer, address)
    if answer.is_of_tunnel:
        return UnreachableError(message, hint="See how it is: jrc status")
    if answer.status in (502, 503, 504):
        return UnreachableError(
            f"A proxy answers for {address.host}, but the server behind it does not ({said}).",
            hint="Is the server running? It may still be starting.",
        )
    if answer.status == 424:
        return UnreachableError(
            f"JupyterHub says that the server {address.base_url} is not running ({said}).",
            hint="Start it on the hub's page and try again.",
        )
    if answer.status == 400 and _CLIENT_CERTIFICATE.search(answer.body):
        return wants_client_certificate(address)
    if answer.status >= 500 or answer.status == 429:
        return UnreachableError(f"The server failed at {answer.request} ({said}).")
    return ProtocolError(f"The server did not accept {answer.request} ({said}).")


def _redirected(answer: "Answer", address: ServerAddress) -> JrcError:
    there = urlsplit(answer.location)
    if there.netloc == address.host and there.scheme == "https" and not address.is_tls:
        return UnreachableError(
            f"{address.base_url} expects https.",
            hint=login_at(f"https{address.base_url.removeprefix('http')}"),
        )
    if there.netloc != address.host:
        return UnreachableError(
            f"{address.base_url} redirects to {there.netloc}, probably a login page in front of "
            "it. jrc did not follow.",
            hint=INGRESS_HINT,
        )
    return UnreachableError(f"{answer.request} redirects to {answer.location}.")


class Failure(NamedTuple):
    """What a request that got no answer tells about the next one.

    Attributes:
        may_pass: the same request may succeed a moment later: the server restarts, a tunnel
            breaks. Not a timeout, which was long enough, and not what has to do with names or
            certificates.
        closed_early: the connection was accepted, and then broke or spoke another protocol, so the
            request may have arrived.
        was_silent: the connection stood, but no answer came in time.
        no_connection: TCP or TLS took too long.
    """

    may_pass: bool = False
    closed_early: bool = False
    was_silent: bool = False
    no_connection: bool = False


def classify(error: BaseException) -> Failure:
    """Tell from the causes of an error what failed. The error of an answer is no such failure."""
    import httpx

    causes = list(_causes(error))
    direct = error.__cause__
    broken = (ConnectionError, ssl.SSLError, httpx.RemoteProtocolError, httpx.ReadError)
    others = (ConnectionRefusedError, ssl.SSLCertVerificationError)
    return Failure(
        may_pass=any(
            isinstance(cause, ConnectionError | httpx.RemoteProtocolError)
            or (isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN)
            for cause in causes
        ),
        closed_early=not isinstance(direct, httpx.TimeoutException)
        and any(isinstance(cause, broken) for cause in causes)
        and not any(isinstance(cause, others) for cause in causes),
        was_silent=isinstance(direct, httpx.ReadTimeout | httpx.WriteTimeout),
        no_connection=isinstance(direct, httpx.ConnectTimeout),
    )


def from_exception(error: Exception, request: str, address: ServerAddress) -> UnreachableError:
    """The error that a failed exchange means.

    Args:
        error: what httpx raised; its causes tell more than itself.
        request: ``GET https://host/api``.
        address: the server.
    """
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return _too_late(error, request, address)
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(cause, address)
        if isinstance(cause, ssl.SSLError):
            return _tls(cause, address)
        if isinstance(cause, socket.gaierror):
            return UnreachableError(
                f"The host name {urlsplit(address.base_url).hostname} is not known "
                f"({_lower(cause.strerror or 'no reason given')}).",
                hint="Check the spelling of the URL, and the network or VPN.",
            )
        if isinstance(cause, ConnectionRefusedError):
            return UnreachableError(
                f"Nothing listens at {address.host} (connection refused).",
                hint="Is the server running there? Does it need a port-forward or a VPN?",
            )
    return _other(error, request, address)


def _too_late(
    error: "httpx.TimeoutException", request: str, address: ServerAddress
) -> UnreachableError:
    import httpx

    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return UnreachableError(
            f"{address.host} does not answer: no connection in time.",
            hint="Check the network or VPN; a firewall may drop the packets.",
        )
    return UnreachableError(
        f"{address.host} accepted the connection but did not answer {request} in time.",
        hint="The server may be overloaded, or it is not the server at this port.",
    )


def _other(error: Exception, request: str, address: ServerAddress) -> UnreachableError:
    import httpx

    if isinstance(error, httpx.ProxyError):
        return UnreachableError(
            f"The proxy in the environment did not let us through to {address.host}: {error}.",
            hint=f"To go around it: export NO_PROXY={_host(address)}",
        )
    for cause in _causes(error):
        if isinstance(cause, ConnectionError | httpx.RemoteProtocolError | httpx.ReadError):
            return UnreachableError(f"{address.host} closed the connection without an answer.")
        if isinstance(cause, OSError) and cause.strerror:
            return UnreachableError(f"{address.host} can't be reached: {_lower(cause.strerror)}.")
    return UnreachableError(f"{request} failed: {type(error).__name__}.")


def _certificate(error: ssl.SSLCertVerificationError, address: ServerAddress) -> UnreachableError:
    """By OpenSSL's X509_V_ERR codes (``x509_vfy.h``)."""
    whose = f"The certificate of {address.host}"
    message = _lower(error.verify_message.rstrip("."))
    if error.verify_code in (62, 63, 64):
        return UnreachableError(
            f"{whose} is for another name: {message}.",
            hint="Use the name that the certificate is for.",
        )
    if error.verify_code in (9, 10):
        return UnreachableError(
            f"{whose} is not valid now: {message}.",
            hint="Check this machine's clock; else the server needs a new certificate.",
        )
    if error.verify_code == 18:
        return UnreachableError(
            f"{whose} is self-signed, so it proves nothing.",
            hint="If you have its file from a safe source: jrc login URL --ca-file FILE",
        )
    if error.verify_code in (2, 19, 20, 21):
        return UnreachableError(
            f"{whose} is signed by a CA that this machine does not trust.", hint=_TRUST_HINT
        )
    return UnreachableError(f"{whose} is not valid: {message}.")


def _tls(error: ssl.SSLError, address: ServerAddress) -> UnreachableError:
    if error.reason and _PLAIN_TEXT_REASON.fullmatch(error.reason):
        return not_tls(address)
    if error.reason and "CERTIFICATE_REQUIRED" in error.reason:
        return wants_client_certificate(address)
    reason = re.sub(r"_+", " ", error.reason or "the connection was closed").lower()
    return UnreachableError(f"No TLS connection to {address.host}: {reason}.")


def no_socks(address: ServerAddress) -> ConfigError:
    """The error for a SOCKS proxy in the environment, for which the libraries want help."""
    return ConfigError(
        "The environment names a SOCKS proxy, for which a package is missing.",
        hint="pip install 'httpx[socks]' python-socks (or go around it: "
        f"export NO_PROXY={_host(address)})",
    )


def wants_client_certificate(address: ServerAddress) -> UnreachableError:
    """The error for a server that wants to know who connects."""
    return UnreachableError(
        f"{address.host} asks for a client certificate.",
        hint="jrc login URL --client-cert FILE --client-key FILE",
    )


def not_tls(address: ServerAddress) -> UnreachableError:
    """The error for https where plain http is spoken."""
    return UnreachableError(
        f"{address.host} does not speak TLS.",
        hint=login_at(f"http{address.base_url.removeprefix('https')}"),
    )


def _host(address: ServerAddress) -> str:
    return shlex.quote(urlsplit(address.base_url).hostname or "")


def login_at(url: str) -> str:
    """The command that logs in at a URL."""
    return shlex.join(["jrc", "login", url])


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and what that came from, to the ground."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        cause = pending.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            pending.extend(cause.exceptions)
        pending += [cause.__cause__, cause.__context__]


def _lower(text: str) -> str:
    """A system's message inside our sentence."""
    return text[:1].lower() + text[1:]
