"""Nothing lost, and one round trip: what it takes, beside the clients that lose or wait.

    python -m benchmarks.lossless [--peers PYTHON] [--rounds N] [--only PART,PART]

``far``: 200 cells on a server 50 ms away, and on one that is near.
``whole``: output that a stock server drops, on a server with default limits; nbclient runs the
same on a local kernel, where no limit is.
``replay``: how fast a recorder gives back what was missed.
``cost``: what the recorder costs inside the kernel, for each message and each cell, and in memory.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.contestants import CONTESTANTS, Task
from benchmarks.processes import Sample, measure
from benchmarks.rows import RTT_MS
from benchmarks.site import Limits, Site
from benchmarks.workloads import (
    DISPLAYS_AND_ERROR,
    MANY_CELLS,
    MANY_FLUSHED_LINES,
    STREAM,
    Workload,
)
from jrc.kernel.channels import Channels
from jrc.kernel.messages import Messages
from jrc.notebook.document import load
from jrc.profile.paths import Paths
from jrc.recorder.recording import Recording
from jrc.run.detached import begin_detached
from jrc.run.events import RunEvent
from jrc.run.options import Options
from jrc.run.progress import Listener
from jrc.runs.questions import state_of_run
from jrc.runs.records import RunRecords
from jrc.server.address import ServerAddress
from jrc.server.auth import TokenAuth
from jrc.server.client import ServerClient
from jrc.wire.message import Message

FAR_PROMISE = 1.5
"""Seconds that the distance may cost 200 cells."""

MESSAGE_PROMISE = 40.0
"""Microseconds for each message inside the kernel."""

TIMEOUT = 600.0

LINES = 30_000

LINE_TIMES = Workload(
    "line-times",
    (
        f"""\
import time
started = time.perf_counter()
for i in range({LINES}): print(i, flush=True)
each = (time.perf_counter() - started) / {LINES} * 1e6""",
        "print(each)",
    ),
    0,
)

MESSAGE_TIMES = Workload(
    # In turns in one kernel, or the machine's moods are all that is measured. Each flush makes a
    # message.
    "message-times",
    (
        """\
import time
from statistics import median
recorder = get_ipython().kernel._jrc_recorder
recorder.flushes.allowance.take = lambda now: True
def each(recorded):
    recorder.active = recorded
    started = time.perf_counter()
    for i in range(500): print(i, flush=True)
    return (time.perf_counter() - started) / 500 * 1e6
