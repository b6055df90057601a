"""The five local sockets of a kernel, in a thread of their own.

A thread and not the event loop: it works beside every event loop (the one of Windows that can run
subprocesses can't watch a ZMQ socket), it echoes heartbeats while the loop is busy, and signing
256 KiB there overlaps with receiving the next 256 KiB here. This module is imported before the
ports are bound, so it imports little.

Source: jupyter_client "Making kernels for Jupyter", section "Connection files".
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from jrc.errors import ConfigError, WireError
from jrc.relay.publishing import ZERO_COPY_FROM, Limits, Publisher, prepare
from jrc.shapes import number_at, parse, text_at
from jrc.wire.message import Message, Part
from jrc.wire.zmq import Addressed, Signer, decode_zmq, encode_zmq

CHANNELS = ("shell", "control", "stdin", "iopub", "hb")

LINGER = 1.0
"""Seconds for the last messages to reach the clients after the sockets were closed."""

CROWD = 4 << 20
"""Bytes that may wait to be sent. Beyond it, no more of the kernel's messages are read."""

_MOST_IN_A_ROW = 64  # messages of one kind: the others must not wait for a flood
_REQUEST_CHANNELS = ("control", "stdin", "shell")  # control first: never behind shell
_SUBSCRIBE = 1


@dataclass(frozen=True)
class ConnectionFile:
    """Where a kernel must listen, and the key that signs its messages.

    Attributes:
        endpoints: ZMQ address of each of ``CHANNELS``.
        key: the shared secret; empty for none.
        scheme: how to sign, for example ``hmac-sha256``.
        curve: public and secret key with which the sockets encrypt; None for no encryption.
    """

    endpoints: dict[str, str]
    key: bytes = field(repr=False)
    scheme: str
    curve: tuple[bytes, bytes] | None = field(default=None, repr=False)


def read_connection_file(path: Path) -> ConnectionFile:
    """Read a connection file.

    Raises:
        ConfigError: it can't be read, or lacks a port.
    """
    try:
        fields = parse(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"Can't read the connection file {path}: {error.strerror or error}."
        ) from error
    except ValueError as error:
        raise ConfigError(f"The connection file {path} is not JSON.") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"The connection file {path} is not a JSON object.")
    transport = text_at(fields, "transport") or "tcp"
    ip = text_at(fields, "ip") or "127.0.0.1"
    # The file system has no ports: there they are numbers behind a common name.
    separator = "-" if transport == "ipc" else ":"
    endpoints = {}
    for channel in CHANNELS:
        port = number_at(fields, f"{channel}_port")
        if port <= 0:
            raise ConfigError(f"The connection file {path} has no {channel}_port.")
        endpoints[channel] = f"{transport}://{ip}{separator}{port}"
    return ConnectionFile(
        endpoints=endpoints,
        key=text_at(fields, "key").encode(),
        scheme=text_at(fields, "signature_scheme") or "hmac-sha256",
        curve=_curve_keys(fields),
    )


def _curve_keys(fields: dict[str, Any]) -> tuple[bytes, bytes] | None:
    public, secret = text_at(fields, "curve_publickey"), text_at(fields, "curve_secretkey")
    if not public or not secret:
        return None
    return public.encode(), secret.encode()


@dataclass(frozen=True)
class Subscribed:
    """A client can receive iopub messages from now on.

    Attributes:
        topic: the start of the topics that it wants; empty for everything.
    """

    topic: bytes


@dataclass(frozen=True)
class Dropped:
    """Something arrived that is not a message for a kernel.

    Attributes:
        reason: what is wrong with it.
    """

    reason: str


Received = Addressed | Subscribed | Dropped


class _Waiting:
    """What waits to be sent. One thread puts it there, another one takes it.

    Attributes:
        messages: the oldest first, each with what goes in front of it.
        blocked: frames of the first one, if a client has to be waited for.
    """

    def __init__(self) -> None:
        self.messages: deque[tuple[Message, tuple[bytes, ...]]] = deque()
        self.blocked: list[Part] = []
        # Bytes so far. Each is written by one thread only, so that no update gets lost.
        self._put = self._taken = 0
        self._crowded = False

    def put(self, message: Message, front: tuple[bytes, ...]) -> int:
        """Add a message; returns how many there are."""
        self._put += _size(message)
        self.messages.append((message, front))
        return len(self.messages)

    def is_crowd(self) -> bool:
        """Whether it is so much that ``take`` will say when it is less."""
        if self._put - self._taken <= CROWD:
            return False
        # First this, then another look: the last message may be taken in between.
        self._crowded = True
        return self._put - self._taken > CROWD

    def take(self, size: int) -> bool:
        """The first message was sent; returns whether it was a crowd until now."""
        self.messages.popleft()
        self.blocked = []
        self._taken += size
        if not self._crowded or self._put - self._taken > CROWD:
            return False
        self._crowded = False
        return True


