"""The five sockets, driven by jupyter_client and by bare ZMQ sockets; no server."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from queue import Queue

import pytest
import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from jrc.errors import ConfigError
from jrc.relay.sockets import (
    CROWD,
    Dropped,
    Received,
    Sockets,
    Subscribed,
    read_connection_file,
)
from jrc.wire.zmq import Addressed
from tests.support.jupyter import wait_until
from tests.support.relay import free_ports
from tests.support.scripted import reply, stream


class Served:
    """Started sockets, and what they received."""

    def __init__(self, folder: Path, **options: bytes) -> None:
        self.file = folder / "connection.json"
        with free_ports(5) as ports:
            names = ("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port")
            write_connection_file(
                str(self.file), key=b"key", **dict(zip(names, ports, strict=True)), **options
            )
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.received: Queue[Received] = Queue()
        self.failures: list[BaseException] = []
        self.sockets = Sockets(read_connection_file(self.file))
        self.sockets.start(self._receive, self.failures.append)

    def _receive(self, received: list[Received]) -> None:
        for event in received:
            self.received.put(event)

    def next(self) -> Received:
        return self.received.get(timeout=10)

    def request(self) -> Addressed:
        while not isinstance(event := self.next(), Addressed):
            assert isinstance(event, Subscribed)
        return event

    def client(self) -> BlockingKernelClient:
        client = BlockingKernelClient()
        client.load_connection_file(str(self.file))
        client.start_channels()
        return client

    def close(self) -> None:
        self.sockets.close()
        self.context.destroy(linger=0)

    def raw(self, kind: int, channel: str) -> "zmq.Socket[bytes]":
        raw = self.context.socket(kind)
        raw.linger = 0
        raw.rcvtimeo = 10_000
        raw.connect(read_connection_file(self.file).endpoints[channel])
        return raw


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.close()
    assert served.failures == []


def test_a_request_arrives_and_its_answer_goes_back(served: Served) -> None:
    client = served.client()
    try:
        msg_id = client.execute("1")
        addressed = served.request()
        assert addressed.message.msg_id == msg_id
        served.sockets.send(reply(msg_id), addressed.identities)
        assert client.get_shell_msg(timeout=10)["parent_header"]["msg_id"] == msg_id
    finally:
        client.stop_channels()


def test_every_subscriber_is_reported_with_its_topic(served: Served) -> None:
    """The second subscriber of a topic too: a publisher usually hears only of the first one."""
    with closing(served.raw(zmq.SUB, "iopub")) as one, closing(served.raw(zmq.SUB, "iopub")) as two:
        one.subscribe(b"")
        assert served.next() == Subscribed(b"")
        two.subscribe(b"")
        assert served.next() == Subscribed(b"")
        two.subscribe(b"stream")
        assert served.next() == Subscribed(b"stream")
        two.unsubscribe(b"stream")
        one.subscribe(b"status")
        assert served.next() == Subscribed(b"status")


def test_published_messages_reach_all_subscribers(served: Served) -> None:
    with closing(served.raw(zmq.SUB, "iopub")) as one, closing(served.raw(zmq.SUB, "iopub")) as two:
        one.subscribe(b"")
        two.subscribe(b"")
        served.next()
        served.next()
        message = stream("somebody", "x")
        served.sockets.send(message, [b"stream"])
        frames = one.recv_multipart()
        assert two.recv_multipart() == frames
        assert frames[:2] == [b"stream", b"<IDS|MSG>"]


def test_heartbeats_are_echoed_only_while_the_kernel_lives(served: Served) -> None:
    with closing(served.raw(zmq.DEALER, "hb")) as heart:
        heart.send(b"unheard")
        assert not heart.poll(300)
        served.sockets.beating = True
        heart.send(b"ping")
        assert heart.recv() == b"ping"


def test_garbage_is_dropped_and_the_next_request_arrives(served: Served) -> None:
    client = served.client()
    try:
        with closing(served.raw(zmq.DEALER, "shell")) as shell:
            shell.send(b"garbage")
            next_dropped(served)
            shell.send_multipart([b"<IDS|MSG>", b"0" * 64, b"{}", b"{}", b"{}", b"{}"])
            assert "wrong signature" in next_dropped(served).reason
        msg_id = client.execute("1")
        assert served.request().message.msg_id == msg_id
    finally:
        client.stop_channels()


def next_dropped(served: Served) -> Dropped:
    """The client's subscription may arrive at any moment."""
    received = served.next()
    while isinstance(received, Subscribed):
        received = served.next()
    assert isinstance(received, Dropped)
    return received


