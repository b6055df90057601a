"""What the shell completes. It is quick, shows no errors, and changes nothing.

``cli.completion`` leaves out what a shell would take for code.
"""

from typing import Annotated

import typer

from jrc.errors import JrcError

_DEADLINE = 2.0


def profile_names(incomplete: str) -> list[str]:
    """The names of profiles that start with what was typed."""
    from jrc.profile.paths import Paths
    from jrc.profile.store import ProfileStore

    try:
        names = ProfileStore(Paths.from_environment()).names()
    except JrcError:
        # A shell that completes can't show an error; the command itself will.
        return []
    return [name for name in names if name.startswith(incomplete)]


def run_names(incomplete: str) -> list[tuple[str, str]]:
    """The ids and names of the runs that this computer remembers; no server is asked."""
    from jrc.profile.paths import Paths
    from jrc.runs.records import RunRecords

    return [
        (word, record.document)
        for record in RunRecords(Paths.from_environment()).all()
        for word in (record.run, record.name)
        if word and word.startswith(incomplete)
    ]


def kernelspec_names(incomplete: str) -> list[str]:
    """The kernelspecs of the default profile's server."""
    import asyncio

    try:
        names = asyncio.run(_kernelspec_names())
    except (JrcError, TimeoutError):
        return []
    return [name for name in names if name.startswith(incomplete)]


async def _kernelspec_names() -> list[str]:
    import asyncio

    from jrc.server.open import open_server
    from jrc.server.orphans import Orphans

    async with (
        asyncio.timeout(_DEADLINE),
        open_server(None, bring_up=False, orphans=Orphans.LEAVE) as server,
    ):
        return sorted((await server.kernelspecs()).specs)


AsRun = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="Its id, the start of its id, or its name.", autocompletion=run_names
    ),
]
