"""One websocket to one kernel: frames in, frames out, and a verdict on a silent line.

The thin edge around the ``websockets`` library. ``channels`` decides when to connect again.
"""

import asyncio
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jrc.errors import (
    AuthError,
    ConfigError,
    JrcError,
    NotFoundError,
    ProtocolError,
    UnreachableError,
    WireError,
)
from jrc.kernel.large_messages import TOO_LARGE
from jrc.kernel.tcp import connect_tcp
from jrc.kernel.timing import DEFAULT_LINK_TIMING, LinkTiming
from jrc.profile.limits import MAX_MESSAGE, MB, limits_from_environment, raised
from jrc.wire.message import Message, check_envelope
from jrc.wire.websocket import (
    V1_SUBPROTOCOL,
    decode_legacy,
    decode_v1,
    encode_legacy,
    encode_v1,
)

if TYPE_CHECKING:
    import socket
    import ssl

    from websockets.exceptions import ConnectionClosed

    from jrc.kernel.websocket import Connection
    from jrc.tunnel.entrance import Entrance

_IMPORTING = threading.Lock()
"""The library's modules import each other in circles, in which two threads can deadlock: a failed
connection may have to be explained while the library is still being imported."""


class LinkClosedError(UnreachableError):
    """The websocket is closed.

    Attributes:
        half_open: the client closed it because nothing came any more. What the server sent
            meanwhile is lost, even for a client that reconnects.
        code: of the websocket's close frame; None if there was none.
    """

    def __init__(self, reason: str, *, half_open: bool = False, code: int | None = None) -> None:
        super().__init__(reason)
        self.half_open = half_open
        self.code = code


class MessageTooLargeError(UnreachableError):
    """The kernel sent a message that is larger than jrc takes. To connect again would not help."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"The kernel sent a message of more than {most // MB} MB, which is the limit.",
            hint=raised(MAX_MESSAGE, most),
        )


class Link:
    """An open websocket. Made by ``open_link``.

    Args:
        connection: what carries it.
        timing: when it is given up.
        most: bytes of the largest message that the connection takes.
    """

    def __init__(self, connection: "Connection", timing: LinkTiming, most: int) -> None:
        self._most = most
        self._connection = connection
        self._timing = timing
        self._v1 = connection.subprotocol == V1_SUBPROTOCOL
        self._half_open = False
        self._watch = asyncio.create_task(self._watch_silence(), name="link-watch")

    @property
    def protocol(self) -> str:
        """``v1`` or ``legacy``."""
        return "v1" if self._v1 else "legacy"

    @property
    def usable(self) -> bool:
        """It is not known to be closed: what is sent now may arrive."""
        return self._connection.is_open

    @property
    def received(self) -> int:
        """How many bytes have arrived, including those of incomplete messages.

        A frame that can't be decoded does not count.
        """
        return self._connection.received

    async def send(self, message: Message) -> None:
        """Send one message.

        Raises:
            LinkClosedError: it may or may not have arrived.
        """
        from websockets.exceptions import ConnectionClosed

        frame = encode_v1(message) if self._v1 else encode_legacy(message)
        try:
            await self._connection.send(frame)
        except ConnectionClosed as error:
            raise self._closed(error) from error

    async def all_arrived(self) -> bool:
        """Whether everything that was sent has arrived: the server answers a ping after it."""
        from websockets.exceptions import ConnectionClosed

        try:
            async with asyncio.timeout(self._timing.arrival):
                await (await self._connection.ping())
        except (ConnectionClosed, TimeoutError):
            return False
        return True

    async def receive(self) -> Message:
        """The next message.

        Raises:
            LinkClosedError: there is none.
            MessageTooLargeError: it is larger than the limit. The link is closed.
            WireError: the frame can't be decoded. The link stays open.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            frame = await self._connection.recv()
        except ConnectionClosed as error:
            closed = self._closed(error)
            # The server closes with the same code where a message of ours is too large for it.
            if error.sent is not None and error.sent.code == TOO_LARGE and not error.rcvd:
                raise MessageTooLargeError(self._most) from error
            raise closed from error
        try:
            if self._v1 and isinstance(frame, bytes):
                message = decode_v1(frame)
            else:
                message = decode_legacy(frame)
            check_envelope(message)
        except WireError:
            self._connection.received -= len(frame)
            raise
        return message

    async def close(self) -> None:
        """Close the websocket, waiting only briefly for the server's answer.

        What was sent before is on its way; only what is still in this process needs the time.
        """
        self._watch.cancel()
        transport = self._connection.transport
        waits = transport.get_write_buffer_size() > 0
        seconds = self._timing.last_bytes if waits else self._timing.goodbye
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._connection.close()
        finally:
            # Also when this was cancelled.
            transport.abort()

    def abort(self) -> None:
        """Drop the connection without a closing handshake."""
        self._watch.cancel()
        self._connection.transport.abort()

    def _closed(self, error: "ConnectionClosed") -> LinkClosedError:
        self._watch.cancel()
        if self._half_open:
            return LinkClosedError("nothing was heard from the server", half_open=True)
        frame = error.rcvd or error.sent
        if frame is None:
            return LinkClosedError("connection lost")
        reason = f"closed with code {frame.code} {frame.reason}".strip()
        return LinkClosedError(reason, code=frame.code)

    async def _watch_silence(self) -> None:
        """Abort the connection when nothing has arrived for too long.

        A process that was stopped, or a laptop that slept, must not mistake its own pause for the
        server's: a late check restarts the count, with a shorter limit.
        """
        connection, probe = self._connection, self._timing.probe
        limit = self._timing.silence
        while True:
            before = time.time()
            await asyncio.sleep(min(probe, limit))
            if time.time() - before > 2 * probe:
                connection.heard = asyncio.get_running_loop().time()
                limit = probe / 3
            if not connection.transport.is_reading():
                continue
            silent = asyncio.get_running_loop().time() - connection.heard
            if silent < min(probe, limit):
                limit = self._timing.silence
            elif silent >= limit:
                self._half_open = True
                connection.transport.abort()
                return
            await self._ping()

    async def _ping(self) -> None:
        """Make the server send something. On a dead link even sending may block."""
        from websockets.exceptions import ConnectionClosed

        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(self._timing.probe / 3):
                await self._connection.ping()


