"""Plain scripts: the code that makes a kernel run one, and how it ended."""

import base64
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from jrc.errors import ExitCode, UsageError

# Source: PEP 263 and PEP 3120.
_COOKIE = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_BLANK = re.compile(rb"[ \t\f]*(?:#.*)?\r?\n?$")
_BOM = b"\xef\xbb\xbf"

# As in streams_in_kernel, which is for the kernel and not imported here.
STDIN_PROMPT = "\x00jrc:stdin "
"""Begins the question of a script that wants a piece of stdin; how much of it stands behind."""

STDIN_ERROR = "!"
"""Begins the answer that there can be none; another answer is base64, empty at the end."""

_EXIT_KEY = "jrc_exit_code"

# The expression takes the value away, so that nothing is left in the kernel.
EXIT_EXPRESSIONS: Mapping[str, str] = {
    _EXIT_KEY: "__import__('sys').__dict__.pop('_jrc_exit_code', None)"
}
"""``user_expressions`` to send along with ``script_code``; ``exit_code_from_reply`` reads them."""


STDIN = Path("-")
"""What names a document that comes on stdin, on the command line and in ``sys.argv``."""

STDIN_NAME = "<stdin>"
"""What names it in messages and tracebacks."""

Stdin = Literal["terminal", "pipe", "none", "detached"]
"""What a script reads from: the person at a terminal; a pipe or a file; nothing, because stdin is
closed; or unavailable, because the client that began the run has left."""

_PYTHON = re.compile(rb"#!.*\b(?:python|pypy|jrc|uv)")


def is_script(path: Path) -> bool:
    """Whether what stands behind this name on a command line belongs to it.

    A script ends in ``.py``, or begins with a ``#!`` line that names Python or jrc; ``-`` is code
    on stdin, as for ``python``.
    """
    suffix = path.suffix.lower()
    if path == STDIN or suffix in (".py", ".pyw", ".ipynb"):
        return suffix != ".ipynb"
    try:
        with path.open("rb") as file:
            return _PYTHON.match(file.readline(512)) is not None
    except (OSError, ValueError):
        return False


def decode_script(path: Path, data: bytes) -> str:
    """The text of a Python file, decoded as Python does it: coding cookie, BOM, all line ends.

    Args:
        path: of the file, for the error message.
        data: its content.

    Returns:
        the text with ``\\n`` at the ends of its lines.

    Raises:
        UsageError: the content does not fit its encoding.
    """
    encoding = "utf-8-sig" if data.startswith(_BOM) else _cookie(data)
    try:
        text = data.decode(encoding)
    except LookupError as error:
        raise UsageError(f"{path} names an encoding that does not exist: {encoding}.") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path} is not {encoding} text: line {line} has a byte that does not fit.",
            hint="Save it as UTF-8, or name its encoding: # -*- coding: … -*- in line 1.",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _cookie(data: bytes) -> str:
    for line in data.split(b"\n", 2)[:2]:
        cookie = _COOKIE.match(line)
        if cookie:
            return cookie[1].decode("ascii")
        if not _BLANK.match(line):
            break
    return "utf-8"


def script_code(source: str, path: str, argv: Sequence[str], stdin: Stdin) -> str:
    """The code that runs a whole script in a kernel as ``python FILE ARGS`` would.

    It is one expression without a value. Its parts are compressed: a kernel echoes the code to all
    its clients, and a server refuses messages over 10 MiB.

    Args:
        source: the script's text, its lines ended by ``\\n``.
        path: absolute path of the script on this machine: its ``__file__``.
        argv: ``sys.argv`` for it.
        stdin: what it reads from.
    """
    call = f"run({source!r}, {path!r}, {list(argv)!r}, {stdin!r})"
    return _packed(f"{_text_of('streams_in_kernel', 'script_in_kernel')}\n{call}\n")


def _packed(text: str) -> str:
    """One expression that executes a module's text, without a value and in its own namespace."""
    packed = base64.b64encode(zlib.compress(text.encode())).decode()
    # Through __import__: a running kernel's namespace may have its own idea of `exec`.
    return (
        "__import__('builtins').exec(__import__('zlib').decompress("
        f"__import__('base64').b64decode('{packed}')).decode(), {{'__name__': 'jrc_script'}})"
    )


def _text_of(*modules: str) -> str:
    """The text of modules for the kernel, of which each uses those before it."""
    folder = Path(__file__).parent
    texts = [(folder / f"{name}.py").read_text(encoding="utf-8") for name in modules]
    future = "from __future__ import annotations\n"
    return future + "".join(text.replace(future, "") for text in texts)


def prologue_code(path: str, argv: Sequence[str], stdin: Stdin) -> str:
    """The code that gives a script that runs cell by cell what it finds under python.

    Args:
        path: its ``__file__``.
        argv: its ``sys.argv``.
        stdin: what it reads from.
    """
    streams = _packed(f"{_text_of('streams_in_kernel')}\ncells_stdin({stdin!r})\n")
    return f"__file__ = {path!r}\n__import__('sys').argv = {list(argv)!r}\n{streams}"


def exit_code_from_reply(content: Mapping[str, Any]) -> int | None:
    """How a script ended, from the content of the ``execute_reply`` to ``script_code``.

    A script that came to its end, by ``sys.exit`` or without, is answered with status ``ok`` and
    the exit code in ``user_expressions``. An uncaught exception is answered with status ``error``,
    as for any cell; the ``error`` output holds the traceback that ``python`` would have printed.

    Args:
        content: the reply's content.

    Returns:
        0 for the end of the script, ``sys.exit()`` or ``sys.exit(None)``; n for ``sys.exit(n)``; 1
        for ``sys.exit("text")`` (the text went to stderr) and for an uncaught exception; 130 when
        Ctrl-C ended it; None when the reply does not say (``aborted``).
    """
    if content.get("status") == "error":
        exited = exit_code_of_cell(content)
        if exited is not None:
            return exited
        interrupted = content.get("ename") == "KeyboardInterrupt"
        return ExitCode.INTERRUPTED if interrupted else ExitCode.REMOTE_FAILED
    try:
        text = content["user_expressions"][_EXIT_KEY]["data"]["text/plain"]
        return int(text) if re.fullmatch(r"-?\d+", text) else None
    except (KeyError, TypeError):
        return None


def exit_code_of_cell(content: Mapping[str, Any]) -> int | None:
    """The exit code that a cell asked for, from its reply or its ``error`` output.

    Returns:
        None for a cell that failed in another way, and for one that did not fail.
    """
    if content.get("ename") != "SystemExit":
        return None
    text = str(content.get("evalue", "")).strip()
    if text in ("", "None", "False"):
        return 0
    return int(text) if re.fullmatch(r"-?\d{1,20}", text) else 1


def is_plain_exit(output: Mapping[str, Any]) -> bool:
    """Whether an ``error`` output comes from an exit that has no message to show."""
    text = str(output.get("evalue", "")).strip()
    return exit_code_of_cell(output) is not None and not text.strip("-0123456789")
