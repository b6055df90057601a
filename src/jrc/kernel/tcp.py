"""A TCP connection, made while the websocket library is still being imported."""

import asyncio
import socket
from urllib.parse import urlsplit


async def connect_tcp(url: str) -> socket.socket:
    """A connected socket, not blocking, to the host of a ``ws://`` or ``wss://`` URL.

    Like ``loop.create_connection``, it tries the host's addresses one after the other.

    Raises:
        OSError: there is no such host, or none of its addresses answers.
    """
    parts = urlsplit(url)
    name = parts.hostname or ""
    # As bytes it does not load Python's tables for international names.
    host = name.encode() if name.isascii() else name
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failures: list[OSError] = []
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failures.append(error)
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failures[0]
