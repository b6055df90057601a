"""One computer with its state folder, at which somebody types commands about detached runs."""

import asyncio
import re
from pathlib import Path
from typing import Any

from jrc.notebook.document import load
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.run.attach import Attachment
from jrc.run.detached import begin_detached
from jrc.run.events import CellOutput
from jrc.run.options import AttachOptions
from jrc.runs.cancel import DEFAULT_TIMING, Timing, cancel_found
from jrc.runs.listing import Listing, RunRow, list_runs
from jrc.runs.lookup import FoundRun, find_run
from jrc.runs.records import RunRecords
from tests.support.jupyter import JupyterServer
from tests.support.running import Recorder, client_of, options_of


class Desk:
    """One computer with its state folder, at which somebody types commands."""

    def __init__(self, server: JupyterServer, folder: Path) -> None:
        folder.mkdir()
        self.server = server
        self.folder = folder
        self.paths = Paths(folder / "config", folder / "state", folder / "logs")
        self.records = RunRecords(self.paths)
        self.profile = Profile(name="team", url=server.url)

    @property
    def output(self) -> Path:
        return self.folder / "out.ipynb"

    async def begin(
        self,
        path: Path,
        *,
        listener: Recorder | None = None,
        url: str | None = None,
        **options: Any,
    ) -> str:
        """``jrc run --detach``; returns the run's id."""
        async with client_of(self.server, url=url) as client:
            begun = await begin_detached(
                load(path, args=options.pop("args", [])),
                client,
                options=options_of(profile="team", **options),
                listener=listener or Recorder(),
                output=self.output,
                records=self.records,
            )
        return begun.run

    async def find(self, prefix: str) -> FoundRun:
        return await find_run(prefix, self.records, [self.profile])

    async def attach(
        self,
        prefix: str,
        listener: Recorder | None = None,
        *,
        url: str | None = None,
        says_where: bool = True,
        **options: Any,
    ) -> int:
        """``jrc attach -o OUTPUT``; without ``-o`` where it does not say where to save."""
        found = await self.find(prefix)
        async with client_of(self.server, url=url) as client:
            attachment = Attachment(
                found,
                client,
                options=AttachOptions(**options),
                listener=listener or Recorder(),
                output=self.output if says_where else None,
                records=self.records,
            )
            return await attachment.run()

    async def cancel(self, prefix: str, timing: Timing = DEFAULT_TIMING) -> str:
        found = await self.find(prefix)
        async with client_of(self.server) as client:
            return await cancel_found(found, client, timing)

    async def list(self, now: float = 0.0) -> Listing:
        return await list_runs(self.paths, everybody=False, now=now)

    async def row(self, run: str) -> RunRow | None:
        return next((row for row in (await self.list()).rows if row.run == run), None)

    async def state(self, run: str) -> str:
        row = await self.row(run)
        return "not listed" if row is None else row.state

    async def until_journal_has(self, run: str, text: str) -> None:
        """Wait until a detached run has printed this."""
        journal = self.server.root / "jrc-runs" / f"{run}.jrcjournal"
        async with asyncio.timeout(60):
            while not re.search(b'"text": ?"' + text.encode(), journal.read_bytes()):
                await asyncio.sleep(0.05)

    async def until(self, run: str, *states: str) -> None:
        """Wait until a run is in one of the states."""
        async with asyncio.timeout(60):
            while await self.state(run) not in states:
                await asyncio.sleep(0.1)


def printed(listener: Recorder) -> str:
    """All that a run printed, as its listener heard it."""
    return "".join(str(event.output.get("text", "")) for event in listener.of(CellOutput))


def nothing_is_left(server: JupyterServer, run: str) -> bool:
    """Whether the server has no session and no file of a run any more."""
    sessions = [s["path"] for s in server.rest("GET", "api/sessions")]
    files = [path.name for path in server.root.rglob("*")]
    return not any(run in name for name in [*sessions, *files])
