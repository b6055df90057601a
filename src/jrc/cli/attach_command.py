"""What ``jrc attach`` does with its words."""

import asyncio
from pathlib import Path

from jrc.cli.interrupts import run_interruptibly
from jrc.cli.local_stdin import LocalStdin
from jrc.cli.run_listener import JsonListener, TerminalListener
from jrc.cli.terminal import Terminal
from jrc.cli.tunnel_talk import TunnelTalk
from jrc.errors import UsageError
from jrc.profile.paths import Paths
from jrc.run.attach import Attachment
from jrc.run.logs import Logs
from jrc.run.options import AttachOptions
from jrc.runs.lookup import find_run
from jrc.runs.records import RunRecords
from jrc.server.open import open_profile, profiles_to_ask


def follow(
    prefix: str,
    options: AttachOptions,
    output: Path | None,
    terminal: Terminal,
    *,
    json: bool,
    quiet: bool,
) -> int:
    """Follow the run whose id begins with ``prefix``.

    Returns:
        the exit code.

    Raises:
        JrcError: it did not end well, or can't be found.
    """
    if output is not None and output.suffix != ".ipynb":
        raise UsageError(f"A result is saved as a notebook; {output} does not end in .ipynb.")
    return asyncio.run(_follow(prefix, options, output, terminal, json=json, quiet=quiet))


async def _follow(
    prefix: str,
    options: AttachOptions,
    output: Path | None,
    terminal: Terminal,
    *,
    json: bool,
    quiet: bool,
) -> int:
    paths = Paths.from_environment()
    records = RunRecords(paths)
    found = await find_run(prefix, records, profiles_to_ask(paths))
    # Whoever only looks on answers no question: the end of a pipe would be an answer, too.
    stdin = LocalStdin() if terminal.interactive else None
    listener = (
        JsonListener(terminal, stdin)
        if json
        else TerminalListener(terminal, quiet=quiet, stdin=stdin, follows=True)
    )
    with TunnelTalk(terminal) as talk:
        async with open_profile(found.profile, on_tunnel=talk) as server, listener.showing():
            attachment = Attachment(
                found, server, options=options, listener=listener, output=output, records=records
            )
            return await run_interruptibly(attachment, pressed=lambda: terminal.typed("^C"))


def show_logs(words: str, terminal: Terminal, *, follow: bool, patience: float, json: bool) -> int:
    """Show what a run printed so far.

    Returns:
        the exit code.

    Raises:
        JrcError: it can't be found, or its server can't be used.
    """
    return asyncio.run(_show_logs(words, terminal, follow=follow, patience=patience, json=json))


async def _show_logs(
    words: str, terminal: Terminal, *, follow: bool, patience: float, json: bool
) -> int:
    paths = Paths.from_environment()
    found = await find_run(words, RunRecords(paths), profiles_to_ask(paths))
    listener = (
        JsonListener(terminal)
        if json
        else TerminalListener(terminal, quiet=True, unsaved=f"jrc attach {found.run} saves it")
    )
    with TunnelTalk(terminal) as talk:
        async with open_profile(found.profile, on_tunnel=talk) as server, listener.showing():
            looking = Logs(found, server, listener, follow=follow, patience=patience)
            return await run_interruptibly(
                looking, pressed=lambda: terminal.typed("^C"), is_read=terminal.out.is_read
            )
