"""``jrc run``: a notebook or a script on a Jupyter Server."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from jrc.cli import papermill_options as papermill
from jrc.cli.complete import kernelspec_names
from jrc.cli.durations import seconds
from jrc.cli.lazy import plain_typer
from jrc.cli.pairs import pairs
from jrc.cli.profile import complete_profile
from jrc.cli.run_words import arrange
from jrc.cli.terminal import Terminal

app = plain_typer(add_completion=False)


class RunCommand(TyperCommand):
    """Leaves what stands behind a script to it, and takes ``-p NAME VALUE`` as papermill does."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from jrc.notebook.script import is_script

        values = {
            name: parameter.nargs
            for parameter in self.params
            if parameter.param_type_name == "option"
            and not getattr(parameter, "is_flag", False)
            and not getattr(parameter, "count", False)
            for name in parameter.opts
        }
        return super().parse_args(ctx, arrange(args, values, is_script=is_script))


@app.command(cls=RunCommand)
def run(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .ipynb, a .py (plain or # %% cells), or -.")
    ],
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS", help="The script's: all that stands behind it."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "-p", "--parameter", metavar="NAME VALUE", help="Set a parameter. Repeatable."
        ),
    ] = None,
    parameter_file: Annotated[
        list[Path] | None,
        typer.Option("-f", "--parameter-file", metavar="PATH", help="Parameters as YAML or JSON."),
    ] = None,
    raw: papermill.Raw = None,
    yaml: papermill.Yaml = None,
    base64: papermill.Base64 = None,
    language: papermill.Language = None,
    inject_input: papermill.InjectInput = False,
    inject_output: papermill.InjectOutput = False,
    inject_paths: papermill.InjectPaths = False,
    prepare_only: papermill.PrepareOnly = False,
    report_mode: papermill.ReportMode = False,
    mark_error: papermill.MarkError = False,
    help_notebook: papermill.HelpNotebook = False,
    stdout_file: papermill.StdoutFile = None,
    stderr_file: papermill.StderrFile = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PATH", help="Save here; else in NAME.out.ipynb."),
    ] = None,
    output_image: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Save images: into a folder, or as NAME.png."),
    ] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Save into FILE itself.")] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            "-P", "--profile", metavar="NAME", help="The server.", autocompletion=complete_profile
        ),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            "--kernel", metavar="NAME", help="The kernelspec.", autocompletion=kernelspec_names
        ),
    ] = None,
    kernel_id: Annotated[
        str | None,
        typer.Option("--kernel-id", metavar="ID", help="Use a running kernel, and keep it."),
    ] = None,
    kernel_env: Annotated[
        list[str] | None,
        typer.Option("--kernel-env", metavar="K=V", help="Gateways: set a kernel's variable."),
    ] = None,
    keep_kernel: Annotated[
        bool, typer.Option("--keep-kernel", help="Do not delete the kernel at the end.")
    ] = False,
    keep_kernel_on_error: Annotated[
        bool, typer.Option("--keep-kernel-on-error", help="Do not delete it when a cell failed.")
    ] = False,
    first: Annotated[
        int,
        typer.Option("--from", metavar="CELL", help="Begin at this cell, with --kernel-id.", min=1),
    ] = 1,
    detach: Annotated[
        bool, typer.Option("--detach", help="Begin, print the run's id, and leave.")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Stands for the run's id in attach, logs, …"),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="TIME", help="For one cell, as 90s or 2h; then interrupt it.", parser=seconds
        ),
    ] = None,
    start_timeout: Annotated[
        float,
        typer.Option(metavar="TIME", help="For a new kernel's first answer.", parser=seconds),
    ] = 120,
    reconnect: Annotated[
        float,
        typer.Option(
            metavar="TIME", help="How long to try to reach a lost server again.", parser=seconds
        ),
    ] = 60,
    allow_errors: Annotated[
        bool, typer.Option("--allow-errors", help="Go on after a cell that failed.")
    ] = False,
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="Exit with 0 though output was lost.")
    ] = False,
    recorder: Annotated[
        bool, typer.Option("--recorder/--no-recorder", help="Keep output in the kernel until here.")
    ] = True,
    pipeline: Annotated[
        bool, typer.Option("--pipeline/--no-pipeline", help="Send all cells at once.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="One event a line, as JSON.")] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Only the output, and what goes wrong.")
    ] = False,
    exit_code_base: Annotated[
        int,
        typer.Option(metavar="N", help="Add N to the exit codes of jrc itself.", min=0, max=185),
    ] = 0,
    _help_papermill: papermill.HelpPapermill = False,
) -> None:
    """Run a notebook or a script on a Jupyter Server.

    jrc's options stand before a script; all that stands behind it is the script's.
    Without a profile it runs on an embedded server on this machine.

    \b
    Example:
      jrc run train.ipynb -p epochs 20 -o result.ipynb
      jrc run -o result.ipynb train.py --epochs 20
    """
    from jrc.cli.run_command import Invocation, execute
    from jrc.cli.run_papermill import PapermillOptions
    from jrc.notebook.parameter_values import Given

    code = execute(
        Invocation(
            file=file,
            args=args or [],
            parameters=Given(
                values=list(map(split_parameter, parameter or [])),
                raw=list(map(split_parameter, raw or [])),
                files=parameter_file or [],
                yaml=yaml or [],
                base64=base64 or [],
            ),
            language=language,
            papermill=PapermillOptions(
                inject_input_path=inject_input or inject_paths,
                inject_output_path=inject_output or inject_paths,
                prepare_only=prepare_only,
                report_mode=report_mode,
                mark_error=mark_error,
                help_notebook=help_notebook,
                stdout_file=stdout_file,
                stderr_file=stderr_file,
            ),
            output=output,
            output_image=output_image,
            in_place=in_place,
            profile=profile,
            kernel=kernel,
            kernel_id=kernel_id,
            kernel_env=pairs(kernel_env or [], "--kernel-env"),
            keep_kernel=keep_kernel,
            keep_kernel_on_error=keep_kernel_on_error,
            first=first,
            detach=detach,
            name=name or "",
            timeout=timeout or None,
            start_timeout=start_timeout,
            reconnect=reconnect,
            allow_errors=allow_errors,
            allow_loss=allow_loss,
            recorder=recorder,
            pipeline=pipeline,
            json=json,
            quiet=quiet,
            exit_code_base=exit_code_base,
        ),
        Terminal(),
    )
    raise typer.Exit(code)


def split_parameter(text: str) -> tuple[str, str]:
    """A folded parameter as name and value."""
    name, _, value = text.partition("=")
    return name, value
