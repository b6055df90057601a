"""One run that a person names: what ``jrc attach``, ``jrc logs`` and ``jrc cancel`` do with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jrc.cli.interrupts import run_interruptibly
from jrc.cli.local_stdin import LocalStdin
from jrc.cli.run_listener import JsonListener, TerminalListener
from jrc.cli.terminal import Terminal
from jrc.cli.tunnel_talk import TunnelTalk
from jrc.profile.paths import Paths
from jrc.run.options import AttachOptions
from jrc.runs.lookup import FoundRun, find_run
from jrc.runs.records import RunRecords
from jrc.server.open import open_profile, profiles_to_ask

if TYPE_CHECKING:
    from jrc.server.client import ServerClient


class _Opened(NamedTuple):
    """A run that was found, and what its command works with."""

    run: FoundRun
    server: "ServerClient"
    records: RunRecords


@asynccontextmanager
async def _opened(words: str, terminal: Terminal) -> AsyncIterator[_Opened]:
    """The run of an id, the beginning of one, or a name; and its server.

    Raises:
        NotFoundError: nobody knows it, or it may be one of several.
        JrcError: its server can't be used.
    """
    paths = Paths.from_environment()
    records = RunRecords(paths)
    run = await find_run(words, records, profiles_to_ask(paths))
    with TunnelTalk(terminal) as talk:
        async with open_profile(run.profile, on_tunnel=talk) as server:
            yield _Opened(run, server, records)


async def attach(
    words: str,
    how: AttachOptions,
    output: Path | None,
    terminal: Terminal,
    *,
    json: bool,
    quiet: bool,
) -> int:
    """Follow a run to its end, and save its result.

    Returns:
        the exit code.

    Raises:
        JrcError: it did not end well, or can't be found.
    """
    from jrc.cli.run_plan import notebook_file
    from jrc.run.attach import Attachment

    output = None if output is None else notebook_file(output)
    # Without a terminal no question is answered: the end of a pipe would be an answer, too.
    stdin = LocalStdin() if terminal.interactive else None
    listener = (
        JsonListener(terminal, stdin)
        if json
        else TerminalListener(terminal, quiet=quiet, stdin=stdin, follows=True)
    )
    async with _opened(words, terminal) as (run, server, records), listener.showing():
        attachment = Attachment(
            run, server, options=how, listener=listener, output=output, records=records
        )
        return await run_interruptibly(attachment, pressed=lambda: terminal.typed("^C"))


async def show_logs(
    words: str, terminal: Terminal, *, follow: bool, patience: float, json: bool
) -> int:
    """Show what a run printed so far.

    Returns:
        the exit code.

    Raises:
        JrcError: it can't be found, or its server can't be used.
    """
    from jrc.run.logs import Logs

    async with _opened(words, terminal) as (run, server, _):
        unsaved = f"jrc attach {run.run} saves it"
        listener = (
            JsonListener(terminal)
            if json
            else TerminalListener(terminal, quiet=True, unsaved=unsaved)
        )
        logs = Logs(run, server, listener, follow=follow, patience=patience)
        async with listener.showing():
            return await run_interruptibly(
                logs, pressed=lambda: terminal.typed("^C"), is_read=terminal.out.is_read
            )


async def cancel(words: str, terminal: Terminal) -> None:
    """Stop a run, and say what happened.

    Raises:
        JrcError: it can't be found or stopped.
    """
    from jrc.runs.cancel import cancel_found

    async with _opened(words, terminal) as (run, server, _):
        done = await cancel_found(run, server)
    terminal.say(done)
