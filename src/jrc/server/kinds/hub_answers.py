"""What JupyterHub answers: whose token it is, what it may do, what a server does. Pure.

Source: jupyterhub ``apihandlers/users.py`` and ``scopes.py`` at version 6; version 5 and earlier
have ``servers`` where 6 has ``start:servers``.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from jrc.errors import ProtocolError
from jrc.server.origin import on_same_origin, origin_of, path_of, same_origin
from jrc.shapes import Reader, one_line, parse, text_at

EVENT_LINE = "data:"


if TYPE_CHECKING:
    from jrc.server.address import ServerAddress
    from jrc.server.http import Answer

_VERSION_HEADER = "x-jupyterhub-version"
_USER_PATH = re.compile(r"(?P<hub>/(?:.*?/)?)user/(?P<user>[^/]+)/(?:(?P<server>[^/]+)/)?$")


class HubPlace(NamedTuple):
    """A JupyterHub, and whose server there a URL is.

    Attributes:
        url: the hub's base URL: ``{url}hub/api`` is its interface.
        user: empty for the hub itself.
        server: the name of the user's server; empty for the default one.
    """

    url: str
    user: str = ""
    server: str = ""


def hub_from(api: "Answer", address: "ServerAddress") -> HubPlace | None:
    """The JupyterHub behind a URL; None when there is none.

    Args:
        api: the answer of ``GET /api``. A hub names its version in a header of every answer, the
            servers behind it do so too, and its proxy sends the rest to ``/hub/``.
        address: what was asked.
    """
    here, there = path_of(address.base_url), path_of(api.location)
    sent_to_hub = "/hub/" in there and same_origin(api.location, address.base_url)
    if _VERSION_HEADER not in api.headers and not sent_to_hub:
        return None
    if found := _USER_PATH.match(here):
        hub, user, server = found["hub"], found["user"], found["server"] or ""
    else:
        base = (there if sent_to_hub else here).partition("/hub/")[0].rstrip("/")
        hub, user, server = f"{base}/", "", ""
    url = on_same_origin(hub, address.base_url)
    return None if url is None else HubPlace(url, unquote(user), unquote(server))


@dataclass(frozen=True)
class HubServer:
    """One server of a user, as the hub sees it.

    Attributes:
        name: empty for the default one.
        ready: it can be used.
        pending: ``spawn`` or ``stop`` while that goes on; else empty.
        url: where it is: a path, or a URL on a host of the user's own.
    """

    name: str
    ready: bool
    pending: str
    url: str


@dataclass(frozen=True)
class HubUser:
    """Whom a token belongs to.

    Attributes:
        name: of the user.
        scopes: what the token may do: ``access:servers!user=ann``.
        servers: by name; None when the token may not see them.
    """

    name: str
    scopes: frozenset[str]
    servers: dict[str, HubServer] | None


class State(Enum):
    """What a user's server does."""

    STOPPED = "stopped"
    STARTING = "starting"
    STOPPING = "stopping"
    READY = "ready"
    UNKNOWN = "unknown"
    """The token may not see it."""


@dataclass(frozen=True)
class SpawnEvent:
    """One line of a spawn's progress.

    Attributes:
        message: for people.
        progress: percent; None when the hub does not say.
        ready: the server can be used.
        failed: it will not come.
    """

    message: str
    progress: int | None = None
    ready: bool = False
    failed: bool = False


def read_user(body: Reader) -> HubUser:
    """Read the answer of ``GET /hub/api/user``.

    Raises:
        ProtocolError: it is not one.
    """
    servers = None
    if isinstance(body.field("servers").value, dict):
        servers = {
            name: _read_server(name, each) for name, each in body.field("servers").fields().items()
        }
    scopes = body.field("scopes")
    named = () if scopes.is_null else scopes.items()
    return HubUser(body.field("name").text(), frozenset(each.text() for each in named), servers)


def _read_server(name: str, body: Reader) -> HubServer:
    return HubServer(
        name=name,
        ready=body.field("ready").value is True,
        pending=body.field("pending").text(default=""),
        url=body.field("full_url").text(default="") or body.field("url").text(default=""),
    )


