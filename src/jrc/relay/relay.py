"""The relay at work: local sockets, a remote kernel's channels, and the router between them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from jrc.errors import JrcError, KernelDiedError, NotFoundError, UnreachableError, WireError
from jrc.kernel.channels import ChannelEvent, LinkLost, LinkRestored
from jrc.kernel.large_messages import LargeMessages, Oversized
from jrc.recorder.recording import NoReply, RecorderLost
from jrc.recorder.tracker import Lost
from jrc.relay.actions import (
    Action,
    AskRecorder,
    Deliver,
    Forward,
    Interrupt,
    News,
    Shutdown,
)
from jrc.relay.messages import Messages
from jrc.relay.outbox import Outbox
from jrc.relay.recorded import NeverArrived, Recorded
from jrc.relay.recorded import News as RecordedNews
from jrc.relay.router import Loss, Router
from jrc.relay.sockets import Dropped, Received, Sockets, Subscribed
from jrc.relay.watch import Act, Watch
from jrc.wire.message import Message
from jrc.wire.zmq import Addressed

if TYPE_CHECKING:
    from jrc.kernel.channels import Channels
    from jrc.relay.kernel import RemoteKernel

log = logging.getLogger("jrc.relay")

_TICK = 0.25
_INTERRUPT_DEADLINE = 10.0
_POLL_DEADLINE = 5.0
_REST_PAUSE = 2.0
_INTERRUPTED = Loss("KeyboardInterrupt", "")

DIED = Loss(
    "KernelDied", "The remote kernel died while this ran or waited (often: it ran out of memory)."
)
RESTARTED = Loss("KernelRestarted", "The remote kernel was restarted while this ran or waited.")


class Relay:
    """Local clients on one side, one remote kernel on the other.

    Args:
        sockets: bound, not started.
        restarts_in_place: a client's request to restart does not end this process, nor does the
            death of a kernel that the server starts again. Else the client watches this process,
            and takes its end for the kernel's.

    Attributes:
        stopped: set when the relay was asked to end.
    """

    def __init__(self, sockets: Sockets, messages: Messages, *, restarts_in_place: bool) -> None:
        self._sockets = sockets
        self._restarts_in_place = restarts_in_place
        self._recorded = Recorded(messages)
        self._router = Router(messages, self._recorded.covers)
        self._watch = Watch()
        self._outbox = Outbox()
        self._large = LargeMessages()
        self._kernel: RemoteKernel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._recorder_due = True
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
        )

    async def run(self, kernel: "RemoteKernel", channels: "Channels") -> None:
        """Relay until the kernel is gone for good.

        Raises:
            KernelDiedError: it is.
            AuthError, UnreachableError: the server can't be reached any more.
        """
        self._kernel = kernel
        self._sockets.beating = True
        self._watch.heard(self._now())
        self._install_recorder()
        self._outbox.open()
        self._spawn(self._receive(channels), "relay-receive")
        self._spawn(self._send(channels), "relay-send")
        self._spawn(self._keep_watch(channels), "relay-watch")
        try:
            await self._failure
        except JrcError as error:
            self._sockets.beating = False
            if isinstance(error, KernelDiedError) and not self._restarts_in_place:
                # An error in place of a reply would be the cell's own, and a client that allows
                # errors would go on in an empty kernel. A local kernel that dies does not answer.
                self._do(self._router.process_ends(error.message))
            else:
                loss = Loss(type(error).__name__.removesuffix("Error"), error.message)
                self._do(self._router.kernel_ended(loss, announce="dead", for_good=True))
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
        """Interrupt because of a signal: there is nobody to tell that it failed."""
        self._spawn(self._quietly(self.interrupt), "relay-interrupt")

    def _on_received(self, received: Iterable[Received]) -> None:
        for event in received:
            match event:
                case Subscribed():
                    self._do(self._router.subscribed(event.topic))
                case Dropped():
                    log.warning("dropped what is no message for a kernel: %s", event.reason)
                case Addressed():
                    self._on_request(event)

    def _on_request(self, addressed: Addressed) -> None:
        try:
            actions = self._router.from_client(addressed)
        except WireError as error:
            log.warning("dropped a message: %s", error)
        else:
            self._do(actions)

    def _on_bug(self, error: BaseException) -> None:
        self._bug = error
        self.stopped.set()

    def check(self) -> None:
        """Raise the bug that ended the sockets, if one did."""
        if self._bug is not None:
            raise self._bug

    def _do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Deliver():
                    self._sockets.send(action.message, action.front)
                case Forward(message=message, first=True):
                    self._outbox.put_first(message)
                case Forward(message=message):
                    self._outbox.put(message)
                case Interrupt():
                    self._spawn(self._interrupt(action.request), "relay-interrupt")
                case Shutdown():
                    self._spawn(self._shut_down(action), "relay-shutdown")
                case AskRecorder():
                    for question in self._recorded.ask_arrived(action.msg_ids):
                        self._outbox.put(question)
                case News():
                    self._on_news(action)

    async def _send(self, channels: "Channels") -> None:
        while True:
            message = await self._outbox.next()
            self._router.sent(message)
            self._large.sending(message)
            await channels.send(self._recorded.outgoing(message, self._now()))
            self._large.sent(self._now())

    async def _receive(self, channels: "Channels") -> None:
        while True:
            try:
                async for event in channels.events():
                    self._on_event(event)
                    await self._wait_for_room()
            except WireError as error:
                log.warning("dropped a frame of the server: %s", error)
            except NotFoundError:
                await self._state_of_kernel()
                await asyncio.sleep(_REST_PAUSE)

    async def _wait_for_room(self) -> None:
        """Read no more from the server than the local sockets take: the rest waits there."""
        self._room.clear()
        if self._sockets.is_crowded():
            await self._room.wait()

    def _on_event(self, event: ChannelEvent) -> None:
        match event:
            case LinkLost():
                log.info("link lost: %s", event.reason)
                self._outbox.close()
                self._watch.link_lost(self._now())
                self._recorded.link_lost()
                oversized = self._large.link_lost(event.code, self._now())
                if oversized is not None:
                    self._refuse(oversized)
            case LinkRestored():
                self._on_link_restored()
            case _:
                self._watch.heard(self._now())
                self._on_messages(self._recorded.receive(event, self._now()))
                self._ask_recorder()

    def _on_messages(self, found: Iterable[RecordedNews]) -> None:
        for each in found:
            match each:
                case Message():
                    self._do(self._router.from_kernel(each))
                case Lost():
                    self._tell(f"{each.stop - each.start} messages of output were lost.")
                case NoReply():
                    # The interrupt that swallowed the reply is what the client asked for.
                    self._do(self._router.refuse(each.msg_id, _INTERRUPTED))
                case NeverArrived():
                    self._do(self._router.repeat(each.msg_ids))
                case RecorderLost():
                    log.info("nothing is recorded: %s", each.reason)
                    # It had promised the replies; now only fences tell what became of them.
                    self._do(self._router.link_restored())

    def _install_recorder(self) -> None:
        """Send the recorder to a kernel that has just begun to live, in front of all requests."""
        self._recorder_due = False
        is_python = self._kernel is not None and self._kernel.language == "python"
        if is_python and not self._recorded.installed:
            self._outbox.put_first(self._recorded.install())

    def _ask_recorder(self) -> None:
        for question in self._recorded.due(self._now()):
            self._outbox.put(question)

    def _on_link_restored(self) -> None:
        for message in self._recorded.link_restored():
            self._outbox.put_first(message)
        self._do(self._router.link_restored())
        self._ask_recorder()
        self._outbox.open()
        seconds = self._watch.link_restored(self._now())
        if seconds is not None:
            self._tell(f"The link to the server is back after {seconds:.0f} s.")

    def _refuse(self, message: Oversized) -> None:
        """A server ends the link where a message is too large for it; so would a second try."""
        text = message.sentence
        log.warning("%s", text)
        refusal = self._router.refuse(message.msg_id, Loss("MessageTooLarge", text))
        self._do(refusal or self._router.notice(text))

    def _on_news(self, news: News) -> None:
        match news:
            case News.ALIVE:
                self._sockets.beating = True
            case News.STARTED:
                self._sockets.beating = True
                self._install_recorder()
            case News.WORKING:
                self._sockets.beating = True
                # Old servers swallow the first word of a kernel that they started again.
                if self._recorder_due:
                    self._install_recorder()
            case News.DIED:
                self._sockets.beating = False
                self._on_kernel_lost(DIED, announce=None)
            case News.RESTARTED:
                self._on_kernel_lost(RESTARTED, announce="restarting")
            case News.SHUT_DOWN:
                self._watch.suspect(self._now())
            case News.DEAD:
                raise KernelDiedError("The remote kernel died, and the server gave up on it.")

    def _on_kernel_lost(self, loss: Loss, *, announce: str | None) -> None:
        self._on_messages(self._recorded.give_up())
        if not self._restarts_in_place:
            raise KernelDiedError(loss.text)
        self._recorder_due = True
        self._do(self._router.kernel_ended(loss, announce=announce, for_good=False))

    async def _keep_watch(self, channels: "Channels") -> None:
        while True:
            await asyncio.sleep(_TICK)
            missing = bool(self._router.missing_idle)
            unanswered = self._router.pending.unanswered
            for act in self._watch.due(self._now(), unanswered=unanswered, idle_missing=missing):
                await self._act(act, channels)
            self._ask_recorder()

    async def _act(self, act: Act, channels: "Channels") -> None:
        match act:
            case Act.TELL_LINK_IS_DOWN:
                self._tell("The link to the server is down; trying to bring it back.")
            case Act.POLL_KERNEL:
                await self._poll_kernel(channels)
            case Act.SEEK_IDLE:
                self._do(self._router.seek_idle())
            case Act.ASSUME_IDLE:
                self._do(self._router.assume_idle())

    async def _poll_kernel(self, channels: "Channels") -> None:
        idle = await self._state_of_kernel() == "idle" and await channels.all_arrived()
        if self._watch.polled(idle=idle, received=channels.received):
            log.info("the kernel is idle, and does not answer: connecting as another session")
            channels.start_over()
        elif idle:
            self._do(self._router.ask_idle_kernel())

    async def _state_of_kernel(self) -> str:
        """What the server says that the kernel does.

        Raises:
            KernelDiedError: it is gone.
        """
        assert self._kernel is not None
        try:
            async with asyncio.timeout(_POLL_DEADLINE):
                state = await self._kernel.state()
        except (UnreachableError, TimeoutError) as error:
            log.info("the kernel can't be asked for: %s", _reason(error))
            return "unknown"
        if state == "dead":
            raise KernelDiedError(
                "The remote kernel is gone: the server was restarted, or somebody deleted it."
            )
        return state

    async def _interrupt(self, request: Addressed) -> None:
        content: dict[str, object] = {"status": "ok"}
        try:
            await self.interrupt()
        except (JrcError, TimeoutError) as error:
            text = f"The interrupt did not reach the kernel: {_reason(error)}"
            content = {"status": "error", "ename": "Interrupt", "evalue": text, "traceback": []}
        self._do(self._router.answer(request, content))

    async def _shut_down(self, action: Shutdown) -> None:
        in_place = action.restart and self._restarts_in_place
        if in_place and self._kernel is not None:
            await self._quietly(self._kernel.restart)
        content = {"status": "ok", "restart": action.restart}
        self._do(self._router.answer(action.request, content, broadcast=True))
        if not in_place:
            self.stopped.set()

    async def _quietly(self, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except (JrcError, TimeoutError) as error:
            log.warning("%s", _reason(error))

    def _tell(self, text: str) -> None:
        self._do(self._router.notice(text))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_end)
        return task

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
    """Call from another thread. A loop that is closed has nobody left to tell."""
    try:
        loop.call_soon_threadsafe(call, argument)
    except RuntimeError:
        log.debug("the event loop ended before the sockets")
