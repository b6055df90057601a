"""``jrc attach``: return to a run."""

from pathlib import Path
from typing import Annotated

import typer

from jrc.cli.complete import AsRun
from jrc.cli.lazy import plain_typer
from jrc.cli.options import with_options
from jrc.cli.run_options import AsJson, Quiet
from jrc.cli.terminal import Terminal
from jrc.options import Option
from jrc.run.options import AttachOptions

app = plain_typer(add_completion=False)


@app.command()
@with_options()
def attach(
    run: AsRun,
    how: AttachOptions,
    output: Annotated[
        Path | None,
        Option("-o --output", "Save here, not where jrc run would.", "PATH"),
    ] = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Return to a run: show what happened since you left, and follow it to its end.

    The result is saved as jrc run would have saved it, and the exit code is that of the run. Ctrl-C
    stops following; the run continues.

    \b
    Example:
      jrc attach 3f2a
    """
    import asyncio

    from jrc.cli import found

    code = asyncio.run(found.attach(run, how, output, Terminal(), json=json, quiet=quiet))
    raise typer.Exit(code)