class Sockets:
    """Binds all ports at once, and serves the clients after ``start``.

    Args:
        connection: where to listen.
        limits: what the clients may send, and keep us from sending.

    Attributes:
        beating: echo heartbeats, because the kernel is alive.

    Raises:
        ConfigError: a port is taken, or the signature scheme is unknown.
    """

    def __init__(self, connection: ConnectionFile, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.beating = False
        self._signer = Signer(connection.key, connection.scheme)
        self._context = zmq.Context()
        try:
            self._sockets = {
                channel: _bind(self._context, channel, connection, limits) for channel in CHANNELS
            }
        except ConfigError:
            self._context.destroy(linger=0)
            raise
        self._patience = limits.patience
        self._waiting = _Waiting()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._bell, self._ear = _pair(self._context)

    def start(
        self,
        receive: Callable[[list[Received]], None],
        fail: Callable[[BaseException], None],
        room: Callable[[], None] = lambda: None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin to serve.

        Args:
            receive: called in the thread with what the clients sent, in order for each channel.
            fail: called in the thread when it ends because of a bug.
            room: called in the thread when it is no longer crowded.
            lost: called in the thread when a client that does not read begins to lose messages.
        """

        def serve() -> None:
            try:
                self._serve(receive, room, lost)
            except BaseException as error:  # noqa: BLE001  the loop reports it
                fail(error)

        self._thread = threading.Thread(target=serve, name="relay-sockets", daemon=True)
        self._thread.start()

    def send(self, message: Message, front: Iterable[bytes]) -> None:
        """Send on the socket that the message's channel names. Call it from one thread only.

        Args:
            message: what to send.
            front: identities of the receiver; on iopub the topic.
        """
        if self._waiting.put(message, tuple(front)) == 1:
            self._bell.send(b"", zmq.NOBLOCK)

    def is_crowded(self) -> bool:
        """Whether so much waits to be sent that the caller should wait for ``room``."""
        return self._waiting.is_crowd()

    def close(self) -> None:
        """Send what waits, and free the ports. A second call does nothing."""
        if self._bell.closed:
            return
        self._closing = True
        if self._thread is not None:
            self._bell.send(b"", zmq.NOBLOCK)
            self._thread.join()
        self._context.destroy()

    def _serve(
        self,
        receive: Callable[[list[Received]], None],
        room: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        publisher = Publisher(self._sockets["iopub"], self._patience, lost)
        poller = zmq.Poller()
        for socket in (*self._sockets.values(), self._ear):
            poller.register(socket, zmq.POLLIN)
        give_up = float("inf")
        waiting = self._waiting
        while not (self._closing and not waiting.messages) and time.monotonic() < give_up:
            pause = 0 if waiting.messages else None
            ready = {socket for socket, _ in poller.poll(pause)}
            received: list[Received] = []
            for channel in _REQUEST_CHANNELS:
                if self._sockets[channel] in ready:
                    received.extend(self._requests(channel))
            if self._sockets["iopub"] in ready:
                received.extend(self._subscriptions())
            if received:
                receive(received)
            if self._sockets["hb"] in ready:
                self._echo()
            if self._ear in ready:
                self._ear.recv()
            self._flush(publisher, room)
            if self._closing:
                give_up = min(give_up, time.monotonic() + LINGER)

    def _requests(self, channel: str) -> Iterable[Received]:
        for frames in _drain(self._sockets[channel]):
            try:
                yield decode_zmq(channel, frames, self._signer)
            except WireError as error:
                yield Dropped(error.message)

    def _subscriptions(self) -> Iterable[Received]:
        for frames in _drain(self._sockets["iopub"]):
            event = frames[0]
            if event[:1] == bytes([_SUBSCRIBE]):
                yield Subscribed(event[1:])

    def _echo(self) -> None:
        for frames in _drain(self._sockets["hb"]):
            if self.beating:
                self._sockets["hb"].send_multipart(frames, zmq.NOBLOCK)

    def _flush(self, publisher: Publisher, room: Callable[[], None]) -> None:
        waiting = self._waiting
        for _ in range(min(len(waiting.messages), _MOST_IN_A_ROW)):
            message, front = waiting.messages[0]
            size = _size(message)
            frames = waiting.blocked or encode_zmq(message, front, self._signer)
            if message.channel != "iopub":
                copy = size < ZERO_COPY_FROM
                self._sockets[message.channel].send_multipart(frames, zmq.NOBLOCK, copy=copy)
            elif not publisher.send(frames, size):
                waiting.blocked = frames
                return
            if waiting.take(size):
                room()


def _bind(
    context: "zmq.Context[zmq.Socket[bytes]]",
    channel: str,
    connection: ConnectionFile,
    limits: Limits,
) -> "zmq.Socket[bytes]":
    endpoint = connection.endpoints[channel]
    socket: zmq.Socket[bytes] = context.socket(zmq.XPUB if channel == "iopub" else zmq.ROUTER)
    socket.linger = int(LINGER * 1000)
    # A client that sends faster than it is read waits.
    socket.rcvhwm = limits.messages
    # Answers are as many as there are requests of clients that know the key: a full queue would
    # drop what somebody waits for. Heartbeats are anybody's.
    socket.sndhwm = limits.messages if channel == "hb" else 0
    # A client whose message is larger is disconnected.
    largest = {"iopub": limits.topic, "hb": limits.heartbeat}.get(channel, limits.frame)
    socket.setsockopt(zmq.MAXMSGSIZE, largest)
    if channel == "iopub":
        prepare(socket)
    else:
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)  # a client that connects again keeps its name
    try:
        if connection.curve is not None:
            socket.curve_publickey, socket.curve_secretkey = connection.curve
            socket.curve_server = True
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.close(0)
        raise ConfigError(f"Can't listen on {endpoint} for {channel}: {error.strerror}.") from error
    return socket


def _pair(
    context: "zmq.Context[zmq.Socket[bytes]]",
) -> "tuple[zmq.Socket[bytes], zmq.Socket[bytes]]":
    """Two connected sockets: sending to the first wakes the thread that polls the second."""
    bell, ear = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    bell.linger = ear.linger = 0
    ear.bind("inproc://relay-bell")
    bell.connect("inproc://relay-bell")
    return bell, ear


def _size(message: Message) -> int:
    """Bytes of what can be large in a message."""
    return len(message.content) + sum(map(len, message.buffers))


def _drain(socket: "zmq.Socket[bytes]") -> Iterable[list[bytes]]:
    for _ in range(_MOST_IN_A_ROW):
        try:
            yield socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
