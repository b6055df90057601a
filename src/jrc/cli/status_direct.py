"""``jrc status`` of servers that are reached without a tunnel: whether and how they answer."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from jrc.errors import AuthError, JrcError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths

LOOK_SECONDS = 5.0
"""A server that needs longer counts as out of reach: the table waits for the slowest one."""


async def look_at(profiles: Sequence[Profile], paths: Paths) -> dict[str, dict[str, Any]]:
    """What ``jrc status --json`` says of these profiles' servers, by the profiles' names."""
    found = await asyncio.gather(*(_look(profile, paths) for profile in profiles))
    return {profile.name: row for profile, row in zip(profiles, found, strict=True)}


async def _look(profile: Profile, paths: Paths) -> dict[str, Any]:
    row: dict[str, Any] = {"reachable": False, "server": None, "user": None, "last_error": None}
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await _ask(profile, paths, row)
    except JrcError as error:
        from jrc.server.open import name_what_to_change

        name_what_to_change(error, profile, [profile.url])
        kind = "refused" if isinstance(error, AuthError) else "unreachable"
        row["last_error"] = {"kind": kind, "message": error.message, "hint": error.hint or ""}
    except TimeoutError:
        message = f"{profile.url} did not answer within {LOOK_SECONDS:g} s."
        row["last_error"] = {"kind": "unreachable", "message": message, "hint": "Try: jrc doctor"}
    return row


async def _ask(profile: Profile, paths: Paths, row: dict[str, Any]) -> None:
    """Fill in what the server says, first without credentials and then with them."""
    from jrc.server.address import ServerAddress
    from jrc.server.detect import detect
    from jrc.server.kinds import kind_of
    from jrc.server.open import authentication, way_to

    address, _ = ServerAddress.parse(profile.url)
    way = way_to(profile, paths)
    row["server"] = (await detect(address, way)).title
    row["reachable"] = True
    if profile.access.credential_command or not _may_know(profile, paths):
        return
    auth = authentication(profile, address, paths)
    row["user"] = (await kind_of(profile).identify(profile, address, auth, way)).user or None


def _may_know(profile: Profile, paths: Paths) -> bool:
    """Whether the server may see the secret: that of the environment is meant for one server."""
    from jrc.profile.store import ProfileStore

    if not os.environ.get("JRC_TOKEN"):
        return True
    chosen = ProfileStore(paths).find(None)
    return chosen is not None and chosen.name == profile.name
