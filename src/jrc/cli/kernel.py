"""``jrc kernel``: list, start, stop, interrupt and restart kernels."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from jrc.cli.complete import kernelspec_names, profile_names
from jrc.cli.lazy import plain_typer
from jrc.cli.options import pairs
from jrc.cli.terminal import Terminal, duration
from jrc.cli.tunnel_talk import TunnelTalk
from jrc.errors import JrcError, KernelDiedError, NotFoundError
from jrc.server.ids import find_kernel, short_ids
from jrc.server.models import KernelModel, SessionModel

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

T = TypeVar("T")

COMPLETION_SECONDS = 2.0
"""A shell that waits longer for a completion seems to hang."""

WHOLE_ID = 36
"""Characters of a kernel's id, a UUID."""

app = plain_typer(add_completion=False, no_args_is_help=True)


def complete_kernel(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The running kernels whose id starts with what was typed: for the shell's completion."""
    try:
        rows = _on_server(ctx.params.get("profile"), _rows, seconds=COMPLETION_SECONDS)
    except (JrcError, OSError, TimeoutError):
        # A shell that completes can't show an error; the command itself will.
        return []
    short = short_ids([row.kernel for row in rows])
    return [
        (short[row.kernel.id], f"{row.kernel.name} {row.kernel.state} {row.path}".strip())
        for row in rows
        if row.kernel.id.startswith(incomplete)
    ]


OnProfile = Annotated[
    str | None,
    typer.Option("-P", "--profile", help="The server's profile.", autocompletion=profile_names),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Ids = Annotated[
    list[str],
    typer.Argument(
        metavar="ID", help="Its id, or the start of its id.", autocompletion=complete_kernel
    ),
]


@app.callback()
def kernel() -> None:
    """List, start, stop, interrupt and restart the kernels of a server.

    \b
    Example:
      jrc kernel list
    """


@app.command("list")
def list_kernels(profile: OnProfile = None, json: AsJson = False) -> None:
    """List the kernels that run on the server, and whose they are.

    \b
    Example:
      jrc kernel list --profile team
    """
    terminal = Terminal()

    async def listed(server: "ServerClient") -> list[Row]:
        rows = await _rows(server)
        if not server.lists_kernels:
            terminal.say("The gateway lists no kernels: these are those that jrc started here.")
        return rows

    rows = _on_server(profile, listed, orphans_first=True)
    if json:
        for row in rows:
            terminal.json(row.as_json())
    elif rows:
        short, now = short_ids([row.kernel for row in rows]), datetime.now(UTC)
        header = ["ID", "NAME", "STATE", "SESSION-PATH", "IDLE", "CONNECTIONS"]
        terminal.table(header, [row.as_cells(short[row.kernel.id], now) for row in rows])
    else:
        terminal.say("No kernel runs on the server.")


@app.command()
def start(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="The kernelspec; default: the server's.",
            autocompletion=kernelspec_names,
        ),
    ] = None,
    profile: OnProfile = None,
    kernel_env: Annotated[
        list[str] | None,
        typer.Option("--kernel-env", metavar="K=V", help="Gateways: set a variable."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Start a kernel that runs until it is stopped, and print its id.

    \b
    Example:
      jrc run --kernel-id $(jrc kernel start) analysis.ipynb
    """
    from jrc.kernel.session import KernelChoice, new_run_id, start_kernel

    async def begin(server: "ServerClient") -> Row:
        choice = KernelChoice(asked=name)
        try:
            begun = await start_kernel(
                server, choice, document="kernel", run=new_run_id(), stays=True
            )
        except NotFoundError as error:
            error.hint = "Choose one of them: jrc kernel start NAME"
            raise
        kernel = await server.kernel(begun.id)
        if kernel is None:
            raise KernelDiedError("The kernel died at its start.", hint="See the server's log.")
        return Row(kernel, begun.session_path)

    env = pairs(kernel_env or [], "--kernel-env")
    row, terminal = _on_server(profile, begin, kernel_env=env), Terminal()
    if json:
        terminal.json(row.as_json())
    else:
        terminal.data(row.kernel.id)


@app.command()
def stop(ids: Ids, profile: OnProfile = None, json: AsJson = False) -> None:
    """Stop kernels. What they hold in memory is lost.

    \b
    Example:
      jrc kernel stop 3f2a91c0
    """
    _each(ids, profile, json, "stopped", lambda server, kernel_id: server.delete_kernel(kernel_id))


@app.command()
def interrupt(ids: Ids, profile: OnProfile = None, json: AsJson = False) -> None:
    """Interrupt what kernels execute, as Ctrl-C does.

    \b
    Example:
      jrc kernel interrupt 3f2a91c0
    """
    _each(ids, profile, json, "interrupted", lambda server, kernel_id: server.interrupt(kernel_id))


@app.command()
def restart(ids: Ids, profile: OnProfile = None, json: AsJson = False) -> None:
    """Restart kernels: same id, empty memory.

    \b
    Example:
      jrc kernel restart 3f2a91c0
    """
    _each(ids, profile, json, "restarted", lambda server, kernel_id: server.restart(kernel_id))


@dataclass(frozen=True)
class Row:
    """A running kernel and the path of its session; empty when it has none."""

    kernel: KernelModel
    path: str

    def as_json(self) -> dict[str, Any]:
        """The contract of ``jrc kernel list --json``."""
        active = self.kernel.last_activity
        return {
            "id": self.kernel.id,
            "name": self.kernel.name,
            "state": self.kernel.state,
            "session_path": self.path or None,
            "last_activity": active.isoformat() if active else None,
            "connections": self.kernel.connections,
        }

    def as_cells(self, short_id: str, now: datetime) -> list[str]:
        """The cells of the table."""
        active = self.kernel.last_activity
        resting = active is not None and self.kernel.state != "busy"
        return [
            short_id,
            self.kernel.name,
            self.kernel.state,
            self.path or "-",
            duration((now - active).total_seconds()) if active and resting else "-",
            str(self.kernel.connections),
        ]


async def _rows(server: "ServerClient") -> list[Row]:
    """The server's kernels with their sessions, the one that was last active first."""
    sessions: list[SessionModel] = await server.sessions()
    paths = {session.kernel.id: session.path for session in sessions}
    rows = [Row(kernel, paths.get(kernel.id, "")) for kernel in await server.kernels()]
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(rows, key=lambda row: row.kernel.last_activity or never, reverse=True)


def _each(
    ids: list[str],
    profile: str | None,
    json: bool,
    done: str,
    act: Callable[["ServerClient", str], Awaitable[object]],
) -> None:
    """Do the same to several kernels; to none when one of the ids is wrong."""
    terminal = Terminal()

    async def do(server: "ServerClient") -> None:
        kernels = await server.kernels()
        kernels += await _unlisted(server, ids, kernels)
        short = short_ids(kernels)
        for kernel_id in dict.fromkeys([find_kernel(kernels, prefix).id for prefix in ids]):
            await act(server, kernel_id)
            if json:
                terminal.json({"id": kernel_id, "event": done})
            else:
                terminal.say(f"Kernel {short[kernel_id]} {done}.")

    _on_server(profile, do)


async def _unlisted(
    server: "ServerClient", ids: list[str], listed: list[KernelModel]
) -> list[KernelModel]:
    """The kernels of whole ids that the server did not list: a gateway may not list any."""
    unknown = set(ids) - {kernel.id for kernel in listed}
    found = [await server.kernel(each) for each in unknown if len(each) == WHOLE_ID]
    return [kernel for kernel in found if kernel is not None]


def _on_server(
    profile: str | None,
    work: Callable[["ServerClient"], Awaitable[T]],
    *,
    seconds: float | None = None,
    kernel_env: dict[str, str] | None = None,
    orphans_first: bool = False,
) -> T:
    """Do some work on the server of a profile.

    Args:
        profile: its name; None for the default one.
        work: what to do there.
        seconds: give up then, with ``TimeoutError``; a shell waits, so nothing is said.
        kernel_env: variables for the kernels of a gateway.
        orphans_first: what the work sees must be without them.
    """
    import asyncio

    from jrc.server.open import open_server
    from jrc.server.orphans import Orphans

    # Pressing Tab must not bring up a tunnel.
    completing = seconds is not None
    orphans = Orphans.FIRST if orphans_first else Orphans.BESIDE

    async def run() -> T:
        async with (
            asyncio.timeout(seconds),
            open_server(
                profile,
                on_tunnel=talk,
                bring_up=not completing,
                talk=None if completing else Terminal().say,
                kernel_env=kernel_env,
                orphans=Orphans.LEAVE if completing else orphans,
            ) as server,
        ):
            return await work(server)

    with TunnelTalk(Terminal()) as talk:
        return asyncio.run(run())
