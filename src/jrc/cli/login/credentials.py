"""The token or password of a login, and where it comes from."""

import os
import sys
from typing import NamedTuple

from jrc.cli.terminal import Terminal
from jrc.errors import InterruptedByUserError, UsageError
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress


class Credential(NamedTuple):
    """A secret and what it is used for.

    Attributes:
        auth: ``token`` or ``password``.
        kept: whether it is to be saved; one from the environment is not.
    """

    secret: Secret
    auth: str
    kept: bool = True


def read_token(text: str) -> Secret:
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


def read_credential(text: str, auth: str) -> Credential:
    """The token or password in a line that was typed.

    Raises:
        UsageError: there is none in it.
    """
    if auth == "token":
        return Credential(read_token(text), auth)
    if not text:
        raise UsageError("The password is empty.")
    return Credential(Secret(text), auth)


def from_stdin(auth: str) -> Credential | None:
    """The first line of standard input; None where no option says that it holds a secret."""
    if not auth:
        return None
    # PowerShell's pipes may put a byte order mark in front. Spaces may be a password's own.
    line = sys.stdin.readline().removeprefix("\ufeff").rstrip("\r\n")
    if auth == "password" and not line:
        raise UsageError("The password on standard input is empty.")
    return read_credential(line, auth)


def from_environment(auth: str) -> Credential | None:
    """The token of ``JRC_TOKEN``; None where it is not set."""
    value = os.environ.get("JRC_TOKEN", "").strip()
    return Credential(Secret(value), auth, kept=False) if value else None


def ask_for(auth: str, terminal: Terminal) -> Credential:
    """Ask for a token or password.

    Raises:
        UsageError: what was typed is none.
        ConfigError: there is no terminal.
        InterruptedByUserError: standard input ended.
    """
    question = auth.capitalize() + (" (or the URL with it)" if auth == "token" else "")
    without = f"Add --{auth}-stdin, or set JRC_TOKEN."
    return read_credential(ask_hidden(question, auth, terminal, without=without), auth)


def ask_hidden(question: str, auth: str, terminal: Terminal, *, without: str) -> str:
    """Ask for something that is not shown; see ``Terminal.ask``.

    Raises:
        ConfigError: there is no terminal.
        InterruptedByUserError: standard input ended.
    """
    try:
        return terminal.ask(question, hidden=True, without=without)
    except EOFError as error:
        raise InterruptedByUserError(f"No {auth} was given; nothing is saved.") from error
