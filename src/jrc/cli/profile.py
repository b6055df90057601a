"""``jrc profile``: list, show, choose, rename and remove profiles."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from jrc.cli.complete import profile_names
from jrc.cli.lazy import plain_typer
from jrc.cli.terminal import Terminal
from jrc.errors import ConfigError, ExitCode
from jrc.profile.access import header_key
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.route import Route
from jrc.profile.secrets import NO_KEYRING, SecretSource, SecretStore
from jrc.profile.store import ProfileStore

app = plain_typer(add_completion=False, no_args_is_help=True)


Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Its name.", autocompletion=profile_names)
]
NameOrDefault = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME", help="Its name; else the default one.", autocompletion=profile_names
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.callback()
def profile() -> None:
    """List, show, choose, rename and remove saved servers.

    \b
    Example:
      jrc profile use team
    """


@app.command("list")
def list_profiles(json: AsJson = False) -> None:
    """List the profiles; a * marks the default one.

    \b
    Example:
      jrc profile list --json
    """
    terminal, store = Terminal(), ProfileStore(Paths.from_environment())
    profiles, default = store.all(), store.default_name()
    if json:
        for each in profiles.values():
            terminal.json(_as_json(each, default))
    elif profiles:
        header = ["", "NAME", "URL", "KIND", "AUTH"]
        rows = [
            ["*" if each.name == default else "", each.name, each.url, each.kind, each.auth]
            for each in profiles.values()
        ]
        terminal.table(header, rows)
    else:
        terminal.say("No server is saved yet. Type: jrc login URL")


@app.command()
def show(profile: NameOrDefault = None, json: AsJson = False) -> None:
    """Show a profile, and where its token or password comes from. Never the secret itself.

    \b
    Example:
      jrc profile show team
    """
    terminal, paths = Terminal(), Paths.from_environment()
    store, secrets = ProfileStore(paths), SecretStore(paths)
    found, default = store.get(profile), store.default_name()
    sources = secrets.sources(found.name)
    warn_of_keyring(terminal, secrets)
    if json:
        secret = {"wins": sources[0] if sources else None, "sources": sources}
        terminal.json({**_as_json(found, default), "secret": secret, "file": str(store.path)})
        return
    lines = {
        "name": found.name + (" (default)" if found.name == default else ""),
        "url": found.url,
        "kind": found.kind,
        "user": found.user or "not known: everybody shares one token or password",
        "auth": found.auth,
        "secret": _secret_line(found, sources, secrets),
        "tls": _tls_line(found),
        **_access_lines(found),
        **({"tunnel": _tunnel_line(found.kubernetes)} if found.kubernetes else {}),
        "file": str(store.path),
    }
    for key, value in lines.items():
        terminal.data(f"{key:<8}{value}")


@app.command()
def use(profile: Name) -> None:
    """Make a profile the default.

    \b
    Example:
      jrc profile use team
    """
    terminal = Terminal()
    ProfileStore(Paths.from_environment()).use(profile)
    terminal.say(f"'{profile}' is the default now.")
    chosen = os.environ.get("JRC_PROFILE")
    if os.environ.get("JRC_URL"):
        terminal.warn("JRC_URL in the environment wins over the default.")
    elif chosen and chosen != profile:
        terminal.warn(f"JRC_PROFILE={chosen} in the environment wins over the default.")


@app.command()
def rename(
    old: Annotated[
        str,
        typer.Argument(metavar="OLD", help="Its name.", autocompletion=profile_names),
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name that it gets.")],
) -> None:
    """Give a profile another name. Its token or password moves with it, and editors know it.

    \b
    Example:
      jrc profile rename jupyter.team.org team
    """
    terminal, paths = Terminal(), Paths.from_environment()
    secrets = SecretStore(paths)
    _end_tunnel(old, paths)
    store = ProfileStore(paths)
    headers = _keyring_headers(store, old)
    store.rename(old, new)
    secrets.rename(old, new)
    for header in headers:
        secrets.rename(header_key(old, header), header_key(new, header))
    warn_of_keyring(terminal, secrets)
    terminal.say(f"'{old}' is called '{new}' now.")
    from jrc.cli.editor_commands import rename_in_editors

    with _editors(f"jrc disconnect {old} --remove-kernelspecs && jrc connect {new} --vscode"):
        rename_in_editors(old, new, terminal)


@app.command()
def remove(
    profile: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget a profile, with its token or password, and take it out of the editors.

    \b
    Example:
      jrc profile remove team --yes
    """
    terminal, paths = Terminal(), Paths.from_environment()
    store, secrets = ProfileStore(paths), SecretStore(paths)
    store.require(profile)
    if not yes:
        answer = terminal.ask(f"Remove '{profile}' and its secret? [y/N]", without="Add --yes")
        if answer.strip().lower() not in ("y", "yes"):
            terminal.say("Nothing was removed.")
            raise typer.Exit(ExitCode.INTERRUPTED)
    _end_tunnel(profile, paths)
    # The secret goes first: what fails in between must not leave one that no profile names.
    secrets.delete(profile)
    for header in _keyring_headers(store, profile):
        secrets.delete(header_key(profile, header))
    store.remove(profile)
    warn_of_keyring(terminal, secrets)
    terminal.say(f"'{profile}' is removed.")
    if store.names() and store.default_name() is None:
        terminal.say("No profile is the default now. Choose one: jrc profile use NAME")
    from jrc.cli.editor_commands import remove_from_editors

    with _editors(f"jrc disconnect {profile} --remove-kernelspecs"):
        remove_from_editors(profile, terminal)


