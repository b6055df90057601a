"""``jrc disconnect``: end tunnels, and take out of the editors what connect put in."""

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
    every: Annotated[bool, typer.Option("--all", help="All profiles.")] = False,
    remove_kernelspecs: Annotated[
        bool, typer.Option("--remove-kernelspecs", help="Remove its kernelspecs too.")
    ] = False,
    keep_extension: Annotated[
        bool, typer.Option("--keep-extension", help="Leave the companion installed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would change in files, do nothing.")
    ] = False,
) -> None:
    """End the tunnel of a profile and undo what connect wrote. Kernels on the server run on.

    Kernelspecs stay without --remove-kernelspecs: VS Code does not notice when they come back.

    \b
    Example:
      jrc disconnect --all
    """
    from jrc.cli.editor_commands import disconnect_editors, profiles_in_editors
    from jrc.tunnel.connect import keepers, stop_keeper

    if every and profile:
        raise UsageError("A profile and --all exclude each other.")
    terminal, paths = Terminal(), Paths.from_environment()
    # Something may be left of a profile that is gone: a tunnel, or what editors have of it.
    known = {*keepers(paths), *profiles_in_editors()}
    if every:
        names = sorted(known)
    else:
        names = [profile] if profile in known else [ProfileStore(paths).get(profile).name]
    changed = False
    for name in names:
        changed |= disconnect_editors(
            name,
            remove_kernelspecs=remove_kernelspecs,
            keep_extension=keep_extension,
            dry_run=dry_run,
            terminal=terminal,
        )
    if dry_run:
        return
    ended = [name for name in names if stop_keeper(name, paths)]
    for name in ended:
        terminal.say(f"The tunnel of '{name}' is ended.")
    if not ended and not changed:
        terminal.say(_nothing_to_do("" if every else names[0], paths))


def _nothing_to_do(name: str, paths: Paths) -> str:
    """What to say where nothing was connected.

    Args:
        name: of the profile; empty for all.
        paths: where the profiles are.
    """
    if not name:
        return "Nothing was connected: no tunnel was up, and no editor had settings of jrc."
    saved = ProfileStore(paths).all()
    if name in saved and saved[name].kubernetes is None:
        return f"'{name}' has no tunnel: its server is reached directly."
    return f"The tunnel of '{name}' was not up."
