"""The stable local port: moves bytes between clients and kubectl's private port.

While the tunnel is down a new connection waits for a bounded time; then it gets a whole ``503``.
Never 502 or 504, which editors take for a dead kernel, and never a part of an answer.

A request that got no byte of an answer because the tunnel broke is sent again, if it only asks
(``GET``, ``HEAD``, which includes the opening of a websocket). Others may have had their effect, so
their connection is closed, as it would be without a tunnel.
"""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

from jrc.tunnel import TUNNEL_DOWN, Address, proof

MOST_REMEMBERED = 64 * 1024
"""Bytes of a request that are kept until its answer begins."""


class Limits(NamedTuple):
    """What clients get while the tunnel is down.

    Attributes:
        hold: seconds that a client waits: shorter than the time-outs of clients.
        drain: seconds that a refused client may go on sending, so that its 503 is not lost in a
            reset.
        waiting: more clients than that get their 503 at once.
        tries: how often one request is sent.
    """

    hold: float = 8.0
    drain: float = 2.0
    waiting: int = 512
    tries: int = 4


DEFAULT_LIMITS = Limits()

_BUFFERED = 1024 * 1024
_BACKLOG = 512
_BULK = 16 * 1024
_READ_AT_MOST = 256 * 1024
_GATHER_SECONDS = 0.001
"""Pieces of ``_BULK`` bytes and more, in a row, may come together for so long; asyncio reads
``_READ_AT_MOST`` at once."""

_SMALL = 4096
"""Smaller pieces may be followed by one that the client holds back until we acknowledge."""
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


def unavailable(why: str) -> bytes:
    """A whole 503. By ``reason`` jrc's own commands know that no proxy in the cluster sent it.

    Args:
        why: the tunnel is down, in a sentence; empty where the cause is not known yet.
    """
    message = f"The tunnel to the Jupyter Server is down, and jrc is bringing it back. {why}"
    body = json.dumps({"message": message.rstrip(), "reason": TUNNEL_DOWN}).encode()
    return (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\nRetry-After: 2\r\nCache-Control: no-store\r\n"
        b"Connection: close\r\n\r\n%s"
    ) % (len(body), body)


class PrivatePort(Protocol):
    """Where kubectl listens on 127.0.0.1: see ``jrc.tunnel.listener``."""

    @property
    def port(self) -> int: ...

    @property
    def is_ours(self) -> bool: ...


class Moved:
    """What went through.

    Attributes:
        up, down: bytes to the server, and from it.
        connections: how many clients came.
    """

    def __init__(self) -> None:
        self.up = self.down = self.connections = 0


class Pump:
    """Listens on 127.0.0.1 and joins each client with the tunnel.

    Args:
        on_client_waits: called when a client has to wait.
        on_failure: called when the tunnel did not take or did not answer a client.
        limits: what clients get while it is down.

    Attributes:
        port: where it listens, 0 before.
        moved: what went through so far.
        why: the tunnel is down, for those that are sent away.
    """

    def __init__(
        self,
        on_client_waits: Callable[[], None],
        on_failure: Callable[[], None],
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.port = 0
        self.moved = Moved()
        self.on_client_waits = on_client_waits
        self.on_failure = on_failure
        self.limits = limits
        self.why = ""
        self.upstream: PrivatePort | None = None
        self._key = b""
        self._proven = False
        self.clients: set[Client] = set()
        self.waiting: set[Client] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, port: int, key: bytes = b"") -> None:
        """Listen on a port of 127.0.0.1; 0 takes any.

        Args:
            port: where.
            key: proves to jrc's own clients who listens; see ``jrc.tunnel.proof``.

        Raises:
            OSError: the port is taken.
        """
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if sys.platform == "win32":
                # There, SO_REUSEADDR lets a second program take the port over.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: Client(self), sock=listener, backlog=_BACKLOG
            )
        except BaseException:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        self._key = key

    def open(self, upstream: PrivatePort, *, proven: bool = True) -> None:
        """The tunnel works: let clients through.

        Args:
            upstream: kubectl's private port.
            proven: something answered through it. Otherwise only requests that may be sent again
                go through.
        """
        if self.upstream is upstream and self._proven == proven:
            return
        self.upstream, self._proven = upstream, proven
        for client in list(self.waiting):
            client.join()

    def greet(self, data: bytes, client: Address) -> tuple[bytes, bytes]:
        """What to answer to the beginning of a connection, and what is left of it."""
        return proof.answer_to(data, self._key, proof.Ends(client, ("127.0.0.1", self.port)))

    def takes(self, request: "Request") -> bool:
        """Whether a request may go through now."""
        return self.upstream is not None and (self._proven or request.may_repeat)

    def shut(self) -> None:
        """The tunnel is in doubt or down: new clients wait. Joined ones are left alone."""
        self.upstream = None

    def wait(self, client: "Client") -> bool:
        """Let a client wait; False when too many do."""
        if len(self.waiting) >= self.limits.waiting:
            return False
        self.waiting.add(client)
        self.on_client_waits()
        return True

    async def close(self) -> None:
        """Stop listening, answer those that wait, and cut the rest."""
        if self._server:
            self._server.close()
        for client in list(self.waiting):
            client.refuse()
        for client in list(self.clients):
            client.abort()
        if self.clients:
            ended = [client.ended for client in self.clients]
            await asyncio.wait(ended, timeout=self.limits.drain)


