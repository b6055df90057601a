"""The relay at work between scripted channels and sockets that write down what they are given."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from jrc.errors import (
    JrcError,
    KernelDiedError,
    NotFoundError,
    ProtocolError,
    UnreachableError,
)
from jrc.kernel.channels import ChannelEvent, Channels, FrameDamaged, LinkLost, LinkRestored
from jrc.kernel.messages import Messages
from jrc.relay.machine import Machine
from jrc.relay.relay import Outbox, Relay
from jrc.relay.relayed_kernel import RelayedKernel
from jrc.relay.sockets import Received, Sockets
from jrc.wire.message import Message, new_message
from jrc.wire.zmq import Addressed
from tests.support.scripted import from_kernel, idle, reply, stream

DATE = "2026-11-22T12:00:00Z"


class ScriptedSockets:
    """Takes the place of the five sockets."""

    def __init__(self) -> None:
        self.beating = False
        self.crowded = False
        self.sent: list[Message] = []
        self.receive: Callable[[list[Received]], None] = lambda _: None
        self.room: Callable[[], None] = lambda: None

    def start(
        self,
        receive: Callable[[list[Received]], None],
        fail: Callable[[BaseException], None],
        room: Callable[[], None],
        lost: Callable[[int], None],
    ) -> None:
        self.receive, self.fail, self.room, self.lost = receive, fail, room, lost

    def send(self, message: Message, front: tuple[bytes, ...]) -> None:
        self.sent.append(message)

    def is_crowded(self) -> bool:
        return self.crowded


class ScriptedChannels:
    """Takes the place of the channels: what the kernel says is put in."""

    received = 0

    def __init__(self) -> None:
        self.script: asyncio.Queue[ChannelEvent | Exception] = asyncio.Queue()
        self.sent: list[Message] = []

    async def events(self) -> AsyncIterator[ChannelEvent]:
        while True:
            event = await self.script.get()
            if isinstance(event, Exception):
                raise event
            yield event

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def all_arrived(self) -> bool:
        return True


class ScriptedKernel:
    """Takes the place of the remote kernel: a server that answers at once."""

    language = ""

    def __init__(self) -> None:
        self.says: str | Exception = "busy"
        self.asked: list[str] = []

    async def state(self) -> str:
        self.asked.append("state")
        return self._say()

    async def interrupt(self) -> None:
        self.asked.append("interrupt")
        self._say()

    async def restart(self) -> None:
        self.asked.append("restart")
        self._say()

    def _say(self) -> str:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


class World:
    """A relay and what it stands between."""

    def __init__(self, *, restarts_in_place: bool = True) -> None:
        self.sockets, self.channels = ScriptedSockets(), ScriptedChannels()
        self.kernel = ScriptedKernel()
        machine = Machine(
            Messages(session=32 * "a", username="jrc", date=lambda: DATE),
            restarts_in_place=restarts_in_place,
        )
        self.relay = Relay(cast(Sockets, self.sockets), machine)
        self.relay.start()
        kernel, channels = cast(RelayedKernel, self.kernel), cast(Channels, self.channels)
        self.running = asyncio.create_task(self.relay.run(kernel, channels))

    async def ask(self, msg_type: str, **content: Any) -> str:
        """A client asks something, and the relay has done with it."""
        message = new_message(
            "shell",
            msg_type,
            content,
            msg_id=f"ann_{msg_type}",
            session="ann",
            username="ada",
            date=DATE,
        )
        self.sockets.receive([Addressed((b"ann",), message)])
        await self.settle()
        return message.msg_id

    async def say(self, *events: ChannelEvent | Exception) -> None:
        """The channels bring this, and the relay has done with it."""
        for event in events:
            self.channels.script.put_nowait(event)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def said(self) -> list[str]:
        return [message.msg_type for message in self.sockets.sent]


@asynccontextmanager
async def relaying(*, restarts_in_place: bool = True) -> AsyncIterator[World]:
    world = World(restarts_in_place=restarts_in_place)
    await world.settle()
    try:
        yield world
    finally:
        world.running.cancel()
        await asyncio.gather(world.running, return_exceptions=True)


@pytest.mark.anyio
async def test_a_request_goes_there_and_its_answer_comes_back() -> None:
    async with relaying() as world:
        assert world.sockets.beating
        msg_id = await world.ask("execute_request", code="1")
        assert [message.msg_id for message in world.channels.sent] == [msg_id]
        answers = [stream(msg_id, "1"), reply(msg_id), idle(msg_id)]
        await world.say(*answers)
        assert world.sockets.sent == answers


@pytest.mark.anyio
async def test_nothing_is_sent_while_the_link_is_down() -> None:
    async with relaying() as world:
        await world.say(LinkLost("cut", half_open=False))
        await world.ask("execute_request", code="1")
        assert world.channels.sent == []
        await world.say(LinkRestored(1.0))
        assert len(world.channels.sent) == 1


@pytest.mark.anyio
async def test_what_the_clients_do_not_take_waits_on_the_server() -> None:
    async with relaying() as world:
        world.sockets.crowded = True
        await world.say(stream("a", "1"), stream("a", "2"))
        assert world.said == ["stream"]
        world.sockets.crowded = False
        world.sockets.room()
        await world.settle()
        assert world.said == ["stream", "stream"]


@pytest.mark.anyio
async def test_a_frame_that_is_nonsense_is_passed_over() -> None:
    async with relaying() as world:
        await world.say(FrameDamaged("It is no message."), stream("a", "1"))
        assert world.said == ["stream"]


@pytest.mark.anyio
@pytest.mark.parametrize("reachable", [True, False])
async def test_an_interrupt_goes_to_the_server(reachable: bool) -> None:
    async with relaying() as world:
        if not reachable:
            world.kernel.says = UnreachableError("No way there.")
        await world.ask("interrupt_request")
        assert world.kernel.asked == ["interrupt"]
        assert world.said == ["status", "interrupt_reply", "status"]
        answer = world.sockets.sent[1].content_fields
        assert answer["status"] == ("ok" if reachable else "error")


@pytest.mark.anyio
@pytest.mark.parametrize("in_place", [True, False])
async def test_a_restart_ends_the_relay_or_goes_to_the_server(in_place: bool) -> None:
    async with relaying(restarts_in_place=in_place) as world:
        await world.ask("shutdown_request", restart=True)
        assert world.said == ["status", "shutdown_reply", "shutdown_reply", "status"]
        assert world.kernel.asked == (["restart"] if in_place else [])
        assert world.relay.stopped.is_set() is not in_place


@pytest.mark.anyio
async def test_a_kernel_that_died_ends_the_relay_of_a_manager() -> None:
    async with relaying(restarts_in_place=False) as world:
        await world.ask("execute_request", code="1")
        await world.say(from_kernel("iopub", "status", {"execution_state": "restarting"}))
        with pytest.raises(KernelDiedError):
            await world.running
        assert world.said == ["status", "stream", "status"]
        assert not world.sockets.beating


@pytest.mark.anyio
async def test_a_server_without_the_kernel_is_asked_whether_it_is_gone() -> None:
    async with relaying() as world:
        await world.ask("inspect_request")
        world.kernel.says = "dead"
        await world.say(NotFoundError("It has no such kernel."))
        with pytest.raises(KernelDiedError, match="gone"):
            await world.running
        assert world.said == ["inspect_reply", "status", "status"]


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [UnreachableError("No way."), ProtocolError("A web page.")])
async def test_a_server_that_can_not_be_asked_ends_no_relay(answer: JrcError) -> None:
    async with relaying() as world:
        world.kernel.says = answer
        await world.say(NotFoundError("It has no such kernel."))
        assert world.kernel.asked == ["state"]
        assert not world.running.done()


@pytest.mark.anyio
async def test_a_bug_of_the_sockets_stops_the_relay() -> None:
    async with relaying() as world:
        world.sockets.fail(RuntimeError("bug"))
        await world.relay.stopped.wait()
        with pytest.raises(RuntimeError, match="bug"):
            world.relay.check()


# What waits to be sent


def message(channel: str) -> Message:
    return from_kernel(channel, "comm_msg", {})


@pytest.mark.anyio
async def test_control_and_stdin_do_not_wait_behind_shell() -> None:
    outbox = Outbox()
    shell, control, stdin, fence = (message(c) for c in ("shell", "control", "stdin", "shell"))
    for one in (shell, control, stdin):
        outbox.put(one)
    outbox.put_first(fence)
    outbox.open()
    assert [await outbox.next() for _ in range(4)] == [fence, control, stdin, shell]


@pytest.mark.anyio
async def test_what_waits_is_given_out_when_the_link_is_up() -> None:
    outbox = Outbox()
    taking = asyncio.create_task(outbox.next())
    first, second = message("shell"), message("shell")
    outbox.put(first)
    await asyncio.sleep(0)
    assert not taking.done()
    outbox.open()
    assert await taking is first
    outbox.close()
    outbox.put(second)
    taking = asyncio.create_task(outbox.next())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not taking.done()
    outbox.open()
    assert await taking is second