def state_of(user: HubUser, server: str) -> State:
    """What one of the user's servers does."""
    if user.servers is None:
        return State.UNKNOWN
    found = user.servers.get(server)
    if found is None:
        return State.STOPPED
    if found.pending:
        return State.STOPPING if found.pending == "stop" else State.STARTING
    return State.READY if found.ready else State.STOPPED


def read_event(line: str) -> SpawnEvent | None:
    """One line of ``…/progress``; None for a line that carries nothing, and for nonsense.

    Source: the event stream format of HTML; the hub sends one ``data`` line for each event.
    """
    if not line.startswith(EVENT_LINE):
        return None
    try:
        value = parse(line.removeprefix(EVENT_LINE))
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    progress = value.get("progress")
    return SpawnEvent(
        message=one_line(text_at(value, "message")),
        progress=int(progress)
        if isinstance(progress, int | float) and 0 <= progress <= 100
        else None,
        ready=value.get("ready") is True,
        failed=value.get("failed") is True,
    )


def may(scopes: Iterable[str], wanted: str, user: str, server: str) -> bool:
    """Whether scopes allow something on a user's server.

    Args:
        scopes: what a token has, as ``GET /hub/api/user`` lists it: sub-scopes included.
        wanted: ``access:servers`` and the like.
        user, server: whose, and its name.
    """
    fitting = {"", f"user={user}", f"server={user}/{server}"}
    for scope in scopes:
        name, _, limit = scope.partition("!")
        # Who is in a group is not known here: let the hub decide.
        if name == wanted and (limit in fitting or limit.startswith("group=")):
            return True
    return False


def missing_scopes(scopes: Iterable[str], user: str, server: str) -> list[str]:
    """The scopes that a token lacks to use, see and start a user's server."""
    have = frozenset(scopes)
    wanted = ["access:servers", "read:servers"]
    lacks = [scope for scope in wanted if not may(have, scope, user, server)]
    if not any(may(have, scope, user, server) for scope in ("start:servers", "servers")):
        lacks.append("start:servers")
    return lacks


def scope_warnings(me: HubUser, user: str, server: str) -> Iterator[str]:
    """What a person should know about a token that can use a running server.

    Args:
        me: whose token it is, and what it may do.
        user: whose server it is for; empty for the token's owner.
        server: the name of that server.
    """
    if user and user != me.name:
        yield f"The token belongs to {me.name}, and the server to {user}."
    lacks = missing_scopes(me.scopes, user or me.name, server) if me.scopes else []
    if lacks and "access:servers" not in lacks:
        can_not = {"read:servers": "see whether it runs", "start:servers": "start it"}
        yield (
            f"The token lacks {' and '.join(lacks)}: jrc can use a running server, but not "
            + " or ".join(can_not[scope] for scope in lacks)
            + "."
        )


def server_path(user: str, server: str) -> str:
    """Where a user's server is, below the hub's base URL."""
    path = f"user/{quote(user, safe='@~')}/"
    return f"{path}{quote(server, safe='@~')}/" if server else path


def server_url(hub: str, found: HubServer | None, user: str, server: str) -> str:
    """The base URL of a user's server.

    Args:
        hub: base URL of the hub, as we reach it: perhaps through a tunnel.
        found: what the hub says; None when it says nothing.
        user, server: whose, and its name.

    Raises:
        ProtocolError: the hub names a host that is not its own: the token is not sent there.
    """
    if found is None or not found.url:
        return hub + server_path(user, server)
    here, there = origin_of(hub), origin_of(found.url)
    own = on_same_origin(found.url, hub)
    if own is not None:
        return own
    if here is not None and there is not None:
        if there.host == here.host:
            # A proxy in front of the hub ends TLS, or listens at another port.
            return f"{here}{path_of(found.url)}"
        # With users on subdomains every server has a host below the hub's.
        if there.is_below(here):
            return f"{there}{path_of(found.url)}"
        if path_of(found.url).endswith("/" + server_path(user, server)):
            # A public name of the hub that is not the one by which we reach it.
            return hub + server_path(user, server)
    place = f"at {there.host}, another host" if there else f"at {one_line(found.url)!r}"
    raise ProtocolError(
        f"The hub at {hub} says that the server is {place}; jrc did not send the token there.",
        hint="Log in with the hub's public URL.",
    )
