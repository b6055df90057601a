"""Who else needs a run's journal: small files beside it on the server.

Each client that follows a run leaves one while it does. The computer that began the run needs the
journal until it was attached to from there; the file that says so is left only where somebody else
still follows.
"""

import asyncio
import json
import logging
import secrets
import time
from typing import TYPE_CHECKING

from jrc.errors import JrcError, UnreachableError
from jrc.profile.owner import owner
from jrc.recorder.journal import JOURNAL_SUFFIX
from jrc.server.contents import list_folder, rename_file, wipe_file, write_text

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.runs.followers")

FOLLOWER_SUFFIX = ".jrcfollower"
FETCHED_SUFFIX = ".jrcfetched"

FOLLOWER_SECONDS = 7 * 86400.0
"""A file that is older was left by a client that was killed."""

LEAVE_SECONDS = 5.0
"""After Ctrl-C, jrc waits no longer than this for a server that does not answer."""

ANOTHER_FOLLOWS = "another client follows it"


class Followers:
    """The followers of one run, as one of them sees them.

    Args:
        server: where the run is.
        path: of its journal below the server's root; empty where it has none: then nobody else
            can follow it.
    """

    def __init__(self, server: "ServerClient", path: str) -> None:
        self._server = server
        self._folder, _, name = path.rpartition("/")
        self._run = name.removesuffix(JOURNAL_SUFFIX)
        self._journal = name
        self._own = f"{self._run}-{secrets.token_hex(4)}{FOLLOWER_SUFFIX}" if path else ""
        self._must_join = bool(path)

    async def join(self) -> bool:
        """Say that we follow, unless we did. A server that writes no files is no reason not to.

        Returns:
            whether we follow from now on. Where the server was out of reach, another call may
            succeed.
        """
        if not self._must_join:
            return False
        try:
            await write_text(
                self._server,
                self._path(self._own),
                json.dumps({"follower": owner(), "since": time.time()}),
            )
        except JrcError as error:
            log.info("the other followers don't know of this one: %s", error)
            self._must_join = isinstance(error, UnreachableError)
            return False
        self._must_join = False
        return True

    async def leave(self, *, has_all: bool = False) -> None:
        """We follow no longer.

        Args:
            has_all: we are the computer that began the run, and have all of it. Our file says so
                from the moment on in which it does not say that we follow: no other client can
                look in between.
        """
        if not self._own:
            return
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                if has_all:
                    await self._turn_into_fetched()
                else:
                    await wipe_file(self._server, self._path(self._own))
        except (JrcError, TimeoutError) as error:
            log.info("the note of this follower stays on the server: %s", error)

    async def who_needs_it(self, *, began_here: bool, owner: str) -> str:
        """Who still needs the journal, as words for a sentence; empty for nobody.

        To be asked when we have left: of two that end at the same time each sees the other gone.

        Args:
            began_here: this computer began the run.
            owner: who did, ``user@host``.

        Raises:
            AuthError, UnreachableError: the server does not answer.
        """
        if not self._own:
            return ""
        need = await self._look(began_here=began_here, owner=owner)
        if need and need != ANOTHER_FOLLOWS:
            # A server lists names first and looks at each then: what is renamed meanwhile is in
            # neither place.
            need = await self._look(began_here=began_here, owner=owner)
        return need

    async def _look(self, *, began_here: bool, owner: str) -> str:
        beside = {entry.name: entry for entry in await list_folder(self._server, self._folder)}
        for name, entry in beside.items():
            ours = name.startswith(self._run + "-") and name.endswith(FOLLOWER_SUFFIX)
            if ours and name != self._own and time.time() - entry.modified < FOLLOWER_SECONDS:
                return ANOTHER_FOLLOWS
        if began_here or self._journal not in beside or self._run + FETCHED_SUFFIX in beside:
            return ""
        return f"{owner}, who began it" if owner else "the computer that began it"

    async def _turn_into_fetched(self) -> None:
        own, fetched = self._path(self._own), self._path(self._run + FETCHED_SUFFIX)
        try:
            await rename_file(self._server, own, fetched)
        except JrcError as error:
            # It is there from an earlier time, or the server renames nothing.
            log.info("%s is not renamed: %s", own, error)
            await write_text(self._server, fetched, "")
            await wipe_file(self._server, own)

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}" if self._folder else name
