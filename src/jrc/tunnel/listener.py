"""Whether a port of this machine is still that of a child of ours.

A port that kubectl leaves may be taken by any user. So before bytes go to it, kubectl must be known
to listen there: it does so once, and never again after it stopped. On Linux, the system says which
process has the listening socket; elsewhere the child only must not be known to have ended.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from typing import NamedTuple

from jrc.tunnel.processes import Child
from jrc.tunnel.tcp_table import LISTENS, end_of, rows

_NOBODY = (-1, 0)


class _Place(NamedTuple):
    """A descriptor of a process, ``/proc/PID/fd/N``, and what it must be."""

    descriptor: str
    socket: str


class Listener:
    """A port of 127.0.0.1, and the child that listens there.

    Args:
        port: as the child said.
        child: it, or one that it started, listens.
    """

    def __init__(self, port: int, child: Child) -> None:
        self.port = port
        self._child = child
        self._strange, self._place = _look(port, child.pid)

    @property
    def is_ours(self) -> bool:
        """Whether a connection that stands by now leads to the child."""
        if self._place is None:
            return not self._strange and not self._child.ended
        try:
            # Microseconds, for each connection; the table of all sockets takes milliseconds.
            return os.readlink(self._place.descriptor) == self._place.socket  # noqa: PTH115
        except OSError:
            return False


def _look(port: int, group: int) -> tuple[bool, _Place | None]:
    """Find out who listens.

    Returns:
        whether it is another user, or nobody; and the place of the socket in the group of
        processes, None where that is not known.
    """
    if sys.platform != "linux":
        return False, None
    owner = _owner_of(port)
    if owner is None:
        return False, None
    user, inode = owner
    wanted = f"socket:[{inode}]"
    for pid in (group, *_members(group)):
        with suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208  it is a name that is wanted
                place = f"/proc/{pid}/fd/{name}"
                with suppress(OSError):
                    if os.readlink(place) == wanted:  # noqa: PTH115
                        return False, _Place(place, wanted)
    # The program that runs kubectl may be a wrapper whose kubectl is not ours to look into.
    return user not in (0, os.geteuid()), None


def _owner_of(port: int) -> tuple[int, int] | None:
    """User and inode of the socket that listens on a port of 127.0.0.1.

    Returns:
        ``_NOBODY`` where none listens; None where the system does not say.
    """
    wanted = end_of(("127.0.0.1", port))
    try:
        for row in takewhile(lambda row: row.state == LISTENS, rows()):
            if row.local == wanted:
                return row.user, row.inode
    except (OSError, ValueError):
        return None
    return _NOBODY


def _members(group: int) -> Iterator[int]:
    """The other processes of a group."""
    for name in os.listdir("/proc"):  # noqa: PTH208  it is a name that is wanted
        if name.isdecimal() and int(name) != group:
            with suppress(OSError):
                if os.getpgid(int(name)) == group:
                    yield int(name)