@contextmanager
def _editors(again: str) -> Iterator[None]:
    """What fails in the block is tried again with another command: the profile itself is done."""
    try:
        yield
    except ConfigError as error:
        hint = f"Correct it, then type: {again}"
        raise ConfigError(error.message, hint=hint) from error


def _keyring_headers(store: ProfileStore, name: str) -> list[str]:
    """The headers of a profile whose values are saved; none of one that can't be understood."""
    try:
        found = store.all().get(name)
    except ConfigError:
        return []
    return found.access.keyring_headers if found else []


def _end_tunnel(profile: str, paths: Paths) -> None:
    """The tunnel of a name that will not be there any more."""
    if (paths.state / "tunnels" / profile).exists():
        from jrc.tunnel.connect import stop_keeper

        stop_keeper(profile, paths)


def warn_of_keyring(terminal: Terminal, secrets: SecretStore) -> None:
    """Say that a keyring is there but could not be asked, so that it may hold a secret."""
    if secrets.keyring_fault not in (None, NO_KEYRING):
        terminal.warn(f"{secrets.keyring_fault}: secrets of jrc in it could not be reached.")


def _as_json(profile: Profile, default: str | None) -> dict[str, Any]:
    return {
        "name": profile.name,
        "url": profile.url,
        "kind": profile.kind,
        "auth": profile.auth,
        "user": profile.user or None,
        "verify_tls": profile.verify_tls,
        "default": profile.name == default,
        **({"server": profile.server} if profile.server else {}),
        **({"headers": sorted(profile.access.headers)} if profile.access.headers else {}),
        **({"kubernetes": profile.kubernetes.to_table()} if profile.kubernetes else {}),
    }


def _tunnel_line(route: Route) -> str:
    return (
        f"{route.target}, port {route.port}, in namespace {route.namespace} "
        f"of context {route.context}"
    )


def _tls_line(profile: Profile) -> str:
    if not profile.url.startswith("https:"):
        return "none: plain http"
    return "certificate checked" if profile.verify_tls else "certificate NOT checked"


def _access_lines(profile: Profile) -> dict[str, str]:
    """What only some profiles have. Never the value of a header."""
    access = profile.access
    headers = [f"{name} ({source.partition(':')[0]})" for name, source in access.headers.items()]
    lines = {
        "server": profile.server,
        "options": ", ".join(f"{name}={value}" for name, value in profile.options.items()),
        "headers": ", ".join(headers),
        "command": " ".join(access.credential_command),
    }
    return {key: value for key, value in lines.items() if value}


def _secret_line(profile: Profile, sources: list[SecretSource], secrets: SecretStore) -> str:
    if profile.auth == "none":
        return "not needed"
    if not sources:
        return f"none; type: jrc login --profile {profile.name}"
    places = {
        SecretSource.ENVIRONMENT: "JRC_TOKEN in the environment",
        SecretSource.KEYRING: f"the keyring ({secrets.keyring_name})",
        SecretSource.FILE: str(secrets.file_path),
    }
    wins, *others = (places[source] for source in sources)
    return wins + (f" (wins over {' and '.join(others)})" if others else "")
