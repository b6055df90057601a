"""The ``jrc-kernel`` command: what an editor starts in place of a local kernel.

``jrc-kernel -f CONNECTION_FILE`` with ``JRC_PROFILE`` (the server) and ``JRC_KERNEL`` (its
kernelspec) in the environment. The ports are bound first, because editors wait for them only so
long. What the rest needs is imported afterwards.
"""

import os
import signal
import sys
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from jrc.errors import ExitCode, JrcError, UsageError
from jrc.visible import visible

if TYPE_CHECKING:
    from jrc.relay.watch import Timing

_FILE_OPTIONS = ("-f", "--f", "--IPKernelApp.connection_file")
"""How the applications of IPython take a connection file."""


def main(timing: "Timing | None" = None) -> None:
    """The console script; a test gives it a timing."""
    sys.exit(run(sys.argv[1:], timing))


def run(args: list[str], timing: "Timing | None" = None) -> int:
    """Run the relay until it is asked to end, or the remote kernel is gone.

    Args:
        args: the arguments of ``jrc-kernel``.
        timing: thresholds of the relay; the defaults if None.

    Returns:
        the exit code of the process.
    """
    if "-I" in args:
        # VS Code's Python extension tries out whether this is an interpreter.
        return ExitCode.USAGE
    # A Ctrl-C in the terminal of a console is meant for the remote kernel. Until there is one, it
    # is meant for nobody.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return _relay(_connection_file(args), timing)
    except JrcError as error:
        _say(error)
        return error.exit_code
    except Exception as bug:  # noqa: BLE001  a traceback reaches the log, not the cell
        from jrc.profile.paths import Paths, write_crash_log

        path = write_crash_log(Paths.from_environment(), bug)
        _say(
            JrcError(
                f"jrc-kernel failed in a way that it should not: {type(bug).__name__}.",
                hint=f"The details are in {path}; please report it.",
            )
        )
        return ExitCode.BUG


def _connection_file(args: list[str]) -> Path:
    """The argument of ``-f``. Others are ignored, as in ipykernel, because clients add some."""
    for option, following in zip_longest(args, args[1:], fillvalue=""):
        name, equals, value = option.partition("=")
        if name in _FILE_OPTIONS:
            path = value if equals else following
            if path:
                return Path(path)
    raise UsageError(
        "An editor runs this: jrc-kernel -f CONNECTION_FILE", hint="Set it up with: jrc connect"
    )


def _relay(connection_file: Path, timing: "Timing | None") -> int:
    from jrc.relay.sockets import Sockets, read_connection_file

    sockets = Sockets(read_connection_file(connection_file))
    try:
        import asyncio

        from jrc.relay.serve import serve

        asyncio.run(serve(sockets, os.environ, timing))
    finally:
        sockets.close()
    return ExitCode.OK


def _say(error: JrcError) -> None:
    hint = f" ({error.hint})" if error.hint else ""
    print(visible(f"jrc-kernel: {error.message}{hint}"), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
