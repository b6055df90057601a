"""The connection of the ``websockets`` library, with our changes.

To import the library takes as long as a round trip: ``link`` does so while TCP connects.
"""

import asyncio
import socket
from typing import TYPE_CHECKING, TypedDict

from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Frame
from websockets.protocol import Event, State
from websockets.typing import Subprotocol

from jrc.wire.websocket import V1_SUBPROTOCOL

if TYPE_CHECKING:
    import ssl

_MAX_QUEUED_FRAMES = 32
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class Connection(ClientConnection):
    """Counts what arrives and notes when, acknowledges segments at once, and holds no old frames.

    The server writes a cell's busy, input, reply and idle as separate small segments with Nagle's
    algorithm on: a delayed acknowledgement holds each of them for 40 ms. Linux forgets
    TCP_QUICKACK, so it is set again after every segment.

    Attributes:
        heard: when the last bytes arrived, in seconds of the event loop's clock.
        received: how many bytes have arrived.
    """

    heard = 0.0
    received = 0

    @property
    def is_open(self) -> bool:
        """It is not known to be closed."""
        return self.state is State.OPEN

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._socket: socket.socket | None = transport.get_extra_info("socket")
        self.heard = self.loop.time()

    def data_received(self, data: bytes) -> None:
        self.heard = self.loop.time()
        self.received += len(data)
        if _QUICKACK is not None and self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        super().data_received(data)

    def process_event(self, event: Event) -> None:
        # The library's parser keeps a frame until it has read the next one: let it keep an empty
        # one. The largest message is most of the memory that a run needs.
        if isinstance(event, Frame):
            data, event.data = event.data, b""
            event = Frame(event.opcode, data, event.fin, event.rsv1, event.rsv2, event.rsv3)
        super().process_event(event)


class _Connect(connect):
    """Follows no redirect: it would take the credentials along."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _TransportOptions(TypedDict, total=False):
    sock: socket.socket
    ssl: "ssl.SSLContext"


async def open_websocket(
    url: str,
    headers: dict[str, str],
    *,
    sock: socket.socket | None,
    tls: "ssl.SSLContext | None",
    proxy: str | None,
    close_timeout: float,
    max_size: int,
) -> Connection:
    """Open a websocket. The caller sets the deadline.

    Args:
        url: ``ws://`` or ``wss://``.
        headers: the authentication.
        sock: connected to the server; None to go through the proxy.
        tls: how to verify the server; None for the system's way, or without TLS.
        proxy: URL of a proxy; None without one.
        close_timeout: seconds for the closing handshake.
        max_size: bytes of a message; the websocket is closed where one is larger.
    """
    options: _TransportOptions = {}
    if sock is not None:
        options["sock"] = sock
    if tls is not None:
        options["ssl"] = tls
    connection = await _Connect(
        url,
        additional_headers=headers,
        subprotocols=[Subprotocol(V1_SUBPROTOCOL)],
        compression=None,
        proxy=proxy,
        open_timeout=None,
        ping_interval=None,
        close_timeout=close_timeout,
        max_size=max_size,
        max_queue=_MAX_QUEUED_FRAMES,
        create_connection=Connection,
        **options,
    )
    assert isinstance(connection, Connection)
    return connection
