"""The parts of ``jrc connect --vscode`` and ``jrc disconnect`` that are about editors."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jrc.cli.companion_offer import offer_companion, remove_companion
from jrc.cli.terminal import Terminal
from jrc.editor import connect as wiring
from jrc.editor import editors
from jrc.editor.connect import ConnectOptions, Report
from jrc.editor.kernelspecs import ServerKernelspec
from jrc.editor.ledger import Ledger, open_ledger, read_ledger
from jrc.editor.plan import diff
from jrc.editor.surroundings import here
from jrc.profile.model import Profile
from jrc.profile.paths import Paths


@dataclass(frozen=True)
class EditorOptions:
    """What was chosen on the command line.

    Attributes:
        workspace: ``--workspace``: the folder whose settings name the server.
        extension: False for ``--no-extension``.
        widgets: ``--widgets``: let VS Code load widgets' scripts from public servers.
        yes: ``--yes``: do not ask.
        dry_run: ``--dry-run``: print what would change, and touch nothing.
    """

    workspace: Path | None = None
    extension: bool = True
    widgets: bool = False
    yes: bool = False
    dry_run: bool = False


def connect_editors(
    profile: Profile,
    kernelspecs: Sequence[ServerKernelspec],
    *,
    options: EditorOptions,
    terminal: Terminal,
    url: str | None = None,
) -> None:
    """Put the kernels of a server into the editors of this machine, and say what was written.

    Args:
        profile: the server.
        kernelspecs: what it offers; see ``jrc.editor.server_kernelspecs.server_kernelspecs``.
        options: what was chosen.
        terminal: where to say what changed.
        url: the server's base URL on this machine; the profile's own one without it.

    Raises:
        ConfigError: a file could not be changed. Everything else is done.
    """
    workspace = options.workspace.absolute() if options.workspace else None
    target = ConnectOptions(
        profile.name, url or profile.url, list(kernelspecs), workspace, widgets=options.widgets
    )
    machine = here()
    # First, since an editor that was never started creates its folders for it. And not while the
    # ledger is held: a question, or an editor's program, must not block other commands.
    if options.extension:
        found = editors.find_editors(machine, shutil.which)
        offer_companion(found, terminal, yes=options.yes, dry_run=options.dry_run)
    with _ledger(dry_run=options.dry_run) as ledger:
        report = wiring.connect(target, ledger, machine, dry_run=options.dry_run)
        if options.dry_run:
            _show_diff(report, terminal)
        else:
            _say_changes(report, terminal)
    if not report.settings and not report.problems:
        terminal.say(
            "No settings of VS Code or a similar editor were found; start it once, then connect "
            "again. Everything else that reads Jupyter's kernelspecs sees the kernels."
        )
    if any(spec.new for spec in report.specs) and not options.dry_run:
        terminal.say(
            "New kernels show up after a click on the kernel picker's refresh icon, "
            "or after the command 'Developer: Reload Window'."
        )
    if not profile.verify_tls:
        terminal.warn(
            f"'{profile.name}' does not check certificates. The kernels with (jrc) in their names "
            "work; for 'jrc: remote servers' VS Code has a setting of its own, "
            "jupyter.allowUnauthorizedRemoteConnection."
        )
    _raise_first(report, terminal)


def disconnect_editors(
    profile: str,
    *,
    remove_kernelspecs: bool = False,
    keep_extension: bool = False,
    dry_run: bool = False,
    terminal: Terminal,
) -> bool:
    """Take out of the editors what ``connect_editors`` put in, and say so.

    Nothing happens, and nothing is said, where there is nothing of the profile.

    Args:
        profile: its name.
        remove_kernelspecs: remove its kernelspecs too.
        keep_extension: leave the companion installed when no profile is connected any more.
        dry_run: print what would change, and touch nothing.
        terminal: where to say what changed.

    Returns:
        whether there was anything of it.

    Raises:
        ConfigError: a file could not be changed. Everything else is done.
    """
    if not remove_kernelspecs and not read_ledger(Paths.from_environment()).settings:
        return False
    with _ledger(dry_run=dry_run) as ledger:
        report = wiring.disconnect(
            profile, ledger, here(), kernelspecs=remove_kernelspecs, dry_run=dry_run
        )
        if dry_run:
            _show_diff(report, terminal)
            return bool(report)
        _say_changes(report, terminal)
        last = not ledger.profiles()
    if last and not keep_extension:
        remove_companion(terminal)
    _raise_first(report, terminal)
    return bool(report)


def profiles_in_editors() -> set[str]:
    """The profiles that editors on this machine have settings or kernelspecs of.

    Raises:
        ConfigError: the record of what was written can't be read.
    """
    ledger = read_ledger(Paths.from_environment())
    return ledger.profiles() | wiring.profiles_of_kernelspecs(here())


def rename_in_editors(old: str, new: str, terminal: Terminal) -> None:
    """Call a profile by its new name in what ``connect_editors`` wrote, and say so.

    Nothing happens, and nothing is said, where there is nothing of the profile.

    Raises:
        ConfigError: a file could not be changed. Everything else is done.
    """
    machine = here()
    if not wiring.rename(old, new, read_ledger(Paths.from_environment()), machine, dry_run=True):
        return
    with _ledger(dry_run=False) as ledger:
        report = wiring.rename(old, new, ledger, machine, dry_run=False)
        _say_changes(report, terminal)
    terminal.say("Editors show the new name after the command 'Developer: Reload Window'.")
    _raise_first(report, terminal)


def remove_from_editors(profile: str, terminal: Terminal) -> None:
    """Take all of a profile out of the editors, its kernelspecs too, and say so.

    Nothing happens, and nothing is said, where there is nothing of the profile.

    Raises:
        ConfigError: a file could not be changed. Everything else is done.
    """
    ledger = read_ledger(Paths.from_environment())
    if wiring.disconnect(profile, ledger, here(), kernelspecs=True, dry_run=True):
        disconnect_editors(profile, remove_kernelspecs=True, terminal=terminal)


@contextmanager
def _ledger(*, dry_run: bool) -> Iterator[Ledger]:
    paths = Paths.from_environment()
    if dry_run:
        yield read_ledger(paths)
        return
    with open_ledger(paths) as ledger:
        yield ledger


def _show_diff(report: Report, terminal: Terminal) -> None:
    text = diff(report.settings, report.specs)
    if text:
        for line in text.splitlines():
            terminal.data(line)
    else:
        terminal.say("No file would change.")


def _say_changes(report: Report, terminal: Terminal) -> None:
    """Say what changed, file by file."""
    for change in report.settings:
        path, kept = change.place.path, change.outcome.left
        if change.changes_file:
            done = "removed" if change.outcome.text is None else "changed"
            terminal.say(f"{done} {path} ({change.place.label})")
        if kept:
            terminal.say(f"kept there, since it was changed by hand: {', '.join(kept)}")
    for spec in report.specs:
        done = "removed" if spec.goes else "wrote"
        terminal.say(f"{done} {spec.folder} ({spec.display_name})")


def _raise_first(report: Report, terminal: Terminal) -> None:
    if report.problems:
        for problem in report.problems[1:]:
            terminal.error(problem)
        raise report.problems[0]
