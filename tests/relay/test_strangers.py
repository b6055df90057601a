"""What other users of the machine can do to a relay's ports, which they can connect to.

The relay's sockets are in a process of their own, whose memory is measured.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import zmq
from jupyter_client.connect import write_connection_file

from jrc.relay.sockets import read_connection_file
from tests.support.jupyter import wait_until
from tests.support.relay import free_ports

pytestmark = pytest.mark.attacks

MIB = 1 << 20

CHILD = """
import sys, time
from dataclasses import replace
from pathlib import Path
from jrc.relay.publishing import Limits
from jrc.relay.sockets import Sockets, read_connection_file
from tests.support.scripted import stream

sockets = Sockets(read_connection_file(Path(sys.argv[1])), Limits(patience=0.5))
sockets.beating = True
lost = []
bug = lambda error: print("bug", error, flush=True)
sockets.start(lambda _: None, bug, lost=lambda: lost.append(1))
print("ready", flush=True)
for line in sys.stdin:
    count, size = map(int, line.split())
    for number in range(count):
        while sockets.is_crowded():
            time.sleep(0.001)
        sockets.send(replace(stream("r", f"{number:08}"), buffers=[size * b"x"]), [b"stream"])
    while sockets._waiting.messages:
        time.sleep(0.01)
    print("published", len(lost), flush=True)
sockets.close()
"""


class Relay:
    """The process, and ways to its ports."""

    def __init__(self, folder: Path) -> None:
        file = folder / "connection.json"
        with free_ports(5) as ports:
            names = ("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port")
            write_connection_file(str(file), key=b"key", **dict(zip(names, ports, strict=True)))
        self.endpoints = read_connection_file(file).endpoints
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.said() == "ready"
        self.before = self.memory()

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def memory(self) -> int:
        """MiB that the process holds."""
        return psutil.Process(self.process.pid).memory_info().rss // MIB

    @property
    def grown(self) -> int:
        return self.memory() - self.before

    def publish(self, count: int, size: int) -> None:
        """Begin to publish messages; ``said`` tells when they are out."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{count} {size}\n")
        self.process.stdin.flush()

    def raw(self, kind: int, channel: str, **options: int) -> "zmq.Socket[bytes]":
        raw = self.context.socket(kind)
        for name, value in options.items():
            setattr(raw, name, value)
        raw.linger = 0
        raw.rcvtimeo = raw.sndtimeo = 20_000
        raw.connect(self.endpoints[channel])
        return raw

    @contextmanager
    def clients(self, *waiting: int) -> Iterator[list["zmq.Socket[bytes]"]]:
        """Clients that get all that is published from now on.

        Args:
            waiting: for each client, how many messages may wait at its end.
        """
        with ExitStack() as stack:
            clients = [
                stack.enter_context(
                    closing(self.raw(zmq.SUB, "iopub", rcvhwm=count, rcvbuf=65_536))
                )
                for count in waiting
            ]
            for client in clients:
                client.subscribe(b"")
            heard: set[int] = set()
            while len(heard) < len(clients):
                self.publish(1, 0)
                assert self.said().startswith("published")
                heard.update(n for n, client in enumerate(clients) if client.poll(10))
            self.publish(1, 1)
            for client in clients:
                while client.recv_multipart()[7] != b"x":
                    pass
            assert self.said() == "published 0"
            yield clients

    @contextmanager
    def subscriber(self) -> Iterator[Callable[[bytes], None]]:
        """What sends a message to iopub as ZMTP 3.0 says: a real SUB keeps its own copy of a topic.

        Source: https://rfc.zeromq.org/spec/23/
        """
        port = int(self.endpoints["iopub"].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as stranger:
            mechanism = b"NULL".ljust(20, b"\0")
            stranger.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism + bytes(32))
            ready = b"\x05READY\x0bSocket-Type" + (3).to_bytes(4) + b"SUB"
            stranger.sendall(bytes([4, len(ready)]) + ready)
            stranger.recv(64)
            yield lambda message: stranger.sendall(b"\x02" + len(message).to_bytes(8) + message)

    def beats(self) -> bool:
        with closing(self.raw(zmq.DEALER, "hb")) as heart:
            heart.send(b"ping")
            return bool(heart.recv() == b"ping")

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()
        self.context.destroy(linger=0)


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    relay = Relay(tmp_path)
    yield relay
    relay.close()
    assert relay.process.returncode == 0


def test_a_subscription_of_megabytes_costs_nothing(relay: Relay) -> None:
    with relay.subscriber() as send:
        with suppress(OSError):
            send(b"\x01" + bytes(range(256)) * (45 * MIB // 256))
        for _ in range(20):
            assert relay.beats()
        assert relay.grown < 50


def test_heartbeats_that_nobody_reads_or_that_are_huge_cost_nothing(relay: Relay) -> None:
    with closing(relay.raw(zmq.DEALER, "hb")) as stranger:
        stranger.send(b"x" * 50 * MIB)
        for _ in range(100_000):
            try:
                stranger.send(b"y" * 4000, zmq.NOBLOCK)
            except zmq.Again:
                break
        assert relay.beats()
        assert relay.grown < 50


def check(message: list[bytes], number: int) -> None:
    """A message is the one with this number."""
    assert b"%08d" % number in message[6][:64]


@pytest.mark.parametrize(("count", "size"), [(1200, 256 << 10), (12, 40 * MIB)])
def test_a_subscriber_that_does_not_read_costs_little_and_the_others_get_all(
    count: int, size: int, relay: Relay
) -> None:
    """It loses messages after its time; who reads gets each of them, in order."""
    with relay.clients(1, 1000) as (_stuck, ours):
        relay.publish(count, size)
        largest = 0
        for number in range(count):
            check(ours.recv_multipart(), number)
            largest = max(largest, relay.grown)
        assert relay.said() == "published 1"
        assert largest < 60 + 6 * size // MIB
    wait_until(relay.beats, "the relay")


def test_a_subscriber_that_does_not_read_takes_nothing_from_a_slow_one(relay: Relay) -> None:
    """Where one has lost messages already, another still has its time."""
    with relay.clients(1, 1) as (stuck, slow):
        relay.publish(4000, 32 << 10)
        for number in range(4000):
            if number % 500 == 499:
                time.sleep(0.2)
            check(slow.recv_multipart(), number)
        assert relay.said() == "published 1"
        check(stuck.recv_multipart(), 0)


def test_what_a_slow_client_is_sent_is_whole_and_waits_elsewhere(relay: Relay) -> None:
    """It takes its time, but less than a client may: nothing is lost."""
    with relay.clients(1) as (slow,):
        relay.publish(600, 512 << 10)
        for number in range(600):
            if number % 100 == 0:
                time.sleep(0.2)
            check(slow.recv_multipart(), number)
            assert relay.grown < 60
        assert relay.said() == "published 0"


@pytest.mark.parametrize("size", [100 << 10, 10 * MIB])
def test_a_large_message_behind_many_small_ones_waits_for_nobody(size: int, relay: Relay) -> None:
    """ZMQ hears late how many messages a client has read, the later the more may wait."""
    with relay.clients(1000) as (ours,):
        for count, each in [(400, 10), (1, size), (7, 10), (1, size)]:
            relay.publish(count, each)
            for number in range(count):
                check(ours.recv_multipart(), number)
            assert relay.said() == "published 0"
