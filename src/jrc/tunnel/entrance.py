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
from jrc.tunnel import Address
from jrc.tunnel.proof import NONCE_BYTES, Ends, challenge
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

    def find(self) -> Address:
        """Where to connect now.

        Raises:
            NoKeeperError: there is no keeper.
        """
        status = self._files.read()
        if status is None or not status.port:
            raise self._down()
        return "127.0.0.1", status.port

    async def prove(
        self,
        place: Address,
        client: Callable[[], Address],
        send: Callable[[bytes], Awaitable[None]],
        receive: Callable[[int], Awaitable[bytes]],
        broken: type[Exception] = OSError,
    ) -> None:
        """Go on only with the keeper.

        Args:
            place: where ``find`` has led to.
            client: says which end of a connection to there is ours.
            send, receive: on it: all of some bytes, and at most so many, or none at the end.
            broken: what these raise where the connection breaks.

        Raises:
            NoKeeperError: it was not the keeper that answered.
        """
        key = self._files.key()
        if key is None:
            raise self._down()
        answer = b""
        with suppress(OSError, broken):
            async with asyncio.timeout(self._patience):
                asked = challenge(key, Ends(client(), place), os.urandom(NONCE_BYTES))
                await send(asked.question)
                while missing := asked.missing(answer):
                    if not (data := await receive(missing)):
                        break
                    answer += data
                if asked.is_met_by(answer):
                    return
        what = "another program listens there" if answer else "nobody answers there"
        raise self._missing(
            f"Port {place[1]} does not lead to the tunnel of {self._profile!r} now: {what}."
        )

    def _down(self) -> NoKeeperError:
        return self._missing(f"The tunnel of {self._profile!r} is down.")

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
        place = self.find()
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, place)
            send, receive = partial(loop.sock_sendall, sock), partial(loop.sock_recv, sock)
            await self.prove(place, sock.getsockname, send, receive)
        except BaseException:
            sock.close()
            raise
        return sock
