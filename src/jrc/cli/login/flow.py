"""``jrc login``: save a server and its credentials as a profile."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from jrc.cli.lazy import plain_typer
from jrc.cli.login.access import AccessOptions, approach, save_typed
from jrc.cli.login.credentials import Credential, read_token
from jrc.cli.login.options import Wanted
from jrc.cli.login.server import Login, Place, log_in_at_hub, log_in_at_server
from jrc.cli.pairs import pairs
from jrc.cli.profile import complete_profile
from jrc.cli.terminal import Terminal
from jrc.errors import JrcError, UsageError
from jrc.profile.logins import note_login
from jrc.profile.model import Profile, check_name, free_name, name_from_url
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.profile.secrets import NO_KEYRING, SecretSource, SecretStore
from jrc.profile.store import ProfileStore
from jrc.server.address import ServerAddress

app = plain_typer(add_completion=False)


@app.command()
def login(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="The server; asked for when missing.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "-P",
            "--profile",
            help="The profile's name; else the host.",
            autocompletion=complete_profile,
        ),
    ] = None,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read the token from standard input.")
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Do not check the server's TLS certificate.")
    ] = False,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", metavar="PEM", help="CAs to trust as well.")
    ] = None,
    client_cert: Annotated[
        Path | None, typer.Option("--client-cert", metavar="PEM", help="A client certificate.")
    ] = None,
    client_key: Annotated[
        Path | None, typer.Option("--client-key", metavar="PEM", help="Its key.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="K=FROM", help="Send it; FROM: env:NAME or keyring."),
    ] = None,
    credential_command: Annotated[
        str | None,
        typer.Option("--credential-command", metavar="CMD", help="A program that gives a token."),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="Who you are at a hub or gateway.")
    ] = None,
    server: Annotated[
        str | None, typer.Option("--server", metavar="NAME", help="Hub: your named server.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="K=V", help="Hub: start the server with it."),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option("--context", metavar="NAME", help="Kubernetes: kubectl's context."),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", metavar="NAME", help="Kubernetes: the namespace."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="KIND/NAME", help="Kubernetes: svc/NAME, pod/NAME …"),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Kubernetes: the target's port; else 8888.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="PATH", help="Kubernetes: the server's prefix."),
    ] = None,
    token_from: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="Kubernetes: secret/NAME:KEY, or pod to ask it."),
    ] = None,
) -> None:
    """Save a server as a profile, and its token or password in the keyring.

    \b
    Example:
      jrc login https://jupyter.example.org --profile team
      jrc login --context prod -n team --target svc/jupyter --token-from pod
    """
    if token_stdin + password_stdin + (token_from is not None) > 1:
        raise UsageError("--token-stdin, --password-stdin and --token-from exclude each other.")
    terminal, paths = Terminal(), Paths.from_environment()
    wanted = Wanted(context, namespace, target, port, token_from, base_url)
    given = _stdin_secret(token_stdin, password_stdin)
    chosen = _target(url, profile, wanted, terminal, paths)
    access = AccessOptions(
        insecure=insecure,
        ca_file=ca_file,
        client_cert=client_cert,
        client_key=client_key,
        headers=tuple(header or ()),
        credential_command=credential_command,
    )
    there = Place(user=user, server=server, options=pairs(option or [], "--option"))
    try:
        _log_in(chosen, given or chosen.pasted, access, there, terminal, paths)
    except BaseException as error:
        if isinstance(error, JrcError):
            error = _with_what_to_type(error, chosen, wanted, named=profile is not None)
        _leave_cluster(chosen, paths)
        raise error


def _with_what_to_type(
    error: JrcError, target: "Target", wanted: Wanted, *, named: bool
) -> JrcError:
    """The error of a login whose hint repeats what the person typed, and may have to change."""
    from jrc.server.hints import name_login, name_profile

    urls = [target.address.base_url, *([target.before.url] if target.before else [])]
    if target.way is not None:
        from jrc.cli.login.kubernetes import in_cluster

        return in_cluster(error, target.way, urls, wanted)
    if target.before:
        name_profile(error, target.name, urls)
    else:
        elsewhere = f" --profile {shlex.quote(target.name)}" if named else ""
        name_login(error, f"jrc login {shlex.quote(urls[0])}{elsewhere}", urls, elsewhere)
    return error


@dataclass(frozen=True)
class Target:
    """The server to log in to and the profile that it becomes.

    Attributes:
        address: the server.
        name: of the profile.
        before: the profile of that name as it is saved now.
        first: no profile is saved yet.
        pasted: the token that the URL carried, or that the cluster gave.
        way: the profile's way through Kubernetes with its saved URL; None for a direct one.
        brought_up: this login brought its tunnel up.
    """

    address: ServerAddress
    name: str
    before: Profile | None
    first: bool
    pasted: Credential | None
    way: Profile | None = None
    brought_up: bool = False


def _leave_cluster(target: Target, paths: Paths) -> None:
    """End the tunnel of a login that failed: nothing is saved that would show it."""
    if target.brought_up:
        from jrc.tunnel.connect import stop_keeper

        stop_keeper(target.name, paths)


def _stdin_secret(token: bool, password: bool) -> Credential | None:
    if token:
        return Credential(read_token(_stdin_line()), "token")
    if password:
        text = _stdin_line()
        if not text:
            raise UsageError("The password on standard input is empty.")
        return Credential(Secret(text), "password")
    return None


def _stdin_line() -> str:
    # PowerShell's pipes may put a byte order mark in front. Spaces may be a password's own.
    return sys.stdin.readline().removeprefix("\ufeff").rstrip("\r\n")


def _target(
    url: str | None, profile: str | None, wanted: Wanted, terminal: Terminal, paths: Paths
) -> Target:
    saved = ProfileStore(paths).all()
    known = saved.get(profile) if profile else None
    if wanted and url is not None:
        raise UsageError("A URL and the options for Kubernetes exclude each other.")
    if wanted or (url is None and known and known.kubernetes):
        return _target_in_cluster(profile, wanted, saved, terminal, paths)
    if url is None and known:
        url = known.url
    if url is None:
        url = terminal.ask("URL of the server", without="Type: jrc login URL")
    address, pasted = ServerAddress.parse(url)
    if pasted:
        terminal.say("The token was taken out of the URL. It may stay in your shell's history.")
    if profile:
        name = check_name(profile)
    else:
        name = free_name(name_from_url(address.base_url), address.base_url, saved)
    return Target(
        address=address,
        name=name,
        before=saved.get(name),
        first=not saved,
        pasted=Credential(pasted, "token") if pasted else None,
    )


def _target_in_cluster(
    profile: str | None,
    wanted: Wanted,
    saved: dict[str, Profile],
    terminal: Terminal,
    paths: Paths,
) -> Target:
    from jrc.cli.login.kubernetes import reach

    reached = reach(wanted, profile, terminal, paths)
    address, _ = ServerAddress.parse(reached.url)
    return Target(
        address=address,
        name=reached.profile.name,
        before=saved.get(reached.profile.name),
        first=not saved,
        pasted=Credential(reached.token, "token") if reached.token else None,
        way=reached.profile,
        brought_up=reached.brought_up,
    )


def _log_in(
    target: Target,
    given: Credential | None,
    options: AccessOptions,
    place: Place,
    terminal: Terminal,
    paths: Paths,
) -> None:
    import asyncio

    from jrc.server.detect import detect

    address, secrets = target.address, SecretStore(paths)
    reach = approach(options, address, target.name, target.before, terminal, secrets)
    _warn_of_open_lines(address, reach.way.verify_tls, terminal)
    detected = asyncio.run(detect(address, reach.for_detection(address)))
    terminal.say(f"Found {detected.title} at {detected.hub or address.base_url}")
    login = Login(target, reach, detected, place, terminal)
    if detected.kind == "hub":
        profile, credential = log_in_at_hub(login, given)
    else:
        profile, credential = log_in_at_server(login, given)
    _save(target, profile, credential, terminal, paths)
    save_typed(profile.name, reach.typed, secrets)
    note_login(paths, profile.name)


def _warn_of_open_lines(address: ServerAddress, verify_tls: bool, terminal: Terminal) -> None:
    if address.is_tls and not verify_tls:
        terminal.warn("The server's certificate is not checked: anybody could pose as the server.")
    if not address.is_tls and not address.is_loopback:
        terminal.warn("http is not encrypted: others on the way can read the token and the code.")


def _save(
    target: Target,
    profile: Profile,
    credential: Credential | None,
    terminal: Terminal,
    paths: Paths,
) -> None:
    store, secrets = ProfileStore(paths), SecretStore(paths)
    before, name = target.before, profile.name
    if credential is None or (before and before.url != profile.url):
        # The secret of another server must not be sent to this one, not even for a moment.
        secrets.delete(name)
    if before and before.url != profile.url:
        terminal.say(f"'{name}' was {before.url} until now.")
    store.save(profile, make_default=target.first)
    terminal.say(f"Profile '{name}' saved in {store.path}")
    if credential and credential.kept:
        terminal.say(_where(secrets.set(name, credential.secret), credential.auth, secrets))
    if credential and os.environ.get("JRC_TOKEN", "").strip():
        terminal.warn(
            "JRC_TOKEN in the environment wins over the saved one."
            if credential.kept
            else "The token is that of JRC_TOKEN. It is not saved, and wins over a saved one."
        )
    default = store.default_name() == name
    terminal.say("Next: jrc run FILE" if default else f"Next: jrc profile use {name}")


def _where(source: SecretSource, auth: str, secrets: SecretStore) -> str:
    if source is SecretSource.KEYRING:
        return f"{auth.capitalize()} saved in the keyring ({secrets.keyring_name})."
    fault = secrets.keyring_fault or NO_KEYRING
    return (
        f"{fault[0].upper()}{fault[1:]}: {auth} saved in {secrets.file_path}, readable only by you."
    )
