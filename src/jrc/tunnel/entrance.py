"""The way into a tunnel for jrc's own clients, who send nothing until the keeper has proved itself.

The port of a URL is only where a keeper listened once. Where it listens now, its state file says;
that it is the keeper, ``jrc.tunnel.proof``.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from jrc.errors import UnreachableError
from jrc.profile.paths import Paths
from jrc.tunnel.proof import NONCE_BYTES, Challenge, challenge
from jrc.tunnel.status import KeeperFiles

PROOF_SECONDS = 5.0
"""How long the keeper may take for its whole answer. It is on this machine."""


class NoKeeperError(UnreachableError):
    """A tunnel has no keeper at the moment, or another program has its port."""


class Entrance:
    """The entrance of one profile's tunnel, whichever keeper holds it.

    Args:
        paths: where keepers leave their files.
        profile: whose tunnel it is.
        patience: seconds for a proof.
    """

    def __init__(self, paths: Paths, profile: str, patience: float = PROOF_SECONDS) -> None:
        self._files = KeeperFiles.of(paths, profile)
        self._profile = profile
        self._patience = patience

    def challenge(self) -> Challenge:
        """Where to connect now, and what the keeper must answer there.

        Raises:
            NoKeeperError: there is no keeper.
        """
        status, key = self._files.read(), self._files.key()
        if status is None or not status.port or key is None:
            raise self._missing(
                f"The tunnel of {self._profile!r} is down."
            ) from ConnectionRefusedError()
        return challenge(key, status.port, os.urandom(NONCE_BYTES))

    async def prove(
        self,
        asked: Challenge,
        send: Callable[[bytes], Awaitable[None]],
        receive: Callable[[int], Awaitable[bytes]],
        broken: type[Exception] = OSError,
    ) -> None:
        """Go on only with the keeper.

        Args:
            asked: the question.
            send, receive: on a connection to its port: all of some bytes, and at most so many, or
                none at the end.
            broken: what they raise where the connection breaks.

        Raises:
            NoKeeperError: it was not the keeper that answered.
        """
        answer = b""
        with suppress(TimeoutError, broken):
            async with asyncio.timeout(self._patience):
                await send(asked.question)
                while missing := asked.missing(answer):
                    if not (data := await receive(missing)):
                        break
                    answer += data
        if asked.is_met_by(answer):
            return
        what = "another program listens there" if answer else "nobody answers there"
        raise self._missing(
            f"Port {asked.port} does not lead to the tunnel of {self._profile!r} now: {what}."
        )

    def _missing(self, message: str) -> NoKeeperError:
        error = NoKeeperError(message, hint="See how the tunnel is: jrc status")
        # To those that try again it is a port on which nobody listens.
        error.__cause__ = ConnectionRefusedError()
        return error

    async def connect(self) -> socket.socket:
        """A connected socket, not blocking, behind which the keeper is.

        Raises:
            NoKeeperError: there is none.
            OSError: it can't be reached.
        """
        asked = self.challenge()
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", asked.port))
            await self.prove(asked, partial(loop.sock_sendall, sock), partial(loop.sock_recv, sock))
        except BaseException:
            sock.close()
            raise
        return sock
