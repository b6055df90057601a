"""Show what a run has printed. Nothing is saved, freed or ended by that."""

import asyncio
from typing import TYPE_CHECKING

from jrc.errors import JrcError
from jrc.notebook.result_notebook import Filling
from jrc.run.following import Following, How
from jrc.run.progress import Listener
from jrc.runs.followers import Followers
from jrc.runs.lookup import FoundRun, delete_journal

if TYPE_CHECKING:
    from jrc.server.client import ServerClient


class Logs:
    """Shows what a run has printed so far.

    Args:
        found: the run.
        server: the server that it is on.
        listener: gets the events.
        follow: go on until the run ends.
        patience: how long to try to restore a lost link, in seconds.
    """

    can_be_left = True
    only_follows = True

    def __init__(
        self,
        found: FoundRun,
        server: "ServerClient",
        listener: Listener,
        *,
        follow: bool = False,
        patience: float = 60.0,
    ) -> None:
        self._found = found
        self._server = server
        self._follow = follow
        how = How(patience=patience, all_again=True, until_now=not follow)
        self._following = Following(found, server, how, listener)

    async def run(self) -> int:
        """Show it.

        Returns:
            0, however the run ended.

        Raises:
            NotFoundError: nothing is left of the run.
            JrcError: the server can't be used.
        """
        path = await self._following.locate()
        followers = Followers(self._server, path if self._follow else "")
        try:
            about = await self._following.look_as(followers)
            result = await self._following.follow(about, lambda: Filling(about.document, None))
        finally:
            await asyncio.shield(followers.leave())
        if result is None:
            raise self._following.nothing_left()
        if self._follow:
            await self._delete_what_nobody_needs(followers)
        return 0

    async def interrupt(self) -> None:
        """Stop looking."""

    async def leave(self) -> None:
        """Stop looking."""

    def how_to_come_back(self) -> str | None:
        return None

    async def _delete_what_nobody_needs(self, followers: Followers) -> None:
        """Delete the journal, if the computer that began the run has left it only for us."""
        try:
            if not await followers.who_needs_it(began_here=False, began_by=self._found.owner):
                await delete_journal(self._server, self._following.path)
        except JrcError:
            return
