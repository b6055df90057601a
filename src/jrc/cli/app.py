"""The ``jrc`` command: its table of commands, and the boundary where every error ends."""

import sys
from typing import Annotated, ClassVar

import typer

from jrc.cli.lazy import LazyCommand, LazyGroup, plain_typer
from jrc.cli.streams import open_missing_streams, safe_streams
from jrc.cli.terminal import Terminal
from jrc.errors import ExitCode, JrcError


class RootGroup(LazyGroup):
    table: ClassVar = {
        "run": LazyCommand("jrc.cli.run", "Run a notebook or a script on a Jupyter Server."),
        "runs": LazyCommand("jrc.cli.runs", "List your runs on all servers."),
        "attach": LazyCommand("jrc.cli.attach", "Come back to a run, and follow it to its end."),
        "cancel": LazyCommand("jrc.cli.cancel", "Stop a run."),
        "login": LazyCommand("jrc.cli.login", "Save a server and its credentials as a profile."),
        "logout": LazyCommand("jrc.cli.logout", "Forget the credentials of a profile."),
        "profile": LazyCommand("jrc.cli.profile", "List, show, choose, rename, remove profiles."),
        "connect": LazyCommand("jrc.cli.connect", "Reach a server, and put it into the editors."),
        "disconnect": LazyCommand(
            "jrc.cli.disconnect", "Undo connect: end tunnels, restore the editors."
        ),
        "status": LazyCommand("jrc.cli.status", "Show the profiles' tunnels."),
        "open": LazyCommand("jrc.cli.open", "Open the server's page in the browser."),
        "doctor": LazyCommand("jrc.cli.doctor", "Check everything between here and a kernel."),
        "companion": LazyCommand(
            "jrc.cli.companion", "What jrc's extension in VS Code asks.", hidden=True
        ),
        "kernel": LazyCommand("jrc.cli.kernel", "List, start, stop, interrupt, restart kernels."),
    }


app = plain_typer(cls=RootGroup, no_args_is_help=True, add_completion=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        Terminal().data(f"jrc {version('jrc-cli')}")
        raise typer.Exit


def _verbose(level: int) -> None:
    if level:
        import logging

        logging.basicConfig(
            level=logging.DEBUG if level > 1 else logging.INFO,
            format="%(asctime)s %(name)s %(levelname)s %(message)s",
            stream=sys.stderr,
        )


@app.callback()
def jrc(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
    verbose: Annotated[
        int, typer.Option("-v", "--verbose", count=True, help="Log to stderr; twice for more.")
    ] = 0,
) -> None:
    """Execute your local notebooks and scripts on the kernels of a shared Jupyter Server.

    \b
    Example:
      jrc run examples/quickstart.ipynb
    """
    _verbose(verbose)


def main() -> None:
    """Every error of a command line ends here: in one sentence and an exit code."""
    open_missing_streams()
    with safe_streams():
        code = run_cli(sys.argv[1:])
    sys.exit(code)


def run_cli(args: list[str]) -> int:
    """Run one command line.

    Args:
        args: the words behind ``jrc``.

    Returns:
        the exit code of the process.
    """
    try:
        app(args=args, prog_name="jrc")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except JrcError as error:
        Terminal().error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as bug:  # noqa: BLE001  a traceback reaches the log, not the person
        return _report_bug(bug)
    return ExitCode.OK


def _report_bug(bug: Exception) -> int:
    from jrc.profile.paths import Paths

    path = Paths.from_environment().write_crash_log(bug)
    Terminal().error(
        JrcError(
            f"jrc failed in a way that it should not: {type(bug).__name__}.",
            hint=f"The details are in {path}; please report it.",
        )
    )
    return ExitCode.BUG
