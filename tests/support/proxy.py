"""A TCP proxy that breaks the link in the ways that links break.

It runs in a thread of its own, so sync and async tests use it alike::

    with Proxy(jupyter.url, delay_ms=25) as proxy:
        connect_to(proxy.url)
        proxy.cut(refuse=True)
        proxy.restore()
"""

import asyncio
import contextlib
import math
import os
import re
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol, Self
from urllib.parse import urlsplit, urlunsplit

CALL_SECONDS = 10
"""Longer than any call into the proxy's thread can take."""

CHUNK_BYTES = 64 * 1024

Chunks = asyncio.Queue[tuple[float, bytes]]
"""What was read: the loop time at which it is due, the bytes; empty bytes for the end."""


class Readable(Protocol):
    """What bytes are read from."""

    async def read(self, n: int) -> bytes: ...


class Writable(Protocol):
    """What bytes are written to."""

    def write(self, data: bytes) -> None: ...

    def write_eof(self) -> None: ...

    async def drain(self) -> None: ...


class Proxy:
    """Stands before a server, on a port of its own that it keeps while it lives.

    Attributes:
        port: where it listens, on 127.0.0.1.
        delay_ms: milliseconds that everything takes, each way; may be changed at any time. The
            first bytes of a connection take one round trip more, for TCP's handshake.
        connections: how many were accepted so far.
        bytes_up, bytes_down: how much came from clients and from the server so far.
    """

    def __init__(self, target: str, *, delay_ms: float = 0) -> None:
        """
        Args:
            target: URL of the server, ``http://127.0.0.1:8888/prefix/``.
            delay_ms: milliseconds, each way.
        """
        self._target = urlsplit(target)
        self.port = 0
        self.delay_ms = delay_ms
        self.connections = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._swallowing = False
        self._open: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The server's URL with the proxy's port in it."""
        return urlunsplit(self._target._replace(netloc=f"127.0.0.1:{self.port}"))

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def cut(self, *, refuse: bool = False) -> None:
        """Abort all connections: both peers see a reset.

        Args:
            refuse: refuse new ones until :meth:`restore`.
        """
        self._call(self._cut(refuse))

    def black_hole(self, *, swallow: bool = False) -> None:
        """Keep the sockets open and deliver nothing until :meth:`restore`: a cable pulled out.

        Args:
            swallow: what is sent meanwhile is lost; else it is held and delivered afterwards.
        """
        self._call(self._black_hole(swallow))

    def redirect(self, target: str) -> None:
        """Take new connections to another server from now on."""
        self._target = urlsplit(target)

    def restore(self) -> None:
        """Accept and deliver again."""
        self._call(self._restore())

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)

    async def _start(self) -> None:
        self._listening = asyncio.Lock()
        self._delivering = asyncio.Event()
        self._delivering.set()
        self._bound = _bind(0)
        self.port = self._bound.getsockname()[1]
        await self._listen()

    async def _stop(self) -> None:
        await self._cut(refuse=True)
        # What was accepted just before is cut, too; an aborted stream closes at the next turn.
        while self._open:
            await self._cut(refuse=False)
        await asyncio.sleep(0.01)
        self._bound.close()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, sock=self._bound)

    async def _cut(self, refuse: bool) -> None:
        async with self._listening:
            if refuse:
                await self._refuse()
        tasks = list(self._open)
        for task in tasks:
            for stream in self._open[task]:
                _reset(stream)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _refuse(self) -> None:
        if self._listener:
            # asyncio drops a socket, unclosed, that it accepted just before its server is closed:
            # it accepts none from here on, and the accepted ones get their turn. (Windows has
            # another loop, which knows no readers and does not do that.)
            with contextlib.suppress(NotImplementedError):
                self._loop.remove_reader(self._bound)
            for _ in range(20):
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            self._listener.close()
            self._listener = None
            # Bound without listening: it refuses, and nobody else can take the port.
            self._bound = _bind(self.port)

    async def _black_hole(self, swallow: bool) -> None:
        self._swallowing = swallow
        self._delivering.clear()

    async def _restore(self) -> None:
        self._swallowing = False
        self._delivering.set()
        async with self._listening:
            if self._listener is None:
                await self._listen()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.CancelledError, OSError):
            async with self._registered(writer) as streams:
                server_reader, server_writer = await asyncio.open_connection(
                    self._target.hostname, self._target.port
                )
                streams.append(server_writer)
                handshake = self._loop.time() + 2 * self.delay_ms / 1000
                up = self._carry(
                    self._from_client(reader), server_writer, self._count_up, handshake
                )
                down = self._carry(server_reader, self._to_client(writer), self._count_down, 0)
                await _both(up, down)

    def _from_client(self, reader: asyncio.StreamReader) -> "Readable":
        """What a client sends, as the server shall get it."""
        return reader

    def _to_client(self, writer: asyncio.StreamWriter) -> Writable:
        """How a client gets what the server sends."""
        return writer

    @contextlib.asynccontextmanager
    async def _registered(
        self, writer: asyncio.StreamWriter
    ) -> AsyncIterator[list[asyncio.StreamWriter]]:
        """Note the connection as open, and abort what is left of it at the end."""
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = [writer]
        try:
            yield self._open[task]
        finally:
            for stream in self._open.pop(task):
                stream.transport.abort()

    async def _carry(
        self,
        reader: "Readable",
        writer: Writable,
        count: Callable[[int], None],
        not_before: float,
    ) -> None:
        """One direction of one connection, until its end was delivered."""
        chunks: Chunks = asyncio.Queue(maxsize=1024)
        await _both(self._read(reader, chunks, count, not_before), self._deliver(chunks, writer))

    async def _read(
        self,
        reader: "Readable",
        chunks: Chunks,
        count: Callable[[int], None],
        not_before: float,
    ) -> None:
        data = b"first"
        while data:
            data = await reader.read(CHUNK_BYTES)
            count(len(data))
            if not self._swallowing:
                now = max(self._loop.time(), not_before)
                await chunks.put((now + self.delay_ms / 1000, data))

    async def _deliver(self, chunks: Chunks, writer: Writable) -> None:
        while True:
            due, data = await chunks.get()
            await asyncio.sleep(max(0, due - self._loop.time()))
            await self._delivering.wait()
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    def _count_up(self, size: int) -> None:
        self.bytes_up += size

    def _count_down(self, size: int) -> None:
        self.bytes_down += size


class UpgradeStripper(Proxy):
    """Passes requests on without the headers that ask for a websocket, as many ingresses do."""

    def _from_client(self, reader: asyncio.StreamReader) -> Readable:
        return _Stripped(reader)


@dataclass
class _Stripped:
    reader: asyncio.StreamReader

    async def read(self, n: int) -> bytes:
        # The head of a request arrives in one piece here.
        data = await self.reader.read(n)
        return re.sub(rb"(?im)^(?:upgrade|connection):[^\r\n]*\r\n", b"", data)


class SlowUplink(Proxy):
    """Takes 200 kB a second from clients, and lets no more than that wait."""

    def _from_client(self, reader: asyncio.StreamReader) -> Readable:
        return _Slow(reader)

    async def _listen(self) -> None:
        # Connections inherit it; by default they take some megabytes.
        self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await super()._listen()


@dataclass
class _Slow:
    reader: asyncio.StreamReader

    async def read(self, n: int) -> bytes:
        await asyncio.sleep(0.02)
        return await self.reader.read(4096)


class Deafening(Proxy):
    """Loses messages of clients, as a server does that has broken a session.

    Its websockets live: what the server says and the pings of both sides pass.
    """

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self._websockets: list[_Frames] = []

    def deafen(self, messages: float = math.inf) -> None:
        """Lose so many messages on each websocket that is open now."""
        self._loop.call_soon_threadsafe(self._deafen, messages)

    def _deafen(self, messages: float) -> None:
        for websocket in self._websockets:
            websocket.to_lose = messages

    def _from_client(self, reader: asyncio.StreamReader) -> Readable:
        self._websockets.append(_Frames(reader))
        return self._websockets[-1]


class Tearing(Proxy):
    """Makes garbage of messages of the server, as a kernel does that can open no more files.

    Args:
        target: URL of the server.
        tears: whether to damage a message, by its frame; called in the proxy's thread.

    Attributes:
        torn: the messages that were damaged, as the server sent them.
    """

    def __init__(self, target: str, tears: Callable[[bytes], bool]) -> None:
        super().__init__(target)
        self.torn: list[bytes] = []
        self._tears = tears

    def _to_client(self, writer: asyncio.StreamWriter) -> Writable:
        return _Torn(writer, self._tear)

    def _tear(self, message: bytes) -> bytes:
        if not self._tears(message):
            return message
        self.torn.append(message)
        return b"\xff" * len(message)


@dataclass
class _Torn:
    """Where what a server says goes to a client; a message that comes in one frame may change."""

    writer: asyncio.StreamWriter
    tear: Callable[[bytes], bytes]
    _waits: bytearray = field(default_factory=bytearray)
    _upgraded: bool = False

    def write(self, data: bytes) -> None:
        self._waits += data
        if not self._upgraded:
            head, end, rest = bytes(self._waits).partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101"):
                self.writer.write(data)
                self._waits.clear()
                return
            if not end:
                return
            self.writer.write(head + end)
            self._waits, self._upgraded = bytearray(rest), True
        while frame := self._next_frame():
            self.writer.write(frame)

    def write_eof(self) -> None:
        self.writer.write_eof()

    async def drain(self) -> None:
        await self.writer.drain()

    def _next_frame(self) -> bytes:
        """The next whole frame; nothing where it is not there yet."""
        waits = self._waits
        if len(waits) < 2:
            return b""
        size = waits[1] & 0x7F
        start = 2 + {126: 2, 127: 8}.get(size, 0)
        if len(waits) < start:
            return b""
        size = int.from_bytes(waits[2:start]) if start > 2 else size
        if len(waits) < start + size:
            return b""
        head, payload = bytes(waits[:start]), bytes(waits[start : start + size])
        del waits[: start + size]
        return head + (self.tear(payload) if head[0] & 0x0F in (1, 2) else payload)


@dataclass
class _Frames:
    """What a client sends, without the messages that are lost.

    Source: RFC 6455, section 5.2.
    """

    reader: asyncio.StreamReader
    to_lose: float = 0
    _upgraded: bool = False

    async def read(self, n: int) -> bytes:
        if not self._upgraded:
            # The head of a request arrives in one piece here, and no frame before its answer.
            head = await self.reader.read(n)
            self._upgraded = re.search(rb"(?im)^upgrade: websocket\r$", head) is not None
            return head
        try:
            while True:
                frame = await self._next_frame()
                is_message = frame[0] & 0x0F < 8
                if not (is_message and self.to_lose > 0):
                    return frame
                self.to_lose -= 1
        except asyncio.IncompleteReadError:
            return b""

    async def _next_frame(self) -> bytes:
        head = await self.reader.readexactly(2)
        size, mask = head[1] & 0x7F, 4 * (head[1] >> 7)
        length = await self.reader.readexactly({126: 2, 127: 8}.get(size, 0))
        size = int.from_bytes(length) if length else size
        return head + length + await self.reader.readexactly(mask + size)


async def _both(first: Coroutine[Any, Any, None], second: Coroutine[Any, Any, None]) -> None:
    """Run both to their ends; the failure of one ends the other.

    Raises:
        OSError: one of them lost its connection.
    """
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(first)
            group.create_task(second)
    except* OSError as lost:
        raise ConnectionError("the connection was lost") from lost


def _reset(stream: asyncio.StreamWriter) -> None:
    """Close with RST: lingering for 0 seconds asks for it."""
    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
    # Its peer may have closed it meanwhile.
    with contextlib.suppress(OSError):
        stream.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    stream.transport.abort()


def _bind(port: int) -> socket.socket:
    bound = socket.socket()
    if os.name == "posix":
        # It allows a port whose old connections are in TIME_WAIT; on Windows it allows theft.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound
