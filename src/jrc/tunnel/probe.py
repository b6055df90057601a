"""Ask Jupyter through the tunnel whether it is there: ``GET /api``, which needs no credentials."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

PROBE_SECONDS = 5.0
DRAIN_SECONDS = 0.5
"""How long the rest of an answer is waited for: closing early makes kubectl log a reset."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: the HTTP status; 0 when no whole status line came.
        silent: nothing came in time. Otherwise, with status 0, the connection was closed.
    """

    status: int = 0
    silent: bool = False


async def ask(port: int, path: str, tell: Callable[[Answer], None]) -> None:
    """Send one request and read the status line of its answer.

    Args:
        port: on 127.0.0.1.
        path: the server's base path, with a slash at both ends.
        tell: called with what came, as soon as it is known; the rest is still read then.
    """
    # Bare sockets: an HTTP library would cost more time and memory than the rest of the keeper.
    request = (
        f"GET {path}api HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: jrc\r\n"
        "Accept: application/json\r\nConnection: close\r\n\r\n"
    )
    writer = None
    try:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request.encode())
                line = await reader.readline()
        except TimeoutError:
            tell(Answer(silent=True))
            return
        except (OSError, ValueError):
            tell(Answer())
            return
        tell(_read(line))
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while await reader.read(4096):
                    pass
    finally:
        if writer:
            writer.close()


def _read(line: bytes) -> Answer:
    words = line.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return Answer()
    return Answer(status=int(words[1]))
