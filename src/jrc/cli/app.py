"""The ``jrc`` command: its table of commands, and the boundary where every error ends."""

import os
import signal
import sys
from typing import Annotated, Any, ClassVar

import typer

from jrc.cli.lazy import COMPLETION_VARIABLE, LazyCommand, LazyGroup, be_verbose, plain_typer
from jrc.cli.streams import open_missing_streams, safe_streams
from jrc.cli.terminal import Terminal
from jrc.errors import ExitCode, JrcError, UsageError


class RootGroup(LazyGroup):
    table: ClassVar = {
        "run": LazyCommand("jrc.cli.run", "Run a notebook or a script on a Jupyter Server."),
        "runs": LazyCommand("jrc.cli.runs", "List your runs on all servers; remove them."),
        "attach": LazyCommand("jrc.cli.attach", "Return to a run, and follow it to its end."),
        "logs": LazyCommand("jrc.cli.logs", "Show what a run has printed so far."),
        "cancel": LazyCommand("jrc.cli.cancel", "Stop a run."),
        "login": LazyCommand(
            "jrc.cli.login.command", "Save a server and its credentials as a profile."
        ),
        "logout": LazyCommand("jrc.cli.logout", "Forget the credentials of a profile."),
        "profile": LazyCommand("jrc.cli.profile", "List, show, choose, rename, remove profiles."),
        "connect": LazyCommand("jrc.cli.connect", "Reach a server, and put it into the editors."),
        "disconnect": LazyCommand(
            "jrc.cli.disconnect", "Undo connect: end tunnels, restore the editors."
        ),
        "status": LazyCommand("jrc.cli.status", "Show how every server is reached."),
        "open": LazyCommand("jrc.cli.open", "Open the server's page in the browser."),
        "doctor": LazyCommand("jrc.cli.doctor", "Check everything between here and a kernel."),
        "companion": LazyCommand(
            "jrc.cli.companion", "Answer jrc's extension in VS Code.", hidden=True
        ),
        "kernel": LazyCommand("jrc.cli.kernel", "List, start, stop, interrupt, restart kernels."),
        "help": LazyCommand("jrc.cli.help", "Show the help of a command."),
    }


app = plain_typer(cls=RootGroup, no_args_is_help=True, add_completion=True)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        Terminal().data(f"jrc {version('jrc-cli')}")
        raise typer.Exit


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
    be_verbose(verbose)


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
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        asked, _, shell = os.environ.get(COMPLETION_VARIABLE, "").partition("_")
        if asked == "complete":
            from jrc.cli.completion import answer

            return answer(shell, app)
        code = app(args=args, prog_name="jrc", standalone_mode=False)
        return code if isinstance(code, int) else ExitCode.OK
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except JrcError as error:
        return _report(error)
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001  a traceback reaches the log, not the person
        if isinstance(error, _LIBRARYS_USAGE_ERROR):
            return _report_usage(error)
        return _report_bug(error)


def _report(error: JrcError) -> int:
    Terminal().error(error)
    return error.exit_code


def _report_usage(error: Any) -> int:
    """What the library says of the words, as jrc says it."""
    context = error.ctx
    if context is not None and error.message == context.get_help():
        # Nothing but the name of a group was typed.
        Terminal().write(f"{error.message}\n", error=True)
        return ExitCode.USAGE
    hint = None if context is None else f"See how it is used: {context.command_path} --help"
    message = error.format_message()
    if near := getattr(error, "possibilities", None):
        message, hint = error.message, f"Did you mean {' or '.join(near)}? {hint}"
    return _report(UsageError(f"{message.rstrip('.')}.", hint=hint))


_LIBRARYS_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""The base of what typer raises for words that it does not understand; it has no public name."""


def _report_bug(bug: Exception) -> int:
    from jrc.profile.paths import Paths, write_crash_log

    path = write_crash_log(Paths.from_environment(), bug)
    Terminal().error(
        JrcError(
            f"jrc failed in a way that it should not: {type(bug).__name__}.",
            hint=f"The details are in {path}; please report it.",
        )
    )
    return ExitCode.BUG
