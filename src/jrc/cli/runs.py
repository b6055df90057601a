"""``jrc runs``: the runs of this person, on all servers."""

import time
from typing import Annotated, Any

import typer

from jrc.cli.complete import offered
from jrc.cli.kernel import duration
from jrc.cli.lazy import plain_typer
from jrc.cli.terminal import Terminal

app = plain_typer(add_completion=False, invoke_without_command=True)

WATCH_SECONDS = 2.0
WATCH_SECONDS_AT_MOST = 30.0
"""Between two looks; longer while nothing changes."""


def complete_run(incomplete: str) -> list[tuple[str, str]]:
    """The runs that this computer remembers: for the shell's completion, which asks no server."""
    from pathlib import PurePath

    from jrc.profile.paths import Paths
    from jrc.runs.records import RunRecords

    return offered(
        (word, PurePath(str(record.about.get("document", ""))).name)
        for record in RunRecords(Paths.from_environment()).all()
        for word in (record.run, record.name)
        if word.startswith(incomplete)
    )


AsRun = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Its id, the beginning of it, or its name.",
        autocompletion=complete_run,
    ),
]


@app.callback()
def runs(
    ctx: typer.Context,
    everybody: Annotated[
        bool, typer.Option("--all", help="Those of other people on the servers, too.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show them again after each change, until Ctrl-C.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List your runs on all servers: those of jrc run --detach, and those that you left.

    \b
    Example:
      jrc runs
      jrc runs rm 3f2a
    """
    if ctx.invoked_subcommand is not None:
        return
    import asyncio

    from jrc.profile.paths import Paths
    from jrc.runs.listing import list_runs

    terminal, paths = Terminal(), Paths.from_environment()
    shown: list[Any] | None = None
    pause = WATCH_SECONDS
    try:
        while True:
            listing = asyncio.run(list_runs(paths, everybody=everybody, now=time.time()))
            now = [*listing.trouble, *((row.run, row.state, row.cell) for row in listing.rows)]
            if now != shown:
                _show(listing, terminal, json=json, again=watch)
                shown, pause = now, WATCH_SECONDS
            if not (watch and terminal.out.is_read(pause)):
                return
            pause = min(pause * 1.5, WATCH_SECONDS_AT_MOST)
    except KeyboardInterrupt:
        if not watch:
            raise
        terminal.leave()


@app.command()
def rm(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN...",
            help="Their ids, the beginnings of them, or their names.",
            autocompletion=complete_run,
        ),
    ] = None,
    gone: Annotated[
        bool, typer.Option("--gone", help="All of which nothing is left on their servers.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Do not ask before something is lost.")
    ] = False,
) -> None:
    """Remove runs: from this computer's list, and from their servers with what they printed.

    It asks before it stops a run, and before it deletes what was not fetched.

    \b
    Example:
      jrc runs rm 3f2a
      jrc runs rm --gone
    """
    from jrc.cli.runs_rm import remove

    raise typer.Exit(remove(runs or [], gone=gone, yes=yes, terminal=Terminal()))


def _show(listing: Any, terminal: Terminal, *, json: bool, again: bool) -> None:
    if json:
        for trouble in listing.trouble:
            terminal.warn(trouble)
        for row in listing.rows:
            terminal.json(row.as_json())
        return
    if again:
        terminal.clear()
    for trouble in listing.trouble:
        terminal.warn(trouble)
    if not listing.rows:
        terminal.say("There is no run. Begin one: jrc run --detach FILE")
        return
    named = any(row.name for row in listing.rows)
    header = ["RUN", *(["NAME"] if named else [])]
    header += ["STATE", "CELL", "ELAPSED", "DOCUMENT", "OWNER", "PROFILE"]
    terminal.table(header, [_cells(row, named=named) for row in listing.rows])


def _cells(row: Any, *, named: bool) -> list[str]:
    return [
        row.run,
        *([row.name or "-"] if named else []),
        row.state if row.seen is None else f"{row.state} ({row.seen.state} {_ago(row.seen.at)})",
        row.progress,
        "-" if row.seconds is None else duration(row.seconds),
        row.document or "-",
        row.owner or "-",
        row.profile,
    ]


def _ago(at: float) -> str:
    return f"{duration(max(0.0, time.time() - at))} ago"
