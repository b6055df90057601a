"""Whether a URL is of the server that credentials are for: the one place that decides it. Pure.

Parsers read odd URLs differently. A backslash is a slash to a browser; ``////evil/`` is a path to
``urlsplit`` and a host to ``urljoin``; what stands before an ``@`` is a user to one and a host to
another. So a URL has an origin only where every parser reads it alike, and no other one is ever
sent credentials.
"""

import re
from typing import NamedTuple

from jrc.errors import ProtocolError

_URL = re.compile(
    r"(?P<scheme>https?|wss?)://(?P<host>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{0,5}))?(?P<path>/[!-\[\]-~]*)?",
    re.IGNORECASE | re.ASCII,
)
"""No user, no query before the path, no backslash, no space, no control character, ASCII only."""

_PATH = re.compile(r"/(?!/)[!-\[\]-~]*", re.ASCII)
_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Where a URL leads.

    Attributes:
        scheme: ``http`` or ``https``; a websocket's is that of the request which opens it.
        host: in lower case, IPv6 in brackets and in its shortest form.
        port: the scheme's own where the URL names none.
    """

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    def is_below(self, other: "Origin") -> bool:
        """Whether it is the same service on a subdomain of the other's host."""
        return (
            (self.scheme, self.port) == (other.scheme, other.port)
            and self.host.endswith(f".{other.host}")
            # A number is no domain.
            and not other.host.rpartition(".")[2].isdigit()
        )


def origin_of(url: str) -> Origin | None:
    """The origin of an absolute URL; None where parsers could see different ones."""
    found = _URL.fullmatch(url)
    if found is None:
        return None
    scheme = found["scheme"].lower().replace("ws", "http")
    port = int(found["port"] or _PORTS[scheme])
    host = _host(found["host"].lower())
    return Origin(scheme, host, port) if host and 0 < port < 65536 else None


def _host(host: str) -> str:
    if not host.startswith("["):
        return host
    import ipaddress

    try:
        return f"[{ipaddress.IPv6Address(host[1:-1])}]"
    except ValueError:
        return ""


def same_origin(url: str, base_url: str) -> bool:
    """Whether a URL leads to the same scheme, host and port as a server's base URL."""
    origin = origin_of(url)
    return origin is not None and origin == origin_of(base_url)


def on_same_origin(given: str, base_url: str) -> str | None:
    """The URL that a server's own words mean, where it is of the server's origin; else None.

    Args:
        given: a URL, or a path that begins with one slash. Its query is left out.
        base_url: of the server.
    """
    origin = origin_of(base_url)
    if origin is None:
        return None
    if _PATH.fullmatch(given):
        return f"{origin}{path_of(given)}"
    return f"{origin}{path_of(given)}" if origin_of(given) == origin else None


def path_of(url: str) -> str:
    """The path of a URL or of a path, without its query, and with single slashes.

    Two of them at its beginning would name a host to the next parser.
    """
    found = _URL.fullmatch(url)
    path = url if found is None else found["path"] or "/"
    return re.sub("//+", "/", re.split("[?#]", path, maxsplit=1)[0])


def check_origin(url: str, base_url: str) -> None:
    """Refuse to send credentials elsewhere than to their server.

    Args:
        url: what is about to be asked.
        base_url: of the server that the credentials are for.

    Raises:
        ProtocolError: it is not of the same origin.
    """
    if not same_origin(url, base_url):
        raise ProtocolError(
            f"A request for {base_url} would have gone to another host; jrc did not send it, nor "
            "the credentials."
        )
