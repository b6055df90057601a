"""A program of the person's that gives credentials, in the manner of kubectl's exec plugins.

It prints one JSON object on stdout::

    {"token": "…", "headers": {"Authorization": "Bearer …"}, "expiry": "2026-11-22T21:00:00Z"}

``token`` is sent as a Jupyter Server's token, ``headers`` as they are; one of them is enough.
``expiry`` may be missing. What it gives is kept in memory and nowhere else.
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from jrc.errors import AuthError, ConfigError, DeadlineError
from jrc.profile.environment import for_programs
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.auth import Auth, token_headers
from jrc.shapes import NotJsonError, parse

if TYPE_CHECKING:
    from jrc.server.http import HttpClient

URL_VARIABLE = "JRC_CREDENTIAL_URL"
"""Tells the program which server the credentials are for."""

LARGEST_OUTPUT = 1 << 20


class CommandTiming(NamedTuple):
    """How long a program may take, and when it is run again.

    Attributes:
        run: seconds; it may open a browser for a person to log in.
        renewal: seconds before their expiry at which credentials are renewed, if they were valid
            for much longer.
    """

    run: float = 120.0
    renewal: float = 60.0


TIMING = CommandTiming()

_given: set[str] = set()


def given_secrets() -> frozenset[str]:
    """What programs gave in this process, for those who take secrets out of texts."""
    return frozenset(_given)


@dataclass(frozen=True)
class Credentials:
    """What the program gave.

    Attributes:
        headers: to send with every request.
        expiry: Unix time after which they are no longer good; None when it was not said.
    """

    headers: Mapping[str, str] = field(repr=False)
    expiry: float | None = None

    def fresh(self, now: float, obtained: float, renewal: float = TIMING.renewal) -> bool:
        """Whether they can still be used for a while.

        Args:
            now: Unix time.
            obtained: Unix time at which they came.
            renewal: see ``CommandTiming``.
        """
        if self.expiry is None:
            return True
        return now < self.expiry - min(renewal, (self.expiry - obtained) / 5)


def read_credentials(output: bytes, program: str) -> Credentials:
    """Read what the program printed.

    Raises:
        ConfigError: it is not what it should be. The message shows none of it.
    """
    try:
        value = parse(output)
    except NotJsonError:
        value = None
    if not isinstance(value, dict):
        raise _wrong(program, "prints no JSON object")
    token, headers = value.get("token"), value.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
        raise _wrong(program, "prints headers that are not an object of texts")
    if token is not None and not isinstance(token, str):
        raise _wrong(program, "prints a token that is not a text")
    if not token and not headers:
        raise _wrong(program, "prints neither a token nor headers")
    for name, text in headers.items():
        if not (name + text).isprintable() or not (name + text).isascii() or ":" in name:
            raise _wrong(program, f"prints a header {name!r} that can't be sent")
    given = token_headers(Secret(token)) if token else {}
    return Credentials(given | headers, _expiry(value.get("expiry"), program))


def _expiry(value: object, program: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        with suppress(ValueError):
            time = datetime.fromisoformat(value)
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    raise _wrong(program, "prints an expiry that is not a time such as 2026-11-22T21:00:00Z")


def _wrong(program: str, what: str) -> ConfigError:
    return ConfigError(
        f"The credential command {program} {what}.",
        hint='It must print {"token": "…"} or {"headers": {…}}, and nothing else, on stdout.',
    )


async def run_command(
    argv: Sequence[str], address: ServerAddress, timing: CommandTiming = TIMING
) -> Credentials:
    """Run the program, without a shell, and take what it gives.

    Args:
        argv: the program and its arguments.
        address: the server that the credentials are for.
        timing: how long it may take.

    Raises:
        ConfigError: it can't be started, or prints something else.
        AuthError: it failed.
        DeadlineError: it took too long.
    """
    program = argv[0]
    try:
        process = await asyncio.create_subprocess_exec(
            *[os.path.expanduser(program), *argv[1:]],  # noqa: ASYNC240, PTH111  no disk is asked
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=for_programs(os.environ, **{URL_VARIABLE: address.base_url}),
        )
    except OSError as error:
        raise ConfigError(
            f"The credential command {program} can't be started: {error.strerror or error}.",
            hint="Is it installed, and on the PATH? It is run without a shell.",
        ) from error
    try:
        async with asyncio.timeout(timing.run):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise DeadlineError(
            f"The credential command {program} did not end within {timing.run:.0f} s."
        ) from error
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        raise AuthError(
            f"The credential command {program} failed (exit code {process.returncode}).",
            hint="What it wrote is above; try it by hand.",
        )
    credentials = read_credentials(output[:LARGEST_OUTPUT], program)
    for value in credentials.headers.values():
        # Behind the name of a scheme, ``Bearer``, somebody may quote the secret alone.
        _given.update({value, value.rpartition(" ")[2]})
    return credentials


class CommandAuth:
    """Credentials from a program, beside those that the server itself wants.

    Args:
        argv: the program and its arguments.
        address: the server.
        inner: what the server behind the ingress wants; ``NoAuth`` for nothing.
    """

    renewable = True

    def __init__(self, argv: Sequence[str], address: ServerAddress, inner: Auth) -> None:
        self._argv = tuple(argv)
        self._address = address
        self._inner = inner
        self._credentials: Credentials | None = None
        self._obtained = 0.0
        self._running = asyncio.Lock()

    async def headers(self, http: "HttpClient") -> dict[str, str]:
        async with self._running:
            credentials = self._credentials
            if credentials is None or not credentials.fresh(time.time(), self._obtained):
                credentials = await run_command(self._argv, self._address)
                self._credentials, self._obtained = credentials, time.time()
        return {**await self._inner.headers(http), **credentials.headers}

    def forget(self) -> None:
        """Ask the program again."""
        self._credentials = None
        self._inner.forget()
