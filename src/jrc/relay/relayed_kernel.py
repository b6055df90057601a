"""The remote kernel of a relay: its session on the server, and its end."""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jrc.errors import AuthError, JrcError, NotFoundError
from jrc.kernel.session import RemoteKernel
from jrc.profile.owner import owner
from jrc.server.orphans import RecordFile

if TYPE_CHECKING:
    from jrc.kernel.channels import Channels
    from jrc.server.client import ServerClient
    from jrc.server.models import SessionModel

log = logging.getLogger("jrc.relay.relayed_kernel")

DELETE_DEADLINE = 1.7
"""Seconds for the end of the remote kernel: editors kill a process 2 s after its SIGTERM."""

START_SECONDS = 300.0
"""Seconds for a new remote kernel to answer: it may have to pull an image first."""


class RelayedKernel(RemoteKernel):
    """One kernel on the server, in a session of its own, for as long as its relay runs.

    Args:
        server: where.
        record: of the session, which is not created yet.

    Attributes:
        language: what it executes, lower case; empty when the server does not say.
    """

    def __init__(self, server: "ServerClient", record: RecordFile) -> None:
        super().__init__(server)
        self._record = record
        self._creating: asyncio.Task[SessionModel] | None = None
        self.language = ""

    async def start(self, name: str | None) -> None:
        """Create the session, and its kernel with it.

        Args:
            name: of the kernelspec; None for the server's default.

        Raises:
            NotFoundError: the server has no such kernelspec.
        """
        path = self._record.session_path
        self._creating = asyncio.create_task(
            self._server.create_session(path, path.rpartition("/")[2], "notebook", name),
            name="relay-create-session",
        )
        languages = asyncio.create_task(self._languages(), name="relay-kernelspecs")
        try:
            # Shielded: a kernel whose start was asked for must be deleted, so its id is needed.
            session = await asyncio.shield(self._creating)
            self._record.created(session.id)
            self.id, self.name = session.kernel.id, session.kernel.name
            self.language = (await languages).get(session.kernel.name, "")
        except (AuthError, NotFoundError):
            self._record.remove()
            raise
        finally:
            languages.cancel()

    async def _languages(self) -> dict[str, str]:
        """The language of each kernelspec. The relay works without it."""
        try:
            specs = (await self._server.kernelspecs()).specs
        except JrcError as error:
            log.info("the kernelspecs are not known: %s", error)
            return {}
        return {name: spec.language.lower() for name, spec in specs.items()}

    async def open(
        self, channels: "Channels", *, start_timeout: float | None = START_SECONDS
    ) -> None:
        """Open the channels of the kernel, which has just been started.

        Raises:
            KernelDiedError: the kernel has ended, or does not answer.
        """
        await self.open_new(channels, start_timeout, stubborn=True)

    async def delete(self) -> str:
        """End the kernel. Where that fails, the record stays for the next jrc command."""
        if self._creating is None:
            self._record.remove()
            return ""
        try:
            async with asyncio.timeout(DELETE_DEADLINE):
                session = await self._creating
                await self._server.delete_session(session.id)
        except (JrcError, TimeoutError) as error:
            reason = str(error) or "the time is up"
            log.info("could not delete the session %s: %s", self._record.session_path, reason)
        else:
            self._record.remove()
        return ""


def session_path(environment: Mapping[str, str], folder: Path) -> str:
    """A path that no other session has, and that shows people whose kernel this is.

    A server gives the same kernel to all clients that ask for the same path.

    Args:
        environment: ``JPY_SESSION_NAME`` in it is the notebook's path.
        folder: where the relay runs; editors run kernels in the notebook's folder.
    """
    notebook = environment.get("JPY_SESSION_NAME", "").replace("\\", "/")
    names = [name for name in notebook.split("/") if name not in ("", ".", "..")]
    if len(names) < 2:
        names = [folder.name or "root", *names]
    return f"jrc/{owner()}/{'/'.join(names[-2:])}-{secrets.token_hex(4)}"
