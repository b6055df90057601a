"""Making checks one after the other: which can be made is decided here, and none takes for ever."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from jrc.doctor.context import Context
from jrc.doctor.finding import Finding, Result, Verdict, blocked, failure
from jrc.errors import DeadlineError, JrcError

log = logging.getLogger("jrc.doctor")


@dataclass(frozen=True)
class Check:
    """One thing to look at.

    Attributes:
        name: what people and programs call it; part of the contract of ``--json``.
        run: looks, and says what it found. A ``JrcError`` that it raises is a failure.
        needs: the checks that must have passed; one that is not made at all stands in nobody's way.
        deadline: seconds it may take.
        late: what to do when it took longer.
    """

    name: str
    run: Callable[[Context], Awaitable[Finding]]
    needs: tuple[str, ...] = ()
    deadline: float = 15.0
    late: str = "Check the network or VPN, and whether the server is overloaded."


def blockers(needs: Sequence[str], found: Mapping[str, Finding]) -> tuple[str, ...]:
    """The failed checks that stand in the way of one with these needs, each one once.

    A need that was skipped itself is not named: what it was skipped for is.

    Args:
        needs: names of checks.
        found: what the checks so far have found, by name.
    """
    names: list[str] = []
    for need in needs:
        finding = found.get(need)
        if finding is not None and not finding.passes:
            names += [need] if finding.verdict is Verdict.FAILED else finding.because
    return tuple(dict.fromkeys(names))


async def examine(
    checks: Sequence[Check],
    context: Context,
    results: list[Result],
    *,
    on_start: Callable[[Check], None],
    on_result: Callable[[Result], None],
) -> None:
    """Make the checks in their order.

    Args:
        checks: those they need come before them.
        context: what they share.
        results: of the checks before; those of these checks are added.
        on_start: called before a check is made.
        on_result: called when it is done, or skipped.
    """
    found = {result.name: result.finding for result in results}
    for check in checks:
        by = blockers(check.needs, found)
        began = time.monotonic()
        if by:
            finding = blocked(by)
        else:
            on_start(check)
            finding = await _made(check, context)
        result = Result(check.name, finding, time.monotonic() - began)
        found[check.name] = finding
        results.append(result)
        on_result(result)


async def _made(check: Check, context: Context) -> Finding:
    try:
        async with asyncio.timeout(check.deadline):
            return await check.run(context)
    except JrcError as error:
        return failure(error)
    except TimeoutError:
        return failure(
            DeadlineError(
                f"There was no result within {check.deadline:g} s.",
                hint=check.late,
            )
        )
    except Exception as bug:  # noqa: BLE001  the other checks are still worth making
        path = context.paths.write_crash_log(bug)
        return failure(
            JrcError(
                f"The check itself failed: {type(bug).__name__}.",
                hint=f"The details are in {path}; please report it.",
            )
        )
