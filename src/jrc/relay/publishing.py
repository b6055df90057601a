"""The iopub socket, whose subscribers may read slowly, or not at all.

Nobody proves who they are to subscribe, where the connection file says TCP without encryption. So
what waits for a subscriber is bounded. Until it reads, nothing more is sent, and what the kernel
publishes waits on the server and in its recorder; one that does not read for long loses messages.

Imported before the ports are bound, as ``relay.sockets``, so it imports little.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import zmq

from jrc.wire.message import Part

ZERO_COPY_FROM = 65_536
"""Bytes of a message. Below it a copy is cheaper than keeping track of the owner."""


class Limits(NamedTuple):
    """What strangers can make a relay keep in memory.

    Attributes:
        topic: bytes of a subscription. Clients of Jupyter subscribe to everything, with none; ZMQ
            needs a hundred times the memory of a topic. An encrypted handshake needs some hundred
            bytes, too.
        frame: bytes of one part of a request. Most servers take 10 MiB, some more.
        heartbeat: bytes of a heartbeat.
        queue: bytes that wait for one subscriber.
        messages: that wait for one subscriber, and requests that wait to be read.
        patience: seconds for a subscriber that does not read, before it loses messages.
    """

    topic: int = 1024
    frame: int = 512 << 20
    heartbeat: int = 4096
    queue: int = 32 << 20
    messages: int = 1000
    patience: float = 20.0


class Publisher:
    """Sends on iopub.

    Args:
        socket: an XPUB socket.
        limits: what may wait.
    """

    def __init__(self, socket: "zmq.Socket[bytes]", limits: Limits) -> None:
        self._socket = socket
        self._limits = limits
        self._hwm = 0
        self._since: float | None = None
        self._dropped = 0

    def send(self, frames: Sequence[Part], size: int) -> bool:
        """Send a message to all subscribers, or to those that read where one does not for long.

        Args:
            frames: of the message.
            size: bytes of what can be large in it.

        Returns:
            false where somebody is to be waited for: try again.
        """
        self._let_wait(self._limits.queue // max(size, 1))
        if self._sent(frames, size):
            self._since = None
            return True
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since < self._limits.patience:
            return False
        self._socket.setsockopt(zmq.XPUB_NODROP, 0)
        self._sent(frames, size)
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._dropped += 1
        return True

    def take_lost(self) -> int:
        """How many messages a subscriber lost that reads again, or is gone; 0 until then."""
        if self._since is not None:
            return 0
        dropped, self._dropped = self._dropped, 0
        return dropped

    def _sent(self, frames: Sequence[Part], size: int) -> bool:
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK, copy=size < ZERO_COPY_FROM)
        except zmq.Again:
            return False
        return True

    def _let_wait(self, messages: int) -> None:
        """Let at most so many messages wait, those that wait already among them."""
        # In powers of two: not every size is a call.
        hwm = min(1 << max(messages, 8).bit_length() - 1, self._limits.messages)
        if hwm != self._hwm:
            self._hwm = hwm
            self._socket.sndhwm = hwm
