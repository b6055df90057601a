"""One examination from its first check to its report."""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from jrc.doctor.bundle import kubeconfigs_of, make_redactor, secret_names
from jrc.doctor.context import Context
from jrc.doctor.examine import Check, examine
from jrc.doctor.finding import Result
from jrc.doctor.local import jrc_version
from jrc.doctor.plan import LOCAL, plan
from jrc.doctor.redact import Redactor
from jrc.doctor.report import Report
from jrc.errors import JrcError
from jrc.profile.paths import Paths
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


async def known_secrets(paths: Paths) -> Redactor:
    """What takes the secrets of this person out of texts."""

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
