"""``jrc cancel``: stop a run."""

from jrc.cli.complete import AsRun
from jrc.cli.lazy import plain_typer
from jrc.cli.terminal import Terminal

app = plain_typer(add_completion=False)


@app.command()
def cancel(run: AsRun) -> None:
    """Stop a run: interrupt its cell, skip the cells after it, and end its kernel.

    Its output is kept until jrc attach saves it.

    \b
    Example:
      jrc cancel 3f2a
    """
    import asyncio

    from jrc.cli import found

    asyncio.run(found.cancel(run, Terminal()))
