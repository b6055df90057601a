"""``jrc status``: how every profile's tunnel is."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jrc.cli.kernel import duration
from jrc.cli.lazy import plain_typer
from jrc.cli.profile import AsJson
from jrc.cli.terminal import Terminal
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.store import ProfileStore

if TYPE_CHECKING:
    from jrc.tunnel.status import KeeperStatus, Traffic

app = plain_typer(add_completion=False)

LOOK_SECONDS = 1.0


@app.command()
def status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again after each change, until Ctrl-C.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show the tunnel of every profile: state, pod, address here, restarts, last error.

    \b
    Example:
      jrc status --watch
    """
    terminal, paths = Terminal(), Paths.from_environment()
    shown: list[dict[str, Any]] | None = None
    try:
        while True:
            rows = [as_json(profile, paths) for profile in ProfileStore(paths).all().values()]
            if rows != shown:
                _show(rows, terminal, json=json, again=watch)
                shown = rows
            if not watch:
                return
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        if not watch:
            raise


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
        if error := row.get("last_error"):
            when = " (over since)" if row["state"] == "ready" else ""
            terminal.say(f"{row['profile']}: {error['message']}{when}")


def _cells(row: dict[str, Any]) -> list[str]:
    if row["state"] == "direct":
        return [row["profile"], "direct", row["url"], *["-"] * 5]
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
    if found is None or found.cause is None:
        return None
    return {
        "kind": found.cause.kind.value,
        "message": found.cause.message,
        "hint": found.cause.hint,
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
