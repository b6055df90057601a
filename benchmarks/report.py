"""Tables of what was measured, and whether jrc keeps its promises. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.processes import Sample
from benchmarks.rows import Row


@dataclass(frozen=True)
class Measurement:
    """One contestant in one round.

    Attributes:
        value: in the row's unit.
        sample: what the process cost.
        complete: how much of the output arrived, in percent.
    """

    value: float
    sample: Sample
    complete: float


Measured = dict[str, list[Measurement]]
"""The rounds of one row by contestant, as many for each; the first contestant is the floor."""


@dataclass(frozen=True)
class Verdict:
    """One promise of one row, and what was measured for it."""

    row: str
    text: str
    kept: bool


def ratio(measured: Measured, name: str) -> float:
    """How many times the floor: the median of each round's own ratio."""
    floor = next(iter(measured.values()))
    pairs = zip(measured[name], floor, strict=True)
    return median(own.value / base.value if base.value > 0 else float("nan") for own, base in pairs)


def table(row: Row, measured: Measured) -> str:
    """A Markdown table of one row."""
    header = (
        *("contestant", f"median {row.unit}", "min", "max", "× floor"),
        *("CPU s", "RSS MiB", "complete %", "exit"),
    )
    lines = [header, *(_line(measured, name) for name in measured)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [_cells(line, widths) for line in lines]
    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:]), ""])
    return "\n".join([f"### {row.title}", "", rows[0], rule, *rows[1:]])


def _line(measured: Measured, name: str) -> tuple[str, ...]:
    rounds = measured[name]
    values = [each.value for each in rounds]
    return (
        name,
        f"{median(values):.1f}",
        f"{min(values):.1f}",
        f"{max(values):.1f}",
        f"{ratio(measured, name):.2f}",
        f"{median(each.sample.cpu for each in rounds):.2f}",
        f"{median(each.sample.rss for each in rounds):.0f}",
        f"{min(each.complete for each in rounds):.1f}",
        " ".join(map(str, sorted({each.sample.code for each in rounds}))),
    )


def _cells(line: tuple[str, ...], widths: list[int]) -> str:
    first, *others = (
        text.ljust(width) if at == 0 else text.rjust(width)
        for at, (text, width) in enumerate(zip(line, widths, strict=True))
    )
    return f"| {' | '.join([first, *others])} |"


def verdicts(
    name: str, row: Row, measured: Measured, ours: str, peers: list[str], near: Measured | None
) -> Iterator[Verdict]:
    """What became of each promise.

    Args:
        name: of the row.
        measured: its rounds.
        ours: the contestant that is jrc.
        peers: the contestants that are peers.
        near: the rounds of ``row.near``, if it was measured.
    """
    promise = row.promise
    rounds = measured[ours]
    if promise.ratio is not None and next(iter(measured)) == row.contestants[0]:
        found = ratio(measured, ours)
        yield Verdict(name, f"{found:.2f} × floor, at most {promise.ratio}", found <= promise.ratio)
    if promise.beats_peers and peers:
        own, best = _median(measured[ours]), min(_median(measured[peer]) for peer in peers)
        yield Verdict(name, f"{own:.0f} ms, the fastest peer {best:.0f} ms", own < best)
    if promise.round_trips is not None and (row.near is None or near):
        far = _median(rounds) - (_median(near[ours]) if near else 0)
        trips = round(far / row.rtt_ms, 1)
        text = f"{trips} round trips, at most {promise.round_trips}"
        yield Verdict(name, text, trips <= promise.round_trips)
    if promise.rss is not None:
        peak = max(each.sample.rss for each in rounds)
        yield Verdict(name, f"{peak:.0f} MiB, at most {promise.rss:.0f}", peak <= promise.rss)
    if promise.complete:
        least = min(each.complete for each in rounds)
        fine = least >= 100 and all(each.sample.code == 0 for each in rounds)
        yield Verdict(name, f"{least:.1f} % complete", fine)
    if promise.admits_loss:
        silent = sum(each.complete < 100 and each.sample.code == 0 for each in rounds)
        text = f"{silent} of {len(rounds)} rounds lost output in silence"
        yield Verdict(name, text, silent == 0)


def _median(rounds: list[Measurement]) -> float:
    return median(each.value for each in rounds)


def summary(found: list[Verdict]) -> str:
    """All promises as a Markdown list."""
    lines = [f"- {'kept' if v.kept else 'BROKEN'}: {v.row}: {v.text}" for v in found]
    return "\n".join(["### Promises", "", *lines])
