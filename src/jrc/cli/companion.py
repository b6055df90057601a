"""``jrc companion``: what the extension in VS Code asks. Hidden: for programs, not for people."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from jrc.cli.lazy import plain_typer
from jrc.cli.terminal import Terminal
from jrc.errors import AuthError, JrcError, UsageError
from jrc.profile.files import write_atomically
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.store import ProfileStore

app = plain_typer(add_completion=False, no_args_is_help=True)

PROBE_SECONDS = 5.0
"""What a server may take to answer, until the status bar calls it failed."""

ProfileName = Annotated[str, typer.Argument(help="The name of a profile.")]
ProfileNames = Annotated[list[str], typer.Argument(help="The names of profiles.")]


@app.callback()
def companion() -> None:
    """What jrc's extension in VS Code asks; not for people.

    \b
    Example:
      jrc companion vsix jrc-companion.vsix
    """


@app.command()
def resolve(profile: ProfileName) -> None:
    """Print the address and the credentials of a server as JSON; bring up the way to it."""
    import asyncio

    if sys.stdout.isatty():
        raise UsageError(
            "What this command prints holds credentials, and is for programs.",
            hint=f"To see the profile, type: jrc profile show {profile}",
        )
    Terminal().json(asyncio.run(_resolve(profile)))


@app.command()
def status(profiles: ProfileNames) -> None:
    """Print the state of the ways to servers: one JSON object a line."""
    import asyncio

    terminal = Terminal()
    for answer in asyncio.run(_states(profiles)):
        terminal.json(answer)


@app.command()
def vsix(file: Annotated[Path, typer.Argument(help="Where to write it.")]) -> None:
    """Write the companion extension to a file, to install it by hand."""
    from importlib.metadata import version

    from jrc.editor.vsix import build_vsix

    write_atomically(file, build_vsix(version("jrc-cli")), most=0o644)
    Terminal().say(f"wrote {file}; install it with: code --install-extension {file}")


async def _resolve(name: str) -> dict[str, object]:
    from jrc.server.open import open_profile

    profile = ProfileStore(Paths.from_environment()).get(name)
    async with open_profile(profile) as server:
        await server.verify()
        return {
            "id": name,
            "base_url": server.address.base_url,
            "headers": await server.headers(),
        }


async def _states(names: list[str]) -> list[dict[str, str]]:
    import asyncio

    return await asyncio.gather(*(_state(name) for name in names))


async def _state(name: str) -> dict[str, str]:
    """One answer of ``status``: state and detail of the way to a server.

    States: ready, starting, waiting, stopped, failed.
    """
    import asyncio

    paths = Paths.from_environment()
    try:
        profile = ProfileStore(paths).get(name)
        if profile.kubernetes is not None:
            state, detail = _tunnel_state(name, paths)
        else:
            async with asyncio.timeout(PROBE_SECONDS):
                state, detail = "ready", await _answering(profile)
    except TimeoutError:
        state, detail = "failed", f"The server did not answer within {PROBE_SECONDS:g} s."
    except JrcError as error:
        state, detail = "failed", error.message
    return {"profile": name, "state": state, "detail": detail}


def _tunnel_state(name: str, paths: Paths) -> tuple[str, str]:
    from jrc.tunnel.connect import keeper_status
    from jrc.tunnel.machine import Phase

    status = keeper_status(name, paths)
    if status is None:
        return "stopped", "The tunnel comes up when it is needed."
    match status.phase:
        case Phase.READY:
            return "ready", status.pod
        case Phase.WAITING | Phase.FAILED:
            return status.phase.value, status.cause.message if status.cause else ""
    return "starting", status.note or status.pod or status.spec.route.target


async def _answering(profile: Profile) -> str:
    """The address of a server that answers. Nobody logs in for it.

    Raises:
        JrcError: it does not answer as a Jupyter Server.
    """
    from jrc.server.address import ServerAddress
    from jrc.server.auth import NoAuth
    from jrc.server.client import ServerClient
    from jrc.server.kinds import kind_of
    from jrc.server.open import way_to

    address, _ = ServerAddress.parse(profile.url)
    way = way_to(profile, Paths.from_environment())
    async with ServerClient(address, NoAuth(), way) as server:
        try:
            await server.request("GET", *kind_of(profile).api)
        except AuthError:
            # Gateways and ingresses refuse requests without credentials, but they answer.
            return address.base_url
    return address.base_url
