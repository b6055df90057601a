"""``jrc connect``: bring up a profile's tunnel and keep it; add its kernels to the editors."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jrc.cli.lazy import plain_typer
from jrc.cli.options import seconds
from jrc.cli.profile import NameOrDefault
from jrc.cli.status_line import LiveLine
from jrc.cli.terminal import Terminal
from jrc.cli.tunnel_talk import TunnelTalk, in_words
from jrc.errors import UnreachableError, UsageError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.store import ProfileStore

if TYPE_CHECKING:
    from jrc.editor.kernelspecs import ServerKernelspec
    from jrc.tunnel.status import KeeperStatus

app = plain_typer(add_completion=False)

LOOK_SECONDS = 0.5


@app.command()
def connect(
    profile: NameOrDefault = None,
    vscode: Annotated[
        bool,
        typer.Option("--vscode", help="Add the kernels to VS Code and similar editors."),
    ] = False,
    workspace: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With --vscode: in this folder's settings only."),
    ] = None,
    extension: Annotated[
        bool, typer.Option("--extension/--no-extension", help="With --vscode: the companion.")
    ] = True,
    widgets: Annotated[
        bool, typer.Option("--widgets", help="With --vscode: load widgets' scripts from the web.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --vscode: do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --vscode: print the diff, touch no file.")
    ] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, show the state, end it with Ctrl-C.")
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="TIME", help="How long to wait, as 90s or 10m.", parser=seconds
        ),
    ] = 120.0,
) -> None:
    """Bring up the tunnel to a server and keep it until jrc disconnect.

    Prints the server's address on this machine. The other commands need no connect: they bring up
    the tunnel by themselves, and it ends when it was not used for a while.

    \b
    Example:
      jrc connect team --vscode
    """
    import asyncio

    terminal, paths = Terminal(), Paths.from_environment()
    chosen = ProfileStore(paths).get(profile)
    if dry_run and not vscode:
        raise UsageError("--dry-run is about files of editors.", hint="Add --vscode")
    if vscode:
        from jrc.cli.editor_commands import EditorOptions, connect_editors

        options = EditorOptions(workspace, extension, widgets, yes, dry_run)
        url, kernels = asyncio.run(_kernels(chosen, terminal))
        connect_editors(chosen, kernels, options=options, terminal=terminal, url=url)
    if dry_run:
        return
    if chosen.kubernetes is None:
        if not vscode:
            terminal.say(f"'{chosen.name}' needs no tunnel: its server is reached directly.")
        terminal.data(chosen.url)
        return
    asyncio.run(_connect(chosen, paths, terminal, timeout=timeout, foreground=foreground))


async def _kernels(profile: Profile, terminal: Terminal) -> tuple[str, "list[ServerKernelspec]"]:
    """The server's address on this machine, and what it offers."""
    from jrc.editor.server_kernelspecs import server_kernelspecs
    from jrc.server.open import open_profile

    with TunnelTalk(terminal) as talk:
        async with open_profile(profile, on_tunnel=talk, talk=terminal.say) as server:
            return server.address.base_url, await server_kernelspecs(server)


async def _connect(
    profile: Profile, paths: Paths, terminal: Terminal, *, timeout: float, foreground: bool
) -> None:
    from jrc.tunnel.connect import ensure_keeper, keeper_status, spec_of, stop_keeper

    before = keeper_status(profile.name, paths)
    with TunnelTalk(terminal) as talk:
        status = await ensure_keeper(
            spec_of(profile), paths, on_progress=talk, deadline=timeout, hold=True
        )
        talk(status)
    if terminal.live:
        terminal.say(in_words(status))
    if status.moved:
        terminal.warn(
            f"Another program has port {status.spec.port}, so it is {status.port} this time: "
            "editors that know the old one can't reach it."
        )
    terminal.data(status.url)
    if foreground:
        try:
            await _watch(profile.name, paths, terminal)
        finally:
            if before is None or not before.runs():
                stop_keeper(profile.name, paths)


async def _watch(profile: str, paths: Paths, terminal: Terminal) -> None:
    """Show the tunnel's state until it is gone."""
    import asyncio

    from jrc.cli.status import traffic_in_words
    from jrc.tunnel.connect import keeper_status

    line, said = LiveLine(terminal), ""
    try:
        while (status := keeper_status(profile, paths)) and status.runs():
            text = in_words(status)
            if terminal.live:
                line.show(f"{text} {traffic_in_words(status.traffic)}")
            elif text != said:
                terminal.say(text)
            said = text
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        line.hide()
    raise _ended(status, profile)


def _ended(status: "KeeperStatus | None", profile: str) -> Exception:
    if status and status.cause:
        return status.cause.error(profile, status.spec.route)
    again = shlex.join(["jrc", "connect", profile])
    return UnreachableError("The tunnel was ended by another command.", hint=f"Type: {again}")
