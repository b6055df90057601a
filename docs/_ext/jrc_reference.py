"""Directives that write the reference from the program itself, so that the two can't differ.

``jrc-commands``: every command with its help, arguments and options.
``jrc-exit-codes``: the exit codes and what they mean.
``jrc-events``: the events of ``jrc run --json``.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.typing import ExtensionMetadata
from typer.main import get_command

from jrc import errors
from jrc.cli.app import app as jrc_app
from jrc.errors import ExitCode, JrcError
from jrc.run import events

_CODE = re.compile(r"``(.+?)``")

_KEPT_LINES = "\b\n"
"""How a help text marks a paragraph whose lines are not to be joined."""


class Commands(Directive):
    """One section for each command."""

    def run(self) -> list[nodes.Node]:
        root = get_command(jrc_app)
        return [_command_section(*found) for found in _walk(root, "jrc", None)]


class ExitCodes(Directive):
    """A table of all exit codes."""

    def run(self) -> list[nodes.Node]:
        rows = [(str(int(code)), _meaning(code)) for code in ExitCode]
        return [_table(("code", "meaning"), rows)]


class Events(Directive):
    """One section for each event, with its fields."""

    def run(self) -> list[nodes.Node]:
        return [_event_section(kind) for kind in get_args(events.RunEvent)]


def _walk(command: Any, name: str, parent: Any) -> Iterator[tuple[Any, Any]]:
    """A command and all below it, each with its context."""
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    yield command, context
    for name_below, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from _walk(below, name_below, context)


def _command_section(command: Any, context: Any) -> nodes.section:
    section = _section(context.command_path)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    section += nodes.literal_block(usage, usage, language="none")
    section += _paragraphs(command.help)
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    options = nodes.definition_list()
    for words, text in filter(None, records):
        term = nodes.term("", "", nodes.literal(words, words))
        meaning = nodes.paragraph(text, text)
        options += nodes.definition_list_item("", term, nodes.definition("", meaning))
    section += options
    return section


def _paragraphs(help_text: str) -> Iterator[nodes.Node]:
    for paragraph in inspect.cleandoc(help_text).split("\n\n"):
        if not paragraph.startswith(_KEPT_LINES):
            text = " ".join(paragraph.split())
            yield nodes.paragraph(text, text)
            continue
        title, _, lines = paragraph.removeprefix(_KEPT_LINES).partition("\n")
        yield nodes.paragraph(title, title)
        kept = inspect.cleandoc(f"\n{lines}")
        yield nodes.literal_block(kept, kept, language="console")


def _meaning(code: ExitCode) -> str:
    """What the error classes say about an exit code."""
    if code is ExitCode.OK:
        return "Everything went well."
    if code is ExitCode.BUG:
        return "A bug in jrc. The message says which file has the details."
    meanings = [
        _first_sentence(kind)
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, JrcError) and kind.exit_code == code
    ]
    return " ".join(meanings)


def _event_section(kind: type) -> nodes.section:
    section = _section(re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower())
    section += _text(_first_line(kind))
    described = _attributes(kind)
    rows = []
    for name, of in kind.__annotations__.items():
        if name not in described:
            raise ExtensionError(f"{kind.__name__}.{name} is not described in its docstring")
        of_type = of.__name__ if isinstance(of, type) else str(of).replace("typing.", "")
        rows.append((f"``{name}``", f"``{of_type}``", described[name]))
    section += _table(("field", "type", "meaning"), rows)
    return section


def _attributes(kind: type) -> dict[str, str]:
    """What the ``Attributes`` of a docstring say, by name."""
    _, _, listed = inspect.getdoc(kind).partition("Attributes:\n")  # type: ignore[union-attr]
    described = {}
    for entry in re.split(r"\n(?=    \S)", listed.rstrip()):
        names, _, text = entry.strip().partition(":")
        for name in names.split(","):
            described[name.strip()] = " ".join(text.split())
    return described


def _first_line(kind: type) -> str:
    return str(inspect.getdoc(kind)).partition("\n")[0]


def _first_sentence(kind: type) -> str:
    return _first_line(kind).partition(". ")[0].rstrip(".") + "."


def _section(title: str) -> nodes.section:
    section = nodes.section(ids=[nodes.make_id(title)], names=[title])
    section += nodes.title(title, title)
    return section


def _text(text: str) -> nodes.paragraph:
    """A paragraph; what stands between double backticks is code."""
    paragraph = nodes.paragraph()
    for number, piece in enumerate(_CODE.split(text)):
        paragraph += nodes.literal(piece, piece) if number % 2 else nodes.Text(piece)
    return paragraph


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> nodes.table:
    def row(cells: Iterable[str]) -> nodes.row:
        return nodes.row("", *(nodes.entry("", _text(cell)) for cell in cells))

    names = tuple(header)
    group = nodes.tgroup(cols=len(names))
    group += [nodes.colspec(colwidth=1) for _ in names]
    group += nodes.thead("", row(names))
    group += nodes.tbody("", *map(row, rows))
    return nodes.table("", group)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("jrc-commands", Commands)
    app.add_directive("jrc-exit-codes", ExitCodes)
    app.add_directive("jrc-events", Events)
    return {"version": "1", "parallel_read_safe": True}