difference = median(each(True) - each(False) for _ in range(40))
recorder.active = True""",
        "print(difference)",
    ),
    0,
)

PEAK = """\
import resource
for i in range(1024): print('x' * 1048575, flush=True)
print()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"""


class Lab:
    """Runs contestants at one site.

    Args:
        site: where the servers are.
        peers: the Python that has nbclient and the others; None to do without them.
        rounds: how often each is measured.
    """

    def __init__(self, site: Site, peers: Path | None, rounds: int) -> None:
        self.site = site
        self.peers = peers
        self.rounds = rounds

    def run(
        self, name: str, workload: Workload, *, limits: Limits, rtt_ms: int = 0, words: str = ""
    ) -> tuple[Sample, float]:
        """One contestant on one notebook; returns what it took, and the completeness in percent."""
        folder = self.site.folder
        out = folder / f"{name}.out.ipynb"
        out.unlink(missing_ok=True)
        task = Task(
            site=self.site,
            owner=name,
            notebook=workload.write(folder),
            out=out,
            limits=limits,
            rtt_ms=rtt_ms,
            nagle=False,
            peers=self.peers or Path(sys.executable),
        )
        contestant = CONTESTANTS[name]
        sample = measure(
            [*contestant.command(task), *words.split()],
            env=contestant.environment(task),
            folder=folder,
            log=folder / f"{name}.log",
            timeout=TIMEOUT,
        )
        return sample, self._completeness(workload, out)

    def takes_part(self, name: str) -> bool:
        return self.peers is not None or not CONTESTANTS[name].is_peer

    def text(self, name: str) -> list[str]:
        """The words that the last cell printed."""
        notebook = json.loads((self.site.folder / f"{name}.out.ipynb").read_bytes())
        return "".join(notebook["cells"][-1]["outputs"][0]["text"][-3:]).split()

    def _completeness(self, workload: Workload, out: Path) -> float:
        if workload not in (MANY_CELLS, STREAM, MANY_FLUSHED_LINES, DISPLAYS_AND_ERROR):
            return 100.0
        argv = [sys.executable, "-m", "benchmarks.verify", workload.name, str(out)]
        answer = subprocess.run(
            argv, env=self.site.environment, capture_output=True, text=True, check=True
        )
        return float(answer.stdout)


def far(lab: Lab) -> bool:
    """200 cells near and far."""
    kept = True
    for name in ("jrc-warm", "kernel-client-warm", "nbclient-gateway"):
        if not lab.takes_part(name):
            continue
        walls: dict[int, list[float]] = {0: [], RTT_MS: []}
        for _ in range(lab.rounds):
            for rtt in walls:
                walls[rtt].append(lab.run(name, MANY_CELLS, limits="off", rtt_ms=rtt)[0].wall)
        near, distant = median(walls[0]), median(walls[RTT_MS])
        print(
            f"far     {name:20} near {near:6.2f} s, {RTT_MS} ms away {distant:6.2f} s: "
            f"{distant - near:+.2f} s"
        )
        if name == "jrc-warm":
            kept = distant - near <= FAR_PROMISE
    return kept


def whole(lab: Lab) -> bool:
    """Everything arrives from a stock server, faster than nbclient runs it locally."""
    kept = True
    for workload in (STREAM, MANY_FLUSHED_LINES, DISPLAYS_AND_ERROR):
        walls: dict[str, float] = {}
        for name in ("jrc", "nbclient"):
            if not lab.takes_part(name):
                continue
            rounds = [lab.run(name, workload, limits="default") for _ in range(lab.rounds)]
            walls[name] = median(sample.wall for sample, _ in rounds)
            least = min(complete for _, complete in rounds)
            codes = sorted({sample.code for sample, _ in rounds})
            print(
                f"whole   {workload.name:20} {name:10} {walls[name]:7.2f} s, {least:5.1f} % "
                f"complete, exit {codes}, {max(s.rss for s, _ in rounds):.0f} MiB"
            )
            if name == "jrc":
                kept = kept and least >= 100
        if "nbclient" in walls:
            kept = kept and walls["jrc"] < walls["nbclient"]
    return kept


def replay(lab: Lab) -> bool:
    """Ask for 64 MiB that nobody received."""
    url = lab.site.url("default", 0, False)
    rates = [asyncio.run(_replay_rate(lab, url)) for _ in range(lab.rounds)]
    print(f"replay  {median(rates):.0f} MB/s, of {min(rates):.0f} to {max(rates):.0f}")
    return True


async def _replay_rate(lab: Lab, url: str) -> float:
    folder = lab.site.folder
    address, _ = ServerAddress.parse(url)
    secret = ServerAddress.parse(f"{url}?token={lab.site.environment['JRC_TOKEN']}")[1]
    assert secret is not None
    cells = ("for i in range(64): print('x' * 1048575)",)
    path = Workload("replayed", cells, 0).write(folder)
    async with ServerClient(address, TokenAuth(secret)) as server:
        begun = await begin_detached(
            load(path, args=[]),
            server,
            options=Options(profile="bench"),
            listener=_Silent(),
            output=None,
            records=RunRecords(Paths(folder / "c", folder / "s", folder / "l")),
        )
        count = 0
        while not count:
            states = await state_of_run(server, begun.kernel_id, begun.run)
            if states is not None and states.runs[0].done:
                count = states.runs[0].count
        rate = await _fetch(server, begun.kernel_id, begun.run, count)
        await server.delete_kernel(begun.kernel_id)
        return rate


async def _fetch(server: ServerClient, kernel_id: str, run: str, count: int) -> float:
    requests = Messages()
    recording = Recording(run, requests.control, acknowledge=False)
    channels = Channels(server, kernel_id, session_id=requests.session)
    await channels.open()
    clock: Callable[[], float] = asyncio.get_running_loop().time
    started, size = clock(), 0
    recording.link_restored()
    for question in recording.due(clock()):
        await channels.send(question)
    async for event in channels.events():
        if isinstance(event, Message):
            for news in recording.receive(event, clock()):
                size += len(news.content) if isinstance(news, Message) else 0
        if recording.next > count:
            break
        for question in recording.due(clock()):
            await channels.send(question)
    seconds = clock() - started
    await channels.close()
    return size / seconds / 1e6


class _Silent(Listener):
    """Nobody."""

    @property
    def can_answer(self) -> bool:
        return False

    def on_event(self, event: RunEvent) -> None:
        """Nobody hears it."""

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        return None


def cost(lab: Lab) -> bool:
    """Inside the kernel: for each message, for each cell, and the memory of a gibibyte."""
    peak = Workload("peak", (PEAK,), 0)
    options = ("--recorder", "--no-recorder")
    messages: list[float] = []
    lines: dict[str, list[float]] = {option: [] for option in options}
    cells: dict[str, list[float]] = {option: [] for option in options}
    for _ in range(lab.rounds):
        lab.run("jrc", MESSAGE_TIMES, limits="off")
        messages.append(float(lab.text("jrc")[-1]))
        for option in options:
            lab.run("jrc", LINE_TIMES, limits="off", words=option)
            lines[option].append(float(lab.text("jrc")[-1]))
            words = f"{option} --no-pipeline"
            sample, _ = lab.run("jrc", MANY_CELLS, limits="off", words=words)
            cells[option].append(sample.wall / len(MANY_CELLS.cells) * 1000)
    least, most = min(messages), max(messages)
    print(f"cost    {median(messages):.0f} µs a message, of {least:.0f} to {most:.0f}")
    with_lines, without_lines = median(lines["--recorder"]), median(lines["--no-recorder"])
    print(f"cost    a flushed line: {with_lines:.0f} µs with, {without_lines:.0f} without")
    with_cells, without_cells = median(cells["--recorder"]), median(cells["--no-recorder"])
    print(
        f"cost    {with_cells - without_cells:+.2f} ms a cell, one after the other "
        f"({with_cells:.2f} with, {without_cells:.2f} without)"
    )
    for option in options:
        sample, _ = lab.run("jrc", peak, limits="off", words=option)
        memory = float(lab.text("jrc")[-1])
        print(
            f"cost    1 GiB of output {option}: kernel {memory:.0f} MiB, jrc {sample.rss:.0f} MiB"
        )
    return median(messages) <= MESSAGE_PROMISE


PARTS: dict[str, Callable[[Lab], bool]] = {
    "far": far,
    "whole": whole,
    "replay": replay,
    "cost": cost,
}


def main() -> int:
    """Measure; the exit code is 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="benchmarks.lossless")
    parser.add_argument("--peers", type=Path, help="the Python that has the peers; none without")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {time.strftime('%F')}")
    broken = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        lab = Lab(Site(Path(folder), stack), options.peers, options.rounds)
        for part in options.only.split(","):
            if not PARTS[part](lab):
                broken.append(part)
    print(f"broken promises: {', '.join(broken) or 'none'}")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
