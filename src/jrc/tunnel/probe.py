"""Ask through the tunnel whether Jupyter is there, and notice when its pod goes.

A probe is ``GET /api``, which needs no credentials.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Timing(NamedTuple):
    """The thresholds of probes, in seconds.

    Attributes:
        answer: how long an answer may take.
        drain: how long the rest of it is waited for: closing early makes kubectl log a reset.
        brief: a server that closes a quiet connection sooner than that does so on principle.
    """

    answer: float = 5.0
    drain: float = 0.5
    brief: float = 2.0


DEFAULT_TIMING = Timing()


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: the HTTP status; 0 when no whole status line came.
        silent: nothing came in time. Otherwise, with status 0, the connection was closed.
    """

    status: int = 0
    silent: bool = False


async def probe(
    port: int, path: str, on_answer: Callable[[Answer], None], timing: Timing = DEFAULT_TIMING
) -> None:
    """Send one request and read the status line of its answer.

    Args:
        port: on 127.0.0.1.
        path: the server's base path, with a slash at both ends.
        on_answer: called with what came, as soon as it is known; the rest is still read then.
        timing: the thresholds.
    """
    # Bare sockets: an HTTP library would cost more time and memory than the rest of the keeper.
    request = (
        f"GET {path}api HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: jrc\r\n"
        "Accept: application/json\r\nConnection: close\r\n\r\n"
    )
    writer = None
    try:
        try:
            async with asyncio.timeout(timing.answer):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request.encode())
                line = await reader.readline()
        except TimeoutError:
            on_answer(Answer(silent=True))
            return
        except (OSError, ValueError):
            on_answer(Answer())
            return
        on_answer(_read(line))
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(timing.drain):
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


async def connection_ends(port: int, timing: Timing = DEFAULT_TIMING) -> bool:
    """Hold a quiet connection through a tunnel until it ends: a pod takes its connections with it.

    Returns:
        whether that means anything. Not where the server closes quiet connections at once.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while await reader.read(4096):
            pass
    except OSError:
        pass
    finally:
        if writer:
            writer.close()
    return loop.time() - began >= timing.brief
