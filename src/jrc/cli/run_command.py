"""What ``jrc run`` does with its invocation: read, plan, open a server, execute there, end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jrc.cli.interrupts import run_interruptibly
from jrc.cli.local_stdin import LocalStdin
from jrc.cli.options import pairs
from jrc.cli.run_copies import with_copies
from jrc.cli.run_listener import JsonListener, TerminalListener
from jrc.cli.run_options import Invocation
from jrc.cli.run_papermill import (
    hide_code,
    names_of_paths,
    result_to_stdout,
    save_prepared,
    show_parameters,
)
from jrc.cli.run_plan import STDOUT, Plan, check, injected, settled, with_paths
from jrc.cli.terminal import Terminal
from jrc.cli.tunnel_talk import TunnelTalk
from jrc.errors import ExitCode, InterruptedByUserError, JrcError, RemoteError, UsageError
from jrc.kernel.session import ask_language, whole_kernel_id
from jrc.notebook.document import Document, load
from jrc.notebook.parameter_values import Value
from jrc.notebook.schema import Json
from jrc.profile.files import rights_of
from jrc.profile.paths import Paths
from jrc.run.events import Notice
from jrc.run.job import Job
from jrc.run.options import Options
from jrc.runs.records import RunRecords, check_name
from jrc.server.open import chosen_profile, open_embedded, open_profile

if TYPE_CHECKING:
    from jrc.run.progress import Listener
    from jrc.server.client import ServerClient


def execute(invocation: Invocation, terminal: Terminal) -> int:
    """Run the document.

    Returns:
        the exit code.

    Raises:
        JrcError: it did not end well.
    """
    try:
        return _execute(invocation, terminal)
    except (RemoteError, InterruptedByUserError):
        raise
    except JrcError as error:
        error.exit_code += invocation.report.exit_code_base
        raise


def _execute(invocation: Invocation, terminal: Terminal) -> int:
    plan = read(invocation)
    if invocation.instead.help_notebook:
        show_parameters(plan.document, invocation.parameters.language, terminal)
        return ExitCode.OK
    if plan.language is not None:
        put_parameters(plan, plan.language)
    if invocation.instead.prepare_only:
        return prepare(plan, terminal)
    check(plan)
    return asyncio.run(_run(plan, terminal))


def read(invocation: Invocation) -> Plan:
    """The document and its parameters, which are not in it yet.

    Raises:
        UsageError: the file is not one to run, the parameters can't be read, or a path names a
            parameter that is not given.
        NotFoundError: there is no such file.
    """
    values: Mapping[str, Value] = {}
    if any(invocation.given):
        from jrc.notebook.parameter_values import read_parameters

        values = read_parameters(invocation.given)
    if values:
        is_there = "{" in str(invocation.source.file) and _is_there(invocation.source.file)
        invocation = with_paths(invocation, {**names_of_paths(), **values}, file_is_there=is_there)
    document = load(invocation.source.file, args=invocation.source.args or [])
    return Plan(invocation, document, {**injected(invocation), **values})


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def put_parameters(plan: Plan, language: str) -> None:
    """Put the parameters into the document.

    Args:
        plan: what is executed.
        language: of the kernel; the person may have named another one.

    Raises:
        UsageError: they can't be written in this language.
    """
    if plan.values:
        from jrc.notebook.parameters import parameterize

        parameterize(
            plan.document, plan.values, language=plan.invocation.parameters.language or language
        )


def prepare(plan: Plan, terminal: Terminal) -> int:
    """Save the notebook with its parameters, and execute nothing.

    Raises:
        UsageError: it can't be saved.
    """
    document = plan.document
    if plan.language is None:
        put_parameters(plan, document.language or "")
    if plan.invocation.result.report_mode:
        hide_code(document)
    for _, text in document.notices:
        terminal.say(f"jrc: {text}")
    if plan.result == STDOUT:
        result_to_stdout(terminal)(document.notebook)
    else:
        save_prepared(document, plan.result, terminal)
    return ExitCode.OK


async def _run(plan: Plan, terminal: Terminal) -> int:
    """Open the server, and let it run there."""
    document, report = plan.document, plan.invocation.report
    local = LocalStdin()
    document.stdin = local.kind
    # At a terminal somebody can attach and answer later; a pipe ends with us.
    stdin = local if local.kind == "terminal" or not plan.invocation.detach else None
    listener = (
        JsonListener(terminal, stdin, exit_code_base=report.exit_code_base)
        if report.json
        else TerminalListener(terminal, quiet=report.quiet, stdin=stdin)
    )
    output = plan.result
    deliver: Callable[[Json], None] = _nowhere
    if output == STDOUT:
        output, deliver = None, result_to_stdout(terminal)
    _say_notices(document, listener)
    async with _server(plan, terminal, listener) as (server, profile):
        options = await _options(plan, server, profile)
        _say_notices(document, listener)
        if plan.invocation.result.report_mode:
            hide_code(document)
        records = RunRecords(Paths.from_environment())
        if options.name:
            check_name(options.name, records)
        if plan.invocation.detach:
            return await _detach(document, server, options, listener, output, records)
        most = rights_of(document.path)
        with with_copies(listener, plan.invocation.copies, terminal, most) as heard:
            job = Job(
                document,
                server,
                options=options,
                listener=heard,
                output=output,
                records=records,
                deliver=deliver,
            )
            say = terminal.say if terminal.interactive else None
            async with listener.showing():
                return await run_interruptibly(job, say=say, pressed=lambda: terminal.typed("^C"))


def _nowhere(_: Json) -> None:
    """The result is in its file."""


def _say_notices(document: Document, listener: "Listener") -> None:
    """Say what the person should know of the document, once."""
    for kind, text in document.notices:
        listener.on_event(Notice(kind, text))
    document.notices.clear()


async def _options(plan: Plan, server: "ServerClient", profile: str) -> Options:
    """The options of the run. Where the server has to be asked for the language, the parameters
    are put into the document now.

    Raises:
        NotFoundError: the server has no kernel that will do.
        UsageError: the parameters can't be put in.
    """
    kernel = plan.invocation.how.kernel
    kernel_id = None if kernel.id is None else await whole_kernel_id(server, kernel.id)
    language = plan.language
    if language is None:
        language = await ask_language(plan.document, server, kernel.spec, kernel_id)
        put_parameters(plan, language)
    return settled(plan, kernel_id=kernel_id, language=language, profile=profile)


async def _detach(
    document: Document,
    server: "ServerClient",
    options: Options,
    listener: JsonListener | TerminalListener,
    output: Path | None,
    records: RunRecords,
) -> int:
    from jrc.run.detached import begin_detached

    if not options.profile:
        raise UsageError(
            "--detach needs a server that stays; the embedded one ends with jrc.",
            hint="jrc login URL",
        )
    begun = await begin_detached(
        document, server, options=options, listener=listener, output=output, records=records
    )
    listener.begun(begun)
    return ExitCode.OK


@asynccontextmanager
async def _server(
    plan: Plan, terminal: Terminal, listener: "Listener"
) -> AsyncIterator[tuple["ServerClient", str]]:
    """The server of the profile, and its name; without one the embedded server, without a name."""
    place = plan.invocation.place
    kernel_env = pairs(place.kernel_env, "--kernel-env")
    profile = chosen_profile(place.profile)
    if profile is not None:

        def say(text: str) -> None:
            listener.on_event(Notice("server", text))

        with TunnelTalk(terminal) as talk:
            async with open_profile(
                profile, on_tunnel=talk, talk=say, kernel_env=kernel_env
            ) as server:
                yield server, profile.name
        return
    for option, value in {
        "--kernel-id": plan.invocation.how.kernel.id,
        "--kernel-env": kernel_env,
    }.items():
        if value:
            raise UsageError(f"{option} needs a server.", hint="jrc login URL")
    async with open_embedded(plan.document.path.parent) as server:
        yield server, ""
