"""The ``jrc`` command, and ``python -m jrc``."""

import atexit
import gc


def main() -> None:
    """The console script."""
    _collect_less_garbage()
    from jrc.cli import app

    app.main()


def _collect_less_garbage() -> None:
    """Imports make many objects and hardly any garbage: to look for it is a tenth of the start.

    What is left at the end goes with the process: nobody needs to search that either.
    """
    gc.set_threshold(20_000, 50, 50)
    atexit.register(gc.freeze)


if __name__ == "__main__":
    main()
