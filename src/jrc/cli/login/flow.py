"""``jrc login``, from what was typed to a saved profile. One event loop runs all of it.

A question to the person blocks that loop. Nothing else has to run meanwhile: no connection is
open then.
"""

import os

from jrc.cli.login.access import approach, save_typed
from jrc.cli.login.credentials import Credential, ask_for, from_environment, from_stdin
from jrc.cli.login.options import LoginOptions
from jrc.cli.login.target import Login, LoginTarget, direct_target, name_direct_login
from jrc.cli.terminal import Terminal
from jrc.errors import AuthError, JrcError, UsageError
from jrc.profile.logins import note_login
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.secrets import NO_KEYRING, SecretSource, SecretStore
from jrc.profile.store import ProfileStore
from jrc.server.address import ServerAddress
from jrc.server.detect import detect

TRIES = 3
"""How often a person may type a token or password before login gives up."""


async def log_in(options: LoginOptions, terminal: Terminal, paths: Paths) -> None:
    """Reach the server, detect its kind, check the credentials, and save the profile.

    Args:
        options: what was typed.
        terminal: for questions, and for what is found.
        paths: jrc's folders.

    Raises:
        JrcError: the login failed, and nothing is saved. The hint can be typed as it is printed.
    """
    given = from_stdin(options.stdin)
    target = await _find_target(options, terminal, paths)
    try:
        await _log_in_at(target, given or target.pasted, options, terminal, paths)
    except BaseException as error:
        if target.brought_up:
            _end_tunnel(target, paths)
        if isinstance(error, JrcError):
            better = _with_what_to_type(error, target, options)
            if better is not error:
                raise better from error
        raise


async def _find_target(options: LoginOptions, terminal: Terminal, paths: Paths) -> LoginTarget:
    saved = ProfileStore(paths).all()
    known = saved.get(options.profile) if options.profile else None
    url, in_cluster = options.url, options.kubernetes.given
    if in_cluster and url is not None:
        raise UsageError("A URL and the options for Kubernetes exclude each other.")
    if in_cluster or (url is None and known and known.kubernetes):
        from jrc.cli.login.kubernetes import target_in_cluster

        return await target_in_cluster(options, saved, terminal, paths)
    if url is None and known:
        url = known.url
    if url is None:
        url = terminal.ask("URL of the server", without="Type: jrc login URL")
    target = direct_target(url, options.profile, saved)
    if target.pasted:
        terminal.say("The token was taken out of the URL. It may stay in your shell's history.")
    return target


async def _log_in_at(
    target: LoginTarget,
    given: Credential | None,
    options: LoginOptions,
    terminal: Terminal,
    paths: Paths,
) -> None:
    address, secrets = target.address, SecretStore(paths)
    found = approach(options.access, address, target.name, target.before, terminal, secrets)
    if target.in_cluster:
        from jrc.server.open import entrance_to

        entrance = entrance_to(target.in_cluster, paths)
        found = found._replace(way=found.way._replace(entrance=entrance))
    _warn_of_open_lines(address, found.way.verify_tls, terminal)
    detected = await detect(address, await found.for_detection(address))
    terminal.say(f"Found {detected.title} at {detected.url}")
    login = Login(target, found, detected, options.identity, terminal)
    if login.kind.makes_tokens:
        from jrc.cli.login.account import log_in_with_account

        profile, credential = await log_in_with_account(login, given)
    else:
        profile, credential = await _log_in_with_secret(login, given)
    _save(target, profile, credential, terminal, paths)
    save_typed(profile.name, found.typed, secrets)
    note_login(paths, profile.name)


def _warn_of_open_lines(address: ServerAddress, verify_tls: bool, terminal: Terminal) -> None:
    if address.is_tls and not verify_tls:
        terminal.warn("The server's certificate is not checked: anybody could pose as the server.")
    if not address.is_tls and not address.is_loopback:
        terminal.warn("http is not encrypted: others on the way can read the token and the code.")


def _with_what_to_type(error: JrcError, target: LoginTarget, options: LoginOptions) -> JrcError:
    """The error of a login whose hint repeats what was typed, with what may have to change."""
    if target.in_cluster:
        from jrc.cli.login.kubernetes import named_in_cluster

        return named_in_cluster(error, target, options.kubernetes.token_from)
    name_direct_login(error, target, named=options.profile is not None)
    return error


def _end_tunnel(target: LoginTarget, paths: Paths) -> None:
    """End the tunnel of a login that failed: no profile is saved that would show it."""
    from jrc.tunnel.connect import stop_keeper

    stop_keeper(target.name, paths)


# With a token or password of the server


async def _log_in_with_secret(
    login: Login, given: Credential | None
) -> tuple[Profile, Credential | None]:
    credential = None
    detected, before = login.detected, login.target.before
    if detected.auth == "none":
        login.terminal.say("It asks for no token and no password.")
        user = await _verified(login, None)
    elif credential := given or from_environment(detected.auth):
        user = await _verified(login, credential)
    else:
        credential, user = await _ask_until_accepted(login)
    profile = login.profile(
        login.target.address.base_url,
        auth=credential.auth if credential else "none",
        user=user or login.identity.user or (before.user if before else ""),
    )
    return profile, credential


async def _ask_until_accepted(login: Login) -> tuple[Credential, str]:
    for left in reversed(range(TRIES)):
        try:
            credential = ask_for(login.detected.auth, login.terminal)
            return credential, await _verified(login, credential)
        except (AuthError, UsageError) as error:
            if not left:
                raise
            login.terminal.error(error)
    raise AssertionError("unreachable")


async def _verified(login: Login, credential: Credential | None) -> str:
    """Check that the server accepts a credential. Returns your user name there, or ''."""
    address, auth, way = login.target.address, login.auth(credential), login.approach.way
    draft = login.profile(address.base_url, auth="none", user="")
    async with login.kind.client(draft, address, auth, way) as client:
        try:
            await client.verify()
        except AuthError as error:
            if credential is None or credential.auth == "password":
                raise
            which = "token" if credential.kept else "token of JRC_TOKEN"
            raise AuthError(
                f"{address.base_url} refused the {which}.", hint=login.kind.refused_hint
            ) from error
        if title := await client.title():
            login.terminal.say(f"It is {title}.")
        return await client.user()


# Saving


def _save(
    target: LoginTarget,
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
