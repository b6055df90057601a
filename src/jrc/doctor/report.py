"""The report of one examination, for people and for programs. Pure."""

from dataclasses import dataclass
from typing import Any

from jrc.doctor.check import Result, Verdict
from jrc.errors import ExitCode

FORMAT = 1

_NAME_WIDTH = 18
_VERDICT_WIDTH = 7


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        jrc: the version of jrc.
        profile: the name of the profile; None for the embedded server.
        url: where its server is; empty when that is not known.
        started: ISO 8601, in UTC.
        seconds: how long it all took.
        results: in the order of the checks.
    """

    jrc: str
    profile: str | None
    url: str
    started: str
    seconds: float
    results: tuple[Result, ...]

    @property
    def exit_code(self) -> int:
        """That of the first failure; 0 when there is none."""
        codes = (result.finding.exit_code for result in self.results)
        return next((code for code in codes if code != ExitCode.OK), ExitCode.OK)

    def as_json(self) -> dict[str, Any]:
        """The contract of ``jrc doctor --json``."""
        return {
            "format": FORMAT,
            "jrc": self.jrc,
            "profile": self.profile,
            "url": self.url or None,
            "started": self.started,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
            "checks": [_as_json(result) for result in self.results],
        }


def _as_json(result: Result) -> dict[str, Any]:
    finding = result.finding
    return {
        "name": result.name,
        "verdict": finding.verdict.value,
        "seconds": round(result.seconds, 3),
        "message": finding.message,
        "remedy": finding.remedy or None,
        "exit_code": int(finding.exit_code),
        "because": list(finding.because),
        "details": dict(finding.details),
    }


def verdict_cell(verdict: Verdict) -> str:
    """The first column of a line."""
    return verdict.value.ljust(_VERDICT_WIDTH)


def line(result: Result) -> str:
    """A result without its first column: name, time, what was found."""
    took = duration(result.seconds) if result.finding.verdict is not Verdict.SKIPPED else "-"
    return f"{result.name:<{_NAME_WIDTH}}  {took:>6}  {result.finding.message}"


def remedy_line(result: Result) -> str:
    """What to do about it, below the message; empty when there is nothing to do."""
    remedy = result.finding.remedy
    indent = _VERDICT_WIDTH + _NAME_WIDTH + 12
    return f"{'':<{indent}}→ {remedy}" if remedy else ""


def duration(seconds: float) -> str:
    """``3 ms``, ``1.2 s``, ``75 s``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"


def summary(results: tuple[Result, ...]) -> str:
    """The last line: how many checks ended how."""
    counts = {
        verdict: sum(result.finding.verdict is verdict for result in results) for verdict in Verdict
    }
    if not counts[Verdict.FAILED] and not counts[Verdict.WARNING]:
        return "Everything is fine."
    words = [f"{count} {verdict.value}" for verdict, count in counts.items() if count]
    return f"{', '.join(words)}."
