"""Connects a profile to the editors of this machine, and disconnects it again."""

import shutil
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from jrc.editor.apply import apply_settings, apply_spec, plan_settings, read_specs
from jrc.editor.jsonc import Json
from jrc.editor.kernelspecs import (
    PROGRAM,
    Launch,
    ServerKernelspec,
    owner_of,
    renamed_folders,
    spec_folders,
)
from jrc.editor.ledger import Ledger
from jrc.editor.places import SettingsFile, jupyter_data, settings_files, workspace_settings
from jrc.editor.plan import Decide, SettingsChange, SpecChange, spec_changes
from jrc.editor.settings import WantedSettings, connected, disconnected, renamed
from jrc.editor.surroundings import Surroundings
from jrc.errors import ConfigError

LAUNCH_MILLISECONDS = 120_000
"""How long VS Code waits for a kernel. A pod can take longer than the default of 60 s."""

WIDGET_SOURCES: list[Json] = ["jsdelivr.com", "unpkg.com"]


@dataclass(frozen=True)
class ConnectOptions:
    """What is connected.

    Attributes:
        profile: its name.
        url: the server's base URL on this machine, to be read by people.
        kernels: what it offers.
        workspace: the folder whose settings name the server; None for the person's own settings.
        widgets: let VS Code load widgets' scripts from public servers without asking.
    """

    profile: str
    url: str
    kernels: Sequence[ServerKernelspec]
    workspace: Path | None = None
    widgets: bool = False


