"""The way into a tunnel for jrc's own clients, who send nothing until the keeper has proved itself.

The port of a URL is only where a keeper listened once. Where it listens now, its state file says;
that it is the keeper, ``jrc.tunnel.proof``.
"""

import asyncio
import os
import socket

from jrc.errors import UnreachableError
from jrc.profile.paths import Paths
from jrc.tunnel.proof import NONCE_BYTES, Challenge, challenge
from jrc.tunnel.status import KeeperFiles

PROOF_SECONDS = 5.0
"""How long the keeper may take to answer. It is on this machine."""


class NoKeeperError(UnreachableError):
    """A tunnel has no keeper at the moment, or another program has its port."""


class Entrance:
    """The entrance of one profile's tunnel, whichever keeper holds it.

    Args:
        paths: where keepers leave their files.
        profile: whose tunnel it is.
    """

    def __init__(self, paths: Paths, profile: str) -> None:
        self._files = KeeperFiles.of(paths, profile)
        self._profile = profile

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

    def check(self, asked: Challenge, answer: bytes) -> None:
        """Go on only with the keeper.

        Raises:
            NoKeeperError: it was not the keeper that answered.
        """
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
            await loop.sock_sendall(sock, asked.question)
            self.check(asked, await _answer(sock, asked))
        except BaseException:
            sock.close()
            raise
        return sock


async def _answer(sock: socket.socket, asked: Challenge) -> bytes:
    """What is answered; not all of it where that takes too long or is wrong."""
    loop = asyncio.get_running_loop()
    answer = b""
    try:
        async with asyncio.timeout(PROOF_SECONDS):
            while missing := asked.missing(answer):
                if not (data := await loop.sock_recv(sock, missing)):
                    break
                answer += data
    except TimeoutError:
        pass
    return answer
