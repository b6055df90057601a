"""A command group that imports a command's module only when that command is used.

``jrc --help`` reads the one-line helps from a table, so it costs no import of any command.
"""

from collections.abc import Iterator, MutableMapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperGroup, TyperOption
from typer.main import get_command

from jrc.errors import UsageError
from jrc.visible import log_to_stderr

COMPLETION_VARIABLE = "_JRC_COMPLETE"
"""What a shell sets when it asks; the scripts of ``jrc --show-completion`` say so."""


class LazyCommand(NamedTuple):
    """Where a command lives, and the line that stands for it in the help of its group.

    A hidden one, for programs and not for people, is not in the help.
    """

    module: str
    help: str
    hidden: bool = False


class _Commands(MutableMapping[str, Any]):
    """The commands by name, each one built at its first use."""

    def __init__(self, table: dict[str, LazyCommand]) -> None:
        self._table = table
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            command = get_command(import_module(self._table[name].module).app)
            command.name = name
            command.hidden = self._table[name].hidden
            let_be_verbose(command)
            self._built[name] = command
        return self._built[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        del self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


class PlainGroup(TyperGroup):
    """A group that says what else there is, where there is no such command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            raise self._unknown(ctx.command_path, name)
        return super().resolve_command(ctx, args)

    def _unknown(self, path: str, name: str) -> UsageError:
        near = get_close_matches(name, list(self.commands), n=1)
        hint = f"Did you mean: {path} {near[0]}" if near else f"See what there is: {path} --help"
        return UsageError(f"{path} has no command '{name}'.", hint=hint)


class LazyGroup(PlainGroup):
    """A group whose commands are named in ``table``."""

    table: ClassVar[dict[str, LazyCommand]]

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands(dict(self.table))

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, each.help) for name, each in self.table.items() if not each.hidden]
            )


def be_verbose(level: int) -> None:
    """Log to stderr; with a level above 1 everything."""
    if level:
        log_to_stderr("%(asctime)s %(name)s %(levelname)s %(message)s", verbose=level)


def let_be_verbose(command: Any) -> None:
    """Take ``-v`` behind a command, and behind those below it, as before it."""
    command.params.append(
        TyperOption(
            param_decls=["-v", "--verbose"],
            count=True,
            hidden=True,
            expose_value=False,
            callback=lambda _ctx, _option, level: be_verbose(level),
        )
    )
    for below in getattr(command, "commands", {}).values():
        let_be_verbose(below)


def plain_typer(**options: Any) -> typer.Typer:
    """A typer application with plain help: importing rich for it would double the start-up time."""
    options.setdefault("cls", PlainGroup)
    return typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        **options,
    )
