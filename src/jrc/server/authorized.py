"""Credentials that may change while jrc runs: a person logs in again in another terminal."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from jrc.errors import JrcError
from jrc.server.auth import Auth
from jrc.server.hints import login

if TYPE_CHECKING:
    from jrc.server.http import HttpClient

WAIT_SECONDS = 3600.0
"""So long a session waits for the person; then the refusal is an error."""

POLL_SECONDS = 2.0

Talk = Callable[[str], None]

log = logging.getLogger("jrc.server.authorized")


class SavedAuth:
    """A profile's credentials, read again when they changed.

    Args:
        read: makes the authentication from what is saved now.
        stamp: a value that changes with every login.

    Attributes:
        logins: how many new logins were read so far.

    Raises:
        JrcError: nothing is saved.
    """

    def __init__(self, read: Callable[[], Auth], stamp: Callable[[], object]) -> None:
        self._read = read
        self._stamp = stamp
        self._auth = read()
        self._seen = stamp()
        self.logins = 0

    def has_changed(self) -> bool:
        """Whether somebody logged in since the credentials were read."""
        return self._stamp() != self._seen

    @property
    def renewable(self) -> bool:
        return self._auth.renewable or self.has_changed()

    async def headers(self, http: "HttpClient") -> dict[str, str]:
        return await self._auth.headers(http)

    def forget(self) -> None:
        """Give up what was learned, and read what is saved if it changed."""
        self._auth.forget()
        if not self.has_changed():
            return
        self._seen = self._stamp()
        self.logins += 1
        try:
            self._auth = self._read()
        except JrcError as error:
            log.info("the new login can't be used: %s", error)


class Relogin:
    """Waits in mid-session until the person logged in again.

    Args:
        auth: whose change is waited for.
        profile: its name, for what to type.
        talk: told that it waits, and that it goes on.
    """

    def __init__(self, auth: SavedAuth, profile: str, talk: Talk) -> None:
        self._auth = auth
        self._profile = profile
        self._talk = talk
        self._waiting = asyncio.Lock()

    @property
    def logins(self) -> int:
        """How many new logins were read so far."""
        return self._auth.logins

    async def wait(self, since: int) -> bool:
        """Wait for a login. Returns whether there was one.

        Those who wait at the same time are told once, and go on together.

        Args:
            since: ``logins`` when the request was sent that was refused.
        """
        async with self._waiting:
            if self._auth.has_changed() or self._auth.logins != since:
                return True
            self._talk(
                "The server refuses the credentials; they may have expired. Nothing is lost. "
                f"In another terminal: {login(self._profile)}"
            )
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    # Another request may read the new login before this one sees the change.
                    while not self._auth.has_changed() and self._auth.logins == since:  # noqa: ASYNC110
                        await asyncio.sleep(POLL_SECONDS)
            except TimeoutError:
                return False
            self._talk("Logged in again; going on.")
            return True
