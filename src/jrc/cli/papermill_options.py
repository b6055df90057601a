"""Options of ``jrc run`` that papermill has too. ``jrc run --help`` has no room for all of them."""

from typing import Annotated

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
