"""Who else needs the journal of a run. Small files beside the journal say so.

Each client has one there while it follows the run. The computer that began the run needs the
journal until it has attached; the file that says that it has is left only if another client still
follows.
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
"""A file that is older than another one by so much was left by a client that was killed. It is the
server's clock that made both: that of this computer may be wrong."""

LEAVE_SECONDS = 5.0
"""How long jrc waits after Ctrl-C for a server that does not answer."""

ANOTHER_FOLLOWS = "another client follows it"


class Followers:
    """The followers of one run, seen by one of them.

    Args:
        server: the server that the run is on.
        path: path of the journal below the server's root; empty if there is none, and nobody else
            can follow the run.
    """

    def __init__(self, server: "ServerClient", path: str) -> None:
        self._server = server
        self._folder, _, name = path.rpartition("/")
        self._run = name.removesuffix(JOURNAL_SUFFIX)
        self._journal = name
        self._own = f"{self._run}-{secrets.token_hex(4)}{FOLLOWER_SUFFIX}" if path else ""
        self._must_join = bool(path)

    async def join(self) -> bool:
        """Say that we follow, unless we have. A server that writes no files is not an error.

        Returns:
            whether the others know of us from now on. If the server was out of reach, another call
            may succeed.
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
        """Say that we do not follow any more.

        Args:
            has_all: this computer began the run, and has all of it. The file that says that we
                follow is renamed to say so: another client finds one or the other.
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

    async def who_needs_it(self, *, began_here: bool, began_by: str) -> str:
        """Who still needs the journal, as part of a sentence; empty for nobody.

        Ask after ``leave``: two clients that end at the same time each see that the other left.

        Args:
            began_here: this computer began the run.
            began_by: who did, ``user@host``.

        Raises:
            AuthError, UnreachableError: the server does not answer.
        """
        if not self._own:
            return ""
        need = await self._look(began_here=began_here, began_by=began_by)
        if need and need != ANOTHER_FOLLOWS:
            # A server lists the names first, and then looks at each file: a file that is renamed
            # meanwhile is found under neither name.
            need = await self._look(began_here=began_here, began_by=began_by)
        return need

    async def _look(self, *, began_here: bool, began_by: str) -> str:
        beside = {entry.name: entry for entry in await list_folder(self._server, self._folder)}
        newest = max((entry.modified for entry in beside.values()), default=0.0)
        for name, entry in beside.items():
            ours = name.startswith(self._run + "-") and name.endswith(FOLLOWER_SUFFIX)
            if ours and name != self._own and newest - entry.modified < FOLLOWER_SECONDS:
                return ANOTHER_FOLLOWS
        if began_here or self._journal not in beside or self._run + FETCHED_SUFFIX in beside:
            return ""
        return f"{began_by}, who began it" if began_by else "the computer that began it"

    async def _turn_into_fetched(self) -> None:
        own, fetched = self._path(self._own), self._path(self._run + FETCHED_SUFFIX)
        try:
            await rename_file(self._server, own, fetched)
        except JrcError as error:
            # The file exists from an earlier time, or the server can't rename files.
            log.info("%s is not renamed: %s", own, error)
            await write_text(self._server, fetched, "")
            await wipe_file(self._server, own)

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}" if self._folder else name
