"""The words behind ``jrc run``: which are jrc's, and which are the script's. Pure but for a look at
the first line of a file that does not end in ``.py``."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from jrc.errors import UsageError

_PARAMETER = ("-p", "--parameter")


def arrange(
    words: list[str],
    values: Mapping[str, int],
    *,
    is_script: Callable[[Path], bool],
) -> list[str]:
    """The words as the parser of options needs them.

    Behind a script everything is the script's, as with ``python FILE ARGS``; one ``--`` in between
    is allowed. Behind a notebook come more options. ``-p NAME VALUE`` becomes ``-p NAME=VALUE``.

    Args:
        words: what was typed.
        values: how many words follow an option.
        is_script: whether a file is a script.

    Raises:
        UsageError: a parameter has no name or no value.
    """
    before: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in _PARAMETER:
            before += ["-p", _parameter(word, rest)]
        elif word == "--":
            return [*before, word, *rest]
        elif word == "-" or not word.startswith("-"):
            return [*before, *_from_file_on(word, list(rest), is_script)]
        else:
            before += [word, *islice(rest, values.get(word, 0))]
    return before


def _from_file_on(file: str, behind: list[str], is_script: Callable[[Path], bool]) -> list[str]:
    if not is_script(Path(file)):
        return [file, *fold_parameters(behind)]
    if behind[:1] == ["--"]:
        del behind[0]
    return ["--", file, *behind]


def fold_parameters(words: list[str]) -> list[str]:
    """``-p NAME VALUE`` as ``-p NAME=VALUE``, as far as ``--``.

    Raises:
        UsageError: a name or a value is missing.
    """
    folded: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*folded, word, *rest]
        folded += ["-p", _parameter(word, rest)] if word in _PARAMETER else [word]
    return folded


def _parameter(option: str, rest: Iterator[str]) -> str:
    name, value = next(rest, None), next(rest, None)
    if name is None or value is None or "=" in name:
        raise UsageError(f"{option} takes a name and a value.", hint="-p alpha 0.6")
    return f"{name}={value}"
