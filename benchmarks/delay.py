"""``python -m benchmarks.delay PORT RTT_MS [--nagle]``: a TCP proxy that makes a server far away.

It prints the port that it listens on. Each direction takes half of the round trip, and the first
bytes of a connection wait one more, as for the handshake of a real link. Bandwidth and slow start
are not modelled.

``--nagle`` also models the sender's Nagle algorithm, which tornado leaves on: a small segment waits
until the one before it is acknowledged, one round trip after it left. The proxy's own hop to the
server would hide that.
"""

import argparse
import asyncio
import socket
from collections.abc import Awaitable, Callable

CHUNK = 1 << 18
MOST_IN_FLIGHT = 64
SEGMENT = 1448
"""Payload bytes of a full TCP segment: Nagle never delays one."""


class Nagle:
    """When the segments of one sender leave.

    Args:
        rtt: seconds until an acknowledgement is back.
    """

    def __init__(self, rtt: float) -> None:
        self._rtt = rtt
        self._acknowledged = 0.0
        self._holding = False

    def departure(self, now: float, size: int) -> float:
        """The time at which ``size`` bytes written ``now`` leave."""
        while self._holding and now >= self._acknowledged:
            self._acknowledged += self._rtt
            self._holding = False
        if size < SEGMENT and now < self._acknowledged:
            self._holding = True
            return self._acknowledged
        self._acknowledged = now + self._rtt
        return now


async def delayed(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    arrival: Callable[[int], float],
) -> None:
    """Carry bytes from ``source`` to ``sink`` until its end.

    Args:
        source: where they come from.
        sink: where they go.
        arrival: the loop time at which a chunk of a size, read now, comes out.
    """
    loop = asyncio.get_running_loop()
    in_flight: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST_IN_FLIGHT)

    async def read() -> None:
        while chunk := await source.read(CHUNK):
            await in_flight.put((arrival(len(chunk)), chunk))
        await in_flight.put((arrival(0), b""))

    reading = asyncio.create_task(read())
    try:
        while True:
            due, chunk = await in_flight.get()
            await asyncio.sleep(due - loop.time())
            if not chunk:
                sink.write_eof()
                return
            sink.write(chunk)
            await sink.drain()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


class Proxy:
    """Connections to one local port, as over a long link.

    Args:
        target: the server's port on loopback.
        rtt: seconds.
        nagle: whether the server's Nagle algorithm is modelled.
    """

    def __init__(self, target: int, rtt: float, *, nagle: bool) -> None:
        self._target = target
        self._rtt = rtt
        self._nagle = nagle

    async def on_connection(
        self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        established = loop.time() + self._rtt
        server_in, server_out = await asyncio.open_connection("127.0.0.1", self._target)
        nagle = Nagle(self._rtt) if self._nagle else None
        half = self._rtt / 2

        def to_server(_size: int) -> float:
            return max(loop.time(), established) + half

        def to_client(size: int) -> float:
            if nagle is None:
                return loop.time() + half
            _acknowledge_at_once(server_out)
            return nagle.departure(loop.time(), size) + half

        await _until_first_end(
            delayed(client_in, server_out, to_server), delayed(server_in, client_out, to_client)
        )
        for stream in (client_out, server_out):
            stream.close()


async def _until_first_end(*flows: Awaitable[None]) -> None:
    """Run both directions; a connection that breaks in one of them ends the other."""
    tasks = [asyncio.ensure_future(flow) for flow in flows]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _acknowledge_at_once(stream: asyncio.StreamWriter) -> None:
    """Keep the kernel from delaying acknowledgements on the proxy's own hop (Linux)."""
    stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


async def serve(proxy: Proxy) -> None:
    server = await asyncio.start_server(proxy.on_connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("rtt_ms", type=float)
    parser.add_argument("--nagle", action="store_true")
    options = parser.parse_args()
    asyncio.run(serve(Proxy(options.port, options.rtt_ms / 1000, nagle=options.nagle)))


if __name__ == "__main__":
    main()
