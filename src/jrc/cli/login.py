"""``jrc login``: save a server and its credentials as a profile."""

import os
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from jrc.cli.lazy import plain_typer
from jrc.cli.login_options import Wanted
from jrc.cli.profile import complete_profile
from jrc.cli.terminal import Terminal
from jrc.errors import AuthError, InterruptedByUserError, JrcError, UsageError
from jrc.profile.model import Profile, check_name, free_name, name_from_url
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.profile.secrets import NO_KEYRING, SecretSource, SecretStore
from jrc.profile.store import ProfileStore
from jrc.server.address import ServerAddress

app = plain_typer(add_completion=False)

TRIES = 3
"""How often a person may type a token or password before login gives up."""


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
    verify_tls = not (insecure and chosen.address.is_tls)
    _log_in(chosen, given or chosen.pasted, verify_tls=verify_tls, terminal=terminal, paths=paths)


@dataclass(frozen=True)
class Credential:
    """A secret and what it is used for.

    Attributes:
        auth: ``token`` or ``password``.
        kept: whether it is to be saved; one from the environment is not.
    """

    secret: Secret
    auth: str
    kept: bool = True


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
    """

    address: ServerAddress
    name: str
    before: Profile | None
    first: bool
    pasted: Credential | None
    way: Profile | None = None


def token_from(text: str) -> Secret:
    """The token in what a person typed or pasted: itself, or a URL that carries it.

    Raises:
        UsageError: it is neither.
    """
    text = text.strip()
    if not text:
        raise UsageError("The token is empty.")
    if not text.startswith(("http://", "https://")):
        return Secret(text)
    _, pasted = ServerAddress.parse(text)
    if pasted is None:
        raise UsageError("This URL carries no token.", hint="Copy it with its ?token=… part.")
    return pasted


def _stdin_secret(token: bool, password: bool) -> Credential | None:
    if token:
        return Credential(token_from(_stdin_line()), "token")
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
    from jrc.cli.login_kubernetes import reach

    reached = reach(wanted, profile, terminal, paths)
    address, _ = ServerAddress.parse(reached.url)
    return Target(
        address=address,
        name=reached.profile.name,
        before=saved.get(reached.profile.name),
        first=not saved,
        pasted=Credential(reached.token, "token") if reached.token else None,
        way=reached.profile,
    )


def _log_in(
    target: Target,
    given: Credential | None,
    *,
    verify_tls: bool,
    terminal: Terminal,
    paths: Paths,
) -> None:
    import asyncio

    from jrc.server.detect import detect

    address = target.address
    _warn_of_open_lines(address, verify_tls, terminal)
    detected = asyncio.run(detect(address, verify_tls=verify_tls))
    terminal.say(f"Found Jupyter Server {detected.version} at {address.base_url}")
    if detected.auth == "none":
        terminal.say("It asks for no token and no password.")
        credential = None
        user = _verify(address, None, verify_tls)
    elif credential := given or _from_environment(detected.auth):
        user = _verify(address, credential, verify_tls)
    else:
        credential, user = _ask_until_accepted(address, detected.auth, verify_tls, terminal)
    profile = Profile(
        name=target.name,
        url=target.way.url if target.way else address.base_url,
        kind=detected.kind,
        auth=credential.auth if credential else "none",
        user=user or (target.before.user if target.before else ""),
        verify_tls=verify_tls,
        kubernetes=target.way.kubernetes if target.way else None,
    )
    _save(target, profile, credential, terminal, paths)


def _warn_of_open_lines(address: ServerAddress, verify_tls: bool, terminal: Terminal) -> None:
    if address.is_tls and not verify_tls:
        terminal.warn("The server's certificate is not checked: anybody could pose as the server.")
    if not address.is_tls and not address.is_loopback:
        terminal.warn("http is not encrypted: others on the way can read the token and the code.")


def _from_environment(auth: str) -> Credential | None:
    value = os.environ.get("JRC_TOKEN", "").strip()
    return Credential(Secret(value), auth, kept=False) if value else None


def _ask_until_accepted(
    address: ServerAddress, auth: str, verify_tls: bool, terminal: Terminal
) -> tuple[Credential, str]:
    for left in reversed(range(TRIES)):
        try:
            credential = _ask(auth, terminal)
            return credential, _verify(address, credential, verify_tls)
        except (AuthError, UsageError) as error:
            if not left:
                raise
            terminal.error(error)
    raise AssertionError("unreachable")


def _ask(auth: str, terminal: Terminal) -> Credential:
    question = auth.capitalize() + (" (or the URL with it)" if auth == "token" else "")
    try:
        text = terminal.ask(question, hidden=True, without=f"Add --{auth}-stdin, or set JRC_TOKEN.")
    except EOFError as error:
        raise InterruptedByUserError(f"No {auth} was given; nothing is saved.") from error
    if auth == "token":
        return Credential(token_from(text), auth)
    if not text:
        raise UsageError("The password is empty.")
    return Credential(Secret(text), auth)


def _verify(address: ServerAddress, credential: Credential | None, verify_tls: bool) -> str:
    """Check that the server accepts a credential. Returns the user that it takes us for, or ''."""
    import asyncio

    from jrc.server.auth import Auth, NoAuth, PasswordAuth, TokenAuth
    from jrc.server.client import ServerClient

    auth: Auth = NoAuth()
    if credential:
        token = credential.auth == "token"
        auth = TokenAuth(credential.secret) if token else PasswordAuth(credential.secret, address)

    async def verify() -> str:
        async with ServerClient(address, auth, verify_tls=verify_tls) as client:
            try:
                await client.verify()
            except AuthError as error:
                if credential is None or credential.auth == "password":
                    raise
                which = "token" if credential.kept else "token of JRC_TOKEN"
                raise AuthError(
                    f"{address.base_url} refused the {which}.",
                    hint="Where the server runs, `jupyter server list` shows its token.",
                ) from error
            try:
                return user_from(await client.request("GET", "api", "me"))
            except JrcError:
                # Servers before 2.0 do not tell, and a login does not fail for that.
                return ""

    return asyncio.run(verify())


def user_from(answer: object) -> str:
    """The user's name in an answer of ``/api/me``; empty for who only shares a token.

    Source: jupyter_server ``auth/identity.py``: without a login of one's own a person is given a
    random user name and the display name "Anonymous MOON".
    """
    identity = answer.get("identity") if isinstance(answer, dict) else None
    if not isinstance(identity, dict):
        return ""
    name, shown = identity.get("username"), identity.get("display_name")
    anonymous = isinstance(shown, str) and shown.startswith("Anonymous ")
    return name if isinstance(name, str) and not anonymous else ""


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
