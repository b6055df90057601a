"""``python -m jrc``: the same as the ``jrc`` command."""

from jrc.cli.app import main

if __name__ == "__main__":
    main()
