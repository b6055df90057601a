"""An examination from its first check to its report. No check takes for ever."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from jrc.doctor.bundle import kubeconfigs_of, make_redactor, secret_names
from jrc.doctor.check import Check, Context, Finding, Result, blocked, failure
from jrc.doctor.local import jrc_version
from jrc.doctor.plan import LOCAL, blockers, plan
from jrc.doctor.redact import Redactor
from jrc.doctor.report import Report
from jrc.errors import DeadlineError, JrcError
from jrc.profile.paths import Paths, write_crash_log
from jrc.profile.store import ProfileStore
from jrc.server.address import ServerAddress
from jrc.tasks import in_daemon_thread


async def examine_profile(
    name: str | None,
    paths: Paths,
    *,
    on_start: Callable[[Check], None],
    on_result: Callable[[Result], None],
) -> Report:
    """Make all checks of a profile, and end what they started.

    Args:
        name: of the profile; None for the one in force, or the embedded server.
        paths: jrc's folders.
        on_start: called before a check is made.
        on_result: called when it is done, or skipped.
    """
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    results: list[Result] = []
    async with AsyncExitStack() as stack:
        context = Context(paths, name, stack)
        await examine(LOCAL, context, results, on_start=on_start, on_result=on_result)
        known = next(result.finding.passes for result in results if result.name == "config")
        rest = plan(context.profile, known=known)
        await examine(rest, context, results, on_start=on_start, on_result=on_result)
    return Report(
        jrc=jrc_version(),
        profile=context.profile.name if context.profile else name,
        url=_url(context),
        started=started,
        seconds=time.monotonic() - began,
        results=tuple(results),
    )


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
        return failure(_named(error, context))
    except TimeoutError:
        return failure(
            DeadlineError(
                f"There was no result within {check.deadline:g} s.",
                hint=check.late,
            )
        )
    except Exception as bug:  # noqa: BLE001  the other checks are still worth making
        path = write_crash_log(context.paths, bug)
        return failure(
            JrcError(
                f"The check itself failed: {type(bug).__name__}.",
                hint=f"The details are in {path}; please report it.",
            )
        )


def _named(error: JrcError, context: Context) -> JrcError:
    """The error, with a hint that changes the profile that is examined."""
    profile = context.profile
    if profile is not None:
        from jrc.server.open import name_what_to_change

        name_what_to_change(error, profile, {profile.url, _url(context)})
    return error


async def known_secrets(paths: Paths) -> Redactor:
    """What takes your secrets out of texts."""

    def collect() -> Redactor:
        try:
            profiles = ProfileStore(paths).all()
        except JrcError:
            profiles = {}
        names = [name for profile in profiles.values() for name in secret_names(profile)]
        return make_redactor(paths, names, kubeconfigs_of(profiles.values()))

    return await in_daemon_thread(collect, name="doctor")


def _url(context: Context) -> str:
    if context.address is not None:
        return context.address.base_url
    if context.profile is None:
        return ""
    try:
        return ServerAddress.parse(context.profile.url)[0].base_url
    except JrcError:
        return ""
