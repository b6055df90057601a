"""The channels of one kernel: one websocket that connects again by itself.

Every connection uses the same ``session_id``: then the server, which buffers what a kernel
publishes while nobody listens, gives it to us when we come back.

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
from jrc.tasks import backoff
from jrc.wire.message import Message

log = logging.getLogger("jrc.kernel.channels")


class LinkLost(NamedTuple):
    """The link is down; ``Channels`` tries to bring it back.

    Attributes:
        reason: why, in words.
        half_open: what the server sent in the last seconds before is lost.
        code: with which the websocket was closed, 1009 for a message that was too large; None
            where nothing was said.
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
    """A frame came that can't be decoded: what it held is missing, and nobody knows what it was.

    A kernel that can open no more files tears its messages; a gateway may send what it likes.

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
        stubborn: try so long also when the way to the server is closed for now: a person may open
            it again.
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
            known: the server was there a moment ago, so it is tried again for a while.

        Raises:
            AuthError, NotFoundError, UnreachableError, ProtocolError: it is not possible.
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

        A message that was under way when the link broke is not sent again: it may have arrived.

        Args:
            message: what to send.
            later: false for one that the caller sends anyhow when the link is restored: until
                then it would only come out of its turn.
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
        """Whether the server has all that was sent: a large message takes its time on a slow link.

        The answer may take ``LinkTiming.arrival`` seconds.
        """
        link = self._link
        return link is not None and await link.all_arrived()

    async def events(self) -> AsyncIterator[ChannelEvent]:
        """Every message from the kernel, and what happens to the link. Ends with an error only.

        Raises:
            UnreachableError: the link did not come back within ``patience``.
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
                    # A proxy may take connections whose server is away, and close them at once.
                    await asyncio.sleep(next(pauses))
                restored = True
                left = self._patience - (clock() - bad_since)
                self._link = await self._reconnect(lost, self._patience, left=left)
                began = clock()
                await self._flush()
                yield LinkRestored(clock() - started)

    def start_over(self) -> None:
        """Drop the link and come back as another session: for a kernel that should answer.

        Seen on jupyter_server 2.21 after "Replacing stale connection": nothing that is sent comes
        to an answer, while the link is fine. It has two sets of sockets with the session's identity
        then; probably each takes over the other's place at the kernel (``ROUTER_HANDOVER``).
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
        """Drop the link for good, without a word that would have to be waited for."""
        link, self._link = self._link, None
        if link is not None:
            link.abort()

    async def _flush(self) -> None:
        while self._outbox and self.up:
            await self.send(self._outbox.popleft())

    async def _connect(self, timeout: float) -> Link:
        address = self._server.address
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
                            # A person needs longer than a link.
                            limit.reschedule(None)
                            if not await self._server.login_again(logins):
                                raise
                            limit.reschedule(asyncio.get_running_loop().time() + patience)
                        renewed = not renewed
                        self._server.forget_login()
                    except (UnreachableError, ProtocolError) as error:
                        # A proxy whose server is away answers what it likes: the link was there,
                        # so this is no proof against it.
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
        """Whether the server itself says so: a proxy whose server is away may answer 404, too."""
        try:
            return await self._server.kernel(self._kernel_id) is None
        except (UnreachableError, ProtocolError) as error:
            log.info("the server is not there: %s", error)
            return False

    def _check_way(self, error: JrcError) -> None:
        """End the tries where the tunnel has been ended, or has given up."""
        final = None if self._stubborn else self._server.way.verdict()
        if final is not None:
            raise UnreachableError(final.message, hint=final.hint) from error
