"""``jrc run``: a notebook or a script on a Jupyter Server."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from jrc.cli.complete import kernelspec_names, profile_names
from jrc.cli.lazy import plain_typer
from jrc.cli.options import with_options
from jrc.cli.run_options import Invocation
from jrc.cli.terminal import Terminal
from jrc.errors import UsageError

app = plain_typer(add_completion=False)


class RunCommand(TyperCommand):
    """Passes everything after a script to it, and takes ``-p NAME VALUE`` as papermill does."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from jrc.notebook.script import is_script

        values = {
            name: parameter.nargs
            for parameter in self.params
            if parameter.param_type_name == "option"
            and not getattr(parameter, "is_flag", False)
            and not getattr(parameter, "count", False)
            for name in parameter.opts
        }
        return super().parse_args(ctx, arrange(args, values, is_script=is_script))


@app.command(cls=RunCommand)
@with_options({"profile": profile_names, "spec": kernelspec_names})
def run(invocation: Invocation) -> None:
    """Run a notebook or a script on a Jupyter Server.

    Options of jrc go before a script; everything after it is passed to the script.
    Without a profile, jrc starts an embedded server on this machine.

    \b
    Example:
      jrc run train.ipynb -p epochs 20 -o result.ipynb
      jrc run -o result.ipynb train.py --epochs 20
    """
    from jrc.cli.run_command import execute

    raise typer.Exit(execute(invocation, Terminal()))


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

    Everything after a script is passed to it, as with ``python FILE ARGS``; one ``--`` in between
    is allowed. After a notebook come more options. ``-p NAME VALUE`` becomes ``-p NAME=VALUE``.

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
