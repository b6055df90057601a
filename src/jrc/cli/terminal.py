"""The one object that talks to the person: data on stdout, talk on stderr."""

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jrc.cli.columns import cut, table_lines, wrap_sentence
from jrc.cli.streams import SafeStream, safe
from jrc.errors import ConfigError, JrcError
from jrc.shapes import parse
from jrc.visible import STEERING, visible

STARTED = time.monotonic()
"""When the command began: this module is among the first that it loads."""

_OURS = "jrc: "
"""What begins a line of jrc's among those of the remote code."""

_AT_ONCE = 1 << 20
"""Characters that a stream gets at a time: it would encode a copy of them all."""

_MOST_IN_CELL = 500
"""Characters of one cell of a table."""

_CLEAR = "\x1b[H\x1b[2J"


class Terminal:
    """Where output goes and how it may look. The only place of ``cli`` that writes.

    stdout carries data and nothing else, so that it can be piped; stderr carries talk. Colour only
    on a terminal, and not where ``NO_COLOR`` or ``CI`` is set or the terminal is a dumb one.
    Nothing that goes wrong with a write ends a command: see ``jrc.cli.streams``.

    Attributes:
        talk_only: stdout is kept free for something else; what would go there goes to stderr.
    """

    def __init__(self) -> None:
        self.err = safe(sys.stderr, "stderr")
        self.out = safe(sys.stdout, "stdout", self.err)
        on_out, on_err = self.out.isatty(), self.err.isatty()
        self.interactive = sys.stdin is not None and sys.stdin.isatty() and on_err
        dumb = os.environ.get("TERM") == "dumb"
        # The reader of a pipe (`| tee log`) often writes to the same terminal, over a live line.
        self.live = on_err and not dumb and "CI" not in os.environ and not self.out.is_pipe()
        plain = dumb or "NO_COLOR" in os.environ or "CI" in os.environ
        self.color_out = on_out and not plain
        self.color_err = on_err and not plain
        self.talk_only = False

    def write(self, text: str, *, error: bool = False) -> None:
        """Text of jrc's own in several lines, on stdout or stderr. What others say has ``data``."""
        stream = self._stream(error)
        for start in range(0, len(text), _AT_ONCE):
            stream.write(text[start : start + _AT_ONCE])
        stream.flush()

    def output(self, text: str, *, error: bool = False, colours: bool = True) -> None:
        """What remote code printed, as far as it may be shown: see ``cli.remote_text``.

        Args:
            text: the next piece of it.
            error: it belongs on stderr.
            colours: show colours and styles.
        """
        stream = self._stream(error)
        for start in range(0, len(text), _AT_ONCE):
            stream.write_remote(text[start : start + _AT_ONCE], colours=colours)
        stream.flush()

    def data(self, text: str, *, marked: tuple[str, str] = ("", "")) -> None:
        """One line of what the command was asked for.

        Args:
            text: the line.
            marked: what stands before it, and the colour of that.
        """
        mark, colour = marked
        shown = f"\x1b[{colour}m{mark}\x1b[0m" if mark and self.color_out else mark
        self.write(f"{shown}{visible(text)}\n")

    def json(self, value: Any) -> None:
        """One JSON value on one line: the stable contract of ``--json``."""
        self.write(f"{json_line(value, ascii_only=not _is_unicode(self.out.encoding))}\n")

    def as_json_text(self, text: str) -> str:
        """JSON text in characters that stdout has and that steer no terminal."""
        if _is_unicode(self.out.encoding):
            return _escaped_json(text)
        return json.dumps(parse(text), indent=1) + "\n"

    def say(self, text: str) -> None:
        """One line of talk."""
        ours = text.startswith(_OURS)
        self._talk(self._styled(_OURS, "1") if ours else "", text.removeprefix(_OURS))

    def typed(self, shown: str) -> None:
        """The person typed something that the terminal shows at the cursor: ``^C``."""
        if not self.err.place.painted:
            self.err.place.wrote(shown)

    def leave(self) -> None:
        """Ctrl-C ends what is shown again and again: the shell's prompt gets its own line."""
        if self.interactive:
            self.write("\n", error=True)

    def mark(self, text: str) -> None:
        """One quiet line of talk, which structures what is between such lines."""
        text = visible(text)
        if columns := columns_of(self.err):
            text = cut(text, columns)
        shown = f"\x1b[2m{text}\x1b[0m" if self.color_err else text
        self.write(f"{self._new_line()}{shown}\n", error=True)

    def warn(self, text: str) -> None:
        """One line that should not be overlooked, though the command goes on."""
        self._talk(self._styled("warning: ", "33"), text)

    def error(self, error: JrcError) -> None:
        """What failed and what to do next."""
        self._talk(self._styled("error: ", "1;31"), error.message)
        if error.hint:
            self._talk(self._styled("hint: ", "36"), error.hint)

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
        prompt = f"{self._wrapped(f'{visible(question)}:')} "
        with _ctrl_c_raises():
            try:
                if hidden:
                    from getpass import getpass

                    return getpass(prompt, stream=sys.stderr)
                self.write(prompt, error=True)
                answer = sys.stdin.readline()
            except KeyboardInterrupt:
                # The cursor stands behind the question.
                self.write("\n", error=True)
                raise
        if answer:
            self.err.place.answered()
        return answer.rstrip("\r\n")

    def table(self, header: list[str], rows: list[list[str]]) -> None:
        """A table on stdout: aligned columns, two spaces apart, as wide as a terminal at most."""
        shown = [[visible(cell, _MOST_IN_CELL) for cell in row] for row in [header, *rows]]
        for line in table_lines(shown, columns_of(self.out)):
            self.data(line)

    def clear(self) -> None:
        """Empty the screen, where stdout is one."""
        if self.out.isatty() and self.live:
            self.out.control(_CLEAR)
            self.out.flush()

    def _talk(self, before: str, text: str) -> None:
        lead = re.sub(r"\x1b\[[0-9;]*m", "", before)
        text = self._wrapped(f"{lead}{visible(text)}").removeprefix(lead)
        self.write(f"{self._new_line()}{before}{text}\n", error=True)

    def _wrapped(self, text: str) -> str:
        columns = columns_of(self.err)
        return wrap_sentence(text, columns) if columns else text

    def _stream(self, error: bool) -> SafeStream:
        return self.err if error or self.talk_only else self.out

    def _new_line(self) -> str:
        """What brings talk to a line of its own."""
        if self.err.place.open:
            return "\n"
        # Who presses Ctrl-C sees it as text.
        return "\r\x1b[K" if self.live and not self.err.place.painted else ""

    def _styled(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text.rstrip()}\x1b[0m " if self.color_err else text


@contextmanager
def _ctrl_c_raises() -> Iterator[None]:
    """Ctrl-C ends a question at once; an event loop around it would wait for the answer first."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def columns_of(stream: SafeStream) -> int | None:
    """How wide the terminal behind a stream is; None where it is none, or does not say so."""
    if not stream.isatty():
        return None
    if os.environ.get("COLUMNS", "").isdecimal():
        return int(os.environ["COLUMNS"]) or None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def duration(seconds: float) -> str:
    """A time span in its largest unit: ``42s``, ``7m``, ``3h``, ``5d``; a clock may be behind."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def json_line(value: Any, *, ascii_only: bool = False) -> str:
    """A value as JSON on one line, which is valid JSON and valid UTF-8 whatever is in it."""
    layout: dict[str, Any] = {"ensure_ascii": ascii_only, "separators": (", ", ": ")}
    try:
        text = json.dumps(value, allow_nan=False, **layout)
    except ValueError:
        text = json.dumps(_without_nan(value), **layout)
    return _escaped_json(text)


def _escaped_json(text: str) -> str:
    """JSON text with an escape for each character that steers a terminal or is no UTF-8."""
    if text.isascii() and "\x7f" not in text:
        return text
    return STEERING.sub(lambda f: f[0] if f[0] < " " else json.dumps(f[0])[1:-1], text)


def _without_nan(value: Any) -> Any:
    """The value with null for each number that JSON has no way to write."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def _is_unicode(encoding: str) -> bool:
    return encoding.lower().replace("-", "").startswith("utf")
