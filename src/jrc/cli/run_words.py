"""The words behind ``jrc run``: which are jrc's, and which are the script's. Pure but for a look at
the first line of a file that does not end in ``.py``."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from jrc.errors import UsageError

_PARAMETERS = {
    "-p": "-p",
    "--parameter": "-p",
    "--parameters": "-p",
    "-r": "-r",
    "--raw": "-r",
    "--parameters_raw": "-r",
}
"""Options with a name and a value, by all their names."""

_PAPERMILL = {
    "--parameters_file": "--parameter-file",
    "--parameters_yaml": "--yaml",
    "--parameters_base64": "--base64",
    "-k": "--kernel",
    "--execution-timeout": "--timeout",
    "--start_timeout": "--start-timeout",
}
"""Options of papermill that have another name here."""


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
    for word in map(_renamed, rest):
        if word in _PARAMETERS:
            before += [_PARAMETERS[word], _parameter(word, rest)]
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
        word = _renamed(word)
        if word == "--":
            return [*folded, word, *rest]
        if word in _PARAMETERS:
            folded += [_PARAMETERS[word], _parameter(word, rest)]
        else:
            folded.append(word)
    return folded


def _renamed(word: str) -> str:
    option, equals, value = word.partition("=")
    return f"{_PAPERMILL.get(option, option)}{equals}{value}"


def _parameter(option: str, rest: Iterator[str]) -> str:
    name = next(rest, None)
    if name is not None and "=" in name and not name.startswith("="):
        # No name has an equals sign in it: both are in one word.
        return name
    value = next(rest, None)
    if not name or value is None or name.startswith("="):
        raise UsageError(f"{option} takes a name and a value.", hint=f"{option} alpha 0.6")
    return f"{name}={value}"
