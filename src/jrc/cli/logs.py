"""``jrc logs``: what a run printed."""

from typing import Annotated

import typer

from jrc.cli.complete import AsRun
from jrc.cli.lazy import plain_typer
from jrc.cli.options import with_options
from jrc.cli.run_options import AsJson
from jrc.cli.terminal import Terminal
from jrc.options import Option
from jrc.run.options import Patience

app = plain_typer(add_completion=False)


@app.command()
@with_options()
def logs(
    run: AsRun,
    follow: Annotated[
        bool, Option("-f --follow", "Follow until the run ends; Ctrl-C stops.")
    ] = False,
    patience: Patience = 60,
    json: AsJson = False,
) -> None:
    """Show what a run has printed so far. The run is not changed: jrc attach still saves all of it.

    The exit code is 0 even if the run failed; jrc attach exits with the code of the run.

    \b
    Example:
      jrc logs -f 3f2a
    """
    import asyncio

    from jrc.cli.found import show_logs

    code = asyncio.run(show_logs(run, Terminal(), follow=follow, patience=patience, json=json))
    raise typer.Exit(code)
