"""A server that answers without end, and what that costs: bounded time, bounded memory."""

import asyncio
import gzip
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jrc.errors import ConfigError, ProtocolError, UnreachableError
from jrc.profile.limits import DEFAULT_LIMITS, MB, Limits, limits_from_environment
from jrc.server.address import ServerAddress
from jrc.server.http import HttpClient, HttpTiming, Request

pytestmark = [pytest.mark.anyio, pytest.mark.attacks]

SMALL = Limits(document=4 * MB, answer=1 * MB, line=1000, answer_seconds=0.5)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@asynccontextmanager
async def hostile(*head: bytes, body: AsyncIterator[bytes]) -> AsyncIterator[HttpClient]:
    """A client with small limits, and a server that answers with pieces until it is left."""
    done = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"".join(head))
            async for piece in body:
                writer.write(piece)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            done.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    timing = HttpTiming(connect=5.0, answer=30.0)
    async with server:
        address = ServerAddress.parse(f"http://127.0.0.1:{port}/")[0]
        async with HttpClient(address, timing=timing, limits=SMALL) as http:
            yield http
        async with asyncio.timeout(30):
            await done.wait()


async def endless(piece: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    while True:
        yield piece
        await asyncio.sleep(pause)


async def once(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


def ask(http: HttpClient, **options: bool) -> Request:
    return Request("GET", http.address.rest("api"), **options)


@pytest.mark.parametrize(("document", "limit"), [(False, "1 MB"), (True, "4 MB")])
async def test_an_answer_without_end(document: bool, limit: str) -> None:
    async with hostile(HEAD, b"\r\n", body=endless(b"x" * 65536)) as http:
        with pytest.raises(ProtocolError, match=f"more than {limit}") as caught:
            await http.send(ask(http, document=document))
    assert (caught.value.hint is not None) is document


async def test_an_answer_that_says_that_it_is_large_is_not_read() -> None:
    head = HEAD + b"Content-Length: 99999999999\r\n\r\n"
    async with hostile(head, body=once(b"")) as http:
        with pytest.raises(ProtocolError, match="more than 1 MB"):
            await http.send(ask(http))


async def test_an_answer_that_unpacks_to_a_thousand_times_as_much() -> None:
    packed = gzip.compress(bytes(100 * MB))
    assert len(packed) < MB
    head = HEAD + b"Content-Encoding: gzip\r\n\r\n"
    async with hostile(head, body=once(packed)) as http:
        with pytest.raises(ProtocolError, match="more than 1 MB"):
            await http.send(ask(http))


@pytest.mark.parametrize("encoding", [b"gzip", b"x-gzip", b"GZIP", b"identity"])
async def test_a_packed_answer_is_unpacked(encoding: bytes) -> None:
    text = b'{"a": "%s"}' % (b"x" * 500_000)
    pack = bytes if encoding == b"identity" else gzip.compress
    head = HEAD + b"Content-Encoding: %s\r\n\r\n" % encoding
    async with hostile(head, body=once(pack(text))) as http:
        assert (await http.send(ask(http))).body == text


@pytest.mark.parametrize(
    ("encoding", "body", "says"),
    [
        (b"br", b"x", "did not ask for"),
        (b"deflate", zlib.compress(b"x"), "did not ask for"),
        (b"gzip, gzip", gzip.compress(gzip.compress(b"x")), "did not ask for"),
        (b"gzip", b"this is not packed", "can't be unpacked"),
        (b"gzip", gzip.compress(b"x" * 1000)[:-9], "a part of"),
    ],
    ids=["not asked for", "too old", "twice", "not packed", "cut short"],
)
async def test_an_answer_that_is_packed_wrongly(encoding: bytes, body: bytes, says: str) -> None:
    head = HEAD + b"Content-Encoding: %s\r\n\r\n" % encoding
    async with hostile(head, body=once(body)) as http:
        with pytest.raises(ProtocolError, match=says):
            await http.send(ask(http))


@pytest.mark.parametrize("head", [HEAD + b"\r\n", HEAD + b"X-Slow: "])
async def test_a_byte_now_and_then_for_ever(head: bytes) -> None:
    async with hostile(head, body=endless(b"x", 0.05)) as http:
        with pytest.raises(UnreachableError, match="so slowly"):
            await http.send(ask(http)._replace(seconds=0.5, connect=0.5))


async def test_a_line_without_end() -> None:
    async with hostile(HEAD, b"\r\n", body=endless(b"data: ")) as http:
        with pytest.raises(ProtocolError, match="a line of more than 1,000 bytes"):
            await anext(http.lines(http.address.rest("api"), {}, 5.0))


async def test_a_packed_answer_without_a_body() -> None:
    head = b"HTTP/1.1 404 Not Found\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n"
    async with hostile(head, body=once(b"")) as http:
        assert (await http.send(ask(http))).body == b""


async def test_a_line_that_comes_in_one_piece_with_its_end() -> None:
    async with hostile(HEAD, b"\r\n", body=once(b"x" * 1001 + b"\n")) as http:
        with pytest.raises(ProtocolError, match="a line of more than 1,000 bytes"):
            await anext(http.lines(http.address.rest("api"), {}, 5.0))


async def test_an_error_that_comes_now_and_then_instead_of_lines() -> None:
    async with hostile(b"HTTP/1.1 500 Oh\r\n\r\n", body=endless(b"x", 0.05)) as http:
        with pytest.raises(UnreachableError, match="so slowly"):
            await anext(http.lines(http.address.rest("api"), {}, 5.0))


async def test_lines_come_as_they_are() -> None:
    async with hostile(HEAD, b"\r\n", body=once("a\r\né\n\nrest".encode())) as http:
        lines = [line async for line in http.lines(http.address.rest("api"), {}, 5.0)]
    assert lines == ["a", "é", "", "rest"]


def test_a_person_raises_limits() -> None:
    raised = limits_from_environment({"JRC_MAX_DOCUMENT": "500", "JRC_MAX_MESSAGE": " 1000 "})
    assert (raised.document, raised.message) == (500 * MB, 1000 * MB)
    assert limits_from_environment({"JRC_MAX_DOCUMENT": ""}) == DEFAULT_LIMITS


@pytest.mark.parametrize("text", ["0", "-1", "1e3", "many", "٣", "9" * 30])
def test_a_limit_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="JRC_MAX_MESSAGE is not a number of megabytes"):
        limits_from_environment({"JRC_MAX_MESSAGE": text})


MEMORY = """\
import asyncio, gzip, resource, sys
from jrc.errors import ProtocolError
from jrc.server.address import ServerAddress
from jrc.server.http import HttpClient, Request

HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Encoding: gzip\\r\\n\\r\\n"

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    packed = sys.stdin.buffer.read()
    writer.write(HEAD + packed)
    writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, HttpClient(ServerAddress.parse(url)[0]) as http:
        await http._client().aclose()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        http._made = None
        try:
            await http.send(Request("GET", url))
        except ProtocolError:
            print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units elsewhere")
def test_a_bomb_of_300_mb_costs_little_memory() -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    bomb = b"".join(packer.compress(bytes(MB)) for _ in range(300)) + packer.flush()
    assert len(bomb) < 2 * MB
    ended = subprocess.run(
        [sys.executable, "-c", MEMORY], input=bomb, capture_output=True, check=True, timeout=120
    )
    assert int(ended.stdout) < 60
