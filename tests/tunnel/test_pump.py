"""The stable local port: what clients see while the tunnel comes and goes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from jrc.tunnel import proof
from jrc.tunnel import pump as pump_module
from jrc.tunnel.pump import Limits, Pump
from tests.support.http import request
from tests.support.webapp import WebApp

pytestmark = pytest.mark.anyio


class Calls:
    """Counts what the pump reports."""

    def __init__(self) -> None:
        self.waits = self.failures = 0

    def wait(self) -> None:
        self.waits += 1

    def fail(self) -> None:
        self.failures += 1


class Port(NamedTuple):
    """Where the pump sends its clients."""

    port: int
    is_ours: bool = True


Listening = tuple[Pump, Calls]


@asynccontextmanager
async def listening(*, hold: float = 60.0, waiting: int = 512) -> AsyncIterator[Listening]:
    calls = Calls()
    pump = Pump(calls.wait, calls.fail, Limits(hold=hold, waiting=waiting))
    await pump.listen(0, KEY)
    try:
        yield pump, calls
    finally:
        await pump.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


async def test_bytes_pass_both_ways_and_are_counted(app: WebApp) -> None:
    async with listening() as (pump, calls):
        pump.open(Port(app.address[1]))
        body = bytes(range(256)) * 20_000
        assert await request(pump.port, "/echo", method="POST", body=body) == (200, body)
        status, big = await request(pump.port, "/big/20000000")
        assert (status, len(big)) == (200, 20_000_000)
        assert pump.moved.up > len(body)
        assert pump.moved.down > len(body) + len(big)
        assert pump.moved.connections == 2
        await until(lambda: not pump.clients)
        assert (calls.waits, calls.failures) == (0, 0)


async def test_a_client_waits_for_the_tunnel(app: WebApp) -> None:
    async with listening() as (pump, calls):
        early = asyncio.create_task(request(pump.port, "/api"))
        await until(lambda: pump.waiting)
        assert calls.waits == 1
        pump.open(Port(app.address[1]))
        assert (await early)[0] == 200
        assert not pump.waiting


async def test_only_what_may_be_sent_again_tries_a_tunnel_that_is_not_proven(app: WebApp) -> None:
    """The first question need not wait for the probe; what changes something has to."""
    async with listening() as (pump, _):
        early = asyncio.create_task(request(pump.port, "/api"))
        change = asyncio.create_task(request(pump.port, "/echo", method="POST", body=b"x"))
        await until(lambda: len(pump.waiting) == 2)
        pump.open(Port(app.address[1]), proven=False)
        assert (await early)[0] == 200
        assert (await request(pump.port, "/api"))[0] == 200
        assert not change.done()
        pump.open(Port(app.address[1]))
        assert await change == (200, b"x")


async def test_an_upload_waits_as_a_whole(app: WebApp) -> None:
    """More than is remembered: the pump stops reading and goes on when the tunnel is up."""
    async with listening() as (pump, _):
        body = b"x" * (pump_module.MOST_REMEMBERED * 20)
        early = asyncio.create_task(request(pump.port, "/echo", method="POST", body=body))
        await until(lambda: pump.waiting)
        pump.open(Port(app.address[1]))
        assert await early == (200, body)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_client_that_waited_in_vain_gets_a_whole_503(method: str) -> None:
    async with listening(hold=0.05) as (pump, _):
        pump.why = "The API server can't be reached."
        reader, writer = await asyncio.open_connection("127.0.0.1", pump.port)
        body = b"y" * 2_000_000 if method == "POST" else b""
        writer.write(f"{method} /x HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.read()
        assert answer == pump_module.unavailable("The API server can't be reached.")
        assert b"The API server can't be reached." in answer
        assert b"Retry-After: 2\r\n" in answer
        writer.close()
        await until(lambda: not pump.clients)


async def test_a_silent_client_that_waited_is_closed() -> None:
    """Nothing was asked, so nothing is answered: a 503 would answer the wrong request."""
    async with listening(hold=0.05) as (pump, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", pump.port)
        assert await reader.read() == b""
        writer.close()


async def test_too_many_waiting_clients_get_their_503_at_once(app: WebApp) -> None:
    async with listening(waiting=3) as (pump, _):
        waiting = [asyncio.create_task(request(pump.port, "/api")) for _ in range(3)]
        await until(lambda: len(pump.waiting) == 3)
        assert (await request(pump.port, "/api"))[0] in (0, 503)
        pump.open(Port(app.address[1]))
        assert [status for status, _ in await asyncio.gather(*waiting)] == [200] * 3


async def test_a_question_that_got_no_answer_is_asked_again(app: WebApp) -> None:
    """The tunnel broke below the request: the client sees a pause, not an error."""
    async with listening() as (pump, calls):
        pump.open(Port(app.address[1]))
        asking = asyncio.create_task(request(pump.port, "/drop"))
        await until(lambda: calls.failures)
        assert pump.upstream is None
        with WebApp("second") as second:
            pump.open(Port(second.address[1]))
            await until(lambda: second.seen)
            # There it is dropped as well, again and again: in the end it is refused.
            for _ in range(Limits().tries):
                await until(lambda: asking.done() or pump.waiting)
                pump.open(Port(second.address[1]))
            assert (await asking)[0] == 503
        assert calls.failures == Limits().tries


async def test_a_question_survives_a_closed_private_port(app: WebApp) -> None:
    async with listening() as (pump, calls):
        with WebApp() as gone:
            dead = gone.address[1]
        pump.open(Port(dead))
        asking = asyncio.create_task(request(pump.port, "/api"))
        await until(lambda: calls.failures)
        pump.open(Port(app.address[1]))
        assert (await asking)[0] == 200


async def test_an_order_is_never_sent_twice(app: WebApp) -> None:
    """A POST may have had its effect: its connection is closed, and 503 would invite a repeat."""
    async with listening() as (pump, calls):
        pump.open(Port(app.address[1]))
        assert await request(pump.port, "/drop", method="POST", body=b"start") == (0, b"")
        assert app.seen == ["POST /drop"]
        assert calls.failures == 0


async def test_an_answer_that_began_is_never_begun_again(app: WebApp) -> None:
    """The tunnel breaks in the middle of an answer: the client sees the cut, not a second start."""
    async with listening() as (pump, _):
        pump.open(Port(app.address[1]))
        reader, writer = await asyncio.open_connection("127.0.0.1", pump.port)
        writer.write(b"GET /half HTTP/1.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\nhalf")
        assert b"200" in head
        (client,) = pump.clients
        assert client._up
        client._up.transport.abort()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(4)
        assert app.seen == ["GET /half"]
        writer.close()


async def test_open_connections_survive_a_doubt(app: WebApp) -> None:
    async with listening() as (pump, _):
        pump.open(Port(app.address[1]))
        half = asyncio.create_task(request(pump.port, "/half"))
        await until(lambda: app.seen)
        pump.shut()
        app.go_on.set()
        assert await half == (200, b"halfhalf")


async def test_half_closed_clients_get_their_answer(app: WebApp) -> None:
    async with listening() as (pump, _):
        pump.open(Port(app.address[1]))
        reader, writer = await asyncio.open_connection("127.0.0.1", pump.port)
        writer.write(b"GET /api HTTP/1.1\r\nConnection: close\r\n\r\n")
        writer.write_eof()
        assert (await reader.read()).endswith(b"}")
        writer.close()
        await until(lambda: not pump.clients)


async def test_a_slow_reader_slows_the_server_and_not_the_memory(app: WebApp) -> None:
    """Back pressure goes through: what the client does not read is not piled up here."""
    size = 200_000_000
    async with listening() as (pump, _):
        pump.open(Port(app.address[1]))
        reader, writer = await asyncio.open_connection("127.0.0.1", pump.port)
        writer.write(f"GET /big/{size} HTTP/1.1\r\n\r\n".encode())
        await until(lambda: pump.moved.down)
        before = -1
        while before != pump.moved.down:
            before = pump.moved.down
            await asyncio.sleep(0.2)
        assert pump.moved.down < size / 4
        await reader.readuntil(b"\r\n\r\n")
        received = 0
        while received < size:
            received += len(await reader.read(1_000_000))
        writer.close()


async def test_clients_that_leave_while_waiting_are_forgotten() -> None:
    async with listening() as (pump, _):
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", pump.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            writer.transport.abort()
        await until(lambda: pump.moved.connections == 20 and not pump.clients)
        assert not pump.waiting


async def test_a_taken_port_is_an_error() -> None:
    async with listening() as (pump, calls):
        other = Pump(calls.wait, calls.fail)
        with pytest.raises(OSError, match="in use"):
            await other.listen(pump.port)
        await other.close()


async def test_two_hundred_clients_at_once(app: WebApp) -> None:
    async with listening() as (pump, _):
        tasks = [asyncio.create_task(request(pump.port, "/big/50000")) for _ in range(200)]
        await until(lambda: len(pump.waiting) == 200)
        pump.open(Port(app.address[1]))
        answers = await asyncio.gather(*tasks)
        assert {(status, len(body)) for status, body in answers} == {(200, 50_000)}


KEY = bytes(range(32))
NONCE = bytes(32)
GET = b"GET /api HTTP/1.1\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("size", [1, 13, 20, 1000])
async def test_a_client_gets_a_proof_before_its_request_and_then_its_answer(
    app: WebApp, size: int
) -> None:
    """In whatever pieces the question comes, and also while the tunnel is down."""
    async with listening() as (pump, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", pump.port)
        ends = [writer.get_extra_info(name) for name in ("sockname", "peername")]
        asked = proof.challenge(KEY, proof.Ends(*ends), NONCE)
        for start in range(0, len(asked.question), size):
            writer.write(asked.question[start : start + size])
            await asyncio.sleep(0.001)
        assert asked.is_met_by(await reader.readline())
        writer.write(GET)
        await until(lambda: pump.waiting)
        pump.open(Port(app.address[1]))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        assert app.seen == ["GET /api"]
        assert pump.moved.up == len(GET)


async def test_what_only_looks_like_a_question_is_passed_on(app: WebApp) -> None:
    async with listening() as (pump, _):
        pump.open(Port(app.address[1]))
        reader, writer = await asyncio.open_connection("127.0.0.1", pump.port)
        writer.write(b"JRC-TUNNEL-3 " + b"0" * 100 + b"\r\n\r\n")
        assert b"JRC-TUNNEL-3" in await reader.read(4096)
        writer.close()


async def test_a_port_that_is_not_kubectls_any_more_gets_nothing(app: WebApp) -> None:
    async with listening() as (pump, calls):
        pump.open(Port(app.address[1], is_ours=False))
        asking = asyncio.create_task(request(pump.port, "/api"))
        await until(lambda: calls.failures)
        assert pump.upstream is None
        assert app.seen == []
        pump.open(Port(app.address[1]))
        assert (await asking)[0] == 200
