"""The ``jrc`` command, and ``python -m jrc``."""

# ``signal`` is this and its enumerations, whose import takes long enough to press Ctrl-C.
import _signal as signal  # type: ignore[import-not-found]


def main() -> None:
    """The console script."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        # While nobody looks after it, Ctrl-C ends the process as it ends a program in C: a
        # traceback out of an import tells nobody anything. ``run_cli`` looks after it.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from jrc.startup import collect_less_garbage

    collect_less_garbage()
    from jrc.cli import app

    try:
        app.main()
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
