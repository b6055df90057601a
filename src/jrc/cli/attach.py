"""``jrc attach``: come back to a run."""

from pathlib import Path
from typing import Annotated

import typer

from jrc.cli.durations import seconds
from jrc.cli.lazy import plain_typer
from jrc.cli.runs import AsRun
from jrc.cli.terminal import Terminal

app = plain_typer(add_completion=False)


@app.command()
def attach(
    run: AsRun,
    latest: Annotated[
        bool, typer.Option("--latest", help="Do not show what happened before.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PATH", help="Save here; else where the run said."),
    ] = None,
    keep_kernel: Annotated[
        bool, typer.Option("--keep-kernel", help="Leave kernel and journal on the server.")
    ] = False,
    reconnect: Annotated[
        float,
        typer.Option(
            metavar="TIME", help="How long to try to reach a lost server again.", parser=seconds
        ),
    ] = 60,
    json: Annotated[bool, typer.Option("--json", help="One event a line, as JSON.")] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Only the output, and what goes wrong.")
    ] = False,
) -> None:
    """Come back to a run: see what happened since, and follow it to its end.

    The result is saved as jrc run would have saved it, and the exit code is the run's. Ctrl-C
    leaves; the run goes on.

    \b
    Example:
      jrc attach 3f2a
    """
    from jrc.cli.attach_command import follow
    from jrc.run.attach import AttachOptions

    options = AttachOptions(latest=latest, keep_kernel=keep_kernel, patience=reconnect)
    raise typer.Exit(follow(run, options, output, Terminal(), json=json, quiet=quiet))
