"""``jrc help``: the help of a command, as ``jrc COMMAND --help`` shows it."""

from typing import Annotated, Any

import typer

from jrc.cli.lazy import plain_typer
from jrc.cli.terminal import Terminal

app = plain_typer(add_completion=False)


@app.command()
def show_help(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="A command of jrc.")
    ] = None,
) -> None:
    """Show the help of a command.

    \b
    Example:
      jrc help kernel list
    """
    context: Any = ctx.find_root()
    for word in words or []:
        group = context.command
        if not hasattr(group, "resolve_command"):
            break
        name, command, _ = group.resolve_command(context, [word])
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
    Terminal().write(f"{context.get_help()}\n")
