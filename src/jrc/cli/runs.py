"""``jrc runs``: the runs of this person, on all servers."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from jrc.cli.complete import run_names
from jrc.cli.lazy import plain_typer
from jrc.cli.terminal import Terminal, duration
from jrc.errors import UsageError

if TYPE_CHECKING:
    from jrc.runs.listing import Listing, RunRow
    from jrc.runs.removal import Removal

app = plain_typer(add_completion=False, invoke_without_command=True)

WATCH_SECONDS = 2.0
WATCH_SECONDS_AT_MOST = 30.0
"""Between two listings; longer while nothing changes."""


@app.callback()
def runs(
    ctx: typer.Context,
    everybody: Annotated[
        bool, typer.Option("--all", help="Include the runs of other people.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show them again after each change; Ctrl-C ends it.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """List your runs on all servers: those that you detached or left.

    \b
    Example:
      jrc runs
      jrc runs rm 3f2a
    """
    if ctx.invoked_subcommand is not None:
        return
    import asyncio

    from jrc.profile.paths import Paths
    from jrc.runs.listing import list_runs, note_what_was_seen

    terminal, paths = Terminal(), Paths.from_environment()
    shown: object = None
    pause = WATCH_SECONDS
    try:
        while True:
            listing = asyncio.run(list_runs(paths, everybody=everybody, now=time.time()))
            note_what_was_seen(listing, paths, time.time())
            now = [*listing.trouble, *((row.run, row.progress) for row in listing.rows)]
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
            help="Ids of runs, starts of ids, or names.",
            autocompletion=run_names,
        ),
    ] = None,
    gone: Annotated[
        bool, typer.Option("--gone", help="Remove all runs that are gone from their servers.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="Do not ask, even if output will be lost.")
    ] = False,
) -> None:
    """Remove runs from this computer and from their servers, together with their output.

    Asks before it stops a run, and before it deletes output that was not fetched.

    \b
    Example:
      jrc runs rm 3f2a
      jrc runs rm --gone
    """
    import asyncio

    if not runs and not gone:
        raise UsageError("Which runs?", hint="jrc runs rm RUN (or jrc runs rm --gone)")
    asyncio.run(_remove(runs or [], gone=gone, yes=yes, terminal=Terminal()))


def _show(listing: "Listing", terminal: Terminal, *, json: bool, again: bool) -> None:
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
        terminal.say("There are no runs. Start one: jrc run --detach FILE")
        return
    named = any(row.name for row in listing.rows)
    header = ["RUN", *(["NAME"] if named else [])]
    header += ["STATE", "CELL", "ELAPSED", "DOCUMENT", "OWNER", "PROFILE"]
    terminal.table(header, [_cells(row, named=named) for row in listing.rows])


def _cells(row: "RunRow", *, named: bool) -> list[str]:
    seen = row.seen
    return [
        row.run,
        *([row.name or "-"] if named else []),
        row.state if seen is None else f"{row.state} ({seen.progress.state} {_ago(seen.at)})",
        str(row.progress if seen is None else seen.progress),
        "-" if row.seconds is None else duration(row.seconds),
        row.document or "-",
        row.owner or "-",
        row.profile,
    ]


def _ago(at: float) -> str:
    return f"{duration(max(0.0, time.time() - at))} ago"


async def _remove(words: list[str], *, gone: bool, yes: bool, terminal: Terminal) -> None:
    """Remove runs, each after a question where something is lost by it."""
    from jrc.profile.paths import Paths
    from jrc.runs.listing import gone_runs
    from jrc.runs.records import RunRecords
    from jrc.runs.removal import plan_removal, remove_run
    from jrc.server.open import profiles_to_ask

    paths = Paths.from_environment()
    records, profiles = RunRecords(paths), profiles_to_ask(paths)
    if gone:
        for run in await gone_runs(paths, now=time.time()):
            records.remove(run)
            terminal.say(f"Run {run} removed.")
    removals = {}
    for word in words:
        removal = await plan_removal(word, records, profiles, by_force=yes)
        removals[removal.run] = removal
    chosen = [each for each in removals.values() if yes or _may(each, terminal)]
    for removal in chosen:
        await remove_run(removal, records)
        if removal.found is None:
            terminal.say(f"Run {removal.run} is forgotten here; its server was not asked.")
        else:
            terminal.say(f"Run {removal.run} removed.")


def _may(removal: "Removal", terminal: Terminal) -> bool:
    """Whether to remove it: the person is asked where something would be lost."""
    if not removal.loses:
        return True
    if not terminal.interactive:
        raise UsageError(
            f"The run {removal.run} ({removal.state}) is not removed without a question: "
            f"{removal.loses}",
            hint=f"To fetch it: jrc attach {removal.run} (to remove it all the same: "
            f"jrc runs rm --yes {removal.run})",
        )
    answer = terminal.ask(
        f"Run {removal.run} ({removal.state}): {removal.loses.rstrip('.')}. Remove it? [y/N]",
        without="--yes",
    )
    return answer.strip().lower() in ("y", "yes")
