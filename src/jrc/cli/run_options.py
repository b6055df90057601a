"""The command line of ``jrc run`` as one value: its options, in groups."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from jrc.notebook.parameter_values import Given
from jrc.options import Option
from jrc.run.options import Options

AsJson = Annotated[bool, Option("--json", "Print one JSON event per line.")]
Quiet = Annotated[bool, Option("-q --quiet", "Print only output and errors.")]


def _show_table(context: Any, given: bool) -> None:
    if given and not context.resilient_parsing:
        from jrc.cli.run_papermill import TABLE
        from jrc.cli.terminal import Terminal

        Terminal().write(f"{TABLE}\n")
        raise typer.Exit


class Source(NamedTuple):
    """What is executed."""

    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .ipynb, a .py (plain or # %% cells), or -.")
    ]
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS", help="Arguments of the script: everything after it."),
    ] = None


class Parameters(NamedTuple):
    """What becomes of the parameters in the document; as papermill has it."""

    language: Annotated[
        str | None, Option("-l --language", "Of the parameters' cell.", "NAME", hidden=True)
    ] = None
    inject_input: Annotated[
        bool, Option("--inject-input-path", "Set PAPERMILL_INPUT_PATH.", hidden=True)
    ] = False
    inject_output: Annotated[
        bool, Option("--inject-output-path", "Set PAPERMILL_OUTPUT_PATH.", hidden=True)
    ] = False
    inject_paths: Annotated[bool, Option("--inject-paths", "Set both.", hidden=True)] = False


class Result(NamedTuple):
    """The file of the result."""

    output: Annotated[
        Path | None, Option("-o --output", "Save here instead of NAME.out.ipynb.", "PATH")
    ] = None
    in_place: Annotated[bool, Option("--in-place", "Save to FILE itself.")] = False
    report_mode: Annotated[
        bool, Option("--report-mode/--no-report-mode", "Hide the code.", hidden=True)
    ] = False


class Copies(NamedTuple):
    """Files that get parts of the output, beside the result."""

    images: Annotated[
        Path | None,
        Option("--output-image", "Save images in a folder or as NAME.png.", "PATH"),
    ] = None
    stdout: Annotated[
        Path | None, Option("--stdout-file", "Write printed text there.", "PATH", hidden=True)
    ] = None
    stderr: Annotated[
        Path | None, Option("--stderr-file", "The same for stderr.", "PATH", hidden=True)
    ] = None


class Place(NamedTuple):
    """The server."""

    profile: Annotated[str | None, Option("-P --profile", "The server's profile.", "NAME")] = None
    kernel_env: Annotated[
        Sequence[str], Option("--kernel-env", "Gateways: set a variable of the kernel.", "K=V")
    ] = ()


class Report(NamedTuple):
    """How jrc reports what happens."""

    json: AsJson = False
    quiet: Quiet = False
    exit_code_base: Annotated[
        int,
        Option("--exit-code-base", "Add N to jrc's own exit codes.", "N", least=0, most=185),
    ] = 0


class Instead(NamedTuple):
    """What is done instead of a run."""

    prepare_only: Annotated[
        bool, Option("--prepare-only/--prepare-execute", "Execute nothing.", hidden=True)
    ] = False
    help_notebook: Annotated[
        bool, Option("--help-notebook", "Show its parameters.", hidden=True)
    ] = False
    help_papermill: Annotated[
        bool,
        typer.Option(
            "--help-papermill",
            is_eager=True,
            callback=_show_table,
            help="List papermill's options.",
        ),
    ] = False


class Invocation(NamedTuple):
    """What was typed for one ``jrc run``. Help shows them in this order.

    Attributes:
        first: the number of the cell to start at.
    """

    source: Source
    given: Given = Given()
    parameters: Parameters = Parameters()
    result: Result = Result()
    copies: Copies = Copies()
    place: Place = Place()
    how: Options = Options()
    first: Annotated[
        int, Option("--from", "Start at this cell; needs --kernel-id.", "CELL", least=1)
    ] = 1
    detach: Annotated[bool, Option("--detach", "Start the run, print its id, and exit.")] = False
    report: Report = Report()
    instead: Instead = Instead()
