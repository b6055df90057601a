"""Where a server is: the parts of a URL that a person pastes, and the URLs that jrc asks."""

import re
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from jrc.errors import UsageError
from jrc.profile.secret import Secret

_PAGE = re.compile(
    "lab|tree|notebooks|nbclassic|retro|edit|view|files|doc|consoles|terminals|voila|login|logout"
    "|hub|api"
)
"""First path segments of the pages of a Jupyter Server and its extensions. No base URL ends so."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK = re.compile(r"localhost|.+\.localhost|127(\.\d{1,3}){3}|::1")
_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?|[0-9a-f:]*:[0-9a-f:.]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# What RFC 3986 allows in a path segment without an escape.
_SEGMENT_SAFE = "!$&'()*+,;=:@-._~"
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile("[A-Za-z0-9._~-]")

_EXAMPLE = "It looks like https://jupyter.example.org/ or http://localhost:8888/lab?token=…"


class ServerAddress(NamedTuple):
    """A server's base URL.

    Attributes:
        base_url: ``http(s)://host[:port]/prefix/``, ASCII, with a slash at its end, without a
            token. Made by :meth:`parse`.
    """

    base_url: str

    @classmethod
    def parse(cls, text: str) -> tuple["ServerAddress", Secret | None]:
        """Take a URL apart that a person typed or copied from a browser.

        A page's own part is cut off (``/lab/tree/a.ipynb``, ``?token=…``); a URL that ends with a
        slash and carries nothing else is taken as it is, so every base URL stays what it is.
        Without a scheme it is http on this machine, https elsewhere.

        Args:
            text: ``http://localhost:8888/lab?token=abc`` and the like.

        Returns:
            the address, and the token if there was one.

        Raises:
            UsageError: it is not a server's URL. The message does not repeat what may be secret.
        """
        parts, port = _split(text.strip())
        scheme, host = parts.scheme, _ascii_host(parts.hostname or "")
        if parts.username is not None or parts.password is not None:
            raise UsageError(
                f"The URL of {host} carries a user name or a password.",
                hint="Leave it out: you are asked for the token or password.",
            )
        netloc = f"[{host}]" if ":" in host else host
        if port is not None and port != _DEFAULT_PORTS[scheme]:
            netloc += f":{port}"
        literal = parts.path.endswith("/") and not parts.query and not parts.fragment
        segments = _segments(parts.path)
        if not literal:
            segments = _without_page(segments)
        path = "".join(f"{segment}/" for segment in segments)
        tokens = parse_qs(parts.query).get("token")
        return cls(f"{scheme}://{netloc}/{path}"), Secret(tokens[0]) if tokens else None

    @property
    def host(self) -> str:
        """``host`` or ``host:port``, for sentences."""
        return urlsplit(self.base_url).netloc

    @property
    def is_tls(self) -> bool:
        """Whether the server is asked over https."""
        return self.base_url.startswith("https:")

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine by its very name: no proxy is used for it."""
        return _LOOPBACK.fullmatch(urlsplit(self.base_url).hostname or "") is not None

    def rest(self, *segments: str) -> str:
        """The URL of a REST endpoint.

        Args:
            segments: each one is quoted whole: ``rest("api", "kernels", kernel_id)``.
        """
        return self.base_url + "/".join(
            quote(segment, safe="", errors="surrogatepass") for segment in segments
        )

    def websocket(self, kernel_id: str, session_id: str) -> str:
        """The URL of a kernel's channels.

        Args:
            kernel_id: of a running kernel.
            session_id: hex; the same one gets what the server buffered after a broken link.
        """
        url = self.rest("api", "kernels", kernel_id, "channels").replace("http", "ws", 1)
        return f"{url}?session_id={quote(session_id, safe='')}"


def _split(text: str) -> tuple[SplitResult, int | None]:
    """The URL's parts and its port; scheme and host are there."""
    if not text:
        raise UsageError("The URL of the server is empty.", hint="Type: jrc login URL")
    # urlsplit drops some of them silently and leaves others.
    if any(character.isspace() or not character.isprintable() for character in text):
        raise UsageError("The URL contains spaces or control characters.", hint=_EXAMPLE)
    guessed = not _SCHEME.match(text)
    try:
        parts = urlsplit(f"https://{text}" if guessed else text)
        port = parts.port
    except ValueError as error:
        raise UsageError("This is not a URL.", hint=_EXAMPLE) from error
    if guessed and _LOOPBACK.fullmatch(parts.hostname or ""):
        parts = parts._replace(scheme="http")
    if parts.scheme not in _DEFAULT_PORTS:
        raise UsageError(
            f"A Jupyter Server has an http or https URL, not {parts.scheme}.", hint=_EXAMPLE
        )
    if not parts.hostname or port == 0:
        raise UsageError("The URL names no host, or port 0.", hint=_EXAMPLE)
    return parts, port


def _ascii_host(host: str) -> str:
    try:
        ascii_host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise UsageError("The URL's host name is not possible.", hint=_EXAMPLE) from error
    if not _HOST.fullmatch(ascii_host) or len(ascii_host) > 253:
        raise UsageError("The URL's host name is not possible.", hint=_EXAMPLE)
    return ascii_host


def _segments(path: str) -> list[str]:
    """The path's segments, quoted in one way, without empty ones, ``.`` and ``..``."""
    segments: list[str] = []
    for given in path.split("/"):
        segment = _segment(given)
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return segments


def _segment(given: str) -> str:
    """A path segment, quoted.

    An escape stays one, unless it stands for a character that means the same without: a server
    whose path has ``%2B`` knows no ``+`` there.

    Source: RFC 3986, sections 2.2 and 6.2.2.
    """
    # Every second piece is the two digits of an escape.
    pieces = _ESCAPE.split(given)
    pieces[::2] = [quote(piece, safe=_SEGMENT_SAFE) for piece in pieces[::2]]
    pieces[1::2] = [_escape(digits) for digits in pieces[1::2]]
    return "".join(pieces)


def _escape(digits: str) -> str:
    character = chr(int(digits, 16))
    return character if _UNRESERVED.fullmatch(character) else f"%{digits.upper()}"


def _without_page(segments: list[str]) -> list[str]:
    """The segments up to the first one that begins a page.

    The one behind ``user`` is a person's name on a JupyterHub, who may be called anything.
    """
    for index, segment in enumerate(segments):
        if _PAGE.fullmatch(segment) and (index == 0 or segments[index - 1] != "user"):
            return segments[:index]
    return segments
