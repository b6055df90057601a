"""``jrc runs``: the runs of this person, on all servers."""

from typing import Annotated

import typer

from jrc.cli.complete import beside
from jrc.cli.kernel import duration
from jrc.cli.lazy import plain_typer
from jrc.cli.terminal import Terminal

app = plain_typer(add_completion=False)


def complete_run(incomplete: str) -> list[tuple[str, str]]:
    """The runs that this computer remembers: for the shell's completion, which asks no server."""
    from pathlib import PurePath

    from jrc.profile.paths import Paths
    from jrc.run.records import RunRecords

    return [
        (record.run, beside(PurePath(str(record.about.get("document", ""))).name))
        for record in RunRecords(Paths.from_environment()).all()
        if record.run.startswith(incomplete)
    ]


@app.command()
def runs(
    everybody: Annotated[
        bool, typer.Option("--all", help="Those of other people on the servers, too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List your runs on all servers: those of jrc run --detach, and those that you left.

    \b
    Example:
      jrc runs
    """
    import asyncio
    import time

    from jrc.profile.paths import Paths
    from jrc.run.listing import list_runs

    terminal = Terminal()
    listing = asyncio.run(list_runs(Paths.from_environment(), everybody=everybody, now=time.time()))
    for trouble in listing.trouble:
        terminal.warn(trouble)
    if json:
        for row in listing.rows:
            terminal.json(row.as_json())
        return
    if not listing.rows:
        terminal.say("There is no run. Begin one: jrc run --detach FILE")
        return
    header = ["RUN", "STATE", "CELL", "ELAPSED", "DOCUMENT", "OWNER", "PROFILE"]
    terminal.table(
        header,
        [
            [
                row.run,
                row.state,
                row.progress,
                "-" if row.seconds is None else duration(row.seconds),
                row.document or "-",
                row.owner or "-",
                row.profile,
            ]
            for row in listing.rows
        ],
    )
