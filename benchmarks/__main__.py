"""``python -m benchmarks``: measure whole processes, interleaved, and print medians and ratios."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from benchmarks.contestants import CONTESTANTS, Task
from benchmarks.processes import Sample, measure
from benchmarks.report import Measured, Measurement, Verdict, summary, table, verdicts
from benchmarks.rows import ROWS, Row
from benchmarks.site import Site
from benchmarks.workloads import Workload


class Bench:
    """Measures rows at one site.

    Args:
        site: where the servers are.
        peers: the Python of the environment that has the peers.
        timeout: seconds for one process.
    """

    def __init__(self, site: Site, peers: Path, timeout: float) -> None:
        self._site = site
        self._peers = peers
        self._timeout = timeout

    def measure(self, row: Row, names: list[str], rounds: int, warm_ups: int) -> Measured:
        """Measure one row.

        Each round runs every contestant once, another one first each time, so that what else the
        machine does hits all of them.
        """
        measured: Measured = {name: [] for name in names}
        for number in range(-warm_ups, rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                measurement = self._once(row, name)
                if number >= 0:
                    measured[name].append(measurement)
        return measured

    def _once(self, row: Row, name: str) -> Measurement:
        sample, complete = self._run(row, name, row.workload)
        minus = self._run(row, name, row.minus)[0].wall if row.minus else 0
        return Measurement(row.value(sample.wall, minus), sample, complete)

    def _run(self, row: Row, name: str, workload: Workload | None) -> tuple[Sample, float]:
        folder = self._site.folder
        contestant = CONTESTANTS[name]
        out = folder / f"{name}.out.ipynb"
        out.unlink(missing_ok=True)
        task = Task(
            site=self._site,
            owner=name,
            notebook=workload.write(folder) if workload else folder,
            out=out,
            limits=row.limits,
            rtt_ms=row.rtt_ms,
            nagle=row.nagle,
            peers=self._peers,
        )
        sample = measure(
            contestant.command(task),
            env=contestant.environment(task) if workload else self._site.environment,
            folder=folder,
            log=folder / f"{name}.log",
            timeout=self._timeout,
        )
        if sample.code not in (0, 9):
            last = (folder / f"{name}.log").read_text(errors="replace").strip()[-300:]
            print(f"{name} ended with {sample.code}: {last}", file=sys.stderr)
            for crash in sorted(folder.glob("jrc-*/logs/*.log")):
                print(crash.read_text(), file=sys.stderr)
                crash.unlink()
        return sample, self._completeness(workload, out) if workload else 100.0

    def _completeness(self, workload: Workload, out: Path) -> float:
        argv = [sys.executable, "-m", "benchmarks.verify", workload.name, str(out)]
        answer = subprocess.run(
            argv, env=self._site.environment, capture_output=True, text=True, check=True
        )
        return float(answer.stdout)


def main() -> int:
    """Measure what the command line asks for; the exit code is 1 if a promise is broken."""
    options = _options()
    print(_machine(), flush=True)
    found: list[Verdict] = []
    results: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        bench = Bench(Site(Path(folder), stack), options.peers, options.timeout)
        for row_name in options.rows:
            row = ROWS[row_name]
            names = [name for name in row.contestants if _takes_part(name, options)]
            measured = bench.measure(row, names, options.rounds, options.warm_ups)
            results[row_name] = measured
            print(f"\n{table(row, measured)}", flush=True)
            ours = next((name for name in names if CONTESTANTS[name].is_jrc), None)
            if ours:
                peers = [name for name in names if CONTESTANTS[name].is_peer]
                near = results.get(row.near) if row.near else None
                found += verdicts(row_name, row, measured, ours, peers, near)
    if found:
        print(f"\n{summary(found)}")
    if options.json:
        options.json.write_text(json.dumps(_plain(results), indent=1))
    return int(any(not verdict.kept for verdict in found))


def _takes_part(name: str, options: argparse.Namespace) -> bool:
    if options.contestants and name not in options.contestants:
        return False
    return options.peers is not None or not CONTESTANTS[name].is_peer


def _machine() -> str:
    return (
        f"{platform.platform()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}"
    )


def _plain(results: dict[str, Measured]) -> dict[str, dict[str, list[dict[str, object]]]]:
    return {
        row: {name: [asdict(each) for each in rounds] for name, rounds in measured.items()}
        for row, measured in results.items()
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rows", type=_names_of(ROWS), default=list(ROWS), help=", ".join(ROWS))
    parser.add_argument(
        "--contestants", type=_names_of(CONTESTANTS), default=[], help=", ".join(CONTESTANTS)
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each runs")
    parser.add_argument("--warm-ups", type=int, default=1, help="rounds that do not count")
    parser.add_argument("--timeout", type=float, default=180, help="seconds for one process")
    parser.add_argument("--peers", type=Path, help="the Python that has the peers; none without")
    parser.add_argument("--json", type=Path, help="a file for every single measurement")
    return parser.parse_args()


def _names_of(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    sys.exit(main())