async def open_link(
    url: str,
    headers: dict[str, str],
    *,
    tls: "ssl.SSLContext | None",
    use_proxy: bool,
    entrance: "Entrance | None" = None,
    timeout: float | None = None,
    timing: LinkTiming = DEFAULT_LINK_TIMING,
) -> Link:
    """Connect to a kernel's channels.

    Args:
        url: ``ws://`` or ``wss://``, without a secret.
        headers: the authentication.
        tls: how to verify the server; None for the system's way, or without TLS.
        use_proxy: go through the proxy that the environment names.
        entrance: of the tunnel to go through; None to go to the URL's host.
        timeout: seconds for TCP, TLS and the websocket handshake together; None for
            ``timing.open``.
        timing: when the link is given up.

    Raises:
        AuthError, NotFoundError, UnreachableError, ProtocolError: see ``_refused``.
        ConfigError: the environment names a limit that is none.
    """
    # At DEBUG it logs the headers of the handshake, and they hold credentials.
    logging.getLogger("websockets.client").setLevel(logging.INFO)
    proxy = _proxy_for(url) if use_proxy and entrance is None else None
    seconds = timing.open if timeout is None else timeout
    most = limits_from_environment().message
    try:
        async with asyncio.timeout(seconds):
            # The library's import takes as long as a round trip: TCP has its own meanwhile.
            importing = asyncio.create_task(asyncio.to_thread(_import_websocket))
            sock = await _connect(url, entrance) if proxy is None else None
            try:
                await importing
            except BaseException:
                if sock is not None:
                    sock.close()
                raise
            from jrc.kernel.websocket import open_websocket

            connection = await open_websocket(
                url,
                headers,
                sock=sock,
                tls=tls,
                proxy=proxy,
                close_timeout=timing.last_bytes,
                max_size=most,
            )
    except Exception as error:
        meaning = _not_opened(error, url, seconds)
        if meaning is None:
            raise
        raise meaning from error
    return Link(connection, timing, most)


async def _connect(url: str, entrance: "Entrance | None") -> "socket.socket":
    return await (entrance.connect() if entrance else connect_tcp(url))


def _import_websocket() -> None:
    with _IMPORTING:
        import jrc.kernel.websocket  # noqa: F401  at its first use: it is slow


def _not_opened(error: Exception, url: str, timeout: float) -> JrcError | None:
    """What a failure to connect means; None where it is a bug."""
    with _IMPORTING:
        from websockets.exceptions import InvalidHandshake, InvalidStatus

    match error:
        case InvalidStatus():
            return _refused(error.response.status_code, url)
        case TimeoutError():
            return UnreachableError(
                f"The websocket {_place(url)} did not open within {timeout:.0f} s."
            )
        case ImportError():
            return ConfigError(
                "The environment names a SOCKS proxy, for which a package is missing.",
                hint="pip install 'httpx[socks]' python-socks (or go around it with NO_PROXY)",
            )
        case OSError() | InvalidHandshake() | EOFError():
            return UnreachableError(f"Can't open the websocket {_place(url)}: {error}.")
    return None


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL, as REST finds it: ALL_PROXY counts too."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    found = proxies.get("https" if parts.scheme == "wss" else "http") or proxies.get("all")
    return found if not found or "://" in found else f"http://{found}"


def _refused(status: int, url: str) -> JrcError:
    """What an HTTP status instead of a websocket means."""
    place = _place(url)
    if status in (401, 403):
        return AuthError(
            f"The server refused the credentials for {place} (HTTP {status}).",
            hint="Log in again: jrc login URL",
        )
    if status == 404:
        return NotFoundError(f"There is no kernel behind {place}.", hint="jrc kernel list")
    if status >= 500 or status == 429:
        return UnreachableError(f"The server can't open {place} now (HTTP {status}).")
    return ProtocolError(
        f"{place} answered HTTP {status} instead of opening a websocket.",
        hint="A proxy in front of the server may not pass websockets through.",
    )


def _place(url: str) -> str:
    return url.partition("?")[0]
