"""One HTTP request over a bare connection: no pool, no retry, nothing between test and wire."""

import asyncio

SECONDS = 60.0


async def request(
    port: int, path: str, *, method: str = "GET", body: bytes = b"", headers: str = ""
) -> tuple[int, bytes]:
    """Send a request to 127.0.0.1 and read the answer to its end.

    Returns:
        status and body; status 0 when the connection ended without an answer.

    Raises:
        AssertionError: an answer began but is not whole.
    """
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{length}{headers}\r\n"
        try:
            writer.write(head.encode() + body)
            await writer.drain()
            answer = await reader.read()
        except ConnectionError:
            return 0, b""
        finally:
            writer.close()
    if not answer:
        return 0, b""
    top, _, content = answer.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in top.split(b"\r\n")[1:])
    assert len(content) == int(fields[b"content-length"]), "half an answer"
    return int(top.split()[1]), content
