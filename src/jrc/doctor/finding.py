"""What a check found: pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from jrc.errors import ExitCode, JrcError


class Verdict(StrEnum):
    """How a check ended. The value stands in the report and in ``--json``."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        message: one or two sentences for the person.
        remedy: what to do about it; empty when there is nothing to do.
        exit_code: what the command ends with if this is the first failure; 0 unless failed.
        because: the failed checks for which this one was skipped.
        details: more for programs: names of snake_case, values of JSON.
    """

    verdict: Verdict
    message: str
    remedy: str = ""
    exit_code: int = ExitCode.OK
    because: tuple[str, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def passes(self) -> bool:
        """Whether the checks that need this one can be made."""
        return self.verdict is not Verdict.FAILED and not self.because


@dataclass(frozen=True)
class Result:
    """A finding with the name of its check and the seconds that it took."""

    name: str
    finding: Finding
    seconds: float


def fine(message: str, **details: object) -> Finding:
    """Nothing is wrong."""
    return Finding(Verdict.OK, message, details=details)


def doubtful(message: str, remedy: str, **details: object) -> Finding:
    """It works, but not as it should."""
    return Finding(Verdict.WARNING, message, remedy, details=details)


def failure(error: JrcError, **details: object) -> Finding:
    """It does not work: the error says why, and what to do."""
    return Finding(
        Verdict.FAILED, error.message, error.hint or "", error.exit_code, details=details
    )


def needless(message: str) -> Finding:
    """There is nothing to check here; what needs this check can be made."""
    return Finding(Verdict.SKIPPED, message)


def blocked(by: tuple[str, ...]) -> Finding:
    """It can't be checked, because other checks failed."""
    return Finding(Verdict.SKIPPED, f"because {' and '.join(by)} failed", because=by)


def exit_code(results: list[Result]) -> int:
    """What the command ends with: the exit code of the first failure, else 0."""
    codes = (result.finding.exit_code for result in results)
    return next((code for code in codes if code != ExitCode.OK), ExitCode.OK)
