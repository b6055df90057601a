"""The companion extension, put into editors and taken out. The ledger is never held meanwhile."""

import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from jrc.cli.terminal import Terminal
from jrc.editor import editors
from jrc.editor.editors import EditorCommand
from jrc.editor.ledger import Installed, open_ledger, read_ledger
from jrc.editor.vsix import build_vsix, marketplace_version
from jrc.errors import JrcError
from jrc.profile.paths import Paths


def offer_companion(
    found: Sequence[EditorCommand], terminal: Terminal, *, yes: bool, dry_run: bool
) -> None:
    """Offer to install the companion in every editor that lacks it.

    Args:
        found: the editors of this machine.
        terminal: for the question and the results.
        yes: do not ask.
        dry_run: say what would be done.
    """
    if not found:
        terminal.warn(
            "The companion extension is not installed: no command of an editor (code, codium, "
            "cursor …) is on the PATH. In VS Code, run 'Shell Command: Install 'code' command in "
            "PATH' from the command palette, then this command again; or add --no-extension."
        )
        return
    wanted = marketplace_version(version("jrc-cli"))
    missing = [
        Installed(editor.name, editor.command, profile, wanted)
        for editor in found
        for profile in editor.profiles
        if _version_there(editor, profile, terminal) != wanted
    ]
    if not missing:
        return
    names = ", ".join(dict.fromkeys(entry.editor for entry in missing))
    if dry_run:
        terminal.say(f"The companion extension would be installed in {names}.")
    elif yes or _agreed(names, terminal):
        _install(missing, wanted, terminal)


def remove_companion(terminal: Terminal) -> None:
    """Take the companion out of every editor where jrc put it."""
    paths = Paths.from_environment()
    for entry in read_ledger(paths).installed:
        editor = EditorCommand(entry.editor, entry.command)
        try:
            if shutil.which(entry.command) and editors.installed_version(editor, entry.profile):
                editors.uninstall(editor, entry.profile)
                terminal.say(f"removed the companion extension ({_where(entry)})")
        except JrcError as error:
            # Only once: for an editor's profile that is gone this would fail for ever.
            terminal.warn(f"The companion extension is still in {_where(entry)}: {error.message}")
        _note(paths, entry, None)


def _version_there(editor: EditorCommand, profile: str, terminal: Terminal) -> str | None:
    try:
        return editors.installed_version(editor, profile)
    except JrcError as error:
        terminal.warn(error.message)
        return None


def _agreed(names: str, terminal: Terminal) -> bool:
    """Whether jrc may install the companion. Asks once, and remembers the answer."""
    paths = Paths.from_environment()
    consent = read_ledger(paths).consent
    if consent is None and terminal.interactive:
        question = f"Install jrc's companion extension in {names}? [Y/n]"
        answer = terminal.ask(question, without="Add --yes").strip().lower()
        consent = answer in ("", "y", "yes")
        with open_ledger(paths) as ledger:
            ledger.consent = consent
            ledger.save()
    if not consent:
        terminal.say(f"The companion extension is not in {names}. To install it, add --yes")
    return bool(consent)


def _install(missing: Sequence[Installed], wanted: str, terminal: Terminal) -> None:
    paths = Paths.from_environment()
    with tempfile.TemporaryDirectory(prefix="jrc-") as folder:
        vsix = Path(folder) / f"jrc-companion-{wanted}.vsix"
        vsix.write_bytes(build_vsix(version("jrc-cli")))
        for entry in missing:
            # Before it is there: whenever jrc is stopped, a disconnect finds what to remove.
            before = _note(paths, entry, entry)
            try:
                editors.install(EditorCommand(entry.editor, entry.command), entry.profile, vsix)
            except JrcError as error:
                _note(paths, entry, before)
                terminal.warn(f"The companion extension is not in {_where(entry)}: {error.message}")
                continue
            terminal.say(f"installed the companion extension {wanted} ({_where(entry)})")


def _note(paths: Paths, place: Installed, entry: Installed | None) -> Installed | None:
    """Write down what is installed in the editor that ``place`` names; returns what was noted."""

    def is_there(each: Installed) -> bool:
        return (each.command, each.profile) == (place.command, place.profile)

    with open_ledger(paths) as ledger:
        before = next(filter(is_there, ledger.installed), None)
        ledger.installed = [each for each in ledger.installed if not is_there(each)]
        if entry is not None:
            ledger.installed.append(entry)
        ledger.save()
        return before


def _where(entry: Installed) -> str:
    return f"{entry.editor}, profile {entry.profile}" if entry.profile else entry.editor
