"""The channels of one kernel: one websocket that reconnects by itself.

Every connection uses the same ``session_id``. The server buffers what a kernel publishes while no
client listens, and delivers it to the client that reconnects with that id.

Source: jupyter_server ``services/kernels/connection/channels.py``.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from jrc.errors import (
    AuthError,
    JrcError,
    NotFoundError,
    ProtocolError,
    UnreachableError,
    WireError,
)
from jrc.kernel.link import Link, LinkClosedError, open_link
from jrc.kernel.timing import LinkTiming
from jrc.server.address import ServerAddress
from jrc.server.connection import Way, tls_context
from jrc.server.origin import check_origin
from jrc.tasks import backoff
from jrc.wire.message import Message

log = logging.getLogger("jrc.kernel.channels")


class LinkLost(NamedTuple):
    """The link is down; ``Channels`` tries to bring it back.

    Attributes:
        reason: why, as the end of a sentence.
        half_open: what the server sent in the last seconds is lost.
        code: of the close frame, for example 1009 for a message that was too large; None if there
            was none.
    """

    reason: str
    half_open: bool
    code: int | None = None


class LinkRestored(NamedTuple):
    """The link is up again.

    Attributes:
        seconds: how long it was down.
    """

    seconds: float


class FrameDamaged(NamedTuple):
    """A frame can't be decoded: a message is missing, and which one is not known.

    A kernel that can open no more files breaks its messages; a gateway may send anything.

    Attributes:
        reason: what is wrong with it, as a sentence.
    """

    reason: str


ChannelEvent = Message | LinkLost | LinkRestored | FrameDamaged


class Server(Protocol):
    """What the channels need of a server."""

    @property
    def address(self) -> ServerAddress: ...

    @property
    def way(self) -> Way: ...

    async def headers(self) -> dict[str, str]: ...

    async def kernel(self, kernel_id: str) -> object | None: ...

    def forget_login(self) -> None: ...

    def session_began(self) -> None: ...

    @property
    def logins(self) -> int: ...

    async def login_again(self, since: int) -> bool: ...


class Channels:
    """The channels of one kernel.

    Args:
        server: where, and with which credentials.
        kernel_id: of a running kernel.
        session_id: hex; the same as in the messages' headers.
        patience: seconds to try to bring a lost link back.
        stubborn: keep trying for that long even when the tunnel to the server was closed: a person
            may open it again.
        timing: when a link is given up, and when the next one is opened; None for the usual
            thresholds.
    """

    def __init__(
        self,
        server: Server,
        kernel_id: str,
        *,
        session_id: str,
        patience: float = 60.0,
        stubborn: bool = False,
        timing: LinkTiming | None = None,
    ) -> None:
        self._server = server
        self._kernel_id = kernel_id
        self._url = server.address.websocket(kernel_id, session_id)
        self._patience = patience
        self._stubborn = stubborn
        self._timing = timing or LinkTiming()
        self._link: Link | None = None
        self._outbox: deque[Message] = deque()

    @property
    def up(self) -> bool:
        return self._link is not None and self._link.usable

    @property
    def protocol(self) -> str:
        """``v1`` or ``legacy``; empty while there is no link."""
        return self._link.protocol if self._link is not None else ""

    @property
    def received(self) -> int:
        """How many bytes came over the link that is up now."""
        return self._link.received if self._link is not None else 0

    async def open(self, *, known: bool = True) -> None:
        """Connect for the first time.

        Args:
            known: the server answered a moment ago, so a failed connection is tried again.

        Raises:
            AuthError, NotFoundError, UnreachableError, ProtocolError: it can't connect.
        """
        try:
            self._link = await self._connect(self._timing.first_open)
        except UnreachableError as error:
            if not known:
                raise
            patience = min(self._patience, self._timing.first_tries)
            self._link = await self._reconnect(error, patience)
        self._server.session_began()

    async def send(self, message: Message, *, later: bool = True) -> None:
        """Send a message now, or as soon as the link is up again.

        A message that was on its way when the link broke is not sent again: it may have arrived.

        Args:
            message: what to send.
            later: queue the message while the link is down. False for one that the caller sends
                again when the link is restored: from the queue it would go out of order.
        """
        link = self._link
        if link is None or not link.usable:
            if later:
                self._outbox.append(message)
            return
        try:
            await link.send(message)
        except LinkClosedError as error:
            log.info("link broke while sending a %s: %s", message.msg_type, error)

    async def all_arrived(self) -> bool:
        """Whether everything that was sent has arrived. On a slow link a large message takes time.

        The answer may take ``LinkTiming.arrival`` seconds.
        """
        link = self._link
        return link is not None and await link.all_arrived()

    async def events(self) -> AsyncIterator[ChannelEvent]:
        """Every message from the kernel, and every change of the link. Ends only with an error.

        Raises:
            UnreachableError: the link did not come back within ``patience``, or the kernel sends a
                message that is larger than the limit.
            NotFoundError: the server no longer has this kernel.
            AuthError: the server no longer accepts the credentials.
        """
        clock = asyncio.get_running_loop().time
        began = bad_since = clock()
        pauses = backoff()
        restored = False
        while True:
            link = self._link
            if link is None:
                raise UnreachableError("The channels of the kernel are closed.")
            good = False
            try:
                while True:
                    try:
                        message = await link.receive()
                    except WireError as error:
                        log.info("a damaged frame: %s", error.message)
                        yield FrameDamaged(error.message)
                        continue
                    good = True
                    yield message
            except LinkClosedError as lost:
                yield LinkLost(lost.message, lost.half_open, lost.code)
                started = clock()
                lived = started - began
                if good or lived > self._timing.stable:
                    bad_since = started
                if lived > self._timing.stable:
                    pauses = backoff()
                elif restored:
                    # A proxy may accept connections while its server is down, and close them.
                    await asyncio.sleep(next(pauses))
                restored = True
                left = self._patience - (clock() - bad_since)
                self._link = await self._reconnect(lost, self._patience, left=left)
                began = clock()
                await self._flush()
                yield LinkRestored(clock() - started)

    def start_over(self) -> None:
        """Drop the link and reconnect as another session, for a kernel that should answer.

        Seen on jupyter_server 2.21 after "Replacing stale connection": the link works, but nothing
        is answered. The server then has two sets of sockets with the session's identity; probably
        each takes over the other's place at the kernel (``ROUTER_HANDOVER``).
        """
        self._url = self._server.address.websocket(self._kernel_id, os.urandom(16).hex())
        if self._link is not None:
            self._link.abort()

    async def close(self) -> None:
        """Close the link for good."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    def abort(self) -> None:
        """Drop the link for good, without a closing handshake."""
        link, self._link = self._link, None
        if link is not None:
            link.abort()

    async def _flush(self) -> None:
        while self._outbox and self.up:
            await self.send(self._outbox.popleft())

    async def _connect(self, timeout: float) -> Link:
        address = self._server.address
        check_origin(self._url, address.base_url)
        return await open_link(
            self._url,
            await self._server.headers(),
            tls=tls_context(address, self._server.way),
            use_proxy=not address.is_loopback,
            entrance=self._server.way.entrance,
            timeout=timeout,
            timing=self._timing,
        )

    async def _reconnect(
        self, lost: JrcError, patience: float, *, left: float | None = None
    ) -> Link:
        """Connect again within ``patience`` seconds, or what is ``left`` of them."""
        pauses = backoff()
        renewed = False
        last: JrcError = lost
        try:
            async with asyncio.timeout(patience if left is None else max(left, 0.0)) as limit:
                while True:
                    logins = self._server.logins
                    try:
                        return await self._connect(self._timing.open)
                    except NotFoundError as error:
                        if await self._is_gone():
                            raise
                        last = error
                        await asyncio.sleep(next(pauses))
                    except AuthError:
                        if renewed:
                            # A person needs more time to log in than a link to reconnect.
                            limit.reschedule(None)
                            if not await self._server.login_again(logins):
                                raise
                            limit.reschedule(asyncio.get_running_loop().time() + patience)
                        renewed = not renewed
                        self._server.forget_login()
                    except (UnreachableError, ProtocolError) as error:
                        # A proxy whose server is down may answer anything. The link worked before,
                        # so this proves nothing.
                        last = error
                        log.info("reconnect failed: %s", error)
                        self._check_way(error)
                        await asyncio.sleep(next(pauses))
        except TimeoutError as error:
            raise UnreachableError(
                f"The link to {self._server.address.base_url} was lost ({lost.message}) and did "
                f"not come back within {patience:.0f} s. Last try: {last.message}",
                hint="Is the server still running? See: jrc kernel list",
            ) from error

    async def _is_gone(self) -> bool:
        """Whether the server confirms that the kernel is gone: a proxy may answer 404 for it."""
        try:
            return await self._server.kernel(self._kernel_id) is None
        except (UnreachableError, ProtocolError) as error:
            log.info("the server is not there: %s", error)
            return False

    def _check_way(self, error: JrcError) -> None:
        """Stop trying if the tunnel was closed, or has given up.

        Raises:
            UnreachableError: it was, or it has.
        """
        final = None if self._stubborn else self._server.way.verdict()
        if final is not None:
            raise UnreachableError(final.message, hint=final.hint) from error
