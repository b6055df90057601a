"""A check of the doctor: what it is, what it shares with the others, and what it finds."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from jrc.errors import ExitCode, JrcError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.server.address import ServerAddress

if TYPE_CHECKING:
    from jrc.kernel.query import Conversation
    from jrc.kernel.session import RemoteKernel
    from jrc.server.client import ServerClient
    from jrc.server.connection import Way
    from jrc.server.models import KernelSpecs

T = TypeVar("T")


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
        message: what was found, in one or two sentences.
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
    """It works, but something is wrong."""
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


@dataclass
class Context:
    """What the checks of one examination share: each leaves there what the next ones need.

    Attributes:
        paths: jrc's folders.
        asked: the profile that was named; None for the one in force.
        stack: closed at the end: what a check opens for the next ones.
        profile: what is examined; None for the embedded server.
        address: where the server answers, on this machine for a tunnel.
        client: with the credentials.
        specs: the server's kernelspecs.
        kernel: the one that was started.
        kernel_began: loop time, in seconds, at which it was asked for.
        talk: with that kernel.
        round_trip: median, in seconds.
    """

    paths: Paths
    asked: str | None
    stack: AsyncExitStack
    profile: Profile | None = None
    address: ServerAddress | None = None
    client: "ServerClient | None" = None
    specs: "KernelSpecs | None" = None
    kernel: "RemoteKernel | None" = None
    kernel_began: float = 0.0
    talk: "Conversation | None" = None
    round_trip: float = 0.0

    @cached_property
    def way(self) -> "Way":
        """How to get to the server; read when the profile is known.

        Raises:
            JrcError: a header's value or a file that the profile names is missing.
        """
        from jrc.server.connection import DIRECT
        from jrc.server.open import way_to

        return DIRECT if self.profile is None else way_to(self.profile, self.paths)


def known(value: T | None) -> T:
    """What an earlier check left, which must have passed for this one to be made."""
    if value is None:
        raise RuntimeError("a check was made before one that it needs")
    return value


@dataclass(frozen=True)
class Check:
    """One thing to look at.

    Attributes:
        name: what people and programs call it; part of the contract of ``--json``.
        run: looks, and says what it found. A ``JrcError`` that it raises is a failure.
        needs: the checks that must have passed; one that is not part of the plan counts as passed.
        deadline: seconds it may take.
        late: what to do when it takes longer.
    """

    name: str
    run: Callable[[Context], Awaitable[Finding]]
    needs: tuple[str, ...] = ()
    deadline: float = 15.0
    late: str = "Check the network or VPN, and whether the server is overloaded."
