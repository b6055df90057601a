"""What to type next, with the profile that a command works with: pure.

Errors about a server arise where nobody knows the profile, so their hints say ``jrc login URL``.
Typed like that it would make a second profile, and the next command would fail as before.
"""

import re
import shlex
from collections.abc import Collection

from jrc.errors import AuthError, JrcError

_LOGIN = re.compile(r"jrc login(?: (?P<url>URL\b|'https?:[^']*'|https?://\S+))?(?! -)")
_WITH_OPTIONS = re.compile(r"jrc login URL(?= -)")


def login(profile: str) -> str:
    """The command that renews the credentials of a saved profile."""
    return shlex.join(["jrc", "login", "--profile", profile])


def name_profile(error: JrcError, profile: str, urls: Collection[str]) -> None:
    """Let an error's hint change the profile.

    Args:
        error: its hint is replaced.
        profile: the saved profile that the command works with.
        urls: the addresses of its server.
    """
    name_login(error, login(profile), urls, f" --profile {shlex.quote(profile)}")


def name_login(error: JrcError, again: str, urls: Collection[str], elsewhere: str = "") -> None:
    """Let an error's hint name a login that can be typed as it is printed.

    Args:
        error: its hint is replaced.
        again: the command that logs in at the same server.
        urls: the addresses of that server.
        elsewhere: options for the command that logs in at another URL.
    """

    def named(found: re.Match[str]) -> str:
        url = shlex.split(found["url"])[0] if found["url"] else "URL"
        return again if url == "URL" or url in urls else f"{found[0]}{elsewhere}"

    if error.hint and "--profile" not in error.hint:
        hint = _WITH_OPTIONS.sub(lambda _: again, error.hint)
        error.hint = _LOGIN.sub(named, hint) if hint == error.hint else hint


def name_environment(error: JrcError, url: str, *, token: bool, saved: bool) -> None:
    """Let an error's hint name the variables that a command got its server or token from.

    Args:
        error: its hint is replaced.
        url: the server's address.
        token: ``JRC_TOKEN`` is set.
        saved: the server is that of a saved profile, so without the variable its own secret counts.
    """
    if not error.hint or "jrc login" not in error.hint:
        return
    if isinstance(error, AuthError):
        error.hint = "Set JRC_TOKEN to the server's token."
        if token:
            error.hint = "The token is that of JRC_TOKEN in the environment: correct it"
            error.hint += ", or use the saved one: unset JRC_TOKEN" if saved else "."
        return
    error.hint = _WITH_OPTIONS.sub(lambda _: f"jrc login {shlex.quote(url)}", error.hint)
    if found := _LOGIN.search(error.hint):
        other = found["url"] or ""
        error.hint = f"export JRC_URL={other}" if other and not saved else error.hint
