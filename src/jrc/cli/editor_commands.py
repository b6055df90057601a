"""The parts of ``jrc connect --vscode`` and ``jrc disconnect`` that are about editors."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from jrc.cli.terminal import Terminal
from jrc.editor import connect as wiring
from jrc.editor import editors
from jrc.editor.connect import Report, Target
from jrc.editor.editors import EditorCommand
from jrc.editor.kernelspecs import RemoteKernel
from jrc.editor.ledger import Installed, Ledger, open_ledger, read_ledger
from jrc.editor.plan import diff
from jrc.editor.surroundings import here
from jrc.editor.vsix import build_vsix, marketplace_version
from jrc.errors import JrcError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths


@dataclass(frozen=True)
class EditorOptions:
    """What the person chose on the command line.

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
    kernelspecs: Sequence[RemoteKernel],
    *,
    options: EditorOptions,
    terminal: Terminal,
    url: str | None = None,
) -> None:
    """Put the kernels of a server into the editors of this machine, and say what was written.

    Args:
        profile: the server.
        kernelspecs: what it offers; see ``jrc.editor.remote.remote_kernels``.
        options: what the person chose.
        terminal: to talk.
        url: the server's base URL on this machine; the profile's own one without it.

    Raises:
        ConfigError: a file could not be changed. Everything else is done.
    """
    workspace = options.workspace.absolute() if options.workspace else None
    target = Target(
        profile.name, url or profile.url, list(kernelspecs), workspace, widgets=options.widgets
    )
    machine = here()
    with _ledger(dry_run=options.dry_run) as ledger:
        # First, since an editor that was never started creates its folders for it.
        if options.extension:
            _offer_companion(ledger, editors.find_editors(machine, shutil.which), options, terminal)
        report = wiring.connect(target, ledger, machine, dry_run=options.dry_run)
        if options.dry_run:
            _show_diff(report, terminal)
        else:
            _tell(report, terminal)
    if not report.settings and not report.problems:
        terminal.say(
            "No settings of VS Code or one of its kin were found; start it once, then connect "
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
) -> None:
    """Take out of the editors what ``connect_editors`` put in, and say so.

    Nothing happens, and nothing is said, where there is nothing of the profile.

    Args:
        profile: its name.
        remove_kernelspecs: remove its kernelspecs too.
        keep_extension: leave the companion installed when no profile is connected any more.
        dry_run: print what would change, and touch nothing.
        terminal: to talk.

    Raises:
        ConfigError: a file could not be changed. Everything else is done.
    """
    if not remove_kernelspecs and not read_ledger(Paths.from_environment()).settings:
        return
    with _ledger(dry_run=dry_run) as ledger:
        report = wiring.disconnect(
            profile, ledger, here(), kernelspecs=remove_kernelspecs, dry_run=dry_run
        )
        if dry_run:
            _show_diff(report, terminal)
            return
        _tell(report, terminal)
        if not ledger.profiles() and not keep_extension:
            _remove_companion(ledger, terminal)
    _raise_first(report, terminal)


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
        terminal.data(text.rstrip("\n"))
    else:
        terminal.say("No file would change.")


def _tell(report: Report, terminal: Terminal) -> None:
    """Say what changed, file by file."""
    for change in report.settings:
        path, kept = change.place.settings, change.outcome.left
        if change.changes_file:
            done = "removed" if change.outcome.text is None else "changed"
            terminal.say(f"{done} {path} ({change.place.label})")
        if kept:
            terminal.say(f"kept there, since somebody changed it: {', '.join(kept)}")
    for spec in report.specs:
        done = "removed" if spec.goes else "wrote"
        terminal.say(f"{done} {spec.folder} ({spec.display_name})")


def _raise_first(report: Report, terminal: Terminal) -> None:
    if report.problems:
        for problem in report.problems[1:]:
            terminal.error(problem)
        raise report.problems[0]


def _offer_companion(
    ledger: Ledger, found: Sequence[EditorCommand], options: EditorOptions, terminal: Terminal
) -> None:
    """Install the companion in every editor where it is not, if the person agrees."""
    wanted = marketplace_version(version("jrc-cli"))
    missing = [
        (editor, profile)
        for editor in found
        for profile in editor.profiles
        if _version_there(editor, profile, terminal) != wanted
    ]
    if not missing:
        return
    names = ", ".join(dict.fromkeys(editor.name for editor, _ in missing))
    if options.dry_run:
        terminal.say(f"The companion extension would be installed in {names}.")
        return
    if not _agreed(ledger, names, options, terminal):
        return
    with tempfile.TemporaryDirectory(prefix="jrc-") as folder:
        vsix = Path(folder) / f"jrc-companion-{wanted}.vsix"
        vsix.write_bytes(build_vsix(version("jrc-cli")))
        for editor, profile in missing:
            where = f"{editor.name}, profile {profile}" if profile else editor.name
            try:
                editors.install(editor, profile, vsix)
            except JrcError as error:
                terminal.warn(f"The companion extension is not in {where}: {error.message}")
                continue
            entry = Installed(editor.name, editor.command, profile, wanted)
            ledger.installed = [
                each
                for each in ledger.installed
                if (each.command, each.profile) != (editor.command, profile)
            ]
            ledger.installed.append(entry)
            ledger.save()
            terminal.say(f"installed the companion extension {wanted} ({where})")


def _version_there(editor: EditorCommand, profile: str, terminal: Terminal) -> str | None:
    try:
        return editors.installed_version(editor, profile)
    except JrcError as error:
        terminal.warn(error.message)
        return None


def _agreed(ledger: Ledger, names: str, options: EditorOptions, terminal: Terminal) -> bool:
    """Whether jrc may install the companion. Asks once, and remembers the answer."""
    if options.yes:
        return True
    if ledger.consent is None and terminal.interactive:
        question = f"Install jrc's companion extension in {names}? [Y/n]"
        answer = terminal.ask(question, without="Add --yes").strip().lower()
        ledger.consent = answer in ("", "y", "yes")
        ledger.save()
    if not ledger.consent:
        terminal.say(f"The companion extension is not in {names}. To install it, add --yes")
    return bool(ledger.consent)


def _remove_companion(ledger: Ledger, terminal: Terminal) -> None:
    for entry in list(ledger.installed):
        where = f"{entry.editor}, profile {entry.profile}" if entry.profile else entry.editor
        editor = EditorCommand(entry.editor, entry.command)
        try:
            if shutil.which(entry.command) and editors.installed_version(editor, entry.profile):
                editors.uninstall(editor, entry.profile)
                terminal.say(f"removed the companion extension ({where})")
        except JrcError as error:
            # Told once: an editor's profile that is gone would refuse for ever.
            terminal.warn(f"The companion extension is still in {where}: {error.message}")
        ledger.installed.remove(entry)
        ledger.save()
