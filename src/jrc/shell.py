"""Words as a person can type them in a shell."""

import shlex
import sys
from collections.abc import Iterable


def quote(word: str) -> str:
    """One word of a command.

    A file name may be of any bytes. What no keyboard has is spelled out, as bash, zsh and POSIX
    2024 read it: ``$'caf\\xe9.ipynb'``.
    """
    if word.isprintable() or sys.platform == "win32":
        return shlex.quote(word)
    try:
        return "$'" + "".join(map(_escaped, word)) + "'"
    except UnicodeEncodeError:
        # It stands for no bytes.
        return shlex.quote(word)


def join(words: Iterable[str]) -> str:
    """A command of these words."""
    return " ".join(map(quote, words))


def _escaped(letter: str) -> str:
    if letter in "\\'":
        return "\\" + letter
    if letter.isprintable():
        return letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))