def test_bytes_that_are_no_zmq_hurt_nobody(served: Served) -> None:
    client = served.client()
    try:
        port = int(read_connection_file(served.file).endpoints["shell"].rpartition(":")[2])
        with closing(socket.create_connection(("127.0.0.1", port))) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        msg_id = client.execute("1")
        assert served.request().message.msg_id == msg_id
    finally:
        client.stop_channels()


def test_a_client_that_comes_back_keeps_its_name(served: Served) -> None:
    """Editors reconnect under the same identity before the old connection is gone."""
    endpoint = read_connection_file(served.file).endpoints["shell"]
    old, new = served.context.socket(zmq.DEALER), served.context.socket(zmq.DEALER)
    with closing(old), closing(new):
        for dealer in (old, new):
            dealer.linger = 0
            dealer.rcvtimeo = 10_000
            dealer.routing_id = b"editor"
            dealer.connect(endpoint)
            dealer.send(b"hello")
            assert isinstance(served.next(), Dropped)
        served.sockets.send(reply("somebody"), [b"editor"])
        assert new.recv_multipart()[0] == b"<IDS|MSG>"


def test_curve_encryption(tmp_path: Path) -> None:
    """jupyter_client may demand it; a client that knows the keys gets through."""
    public, secret = zmq.curve_keypair()
    served = Served(tmp_path, curve_publickey=public, curve_secretkey=secret)
    client = served.client()
    try:
        served.sockets.beating = True
        msg_id = client.execute("1")
        assert served.request().message.msg_id == msg_id
        wait_until(client.hb_channel.is_beating, "an encrypted heartbeat")
        with closing(served.raw(zmq.DEALER, "shell")) as plain:
            plain.send(b"not encrypted")
            msg_id = client.execute("2")
            assert served.request().message.msg_id == msg_id
    finally:
        client.stop_channels()
        served.close()


def test_what_waits_is_sent_before_the_ports_are_freed(served: Served) -> None:
    with closing(served.raw(zmq.SUB, "iopub")) as subscriber:
        subscriber.subscribe(b"")
        served.next()
        for _ in range(500):
            message = stream("somebody", "x" * 1000)
            served.sockets.send(message, [b"stream"])
        served.sockets.close()
        for _ in range(500):
            assert subscriber.recv_multipart()[0] == b"stream"
    assert "relay-sockets" not in {thread.name for thread in threading.enumerate()}


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    served = Served(tmp_path)
    try:
        with pytest.raises(ConfigError, match="Can't listen on tcp://127"):
            Sockets(read_connection_file(served.file))
    finally:
        served.close()


def test_a_bug_in_the_thread_is_reported(tmp_path: Path) -> None:
    served = Served(tmp_path)
    bug = RuntimeError("bug")

    def fail(_: list[Received]) -> None:
        raise bug

    served.sockets.close()
    sockets = Sockets(read_connection_file(served.file))
    failed: Queue[BaseException] = Queue()
    sockets.start(fail, failed.put)
    with closing(served.raw(zmq.DEALER, "shell")) as shell:
        shell.send(b"garbage")
        assert failed.get(timeout=10) is bug
    sockets.close()
    served.close()


def test_a_crowd_is_told_when_it_is_gone(tmp_path: Path) -> None:
    """So that what the clients have not taken yet waits on the server, not in the memory here."""
    served = Served(tmp_path)
    served.sockets.close()
    sockets = Sockets(read_connection_file(served.file))
    room = threading.Event()
    text = "x" * (CROWD // 2)
    for crowded in (False, False, True):
        assert sockets.is_crowded() == crowded
        sockets.send(stream("somebody", text), [b"stream"])
    sockets.start(lambda _: None, served.failures.append, room.set)
    assert room.wait(10)
    wait_until(lambda: not sockets.is_crowded(), "room")
    sockets.close()
    served.close()
    assert served.failures == []


def test_without_a_crowd_nobody_is_told_of_room(tmp_path: Path) -> None:
    """A call into the event loop for each message would cost more than the message."""
    served = Served(tmp_path)
    served.sockets.close()
    sockets = Sockets(read_connection_file(served.file))
    told: list[bool] = []
    sockets.send(stream("somebody", "x"), [b"stream"])
    assert not sockets.is_crowded()
    sockets.start(lambda _: None, served.failures.append, lambda: told.append(True))
    sockets.close()
    served.close()
    assert served.failures == []
    assert told == []
