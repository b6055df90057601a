"""The TCP sockets of this machine and whose they are, as Linux lists them.

Source: the kernel's ``Documentation/networking/proc_net_tcp.rst``.
"""

import sys
from collections.abc import Iterable, Iterator
from socket import inet_aton
from typing import NamedTuple

from jrc.tunnel import Address

ESTABLISHED = b"01"
LISTENS = b"0A"

_READ_BYTES = 64 * 1024


class Row(NamedTuple):
    """A socket.

    Attributes:
        local, remote: its two ends, as ``end_of`` writes them.
        state: ``ESTABLISHED``, ``LISTENS``, or another one.
        inode: 0 for one that its program has closed; its user is then root.
    """

    local: bytes
    remote: bytes
    state: bytes
    user: int
    inode: int


def end_of(address: Address) -> bytes:
    """An end of a socket of IP version 4. One of version 6 that it has for such an end ends so."""
    host, port = address
    return b"%08X:%04X" % (int.from_bytes(inet_aton(host), sys.byteorder), port)


def rows(table: str = "tcp") -> Iterator[Row]:
    """All sockets, those that listen first.

    Args:
        table: ``tcp`` or ``tcp6``.

    Raises:
        OSError, ValueError: the system does not say.
    """
    with open(f"/proc/net/{table}", "rb", buffering=_READ_BYTES) as lines:  # noqa: PTH123  no path
        yield from parse(lines)


def parse(lines: Iterable[bytes]) -> Iterator[Row]:
    """The rows of a table. Pure.

    Raises:
        ValueError: it is none.
    """
    below = iter(lines)
    if not next(below, b""):
        raise ValueError("there is no table")
    for line in below:
        _, local, remote, state, _, _, _, user, _, inode, *_ = line.split()
        yield Row(local, remote, state, int(user), int(inode))
