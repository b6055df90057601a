"""Runs through a link that breaks at random, and what they must bring home all the same."""

import asyncio
import errno
import json
import random
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jrc.errors import NotFoundError, RemoteError, UnreachableError, UsageError
from jrc.kernel.channels import Channels
from jrc.kernel.messages import Messages
from jrc.kernel.timing import LinkTiming
from jrc.notebook.document import load
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.run.attach import Attachment
from jrc.run.detached import begin_detached
from jrc.run.events import RunEvent, RunStarted
from jrc.run.job import Job
from jrc.run.options import AttachOptions, Options
from jrc.run.timing import Timing
from jrc.runs.lookup import find_run
from jrc.runs.records import RunRecords
from tests.support.jupyter import JupyterServer
from tests.support.lines import PROFILE, DirectLine, Line, TunnelLine, direct_line, tunnel_line
from tests.support.running import Recorder, client_of, write_notebook

TIMING = Timing(link=LinkTiming(silence=3.0, probe=1.0, first_open=20.0))
"""A silent line counts as dead sooner than in life, so that silences fit in."""

CELLS: dict[str, str] = {
    "ticks": "import time\nfor i in range(30):\n    print(i, flush=True)\n    time.sleep(0.02)",
    "storm": (
        "import sys\nfor i in range(2000):\n"
        "    print('storm', i, flush=True)\n    print(i, file=sys.stderr, flush=True)"
    ),
    "lines": "for i in range(20_000): print('line', i, flush=True)",
    "flood": "for i in range(12): print(str(i % 10) * 400_000)",
    "displays": (
        "from IPython.display import display\n"
        "for i in range(1500): display({'text/plain': str(i)}, raw=True)"
    ),
    "streams": (
        "import sys, time\nfor i in range(15):\n"
        "    print('out', i, flush=True)\n    print('err', i, file=sys.stderr, flush=True)\n"
        "    time.sleep(0.03)"
    ),
    "updates": (
        "from IPython.display import display\nhandle = display('start', display_id='d')\n"
        "for i in range(400): handle.update(i)"
    ),
    "cleared": (
        "from IPython.display import clear_output\nimport time\nfor i in range(20):\n"
        "    clear_output(wait=True)\n    print('step', i, flush=True)\n    time.sleep(0.02)"
    ),
    "result": "[number ** 2 for number in range(1000)]",
    "quiet": "import time; time.sleep(0.4)",
    "image": (
        "from IPython.display import Image, display\n"
        "display(Image(b'\\x89PNG' + bytes(300_000), format='png'))"
    ),
}
"""Code whose outputs are the same each time."""

ERROR = "print('before')\nraise ValueError('on purpose')"

VISITS = ("visitor", "discard")
"""What another client on the same kernel does, whatever the line."""

DISK = "disk"
"""The folder of the result is away for a while, as a drive of the network may be."""


@dataclass(frozen=True)
class Plan:
    """One run: everything in it follows from its seed.

    Attributes:
        seed: of everything.
        cells: names of ``CELLS``.
        fails: an error ends it, and a cell behind that must not run.
        detached: begun with ``--detach``, and followed by ``attach``.
        tunnel: through kubectl and a keeper, and not straight to the server.
        reader: how many events are shown before the reader of stdout goes away; None if it stays.
        colleague: a detached run is followed from a second computer as well.
        faults: seconds to wait, what happens then, and for how many seconds.
    """

    seed: int
    cells: list[str]
    fails: bool
    detached: bool
    tunnel: bool
    reader: int | None
    colleague: bool
    faults: list[tuple[float, str, float]]


def make_plan(seed: int) -> Plan:
    """The plan of a seed."""
    chance = random.Random(seed)
    tunnel = chance.random() < 0.3
    faults = (*(TunnelLine.FAULTS if tunnel else DirectLine.FAULTS), *VISITS, DISK)
    return Plan(
        seed=seed,
        cells=chance.choices(list(CELLS), k=chance.randint(3, 7)),
        fails=chance.random() < 0.2,
        detached=chance.random() < 0.25,
        tunnel=tunnel,
        reader=chance.randint(0, 60) if chance.random() < 0.2 else None,
        colleague=chance.random() < 0.5,
        faults=[
            (chance.uniform(0.0, 0.8), chance.choice(faults), chance.uniform(0.05, 0.9))
            for _ in range(chance.randint(1, 6))
        ],
    )


