"""What ``jrc runs rm`` does with its words."""

import asyncio
import time

from jrc.cli.terminal import Terminal
from jrc.errors import ExitCode, UsageError
from jrc.profile.paths import Paths
from jrc.runs.listing import list_runs
from jrc.runs.records import RunRecords
from jrc.runs.removal import Removal, plan_removal, remove_run
from jrc.server.open import profiles_to_ask


def remove(words: list[str], *, gone: bool, yes: bool, terminal: Terminal) -> int:
    """Remove runs, each after a question where something is lost by it.

    Returns:
        the exit code.

    Raises:
        UsageError: no run is named, or nobody can be asked.
        JrcError: a run is not there, or its server can't be asked.
    """
    if not words and not gone:
        raise UsageError("Which runs?", hint="jrc runs rm RUN (or jrc runs rm --gone)")
    return asyncio.run(_remove(words, gone=gone, yes=yes, terminal=terminal))


async def _remove(words: list[str], *, gone: bool, yes: bool, terminal: Terminal) -> int:
    paths = Paths.from_environment()
    records, profiles = RunRecords(paths), profiles_to_ask(paths)
    if gone:
        for run in await gone_runs(paths):
            records.remove(run)
            terminal.say(f"Run {run} removed.")
    removals = {}
    for word in words:
        removal = await plan_removal(word, records, profiles, by_force=yes)
        removals[removal.run] = removal
    chosen = [each for each in removals.values() if yes or _may(each, terminal)]
    for removal in chosen:
        await remove_run(removal, records)
        if removal.found is None:
            terminal.say(f"Run {removal.run} is forgotten here; its server was not asked.")
        else:
            terminal.say(f"Run {removal.run} removed.")
    return ExitCode.OK


async def gone_runs(paths: Paths) -> list[str]:
    """The ids of the runs of which nothing is left."""
    listing = await list_runs(paths, everybody=False, now=time.time(), all_gone=True)
    return [row.run for row in listing.rows if row.state == "gone"]


def _may(removal: Removal, terminal: Terminal) -> bool:
    """Whether the person wants it, knowing what is lost."""
    if not removal.loses:
        return True
    if not terminal.interactive:
        raise UsageError(
            f"The run {removal.run} ({removal.state}) is not removed without a question: "
            f"{removal.loses}",
            hint=f"To fetch it: jrc attach {removal.run} (to remove it all the same: "
            f"jrc runs rm --yes {removal.run})",
        )
    answer = terminal.ask(
        f"Run {removal.run} ({removal.state}): {removal.loses.rstrip('.')}. Remove it? [y/N]",
        without="--yes",
    )
    return answer.strip().lower() in ("y", "yes")
