"""The one gate through which completions go to a shell, whoever chose the words.

bash puts them on the command line as they are, and zsh evaluates the whole answer as code. So what
is not made of characters that mean nothing to any shell is left out.
"""

import io
import re
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, ClassVar

import typer
from typer._completion_classes import BashComplete, FishComplete, PowerShellComplete, ZshComplete
from typer.main import get_command

from jrc.cli.lazy import COMPLETION_VARIABLE
from jrc.cli.terminal import Terminal
from jrc.errors import ExitCode, JrcError

if TYPE_CHECKING:
    from typer._click.shell_completion import CompletionItem

_WORD = re.compile(r"(?!-)[A-Za-z0-9._-]+\Z")
_OPTION = re.compile(r"--?[A-Za-z0-9-]+\Z")
_BESIDE = re.compile(r"[^A-Za-z0-9.,/_@+-]+")
_LONGEST_BESIDE = 80


def safe_word(word: object, incomplete: str) -> bool:
    """Whether a word may stand on a command line.

    Args:
        word: the completion.
        incomplete: what was typed: a word is an option only where one was begun, so that nobody's
            kernel makes one of its name.
    """
    begun = incomplete.startswith("-") and "=" not in incomplete
    return isinstance(word, str) and bool((_OPTION if begun else _WORD).match(word))


def beside(text: str | None) -> str:
    """The text that a shell shows beside a word, in characters that mean nothing to it."""
    return _BESIDE.sub(" ", (text or "").replace("'", "")).strip()[:_LONGEST_BESIDE]


class _Safe:
    """Stands before a class of typer's that speaks to one shell."""

    form: ClassVar[str]
    form_alone: ClassVar[str] = "{word}"

    def get_completions(self, args: list[str], incomplete: str) -> "list[CompletionItem]":
        found: list[CompletionItem] = super().get_completions(args, incomplete)  # type: ignore[misc]
        if "--" in args and incomplete.startswith("-"):
            return []
        return [item for item in found if safe_word(item.value, incomplete)]

    def format_completion(self, item: "CompletionItem") -> str:
        text = beside(item.help)
        return (self.form if text else self.form_alone).format(word=item.value, text=text)


class _Bash(_Safe, BashComplete):
    form = "{word}"


class _Zsh(_Safe, ZshComplete):
    form = '"{word}":"{text}"'
    form_alone = '"{word}"'


class _Fish(_Safe, FishComplete):
    form = "{word}\t{text}"


class _PowerShell(_Safe, PowerShellComplete):
    form = "{word}:::{text}"
    form_alone = "{word}::: "


_SHELLS: dict[str, Any] = {
    "bash": _Bash,
    "zsh": _Zsh,
    "fish": _Fish,
    "powershell": _PowerShell,
    "pwsh": _PowerShell,
}


def answer(shell: str, app: typer.Typer) -> int:
    """Answer a shell that completes. It reads stdout, so nothing else is written there meanwhile.

    Returns:
        the exit code of the process.
    """
    if shell not in _SHELLS:
        return ExitCode.USAGE
    terminal, aside = Terminal(), io.StringIO()
    try:
        with redirect_stdout(aside), redirect_stderr(aside):
            text = _SHELLS[shell](get_command(app), {}, "jrc", COMPLETION_VARIABLE).complete()
    except SystemExit as ended:
        # So fish learns whether there is anything.
        return ended.code if isinstance(ended.code, int) else ExitCode.OK
    except JrcError as error:
        return error.exit_code
    except Exception as bug:  # noqa: BLE001  a shell can show no error
        from jrc.profile.paths import Paths, write_crash_log

        write_crash_log(Paths.from_environment(), bug)
        return ExitCode.BUG
    if text:
        terminal.write(f"{text}\n")
    return ExitCode.OK