@dataclass
class Report:
    """What was changed, or would be.

    Attributes:
        settings: settings files; those that stay as they are too.
        specs: kernelspecs that changed.
        problems: what could not be changed, and why. The rest is done.
    """

    settings: list[SettingsChange] = field(default_factory=list)
    specs: list[SpecChange] = field(default_factory=list)
    problems: list[ConfigError] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there was anything to do."""
        return bool(self.settings or self.specs or self.problems)


def connect(
    target: ConnectOptions, ledger: Ledger, machine: Surroundings[Path], *, dry_run: bool
) -> Report:
    """Bring the settings of every editor and the kernelspecs up to date.

    Args:
        target: what to connect.
        ledger: locked by the caller, unless it is a dry run.
        machine: this one.
        dry_run: change nothing, only report.

    Raises:
        ConfigError: jrc's own programs are not where an editor could start them.
    """
    report = Report()
    programs = {name: console_script(name) for name in ("jrc", PROGRAM)}
    home = machine.environment.get("JRC_HOME")
    variables = {"JRC_HOME": str(Path(home).expanduser().absolute())} if home else {}
    own: dict[str, Json] = {"jrc.path": programs["jrc"]}
    if home:
        own["jrc.home"] = variables["JRC_HOME"]
    for place, wanted in _wanted(target, own, machine):
        decide = partial(connected, profile=target.profile, wanted=wanted)
        _change_settings(report, place, ledger, decide, dry_run=dry_run)
    launch = Launch(programs[PROGRAM], variables, encrypts=_has_curve())
    root = jupyter_data(machine) / "kernels"
    existing = read_specs(root)
    texts = {name: files.get("kernel.json") for name, files in existing.items()}
    folders = spec_folders(target.profile, target.kernels, launch, texts)
    _change_specs(report, spec_changes(folders, target.profile, root, existing), dry_run=dry_run)
    return report


def disconnect(
    profile: str,
    ledger: Ledger,
    machine: Surroundings[Path],
    *,
    kernelspecs: bool,
    dry_run: bool,
) -> Report:
    """Remove a profile from every settings file, and its kernelspecs if asked to.

    Args:
        profile: its name.
        ledger: locked by the caller, unless it is a dry run.
        machine: this one.
        kernelspecs: remove them too.
        dry_run: change nothing, only report.
    """
    report = Report()
    decide = partial(disconnected, profile=profile)
    for place in _files_of(profile, ledger, machine):
        _change_settings(report, place, ledger, decide, dry_run=dry_run)
    if kernelspecs:
        root = jupyter_data(machine) / "kernels"
        changes = spec_changes([], profile, root, read_specs(root))
        _change_specs(report, changes, dry_run=dry_run)
    return report


def profiles_of_kernelspecs(machine: Surroundings[Path]) -> set[str]:
    """The profiles that have a kernelspec on this machine."""
    specs = read_specs(jupyter_data(machine) / "kernels").values()
    owners = [owner_of(files.get("kernel.json")) for files in specs]
    return {owner.profile for owner in owners if owner is not None}


def rename(
    old: str, new: str, ledger: Ledger, machine: Surroundings[Path], *, dry_run: bool
) -> Report:
    """Rename a profile in every settings file and kernelspec that names it.

    Args:
        old: its name.
        new: the name that it gets.
        ledger: locked by the caller, unless it is a dry run.
        machine: this one.
        dry_run: change nothing, only report.
    """
    report = Report()
    decide = partial(renamed, old=old, new=new)
    for place in _files_of(old, ledger, machine):
        _change_settings(report, place, ledger, decide, dry_run=dry_run)
    root = jupyter_data(machine) / "kernels"
    existing = read_specs(root)
    texts = {name: files.get("kernel.json") for name, files in existing.items()}
    folders = renamed_folders(old, new, texts)
    if folders:
        # What an earlier profile of that name left behind would be shown twice.
        _change_specs(report, spec_changes(folders, new, root, existing), dry_run=dry_run)
    return report


def _files_of(
    profile: str, ledger: Ledger, machine: Surroundings[Path]
) -> list[SettingsFile[Path]]:
    """The settings files that have something of a profile."""
    places = {str(place.path): place for place in settings_files(machine)}
    return [
        places.get(path) or workspace_settings(Path(path).parent.parent)
        for path, record in ledger.settings.items()
        if profile in record.wanted
    ]


def console_script(name: str) -> str:
    """The absolute path of a program that was installed with jrc.

    Raises:
        ConfigError: there is none.
    """
    file = f"{name}.exe" if sys.platform == "win32" else name
    folders = [Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))]
    for folder in folders:
        if (folder / file).is_file():
            return str((folder / file).absolute())
    found = shutil.which(name)
    if found is None:
        raise ConfigError(
            f"The program {name} is not beside {sys.executable} and not on the search path.",
            hint="Reinstall jrc: python -m pip install --force-reinstall jrc-cli",
        )
    return str(Path(found).absolute())


def _has_curve() -> bool:
    """Whether the relay can encrypt: not every ZMQ library can."""
    import zmq

    return bool(zmq.has("curve"))


def _wanted(
    target: ConnectOptions, own: dict[str, Json], machine: Surroundings[Path]
) -> list[tuple[SettingsFile[Path], WantedSettings]]:
    """What to write where.

    The path of a program belongs in the person's own settings only: VS Code reads it nowhere else,
    and a workspace is shared with others.
    """
    entry: Json = {"label": target.profile, "url": target.url, "profile": target.profile}
    defaults: dict[str, Json] = {
        "jupyter.jupyterLaunchTimeout": LAUNCH_MILLISECONDS,
        # Otherwise, opening a notebook just to read it starts a kernel in the cluster.
        "jupyter.disableJupyterAutoStart": True,
    }
    if target.widgets:
        defaults["jupyter.widgetScriptSources"] = WIDGET_SOURCES
    shared = WantedSettings(servers={target.profile: entry}, defaults=defaults)
    if target.workspace is None:
        everywhere = replace(shared, own=own)
        return [(place, everywhere) for place in settings_files(machine)]
    personal = [(place, WantedSettings(own=own)) for place in settings_files(machine)]
    return [(workspace_settings(target.workspace), shared), *personal]


def _change_settings(
    report: Report, place: SettingsFile[Path], ledger: Ledger, decide: Decide, *, dry_run: bool
) -> None:
    make = plan_settings if dry_run else apply_settings
    try:
        report.settings.append(make(place, ledger, decide))
    except ConfigError as problem:
        report.problems.append(problem)


def _change_specs(report: Report, changes: Iterable[SpecChange], *, dry_run: bool) -> None:
    for change in changes:
        try:
            if not dry_run:
                apply_spec(change)
            report.specs.append(change)
        except ConfigError as problem:
            report.problems.append(problem)
