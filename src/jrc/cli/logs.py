"""``jrc logs``: what a run printed."""

from typing import Annotated

import typer

from jrc.cli.durations import seconds
from jrc.cli.lazy import plain_typer
from jrc.cli.runs import AsRun
from jrc.cli.terminal import Terminal

app = plain_typer(add_completion=False)


@app.command()
def logs(
    run: AsRun,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the run ends. Ctrl-C leaves.")
    ] = False,
    reconnect: Annotated[
        float,
        typer.Option(
            metavar="TIME", help="How long to try to reach a lost server again.", parser=seconds
        ),
    ] = 60,
    json: Annotated[bool, typer.Option("--json", help="One event a line, as JSON.")] = False,
) -> None:
    """Show what a run printed so far. Nothing is taken away: jrc attach brings it all the same.

    The exit code is 0 whatever the run's is; jrc attach ends as the run does.

    \b
    Example:
      jrc logs -f 3f2a
    """
    from jrc.cli.attach_command import show_logs

    raise typer.Exit(show_logs(run, Terminal(), follow=follow, patience=reconnect, json=json))
