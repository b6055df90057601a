"""What ``jrc run`` does with its words: the document, the server, the job, Ctrl-C."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from jrc.cli.interrupts import run_interruptibly
from jrc.cli.local_stdin import LocalStdin
from jrc.cli.run_listener import JsonListener, TerminalListener
from jrc.cli.run_papermill import (
    STDOUT,
    PapermillOptions,
    filled,
    filled_input,
    hide_code,
    result_to_stdout,
    save_prepared,
    show_parameters,
    with_stream_files,
)
from jrc.cli.terminal import Terminal
from jrc.cli.tunnel_talk import TunnelTalk
from jrc.errors import ExitCode, InterruptedByUserError, JrcError, RemoteError, UsageError
from jrc.kernel.session import ask_language, whole_kernel_id
from jrc.notebook.document import Document, load
from jrc.notebook.language import certain_language
from jrc.notebook.parameter_values import Given, Value
from jrc.notebook.schema import Json
from jrc.notebook.script import STDIN
from jrc.profile.paths import Paths
from jrc.run.events import Notice
from jrc.run.job import CellOptions, Job, KernelOptions, Options
from jrc.runs.records import RunRecords, check_name
from jrc.server.open import chosen_profile, open_embedded, open_profile

if TYPE_CHECKING:
    from jrc.run.progress import Listener
    from jrc.server.client import ServerClient

_EMBEDDED_PATIENCE = 10.0


class Invocation(NamedTuple):
    """The words of one ``jrc run``; the fields are its options."""

    file: Path
    args: list[str]
    parameters: Given
    language: str | None
    output: Path | None
    output_image: Path | None
    in_place: bool
    profile: str | None
    kernel: str | None
    kernel_id: str | None
    kernel_env: dict[str, str]
    keep_kernel: bool
    keep_kernel_on_error: bool
    first: int
    detach: bool
    name: str
    timeout: float | None
    start_timeout: float
    reconnect: float
    allow_errors: bool
    allow_loss: bool
    recorder: bool
    pipeline: bool
    json: bool
    quiet: bool
    exit_code_base: int
    papermill: PapermillOptions = PapermillOptions()
    values: Mapping[str, Value] = MappingProxyType({})


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
        error.exit_code += invocation.exit_code_base
        raise


def _execute(invocation: Invocation, terminal: Terminal) -> int:
    invocation = with_values(invocation)
    if invocation.papermill.help_notebook:
        document = load(invocation.file, args=invocation.args)
        show_parameters(document, invocation.language, terminal)
        return ExitCode.OK
    document = load_document(invocation)
    if invocation.papermill.prepare_only:
        return prepare(invocation, document, terminal)
    return asyncio.run(_run(invocation, document, terminal))


def with_values(invocation: Invocation) -> Invocation:
    """The same with the parameters' values, and paths that are made of them.

    Raises:
        UsageError: the parameters can't be read, or a path names another one.
        NotFoundError: there is no such file of parameters.
    """
    values: dict[str, Value] = {}
    if any(invocation.parameters):
        from jrc.notebook.parameter_values import read_parameters

        values = read_parameters(invocation.parameters)
    file = filled_input(invocation.file, values)
    output = None if invocation.output is None else filled(invocation.output, values)
    invocation = invocation._replace(file=file, output=output)
    injected: dict[str, Value] = {}
    if invocation.papermill.inject_input_path:
        injected["PAPERMILL_INPUT_PATH"] = str(file)
    if invocation.papermill.inject_output_path:
        result = file if invocation.in_place else output or _beside(file)
        injected["PAPERMILL_OUTPUT_PATH"] = str(result)
    return invocation._replace(values={**injected, **values})


def prepare(invocation: Invocation, document: Document, terminal: Terminal) -> int:
    """Save the notebook with its parameters, and execute nothing.

    Raises:
        UsageError: it can't be saved.
    """
    chosen = (invocation.kernel, invocation.kernel_id)
    if certain_language(document, *chosen) is None:
        put_parameters(invocation, document, document.language or "")
    if invocation.papermill.report_mode:
        hide_code(document)
    for _, text in document.notices:
        terminal.say(f"jrc: {text}")
    save_prepared(document, output_path(invocation, document), terminal)
    return ExitCode.OK


def load_document(invocation: Invocation) -> Document:
    """The document; with its parameters, if the language of its kernel is certain.

    Raises:
        UsageError: the words contradict each other, or the file is not one to run.
        NotFoundError: there is no such file.
    """
    document = load(invocation.file, args=invocation.args)
    language = certain_language(document, invocation.kernel, invocation.kernel_id)
    if language is not None:
        put_parameters(invocation, document, language)
    return document


def put_parameters(invocation: Invocation, document: Document, language: str) -> None:
    """Put the parameters into the document.

    Args:
        invocation: what was said.
        document: where to.
        language: of the kernel; the person may have named another one.

    Raises:
        UsageError: they can't be read or written in this language.
        NotFoundError: there is no such file of parameters.
    """
    if invocation.values:
        from jrc.notebook.parameters import parameterize

        parameterize(document, invocation.values, language=invocation.language or language)


async def kernel_language(
    invocation: Invocation, document: Document, server: "ServerClient"
) -> str:
    """The language of the kernel to come. Where the server has to be asked, the parameters follow.

    Raises:
        NotFoundError: the server has no kernel that will do.
        UsageError: the parameters can't be put in.
    """
    chosen = (invocation.kernel, invocation.kernel_id)
    language = certain_language(document, *chosen)
    if language is None:
        language = await ask_language(document, server, *chosen)
        put_parameters(invocation, document, language)
    return language


def say_notices(document: Document, listener: "Listener") -> None:
    """Say what the person should know of the document, once."""
    for kind, text in document.notices:
        listener.on_event(Notice(kind, text))
    document.notices.clear()


def output_path(invocation: Invocation, document: Document) -> Path | None:
    """Where the result goes; None for a script whose result nobody asked for.

    Raises:
        UsageError: two places, or a place that does not fit the document.
    """
    if invocation.in_place:
        if invocation.output is not None:
            raise UsageError("-o and --in-place exclude each other.")
        if document.kind != "notebook" or invocation.file == STDIN:
            raise UsageError(
                f"--in-place is for notebook files; {document.path.name} is none.",
                hint=f"jrc run -o RESULT.ipynb {shlex.quote(str(invocation.file))}",
            )
        return document.path
    if invocation.output == STDOUT or (
        invocation.output is None and document.kind == "notebook" and invocation.file == STDIN
    ):
        return STDOUT
    if invocation.output is not None:
        if invocation.output.suffix != ".ipynb":
            raise UsageError(
                f"A result is saved as a notebook; {invocation.output} does not end in .ipynb."
            )
        return invocation.output
    if document.kind != "notebook":
        return None
    return _beside(document.path)


def _beside(path: Path) -> Path:
    return STDOUT if path == STDIN else path.with_name(f"{path.stem}.out.ipynb")


def check_choices(invocation: Invocation, document: Document) -> None:
    """Refuse what can't be had together.

    Raises:
        UsageError: it can't.
    """
    if invocation.start_timeout < 1:
        raise UsageError("No kernel starts in less than a second.", hint="--start-timeout 120")
    if invocation.kernel_id == "":
        raise UsageError(
            "--kernel-id is empty. It takes the id of a running kernel.", hint="jrc kernel list"
        )
    cells = document.cell_count
    if invocation.first > max(cells, 1):
        raise UsageError(
            f"--from {invocation.first}: {document.path.name} has only {cells} to execute."
        )
    if invocation.first > 1 and invocation.kernel_id is None:
        raise UsageError(
            f"--from {invocation.first} needs the kernel that executed the cells before.",
            hint="--kernel-id ID, of a run with --keep-kernel-on-error. See: jrc kernel list",
        )
    if output_path(invocation, document) == STDOUT:
        for option, given in {"--json": invocation.json, "--detach": invocation.detach}.items():
            if given:
                raise UsageError(
                    f"{option} can't be had with a result on stdout.", hint="-o RESULT.ipynb"
                )
    if not invocation.detach:
        return
    papermill = invocation.papermill
    alone = {
        "--stdout-file": papermill.stdout_file is not None,
        "--stderr-file": papermill.stderr_file is not None,
        "--output-image": invocation.output_image is not None,
        "--mark-error": papermill.mark_error,
        "--no-recorder": not invocation.recorder,
        "--no-pipeline": not invocation.pipeline,
        "--timeout": invocation.timeout is not None,
    }
    for option, given in alone.items():
        if given:
            raise UsageError(
                f"--detach and {option} exclude each other: nobody is there to keep watch."
            )


async def _run(invocation: Invocation, document: Document, terminal: Terminal) -> int:
    check_choices(invocation, document)
    output = output_path(invocation, document)
    local = LocalStdin()
    document.stdin = local.kind
    # At a terminal somebody can attach and answer later; a pipe ends with us.
    stdin = local if local.kind == "terminal" or not invocation.detach else None
    deliver: Callable[[Json], None] = _nowhere
    if output == STDOUT:
        deliver, output = result_to_stdout(terminal), None
    listener = (
        JsonListener(terminal, stdin, exit_code_base=invocation.exit_code_base)
        if invocation.json
        else TerminalListener(terminal, quiet=invocation.quiet, stdin=stdin)
    )
    say_notices(document, listener)
    async with _server(invocation, document, terminal, listener) as (server, profile):
        if invocation.kernel_id is not None:
            kernel_id = await whole_kernel_id(server, invocation.kernel_id)
            invocation = invocation._replace(kernel_id=kernel_id)
        language = await kernel_language(invocation, document, server)
        say_notices(document, listener)
        if invocation.papermill.report_mode:
            hide_code(document)
        options = _options(invocation, document, profile, language)
        records = RunRecords(Paths.from_environment())
        if invocation.name:
            check_name(invocation.name, records)
        if invocation.detach:
            return await _detach(document, server, options, listener, output, records, terminal)
        with with_stream_files(listener, invocation.papermill, terminal) as heard:
            if invocation.output_image is not None:
                from jrc.cli.images import ImageFiles

                heard = ImageFiles(heard, invocation.output_image)
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
            async with live(listener):
                return await run_interruptibly(job, say=say, pressed=lambda: terminal.typed("^C"))


def _nowhere(_: Json) -> None:
    """The result is in its file."""


async def _detach(
    document: Document,
    server: "ServerClient",
    options: Options,
    listener: "Listener",
    output: Path | None,
    records: RunRecords,
    terminal: Terminal,
) -> int:
    from jrc.run.detached import begin_detached

    if not options.profile:
        raise UsageError(
            "--detach needs a server that stays; the embedded one ends with jrc.",
            hint="jrc login URL",
        )
    begun = await begin_detached(
        document,
        server,
        options=options,
        listener=listener,
        output=output,
        records=records,
    )
    if isinstance(listener, TerminalListener):
        listener.live.hide()
        terminal.data(begun.run)
        terminal.say(f"jrc: the run goes on without you. See what it does: {begun.attach}")
    else:
        listener.on_event(begun)
    return ExitCode.OK


def _options(
    invocation: Invocation, document: Document, profile: str, language: str | None
) -> Options:
    kernel = KernelOptions(
        spec=invocation.kernel,
        id=invocation.kernel_id,
        language=language,
        start_timeout=invocation.start_timeout,
        keep=invocation.keep_kernel,
        keep_on_error=invocation.keep_kernel_on_error,
    )
    cells = CellOptions(
        first=document.position(invocation.first),
        timeout=invocation.timeout,
        allow_errors=invocation.allow_errors,
        mark_error=invocation.papermill.mark_error,
        allow_loss=invocation.allow_loss,
    )
    return Options(
        kernel=kernel,
        cells=cells,
        patience=invocation.reconnect if profile else _EMBEDDED_PATIENCE,
        recorder=invocation.recorder,
        pipeline=invocation.pipeline,
        profile=profile,
        command=_document_words(invocation),
        name=invocation.name,
    )


def _document_words(invocation: Invocation) -> tuple[str, ...]:
    """The words that choose the same document, parameters, server and file again."""
    words = [str(invocation.file), *invocation.parameters.words(), *invocation.papermill.words()]
    named = {
        "-l": invocation.language,
        "-o": invocation.output,
        "-P": invocation.profile,
    }
    for option, given in named.items():
        words += [option, str(given)] if given is not None else []
    return (*words, *(["--in-place"] if invocation.in_place else []))


@asynccontextmanager
async def _server(
    invocation: Invocation,
    document: Document,
    terminal: Terminal,
    listener: JsonListener | TerminalListener,
) -> AsyncIterator[tuple["ServerClient", str]]:
    """The server of the profile, and its name; without one the embedded server, without a name."""
    profile = chosen_profile(invocation.profile)
    if profile is not None:

        def say(text: str) -> None:
            listener.on_event(Notice("server", text))

        with TunnelTalk(terminal) as talk:
            async with open_profile(
                profile, on_tunnel=talk, talk=say, kernel_env=invocation.kernel_env
            ) as server:
                yield server, profile.name
        return
    for option, value in {
        "--kernel-id": invocation.kernel_id,
        "--kernel-env": invocation.kernel_env,
    }.items():
        if value:
            raise UsageError(f"{option} needs a server.", hint="jrc login URL")
    async with open_embedded(document.path.parent) as server:
        yield server, ""


@asynccontextmanager
async def live(listener: JsonListener | TerminalListener) -> AsyncIterator[None]:
    """Keep the clock of the live line going."""

    async def tick() -> None:
        while isinstance(listener, TerminalListener):
            await asyncio.sleep(1)
            listener.live.draw()

    if isinstance(listener, TerminalListener):
        listener.start()
    ticking = asyncio.create_task(tick(), name="live-line")
    try:
        yield
    finally:
        ticking.cancel()
        if isinstance(listener, TerminalListener):
            listener.close()
