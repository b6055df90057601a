"""Runs through a link that breaks at random, and what they must bring home all the same."""

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jrc.errors import NotFoundError, RemoteError, UnreachableError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.run.attach import Attachment, AttachOptions
from jrc.run.detached import begin_detached
from jrc.run.document import load
from jrc.run.events import RunStarted
from jrc.run.found import find_run
from jrc.run.job import Job, Options
from jrc.run.records import RunRecords
from jrc.run.requests import Requests
from jrc.server.channels import Channels
from tests.support.jupyter import JupyterServer
from tests.support.lines import PROFILE, DirectLine, Line, TunnelLine, direct_line, tunnel_line
from tests.support.running import Recorder, client_of, write_notebook

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


@dataclass(frozen=True)
class Plan:
    """One run: everything in it follows from its seed.

    Attributes:
        seed: of everything.
        cells: names of ``CELLS``.
        fails: an error ends it, and a cell behind that must not run.
        detached: begun with ``--detach``, and followed by ``attach``.
        tunnel: through kubectl and a keeper, and not straight to the server.
        faults: seconds to wait, what happens then, and for how many seconds.
    """

    seed: int
    cells: list[str]
    fails: bool
    detached: bool
    tunnel: bool
    faults: list[tuple[float, str, float]]


def make_plan(seed: int) -> Plan:
    """The plan of a seed."""
    chance = random.Random(seed)
    tunnel = chance.random() < 0.3
    faults = (*(TunnelLine.FAULTS if tunnel else DirectLine.FAULTS), *VISITS)
    return Plan(
        seed=seed,
        cells=chance.choices(list(CELLS), k=chance.randint(3, 7)),
        fails=chance.random() < 0.2,
        detached=chance.random() < 0.25,
        tunnel=tunnel,
        faults=[
            (chance.uniform(0.0, 0.8), chance.choice(faults), chance.uniform(0.05, 0.9))
            for _ in range(chance.randint(1, 6))
        ],
    )


def normalized(outputs: list[dict[str, Any]]) -> str:
    """Outputs as text, without the numbers that count executions."""
    plain = [
        {key: value for key, value in output.items() if key != "execution_count"}
        for output in outputs
    ]
    return json.dumps(plain, sort_keys=True)


@dataclass
class Campaign:
    """Runs plans on one server.

    Args:
        server: a stock server with default limits.
        folder: for the files.
        expected: normalized outputs of each cell, from a run that nothing disturbed.
    """

    server: JupyterServer
    folder: Path
    expected: dict[str, str] = field(default_factory=dict)

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
        path, output = write_notebook(folder / "document.ipynb", sources), folder / "out.ipynb"
        listener = Recorder()
        failed = False
        with tunnel_line(self.server, folder) if plan.tunnel else direct_line(self.server) as line:
            breaking = asyncio.create_task(self._break(plan, line, listener))
            try:
                follow = self._attached if plan.detached else self._followed
                code = await follow(path, output, line, listener)
            except RemoteError:
                failed, code = True, 0
            finally:
                breaking.cancel()
                await asyncio.gather(breaking, return_exceptions=True)
        wrong = [] if failed == plan.fails and code == 0 else [f"failed: {failed}, code {code}"]
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

    async def _followed(self, path: Path, output: Path, line: Line, listener: Recorder) -> int:
        async with line.client() as client:
            job = Job(
                load(path, args=[]), client, options=Options(), listener=listener, output=output
            )
            return await job.run()

    async def _attached(self, path: Path, output: Path, line: Line, listener: Recorder) -> int:
        folder = path.parent
        records = RunRecords(Paths(folder / "config", folder / "state", folder / "logs"))
        profile = Profile(name=PROFILE, url=f"{self.server.url}?token={self.server.token}")
        async with line.client() as client:
            begun = await begin_detached(
                load(path, args=[]),
                client,
                options=Options(profile=PROFILE),
                listener=listener,
                output=output,
                records=records,
            )
            attachment = Attachment(
                await find_run(begun.run, records, [profile]),
                client,
                options=AttachOptions(),
                listener=Recorder(),
                output=output,
                records=records,
            )
            return await attachment.run()

    async def _break(self, plan: Plan, line: Line, listener: Recorder) -> None:
        while not listener.of(RunStarted):
            await asyncio.sleep(0.01)
        kernel = str(listener.of(RunStarted)[0].kernel_id)
        for pause, fault, seconds in plan.faults:
            await asyncio.sleep(pause)
            try:
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
            channels = Channels(client, kernel, session_id=Requests().session)
            try:
                # The run may have ended, and its kernel with it.
                with suppress(NotFoundError, UnreachableError):
                    await channels.open()
                    await asyncio.sleep(seconds)
            finally:
                # The visit may be broken off: the run has ended.
                channels.abort()


def _summary(outputs: list[dict[str, Any]]) -> str:
    texts = ["".join(each.get("text", "")) for each in outputs]
    return f"{len(outputs)} outputs, {sum(map(len, texts))} characters: {normalized(outputs)[:200]}"
