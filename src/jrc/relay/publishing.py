"""The iopub socket, whose subscribers may read slowly, or not at all.

Nobody proves who they are to subscribe, where the connection file says TCP without encryption. So
what waits for a subscriber is bounded. Until it reads, nothing more is sent, and what the kernel
publishes waits on the server and in its recorder; one that does not read for long loses messages.

ZMQ counts what waits for each subscriber in messages, and notes what was read only each time that
it is half of what may wait. So the limit must not follow the size of the messages: lowered for a
large one, it would count small ones that were read long ago. With two, ZMQ notes each message.

Imported before the ports are bound, as ``relay.sockets``, so it imports little.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import zmq

from jrc.wire.message import Part

ZERO_COPY_FROM = 65_536
"""Bytes of a message. Below it a copy is cheaper than keeping track of the owner."""

_WAIT = 0.001  # seconds for subscribers to read, before the other sockets have their turn
_UNREAD = 2  # messages that wait for one subscriber


class Limits(NamedTuple):
    """What strangers can make a relay keep in memory.

    Attributes:
        topic: bytes of a subscription. Clients of Jupyter subscribe to everything, with none; ZMQ
            needs a hundred times the memory of a topic. An encrypted handshake needs some hundred
            bytes, too.
        frame: bytes of one part of a request. Most servers take 10 MiB, some more.
        heartbeat: bytes of a heartbeat.
        messages: requests that wait to be read, and heartbeats to be sent.
        patience: seconds for a subscriber that does not read, before it loses messages.
    """

    topic: int = 1024
    frame: int = 512 << 20
    heartbeat: int = 4096
    messages: int = 1000
    patience: float = 20.0


def prepare(socket: "zmq.Socket[bytes]") -> None:
    """Set what the socket of a publisher needs before it is bound."""
    socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # each client's subscription, not only the first
    socket.setsockopt(zmq.XPUB_NODROP, 1)
    socket.sndhwm = _UNREAD
    socket.sndtimeo = int(_WAIT * 1000)


class Publisher:
    """Sends on iopub.

    Args:
        socket: an XPUB socket that was prepared.
        patience: seconds for a subscriber that does not read.
        lost: called when one begins to lose messages.
    """

    def __init__(
        self, socket: "zmq.Socket[bytes]", patience: float, lost: Callable[[], None]
    ) -> None:
        self._socket = socket
        self._patience = patience
        self._lost = lost
        self._since: float | None = None

    def send(self, frames: Sequence[Part], size: int) -> bool:
        """Send a message to all subscribers, or to those that read where one does not for long.

        Args:
            frames: of the message.
            size: bytes of what can be large in it.

        Returns:
            false where somebody is to be waited for: try again. It has waited a moment.
        """
        try:
            self._socket.send_multipart(frames, copy=size < ZERO_COPY_FROM)
        except zmq.Again:
            now = time.monotonic()
            if self._since is None:
                self._since = now
            if now - self._since < self._patience:
                return False
            self._send_to_those_that_read(frames)
        self._since = None
        return True

    def _send_to_those_that_read(self, frames: Sequence[Part]) -> None:
        # ZMQ passes over a subscriber that a message did not reach, until it has read what waits.
        self._socket.setsockopt(zmq.XPUB_NODROP, 0)
        self._socket.send_multipart(frames, zmq.NOBLOCK)
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._lost()
