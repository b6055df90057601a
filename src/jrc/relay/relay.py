"""Moves messages between the local sockets and the channels of a remote kernel.

What to do with a message is decided in ``jrc.relay.machine``.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from jrc.errors import (
    JrcError,
    KernelDiedError,
    NotFoundError,
    ProtocolError,
    UnreachableError,
    WireError,
)
from jrc.kernel.channels import ChannelEvent, FrameDamaged, LinkLost, LinkRestored
from jrc.relay.actions import (
    Action,
    AskServer,
    Beat,
    Deliver,
    End,
    Interrupt,
    Log,
    Restart,
    Send,
    StartOver,
    Stop,
)
from jrc.relay.machine import Machine
from jrc.relay.sockets import Dropped, Received, Sockets, Subscribed
from jrc.wire.message import Message
from jrc.wire.zmq import Addressed

if TYPE_CHECKING:
    from jrc.kernel.channels import Channels
    from jrc.relay.relayed_kernel import RelayedKernel

log = logging.getLogger("jrc.relay")

_TICK = 0.25
_INTERRUPT_DEADLINE = 10.0
_ASK_DEADLINE = 5.0
_REST_PAUSE = 2.0


class Outbox:
    """What waits to be sent to the kernel. While the link is down, everything waits.

    There are two queues, so that control and stdin never wait behind shell.
    """

    def __init__(self) -> None:
        self._urgent: deque[Message] = deque()
        self._shell: deque[Message] = deque()
        self._filled = asyncio.Event()
        self._open = asyncio.Event()

    def put(self, message: Message) -> None:
        """Queue a message behind those that wait."""
        (self._shell if message.channel == "shell" else self._urgent).append(message)
        self._filled.set()

    def put_first(self, message: Message) -> None:
        """Queue a message ahead of everything that waits."""
        self._urgent.appendleft(message)
        self._filled.set()

    def open(self) -> None:
        """The link is up."""
        self._open.set()

    def close(self) -> None:
        """The link is down: give out nothing."""
        self._open.clear()

    async def next(self) -> Message:
        """What to send next, as soon as there is something and the link is up."""
        while True:
            await self._filled.wait()
            await self._open.wait()
            queue = self._urgent or self._shell
            if queue:
                return queue.popleft()
            self._filled.clear()


class Relay:
    """Local clients on one side, one remote kernel on the other.

    Args:
        sockets: bound, not started.
        machine: decides.

    Attributes:
        stopped: set when the relay was asked to end.
    """

    def __init__(self, sockets: Sockets, machine: Machine) -> None:
        self._sockets = sockets
        self._machine = machine
        self._outbox = Outbox()
        self._kernel: RelayedKernel | None = None
        self._channels: Channels | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bug: BaseException | None = None
        self._room = asyncio.Event()
        self.stopped = asyncio.Event()

    def start(self) -> None:
        """Listen to the local clients; what they ask waits until there is a kernel."""
        loop = asyncio.get_running_loop()
        self._sockets.start(
            lambda received: _call(loop, self._on_received, received),
            lambda error: _call(loop, self._on_bug, error),
            lambda: _call(loop, lambda _: self._room.set(), None),
            lambda: _call(loop, lambda _: self._do(self._machine.client_lost()), None),
        )

    async def run(self, kernel: "RelayedKernel", channels: "Channels") -> None:
        """Relay until the kernel is gone for good.

        Raises:
            KernelDiedError: it is.
            AuthError, UnreachableError: the server can't be reached any more.
        """
        self._kernel, self._channels = kernel, channels
        self._do(self._machine.kernel_started(kernel.language, self._now()))
        self._outbox.open()
        self._spawn(self._receive(channels), "relay-receive")
        self._spawn(self._send(channels), "relay-send")
        self._spawn(self._tick(), "relay-tick")
        try:
            await self._failure
        except JrcError as error:
            self._do(self._machine.ended(error))
            raise
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def interrupt(self) -> None:
        """Interrupt the kernel, if there is one."""
        if self._kernel is not None:
            async with asyncio.timeout(_INTERRUPT_DEADLINE):
                await self._kernel.interrupt()

    def interrupt_soon(self) -> None:
        """Interrupt the kernel because of a signal. A failure is only logged."""
        self._spawn(self._quietly(self.interrupt), "relay-interrupt")

    def check(self) -> None:
        """Raise the bug that ended the sockets, if one did."""
        if self._bug is not None:
            raise self._bug

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Deliver():
                    self._sockets.send(action.message, action.front)
                case Send(message=message, first=True):
                    self._outbox.put_first(message)
                case Send(message=message):
                    self._outbox.put(message)
                case Beat():
                    self._sockets.beating = action.alive
                case Interrupt():
                    self._spawn(self._interrupt(action.request), "relay-interrupt")
                case Restart():
                    self._spawn(self._restart(action.request), "relay-restart")
                case AskServer():
                    self._spawn(self._ask_server(), "relay-ask-server")
                case StartOver():
                    if self._channels is not None:
                        self._channels.start_over()
                case End():
                    raise KernelDiedError(action.reason)
                case Stop():
                    self.stopped.set()
                case Log():
                    log.log(logging.WARNING if action.warning else logging.INFO, action.text)

    def _on_received(self, received: Iterable[Received]) -> None:
        for event in received:
            match event:
                case Subscribed():
                    self._do(self._machine.subscribed(event.topic))
                case Dropped():
                    log.warning("dropped what is no message for a kernel: %s", event.reason)
                case Addressed():
                    self._on_request(event)

    def _on_request(self, addressed: Addressed) -> None:
        try:
            actions = self._machine.from_client(addressed)
        except WireError as error:
            log.warning("dropped a message: %s", error)
        else:
            self._do(actions)

    def _on_bug(self, error: BaseException) -> None:
        self._bug = error
        self.stopped.set()

    async def _send(self, channels: "Channels") -> None:
        while True:
            message = await self._outbox.next()
            await channels.send(self._machine.sending(message, self._now()))
            self._machine.sent(self._now())

    async def _receive(self, channels: "Channels") -> None:
        while True:
            try:
                async for event in channels.events():
                    self._on_event(event)
                    await self._wait_for_room()
            except NotFoundError:
                await self._ask_server()
                await asyncio.sleep(_REST_PAUSE)

    def _on_event(self, event: ChannelEvent) -> None:
        match event:
            case LinkLost():
                log.info("link lost: %s", event.reason)
                self._outbox.close()
                self._do(self._machine.link_lost(event.code, self._now()))
            case LinkRestored():
                self._do(self._machine.link_restored(self._now()))
                self._outbox.open()
            case FrameDamaged():
                self._do(self._machine.frame_damaged(event.reason))
            case _:
                self._on_message(event)

    def _on_message(self, message: Message) -> None:
        try:
            actions = self._machine.from_kernel(message, self._now())
        except WireError as error:
            actions = self._machine.frame_damaged(error.message)
        self._do(actions)

    async def _wait_for_room(self) -> None:
        """Read no more from the server than the clients take: the rest waits on the server."""
        self._room.clear()
        if self._sockets.is_crowded():
            await self._room.wait()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self._do(self._machine.tick(self._now()))

    async def _ask_server(self) -> None:
        """Ask the server what the kernel does."""
        assert self._kernel is not None
        assert self._channels is not None
        try:
            async with asyncio.timeout(_ASK_DEADLINE):
                state = await self._kernel.state() or "dead"
        except (UnreachableError, ProtocolError, TimeoutError) as error:
            log.info("the kernel can't be asked for: %s", _reason(error))
            state = "unknown"
        arrived = state == "idle" and await self._channels.all_arrived()
        received = self._channels.received
        self._do(self._machine.server_answered(state, all_arrived=arrived, received=received))

    async def _interrupt(self, request: Addressed) -> None:
        problem = ""
        try:
            await self.interrupt()
        except (JrcError, TimeoutError) as error:
            problem = f"The interrupt did not reach the kernel: {_reason(error)}"
        self._do(self._machine.interrupted(request, problem))

    async def _restart(self, request: Addressed) -> None:
        if self._kernel is not None:
            await self._quietly(self._kernel.restart)
        self._do(self._machine.restarted(request))

    async def _quietly(self, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except (JrcError, TimeoutError) as error:
            log.warning("%s", _reason(error))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_end)

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failure.done():
            self._failure.set_exception(error)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _reason(error: JrcError | TimeoutError) -> str:
    return error.message if isinstance(error, JrcError) else "the time is up"


def _call(loop: asyncio.AbstractEventLoop, call: Callable[[Any], None], argument: object) -> None:
    """Call from another thread. Nothing happens when the loop is closed."""
    try:
        loop.call_soon_threadsafe(call, argument)
    except RuntimeError:
        log.debug("the event loop ended before the sockets")
