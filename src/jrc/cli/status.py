"""``jrc status``: how every profile's server is reached."""

import shlex
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jrc.cli.lazy import plain_typer
from jrc.cli.profile import AsJson
from jrc.cli.terminal import Terminal, duration
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.store import ProfileStore

if TYPE_CHECKING:
    from jrc.tunnel.status import KeeperStatus, Traffic

app = plain_typer(add_completion=False)

LOOK_SECONDS = 1.0
ASK_SECONDS = 15.0
"""How often a server without a tunnel is asked with ``--watch``."""


@app.command()
def status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again after each change, until Ctrl-C.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show how every server is reached: its tunnel with its pod, or whether it answers.

    \b
    Example:
      jrc status --watch
    """
    terminal, paths = Terminal(), Paths.from_environment()
    shown: list[dict[str, Any]] | None = None
    direct = _Direct(paths)
    try:
        while True:
            saved = list(ProfileStore(paths).all().values())
            answers = direct.look(saved)
            rows = [as_json(each, paths) | answers.get(each.name, {}) for each in saved]
            if rows != shown:
                _show(rows, terminal, json=json, again=watch)
                shown = rows
                if not json:
                    _warn_of_strays({profile.name for profile in saved}, terminal, paths)
            if not (watch and terminal.out.is_read(LOOK_SECONDS)):
                return
    except KeyboardInterrupt:
        if not watch:
            raise
        terminal.leave()


class _Direct:
    """What the servers without a tunnel answer; asked again now and then.

    Args:
        paths: jrc's folders.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._found: dict[str, dict[str, Any]] = {}
        self._asked = -ASK_SECONDS

    def look(self, profiles: list[Profile]) -> dict[str, dict[str, Any]]:
        """The answers by the names of the profiles."""
        asked = [profile for profile in profiles if profile.kubernetes is None]
        old = time.monotonic() - self._asked >= ASK_SECONDS
        if asked and (old or {profile.name for profile in asked} != self._found.keys()):
            import asyncio

            from jrc.cli.status_direct import look_at

            self._found = asyncio.run(look_at(asked, self._paths))
            self._asked = time.monotonic()
        return self._found


def as_json(profile: Profile, paths: Paths) -> dict[str, Any]:
    """The contract of ``jrc status --json``: one object for one profile."""
    from jrc.tunnel.connect import keeper_status

    row: dict[str, Any] = {"profile": profile.name, "url": profile.url, "state": "direct"}
    if profile.kubernetes is None:
        return row
    found = keeper_status(profile.name, paths)
    route = profile.kubernetes
    row |= {
        "state": found.phase.value if found else "down",
        "context": route.context,
        "namespace": route.namespace,
        "target": route.target,
        "pod": (found.pod or None) if found else None,
        "since": _iso(found.since) if found else None,
        "restarts": found.restarts if found else 0,
        "bytes_up": found.traffic.up if found else 0,
        "bytes_down": found.traffic.down if found else 0,
        "connections": found.traffic.open if found else 0,
        "last_error": _error(found),
    }
    if found and found.runs() and found.port:
        row["url"] = found.url
    return row


def traffic_in_words(traffic: "Traffic") -> str:
    """``3 connections, 1.2 MB up, 40 MB down``."""
    count = f"{traffic.open} connection{'' if traffic.open == 1 else 's'}"
    return f"{count}, {_size(traffic.up)} up, {_size(traffic.down)} down"


def _show(rows: list[dict[str, Any]], terminal: Terminal, *, json: bool, again: bool) -> None:
    if json:
        for row in rows:
            terminal.json(row)
        return
    if not rows:
        terminal.say("No server is saved yet. Type: jrc login URL")
        return
    if again:
        terminal.clear()
    header = ["PROFILE", "STATE", "URL", "POD", "SINCE", "RESTARTS", "UP", "DOWN"]
    terminal.table(header, [_cells(row) for row in rows])
    for row in rows:
        if row.get("server"):
            who = f", as {row['user']}" if row["user"] else ""
            terminal.say(f"{row['profile']}: {row['server']}{who}")
        if error := row.get("last_error"):
            when = " (over since)" if row["state"] == "ready" else ""
            terminal.say(f"{row['profile']}: {error['message']}{when}")
            if error["hint"] and not when:
                terminal.say(f"  {error['hint']}")


def _warn_of_strays(saved: set[str], terminal: Terminal, paths: Paths) -> None:
    """Tunnels whose profile is gone, from config.toml by hand for example."""
    from jrc.tunnel.connect import keeper_status, keepers

    for name in keepers(paths):
        found = keeper_status(name, paths) if name not in saved else None
        if found and found.runs():
            again = shlex.join(["jrc", "disconnect", name])
            terminal.warn(f"A tunnel of '{name}' is up, which is no profile. End it: {again}")


def _cells(row: dict[str, Any]) -> list[str]:
    if row["state"] == "direct":
        refused = row["last_error"] and row["last_error"]["kind"] == "refused"
        answers = "refused" if refused else "reachable" if row["reachable"] else "unreachable"
        return [row["profile"], answers, row["url"], *["-"] * 5]
    since = row["since"]
    age = (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds() if since else None
    return [
        row["profile"],
        row["state"],
        row["url"],
        row["pod"] or "-",
        "-" if age is None else duration(age),
        str(row["restarts"]),
        _size(row["bytes_up"]),
        _size(row["bytes_down"]),
    ]


def _error(found: "KeeperStatus | None") -> dict[str, str] | None:
    from jrc.tunnel.cause import completed

    if found is None or found.cause is None:
        return None
    return {
        "kind": found.cause.kind.value,
        "message": found.cause.message,
        "hint": completed(found.cause.hint, found.spec.profile, found.spec.route),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _size(count: int) -> str:
    """Bytes in their largest unit: ``0 B``, ``12 kB``, ``3.4 MB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            value = count / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count} B"
