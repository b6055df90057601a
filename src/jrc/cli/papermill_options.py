"""Options of ``jrc run`` that papermill has too. ``jrc run --help`` has no room for all of them."""

from pathlib import Path
from typing import Annotated, Any

import typer

Raw = Annotated[
    list[str] | None,
    typer.Option("-r", "--raw", metavar="NAME TEXT", help="Set a parameter to text.", hidden=True),
]
Yaml = Annotated[
    list[str] | None,
    typer.Option("-y", "--yaml", metavar="YAML", help="Parameters.", hidden=True),
]
Base64 = Annotated[
    list[str] | None,
    typer.Option("-b", "--base64", metavar="TEXT", help="Encoded YAML.", hidden=True),
]
Language = Annotated[
    str | None,
    typer.Option("-l", "--language", metavar="NAME", help="Of the parameters' cell.", hidden=True),
]
InjectInput = Annotated[
    bool, typer.Option("--inject-input-path", help="Set PAPERMILL_INPUT_PATH.", hidden=True)
]
InjectOutput = Annotated[
    bool, typer.Option("--inject-output-path", help="Set PAPERMILL_OUTPUT_PATH.", hidden=True)
]
InjectPaths = Annotated[bool, typer.Option("--inject-paths", help="Set both.", hidden=True)]
PrepareOnly = Annotated[
    bool,
    typer.Option("--prepare-only/--prepare-execute", help="Execute nothing.", hidden=True),
]
ReportMode = Annotated[
    bool, typer.Option("--report-mode/--no-report-mode", help="Hide the code.", hidden=True)
]
MarkError = Annotated[
    bool, typer.Option("--mark-error", help="Link to the error in the result.", hidden=True)
]
HelpNotebook = Annotated[
    bool, typer.Option("--help-notebook", help="Show its parameters.", hidden=True)
]
StdoutFile = Annotated[
    Path | None,
    typer.Option("--stdout-file", metavar="PATH", help="Printed text goes there.", hidden=True),
]
StderrFile = Annotated[
    Path | None,
    typer.Option("--stderr-file", metavar="PATH", help="The same for stderr.", hidden=True),
]


def _show_table(context: Any, given: bool) -> None:
    if given and not context.resilient_parsing:
        from jrc.cli.run_papermill import TABLE
        from jrc.cli.terminal import Terminal

        Terminal().write(f"{TABLE}\n")
        raise typer.Exit


HelpPapermill = Annotated[
    bool,
    typer.Option(
        "--help-papermill", is_eager=True, callback=_show_table, help="papermill's options."
    ),
]