class Request:
    """What a client has asked, kept until its answer begins.

    Attributes:
        beginning: what may become a question for a proof; None when that is settled.
        data: its bytes; None when it can't be sent again.
        ended: the client sends no more.
        tries: how often it was sent.
    """

    def __init__(self) -> None:
        self.beginning: bytes | None = b""
        self.data: bytearray | None = bytearray()
        self.ended = False
        self.tries = 0

    @property
    def may_repeat(self) -> bool:
        """It only asks, and is not answered yet."""
        return self.data is not None and self.data.startswith((b"GET ", b"HEAD "))

    @property
    def is_large(self) -> bool:
        """It is too large to be kept."""
        return self.data is not None and len(self.data) > MOST_REMEMBERED


class Client(asyncio.Protocol):
    """One client's connection, and through ``_Upstream`` its other half."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._loop = asyncio.get_running_loop()
        self.ended = self._loop.create_future()
        self._transport: asyncio.Transport
        self._quick: socket.socket
        self._up: _Upstream | None = None
        self._joining: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._request = Request()
        self._answered = False
        self._refused = False
        self.is_full = False

    # From the client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_BUFFERED)
        self._quick = transport.get_extra_info("socket")
        self._pump.moved.connections += 1
        self._pump.clients.add(self)
        self.join()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._request.beginning is not None and not (data := self._begin(data)):
            return
        if len(data) < _SMALL:
            _acknowledge(self._quick)
        self._pump.moved.up += len(data)
        if self._request.data is not None:
            self._request.data += data
        if self._up:
            self._up.transport.write(data)
        elif self in self._pump.waiting and self._pump.takes(self._request):
            self.join()
        if self._request.is_large:
            if self._up:
                self._request.data = None
            else:
                self._transport.pause_reading()

    def _begin(self, data: bytes) -> bytes:
        """Prove to one of jrc's own clients who this is. Returns what it sent behind its question.

        What others send begins otherwise, and is returned as it is.
        """
        begun = self._request.beginning = (self._request.beginning or b"") + data
        if proof.may_become_question(begun):
            return b""
        self._request.beginning = None
        # macOS may know no address of a client that is gone already.
        address = self._transport.get_extra_info("peername") or ("", 0)
        answer, rest = self._pump.greet(begun, address)
        if answer:
            self._transport.write(answer)
        return rest

    def eof_received(self) -> bool:
        self._request.ended = True
        if self._up:
            self._up.transport.write_eof()
        # True keeps it half open: the answer may still come. One that waits has left.
        joined = self._up or self._joining
        return bool(joined) and not self._refused and not self._answered

    def pause_writing(self) -> None:
        self.is_full = True
        if self._up:
            self._up.transport.pause_reading()

    def resume_writing(self) -> None:
        self.is_full = False
        if self._up:
            self._up.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        self._pump.clients.discard(self)
        self.ended.set_result(None)
        self._stop_waiting()
        if self._joining:
            self._joining.cancel()
        if self._up:
            # What the client sent before it left still goes out.
            self._up.transport.close()

    # Joining with the tunnel

    def join(self) -> None:
        """Connect to the tunnel; wait where there is none."""
        if self._pump.upstream is None or not self._pump.takes(self._request):
            if self._timer is None:
                self._timer = self._loop.call_later(self._pump.limits.hold, self.refuse)
            if not self._pump.wait(self):
                self.refuse()
            return
        self._pump.waiting.discard(self)
        self._request.tries += 1
        self._joining = self._loop.create_task(self._connect(self._pump.upstream), name="join")

    async def _connect(self, upstream: PrivatePort) -> None:
        up = _Upstream(self)
        try:
            await self._loop.create_connection(lambda: up, "127.0.0.1", upstream.port)
        except OSError:
            self._joining = None
            self._failed()
            return
        self._joining = None
        if not upstream.is_ours:
            # kubectl has ended, and whoever took its port gets nothing.
            up.forsake()
            self._failed()
            return
        self._up = up
        self._stop_waiting()
        if self._request.data:
            up.transport.write(bytes(self._request.data))
            if self._request.is_large:
                self._request.data = None
                self._transport.resume_reading()
        if self._request.ended:
            up.transport.write_eof()

    def _stop_waiting(self) -> None:
        self._pump.waiting.discard(self)
        if self._timer:
            self._timer.cancel()
            self._timer = None

    # From the tunnel

    def answered(self, data: bytes) -> None:
        """Bytes of an answer."""
        # From here on the request can't be sent again.
        self._request.data = None
        self._pump.moved.down += len(data)
        self._transport.write(data)

    def answer_ended(self) -> None:
        """The server will send no more on this connection."""
        if self._request.may_repeat:
            assert self._up
            self._up.transport.close()
        elif self._request.ended:
            self._transport.close()
        else:
            self._answered = True
            self._transport.write_eof()

    def unjoined(self) -> None:
        """The connection to the tunnel is gone."""
        self._up = None
        if self._transport.is_closing():
            return
        if self._request.may_repeat:
            self._failed()
        else:
            self._transport.close()

    def pause(self) -> None:
        self._transport.pause_reading()

    def resume(self) -> None:
        self._transport.resume_reading()

    def _failed(self) -> None:
        """The tunnel did not take the client, or dropped it before a byte of an answer."""
        self._pump.shut()
        self._pump.on_failure()
        if self._request.tries < self._pump.limits.tries:
            self.join()
        else:
            self.refuse()

    # The end

    def refuse(self) -> None:
        """A whole 503 to a client that asked something; the others are closed."""
        self._stop_waiting()
        if self._transport.is_closing():
            return
        self._refused = True
        if not self._request.data:
            self._transport.close()
            return
        self._request.data = None
        self._transport.write(unavailable(self._pump.why))
        if self._request.ended:
            self._transport.close()
            return
        # Closing with unread bytes would reset the connection and could destroy the answer.
        self._transport.resume_reading()
        self._transport.write_eof()
        self._loop.call_later(self._pump.limits.drain, self._transport.abort)

    def abort(self) -> None:
        """Cut the connection, unless it is about to end with its 503."""
        if not self._refused:
            self._transport.abort()


class _Upstream(asyncio.Protocol):
    """The half of a client's connection that leads to kubectl."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._forsaken = False
        self._loop = asyncio.get_running_loop()
        self._last = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_BUFFERED)

    def forsake(self) -> None:
        """Cut it, and let the client know nothing of it."""
        self._forsaken = True
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._client.answered(data)
        self._gather(len(data))

    def _gather(self, size: int) -> None:
        """In the middle of much data, let some come together.

        kubectl writes 32 KiB at a time: to be woken up for each costs more than to move them.
        """
        if not _BULK <= size < _READ_AT_MOST or self._client.is_full:
            return
        now = self._loop.time()
        if now - self._last < 2 * _GATHER_SECONDS:
            self.transport.pause_reading()
            self._loop.call_later(_GATHER_SECONDS, self._gathered)
        self._last = now

    def _gathered(self) -> None:
        if not self._client.is_full:
            self.transport.resume_reading()

    def eof_received(self) -> bool:
        self._client.answer_ended()
        return True

    def pause_writing(self) -> None:
        self._client.pause()

    def resume_writing(self) -> None:
        self._client.resume()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._forsaken:
            self._client.unjoined()


def _acknowledge(connection: socket.socket) -> None:
    """Linux: send the ACK now. A client that waits for it with its next segment (Nagle) goes on.

    kubectl sets TCP_NODELAY, so its side does not need this.
    """
    if _QUICKACK is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
