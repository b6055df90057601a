"""Checks of this machine: Python and libraries, the configuration, the secrets, the editors."""

import os
import platform
import shutil
import stat
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jrc.doctor.check import Context, Finding, doubtful, fine, known
from jrc.errors import ConfigError
from jrc.profile.secrets import NO_KEYRING, SecretSource, SecretStore
from jrc.profile.store import ProfileStore
from jrc.shapes import list_at, parse
from jrc.tasks import in_daemon_thread

LIBRARIES = (
    "typer",
    "httpx",
    "websockets",
    "rich",
    "keyring",
    "platformdirs",
    "filelock",
    "tomlkit",
    "nbformat",
    "jupytext",
    "pyyaml",
)
OPTIONAL_LIBRARIES = ("jupyter_server", "ipykernel")

UNKNOWN = "unknown"


async def python(_context: Context) -> Finding:
    """Python, jrc, and the libraries that jrc needs."""
    versions = library_versions()
    missing = [name for name in LIBRARIES if name not in versions]
    if missing:
        raise ConfigError(
            f"jrc needs {', '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} not "
            "installed.",
            hint="Install jrc again: pip install --force-reinstall jrc-cli",
        )
    ours = jrc_version()
    return fine(
        f"jrc {ours} on Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}.",
        jrc=ours,
        python=platform.python_version(),
        platform=platform.platform(),
        libraries=versions,
    )


def jrc_version() -> str:
    """The version of jrc; ``unknown`` where it runs from its sources."""
    try:
        return version("jrc-cli")
    except PackageNotFoundError:
        return UNKNOWN


def library_versions() -> dict[str, str]:
    """The versions of those libraries that are installed."""
    found = {}
    for name in (*LIBRARIES, *OPTIONAL_LIBRARIES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


async def config(context: Context) -> Finding:
    """config.toml, and the profile that is meant."""
    from jrc.server.open import chosen_profile

    context.profile = chosen_profile(context.asked, paths=context.paths)
    store = ProfileStore(context.paths)
    names = store.names()
    saved = f"{len(names)} profile{'' if len(names) == 1 else 's'} in {store.path}"
    if context.profile is None:
        chosen = "no profile is chosen, so the embedded server is examined"
    elif context.profile.name in names:
        chosen = f"'{context.profile.name}' is examined"
    else:
        chosen = "the server in JRC_URL is examined"
    return fine(
        f"{saved if store.path.exists() else 'There is no ' + str(store.path)}; {chosen}.",
        file=str(store.path),
        profiles=names,
    )


async def secrets(context: Context) -> Finding:
    """The keyring answers, and only you can read the file of secrets."""
    store = SecretStore(context.paths)
    # First, because the store corrects the mode when it reads the file.
    mode = _mode(store.file_path)
    name = context.profile.name if context.profile else "doctor"
    found = await in_daemon_thread(_ask, store, name, name="doctor")
    place = found[1].value if found else None
    details = {"keyring": store.keyring_name or None, "file_mode": mode, "found_in": place}
    if mode is not None and os.name == "posix" and mode != "0600":
        return doubtful(
            f"Others could read {store.file_path} (mode {mode}); now its mode is 0600.",
            "Where others use this machine: make new tokens, and log in with them.",
            **details,
        )
    fault = store.keyring_fault
    if fault and fault != NO_KEYRING:
        return doubtful(
            f"The keyring can't be used: {fault}. Secrets are in {store.file_path} instead.",
            "Unlock the keyring, or turn it off: PYTHON_KEYRING_BACKEND=keyring.backends.null."
            "Keyring",
            **details,
        )
    where = f"Secrets are in the keyring ({store.keyring_name})."
    if fault:
        where = f"This machine has no keyring: secrets are kept in {store.file_path}."
    if place == "environment":
        where += " JRC_TOKEN is set and wins."
    return fine(where, **details)


def _ask(store: SecretStore, name: str) -> tuple[object, SecretSource] | None:
    """Ask every place, the keyring too where ``JRC_TOKEN`` wins."""
    store.sources(name)
    return store.get(name)


def _mode(path: Path) -> str | None:
    try:
        return f"{stat.S_IMODE(path.stat().st_mode):04o}"
    except OSError:
        return None


async def embedded(context: Context) -> Finding:
    """The server that jrc starts where no profile is chosen."""

    from jrc.server.open import open_embedded

    root = context.stack.enter_context(tempfile.TemporaryDirectory(prefix="jrc-doctor-"))
    client = await context.stack.enter_async_context(open_embedded(Path(root)))
    context.address, context.client = client.address, client
    return fine("The embedded server starts.")


async def editors(_context: Context) -> Finding:
    """The editors of VS Code's family on this machine."""

    from jrc.editor.editors import find_editors
    from jrc.editor.surroundings import here

    found = await in_daemon_thread(lambda: find_editors(here(), shutil.which), name="doctor")
    names = [editor.name for editor in found]
    listed = [{"name": editor.name, "command": editor.command} for editor in found]
    if not found:
        return fine("No editor of VS Code's family was found.", editors=listed)
    return fine(f"Found: {', '.join(names)}.", editors=listed)


async def editor_kernelspecs(context: Context) -> Finding:
    """The kernelspecs through which editors see the server's kernels."""
    from jrc.editor.apply import read_specs
    from jrc.editor.places import jupyter_data
    from jrc.editor.surroundings import here

    profile = known(context.profile)
    root = jupyter_data(here()) / "kernels"
    files = await in_daemon_thread(read_specs, root, name="doctor")
    texts = {name: each.get("kernel.json") for name, each in files.items()}
    ours = kernelspecs_of(profile.name, texts)
    if not ours:
        return fine(f"Editors see none of the server's kernels: {root} has none.", kernelspecs=[])
    again = f"jrc connect {profile.name} --vscode"
    listed = sorted(ours)
    gone = [program for program in ours.values() if not _exists(program)]
    if gone:
        return doubtful(
            f"The program that the editors' kernelspecs start is gone: {gone[0]}.",
            again,
            kernelspecs=listed,
        )
    served = set(context.specs.specs) if context.specs else set(ours)
    if differing := sorted(served ^ set(ours)):
        return doubtful(
            f"What editors see and what the server has differ: {', '.join(differing)}.",
            again,
            kernelspecs=listed,
        )
    return fine(f"Editors see {', '.join(listed)}.", kernelspecs=listed)


def _exists(program: str) -> bool:
    return Path(program).exists()


def kernelspecs_of(profile: str, texts: "dict[str, bytes | None]") -> dict[str, str]:
    """The program of each of a profile's kernelspecs, by the kernel that it stands for.

    Args:
        profile: its name.
        texts: the content of ``kernel.json`` by the name of its folder.
    """
    from jrc.editor.kernelspecs import owner_of

    found = {}
    for text in texts.values():
        owner = owner_of(text)
        if owner is not None and owner.profile == profile and text is not None:
            argv = list_at(parse(text), "argv")
            found[owner.kernel] = str(argv[0]) if argv else ""
    return found
