"""What ``jrc run`` does with its words: the document, the server, the job, Ctrl-C."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jrc.cli.interrupts import run_interruptibly
from jrc.cli.run_listener import JsonListener, TerminalListener
from jrc.cli.terminal import Terminal
from jrc.errors import UsageError
from jrc.run.document import Document, load
from jrc.run.events import Notice
from jrc.run.job import Job, Options
from jrc.server.open import chosen_profile, open_profile

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

_EMBEDDED_PATIENCE = 10.0


@dataclass(frozen=True)
class Invocation:
    """The words of one ``jrc run``; the fields are its options."""

    file: Path
    args: list[str]
    parameters: list[tuple[str, str]]
    parameter_file: Path | None
    output: Path | None
    in_place: bool
    profile: str | None
    kernel: str | None
    kernel_id: str | None
    kernel_env: dict[str, str]
    keep_kernel: bool
    timeout: float | None
    reconnect: float
    allow_errors: bool
    allow_loss: bool
    recorder: bool
    pipeline: bool
    json: bool


def execute(invocation: Invocation, terminal: Terminal) -> int:
    """Run the document.

    Returns:
        the exit code.

    Raises:
        JrcError: it did not end well.
    """
    document = load_document(invocation)
    return asyncio.run(_run(invocation, document, terminal))


def load_document(invocation: Invocation) -> Document:
    """The document with its parameters.

    Raises:
        UsageError: the words contradict each other, or the file is not one to run.
        NotFoundError: there is no such file.
    """
    document = load(invocation.file, args=invocation.args)
    if invocation.parameters or invocation.parameter_file is not None:
        from jrc.run.parameters import parameterize, read_parameters

        parameterize(document, read_parameters(invocation.parameters, invocation.parameter_file))
    return document


def output_path(invocation: Invocation, document: Document) -> Path | None:
    """Where the result goes; None for a script whose result nobody asked for.

    Raises:
        UsageError: two places, or a place that does not fit the document.
    """
    if invocation.in_place:
        if invocation.output is not None:
            raise UsageError("-o and --in-place exclude each other.")
        if document.kind != "notebook":
            raise UsageError(
                f"--in-place is for notebooks; {document.path.name} is a script.",
                hint="jrc run FILE.py -o RESULT.ipynb",
            )
        return document.path
    if invocation.output is not None:
        if invocation.output.suffix != ".ipynb":
            raise UsageError(
                f"A result is saved as a notebook; {invocation.output} does not end in .ipynb."
            )
        return invocation.output
    if document.kind != "notebook":
        return None
    return document.path.with_name(f"{document.path.stem}.out.ipynb")


async def _run(invocation: Invocation, document: Document, terminal: Terminal) -> int:
    output = output_path(invocation, document)
    listener = (
        JsonListener(terminal)
        if invocation.json
        else TerminalListener(terminal, saved_in=None if output is None else str(output))
    )
    async with _server(invocation, document, terminal, listener) as (server, embedded):
        job = Job(
            document,
            server,
            options=Options(
                kernel=invocation.kernel,
                kernel_id=invocation.kernel_id,
                keep_kernel=invocation.keep_kernel,
                cell_timeout=invocation.timeout,
                allow_errors=invocation.allow_errors,
                allow_loss=invocation.allow_loss,
                recorder=invocation.recorder,
                pipeline=invocation.pipeline,
                patience=_EMBEDDED_PATIENCE if embedded else invocation.reconnect,
            ),
            listener=listener,
            output=output,
        )
        async with _live(listener):
            return await run_interruptibly(job)


@asynccontextmanager
async def _server(
    invocation: Invocation,
    document: Document,
    terminal: Terminal,
    listener: JsonListener | TerminalListener,
) -> AsyncIterator[tuple["ServerClient", bool]]:
    """The server of the profile; without one the embedded server, and True."""
    profile = chosen_profile(invocation.profile)
    if profile is not None:

        def talk(text: str) -> None:
            listener.on_event(Notice("server", text))

        async with open_profile(profile, talk=talk, kernel_env=invocation.kernel_env) as server:
            yield server, False
        return
    for option, value in {
        "--kernel-id": invocation.kernel_id,
        "--kernel-env": invocation.kernel_env,
    }.items():
        if value:
            raise UsageError(f"{option} needs a server.", hint="jrc login URL")
    from jrc.server.auth import TokenAuth
    from jrc.server.client import ServerClient
    from jrc.server.embedded import EmbeddedServer

    async with EmbeddedServer(root=document.path.parent) as embedded:
        terminal.say(
            "jrc: no profile is configured: using an embedded server on this machine "
            "(jrc login URL for another one)"
        )
        async with ServerClient(embedded.address, TokenAuth(embedded.secret)) as server:
            yield server, True


@asynccontextmanager
async def _live(listener: JsonListener | TerminalListener) -> AsyncIterator[None]:
    """Keep the clock of the live line going."""

    async def tick() -> None:
        while isinstance(listener, TerminalListener):
            await asyncio.sleep(1)
            listener.live.draw()

    ticking = asyncio.create_task(tick(), name="live-line")
    try:
        yield
    finally:
        ticking.cancel()
        if isinstance(listener, TerminalListener):
            listener.live.hide()
