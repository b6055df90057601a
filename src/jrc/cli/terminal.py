"""The one object that talks to the person: data on stdout, talk on stderr."""

import json
import os
import sys
from typing import Any

from jrc.errors import ConfigError, JrcError


class Terminal:
    """Where output goes and how it may look.

    stdout carries data and nothing else, so that it can be piped; stderr carries talk. Colour only
    on a terminal, and not where ``NO_COLOR`` or ``CI`` is set.
    """

    def __init__(self) -> None:
        self.interactive = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
        quiet_place = "NO_COLOR" in os.environ or "CI" in os.environ
        self.live = sys.stderr.isatty() and "CI" not in os.environ
        self.color_out = sys.stdout.isatty() and not quiet_place
        self.color_err = sys.stderr.isatty() and not quiet_place

    def data(self, text: str) -> None:
        """One line of what the command was asked for."""
        print(text, flush=True)

    def json(self, value: Any) -> None:
        """One JSON value on one line: the stable contract of ``--json``."""
        self.data(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))

    def say(self, text: str) -> None:
        """One line of talk."""
        print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """One line that should not be overlooked, though the command goes on."""
        self.say(f"{self._styled('warning:', '33')} {text}")

    def error(self, error: JrcError) -> None:
        """What failed and what to do next."""
        self.say(f"{self._styled('error:', '1;31')} {error.message}")
        if error.hint:
            self.say(f"{self._styled('hint:', '36')} {error.hint}")

    def ask(self, question: str, *, hidden: bool = False, without: str) -> str:
        """One line from the person.

        Args:
            question: what to ask, without the colon.
            hidden: do not show what is typed.
            without: the option to use where nobody can answer, for the error message.

        Raises:
            ConfigError: there is no terminal to ask at.
        """
        if not self.interactive:
            raise ConfigError(f"{question}: there is no terminal to ask at.", hint=without)
        if hidden:
            from getpass import getpass

            return getpass(f"{question}: ", stream=sys.stderr)
        print(f"{question}: ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().rstrip("\r\n")

    def table(self, header: list[str], rows: list[list[str]]) -> None:
        """A table on stdout: aligned columns, two spaces apart."""
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        for row in [header, *rows]:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.data("  ".join(cells).rstrip())

    def _styled(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.color_err else text