class Reader(Recorder):
    """A listener whose stdout breaks after some events.

    Args:
        until: how many are shown; None for all.
    """

    def __init__(self, until: int | None) -> None:
        super().__init__()
        self._until = until

    def on_event(self, event: RunEvent) -> None:
        super().on_event(event)
        if self._until is not None and len(self.events) > self._until:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def normalized(outputs: list[dict[str, Any]]) -> str:
    """Outputs as text, without the numbers that count executions."""
    plain = [
        {key: value for key, value in output.items() if key != "execution_count"}
        for output in outputs
    ]
    return json.dumps(plain, sort_keys=True)


class TooLateError(Exception):
    """A client came to follow when another one had fetched the run: nothing was shown to it.

    An outage may keep its note from the server for so long. The run is not lost: the other has it.
    """


@dataclass
class Campaign:
    """Runs plans on one server.

    Args:
        server: a stock server with default limits.
        folder: for the files.
        expected: normalized outputs of each cell, from a run that nothing disturbed.

    Attributes:
        too_late: the seeds whose colleague came when the run had been fetched and removed.
    """

    server: JupyterServer
    folder: Path
    expected: dict[str, str] = field(default_factory=dict)
    too_late: list[int] = field(default_factory=list)

    async def run(self, plan: Plan) -> list[str]:
        """Run a plan.

        Returns:
            what is wrong with the notebook that arrived; nothing when all is well.
        """
        sources = [CELLS[name] for name in plan.cells]
        if plan.fails:
            sources += [ERROR, "print('never')"]
        folder = self.folder / str(plan.seed)
        folder.mkdir()
        path = write_notebook(folder / "document.ipynb", sources)
        output = folder / "results" / "out.ipynb"
        output.parent.mkdir()
        listener = Reader(plan.reader)
        failed = False
        with tunnel_line(self.server, folder) if plan.tunnel else direct_line(self.server) as line:
            breaking = asyncio.create_task(self._break(plan, line, listener, output.parent))
            try:
                follow = self._attached if plan.detached else self._followed
                code = await follow(plan, path, output, line, listener)
            except RemoteError:
                failed, code = True, 0
            finally:
                breaking.cancel()
                await asyncio.gather(breaking, return_exceptions=True)
        wrong = [] if failed == plan.fails and code == 0 else [f"failed: {failed}, code {code}"]
        if plan.detached and plan.colleague and plan.seed not in self.too_late:
            there = self._differences(plan, folder / "colleague" / "out.ipynb")
            wrong += [f"for the colleague: {each}" for each in there]
        return wrong + self._differences(plan, output)

    def _differences(self, plan: Plan, output: Path) -> list[str]:
        found = [cell["outputs"] for cell in json.loads(output.read_text())["cells"]]
        different = []
        for number, (name, outputs) in enumerate(zip(plan.cells, found, strict=False)):
            if normalized(outputs) != self.expected[name]:
                different.append(f"cell {number} ({name}): {_summary(outputs)}")
        if plan.fails:
            error, nothing = found[len(plan.cells) :]
            kinds = [each.get("ename", each.get("text")) for each in error]
            if kinds != [["before\n"], "ValueError"] or nothing:
                different.append(f"the error: {kinds}, behind it: {nothing}")
        return different

    async def _followed(
        self, _plan: Plan, path: Path, output: Path, line: Line, listener: Recorder
    ) -> int:
        async with line.client() as client:
            job = Job(
                load(path, args=[]),
                client,
                options=Options(timing=TIMING),
                listener=listener,
                output=output,
            )
            try:
                return await job.run()
            except UsageError as error:
                # The folder was away at the end, and the result went to another one.
                rescued = re.search(r"saved in (.+\.ipynb)\.", error.message)
                if rescued is None:
                    raise
                await _until_back(output.parent)
                shutil.move(rescued[1], output)
                # The run ends as one that was not saved. The file tells how its cells ended.
                cells = json.loads(output.read_text())["cells"]
                if any(each["output_type"] == "error" for each in cells[-2]["outputs"]):
                    raise RemoteError("The cells failed, and the file was not saved.") from error
                return 0

    async def _attached(
        self, plan: Plan, path: Path, output: Path, line: Line, listener: Recorder
    ) -> int:
        async with line.client() as client:
            records = _records(path.parent)
            begun = await begin_detached(
                load(path, args=[]),
                client,
                options=Options(profile=PROFILE, timing=TIMING),
                listener=listener,
                output=output,
                records=records,
            )
            follow = [self._follow(begun.run, records, line, plan.reader, output)]
            if plan.colleague:
                home = path.parent / "colleague"
                home.mkdir()
                there = self._follow(begun.run, _records(home), line, None, home / "out.ipynb")
                follow.append(there)
            ends = await asyncio.gather(*follow, return_exceptions=True)
        if plan.colleague and isinstance(ends[1], TooLateError):
            self.too_late.append(plan.seed)
            del ends[1]
        for end in reversed(ends):
            if isinstance(end, BaseException):
                raise end
        return max(end for end in ends if isinstance(end, int))

    async def _follow(
        self, run: str, records: RunRecords, line: Line, reader: int | None, output: Path
    ) -> int:
        """What ``jrc attach`` does; once more where the folder of the result was away."""
        profile = Profile(name=PROFILE, url=f"{self.server.url}?token={self.server.token}")
        while True:
            listener = Reader(reader)
            async with line.client() as client:
                attachment = Attachment(
                    await find_run(run, records, [profile]),
                    client,
                    options=AttachOptions(timing=TIMING),
                    listener=listener,
                    output=output,
                    records=records,
                )
                try:
                    return await attachment.run()
                except UsageError:
                    await _until_back(output.parent)
                except NotFoundError as error:
                    if listener.of(RunStarted):
                        raise
                    raise TooLateError from error

    async def _break(self, plan: Plan, line: Line, listener: Recorder, results: Path) -> None:
        while not listener.of(RunStarted):
            await asyncio.sleep(0.01)
        kernel = str(listener.of(RunStarted)[0].kernel_id)
        for pause, fault, seconds in plan.faults:
            await asyncio.sleep(pause)
            try:
                if fault == DISK:
                    await _away(results, seconds)
                else:
                    await self._fault(fault, seconds, line, kernel)
            finally:
                await line.mend()

    async def _fault(self, fault: str, seconds: float, line: Line, kernel: str) -> None:
        match fault:
            case "visitor":
                await self._visit(kernel, seconds)
            case "discard":
                await line.break_off()
                await self._visit(kernel, seconds)
            case _:
                await line.fail(fault, seconds)

    async def _visit(self, kernel: str, seconds: float) -> None:
        """Another client on the same kernel: the server throws away what it kept for ours."""
        async with client_of(self.server) as client:
            channels = Channels(client, kernel, session_id=Messages().session)
            try:
                # The run may have ended, and its kernel with it.
                with suppress(NotFoundError, UnreachableError):
                    await channels.open()
                    await asyncio.sleep(seconds)
            finally:
                # The visit may be broken off: the run has ended.
                channels.abort()


def _records(home: Path) -> RunRecords:
    """What a computer with this home remembers of its runs."""
    return RunRecords(Paths(home / "config", home / "state", home / "logs"))


async def _away(folder: Path, seconds: float) -> None:
    """Take a folder away for a while."""
    elsewhere = folder.rename(folder.with_name(f"{folder.name}-away"))
    try:
        await asyncio.sleep(seconds)
    finally:
        elsewhere.rename(folder)


async def _until_back(folder: Path) -> None:
    while not folder.exists():
        await asyncio.sleep(0.05)


def _summary(outputs: list[dict[str, Any]]) -> str:
    texts = ["".join(each.get("text", "")) for each in outputs]
    return f"{len(outputs)} outputs, {sum(map(len, texts))} characters: {normalized(outputs)[:200]}"
