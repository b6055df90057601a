"""``jrc cancel``: stop a run."""

from jrc.cli.lazy import plain_typer
from jrc.cli.runs import AsRun
from jrc.cli.terminal import Terminal

app = plain_typer(add_completion=False)


@app.command()
def cancel(run: AsRun) -> None:
    """Stop a run: interrupt its cell, drop the cells behind it, and end its kernel.

    Its outputs stay until jrc attach has saved them.

    \b
    Example:
      jrc cancel 3f2a
    """
    import asyncio

    from jrc.profile.paths import Paths
    from jrc.runs.cancel import cancel_found
    from jrc.runs.lookup import find_run
    from jrc.runs.records import RunRecords
    from jrc.server.open import open_profile, profiles_to_ask

    async def stop() -> str:
        paths = Paths.from_environment()
        found = await find_run(run, RunRecords(paths), profiles_to_ask(paths))
        async with open_profile(found.profile) as server:
            return await cancel_found(found, server)

    Terminal().say(asyncio.run(stop()))
