"""``jrc disconnect``: end tunnels."""

from typing import Annotated

import typer

from jrc.cli.lazy import plain_typer
from jrc.cli.profile import NameOrDefault
from jrc.cli.terminal import Terminal
from jrc.errors import UsageError
from jrc.profile.paths import Paths
from jrc.profile.store import ProfileStore

app = plain_typer(add_completion=False)


@app.command()
def disconnect(
    profile: NameOrDefault = None,
    every: Annotated[bool, typer.Option("--all", help="Those of all profiles.")] = False,
) -> None:
    """End the tunnel of a profile. Kernels on the server run on.

    \b
    Example:
      jrc disconnect --all
    """
    from jrc.tunnel.connect import keepers, stop_keeper

    if every and profile:
        raise UsageError("A profile and --all exclude each other.")
    terminal, paths = Terminal(), Paths.from_environment()
    # A tunnel may be left of a profile that is gone.
    known = keepers(paths)
    if every:
        names = known
    else:
        names = [profile] if profile in known else [ProfileStore(paths).get(profile).name]
    ended = [name for name in names if stop_keeper(name, paths)]
    for name in ended:
        terminal.say(f"The tunnel of '{name}' is ended.")
    if not ended:
        terminal.say("No tunnel was up.")
