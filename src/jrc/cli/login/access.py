"""What the network between here and the server asks for: certificates and headers."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from jrc.cli.login.options import AccessOptions
from jrc.cli.terminal import Terminal
from jrc.errors import ConfigError, UsageError
from jrc.profile.access import NOTHING_SPECIAL, Access, header_fault, header_key
from jrc.profile.model import Profile
from jrc.profile.secret import Secret
from jrc.profile.secrets import SecretStore
from jrc.server.address import ServerAddress
from jrc.server.connection import Way


class Approach(NamedTuple):
    """The way to a server, as the login and the profile need it.

    Attributes:
        access: for the profile.
        way: to use now, with the values of the headers.
        typed: values of headers that were typed now, to be saved with the profile.
    """

    access: Access
    way: Way
    typed: Mapping[str, Secret]

    async def for_detection(self, address: ServerAddress) -> Way:
        """The way with the headers of the credential command: an ingress refuses all others.

        Raises:
            JrcError: the command gave none.
        """
        if not self.access.credential_command:
            return self.way
        from jrc.server.credential_command import run_command

        given = await run_command(self.access.credential_command, address)
        return self.way._replace(headers={**self.way.headers, **given.headers})


def approach(
    options: AccessOptions,
    address: ServerAddress,
    name: str,
    before: Profile | None,
    terminal: Terminal,
    secrets: SecretStore,
) -> Approach:
    """Put the options together with what was saved before.

    Args:
        options: of the command line.
        address: the server.
        name: of the profile.
        before: that profile, as it is saved now.
        terminal: to ask for the value of a header.
        secrets: holds the values of headers that were typed before.

    Raises:
        UsageError: an option is wrong.
        ConfigError: a file or a value is missing.
    """
    from jrc.server.open import header_values

    saved = before.access if before else NOTHING_SPECIAL
    access = Access(
        ca_file=_path(options.ca_file, saved.ca_file),
        client_cert=_path(options.client_cert, saved.client_cert),
        client_key=_path(options.client_key, saved.client_key if not options.client_cert else ""),
        headers={**saved.headers, **dict(map(_header, options.headers))},
        credential_command=_command(options.credential_command, saved.credential_command),
    )
    if access.client_key and not access.client_cert:
        raise UsageError("--client-key needs --client-cert.")
    typed = _typed(options.headers, terminal)
    kept = {header: source for header, source in access.headers.items() if header not in typed}
    values = header_values(name, access._replace(headers=kept), secrets)
    values |= {header: secret.reveal() for header, secret in typed.items()}
    way = Way(
        verify_tls=not (options.insecure and address.is_tls),
        ca_file=access.ca_file,
        client_cert=access.client_cert,
        client_key=access.client_key,
        headers=values,
    )
    return Approach(access, way, typed)


def save_typed(profile: str, typed: Mapping[str, Secret], secrets: SecretStore) -> None:
    """Save the values of headers that were typed."""
    for header, secret in typed.items():
        secrets.set(header_key(profile, header), secret)


def _header(word: str) -> tuple[str, str]:
    name, equals, source = word.partition("=")
    fault = header_fault(name, source) if equals else "has no ="
    if fault:
        # The word itself may be a secret.
        raise UsageError(
            f"--header {fault}.",
            hint="--header NAME=env:VARIABLE (or NAME=keyring, which asks for the value; or "
            "NAME=plain:VALUE for what is no secret)",
        )
    return name, source


def _typed(words: tuple[str, ...], terminal: Terminal) -> dict[str, Secret]:
    typed = {}
    for name, source in map(_header, words):
        if source == "keyring":
            text = terminal.ask(
                f"Value of the header {name}", hidden=True, without=f"--header {name}=env:VARIABLE"
            )
            if not text or not text.isprintable() or not text.isascii():
                raise UsageError(f"This can't be the value of the header {name}.")
            typed[name] = Secret(text)
    return typed


def _path(given: Path | None, saved: str) -> str:
    if given is None:
        return saved
    path = given.expanduser().absolute()
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.")
    return str(path)


def _command(given: str | None, saved: tuple[str, ...]) -> tuple[str, ...]:
    if given is None:
        return saved
    try:
        return tuple(shlex.split(given, posix=sys.platform != "win32"))
    except ValueError as error:
        raise UsageError("--credential-command has a quote that does not end.") from error
