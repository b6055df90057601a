"""Stop a run that goes on without a client, and free its kernel."""

import asyncio
import shlex
from typing import TYPE_CHECKING, NamedTuple

from jrc.errors import JrcError, NotFoundError, UnreachableError
from jrc.kernel.session import SessionKernel
from jrc.recorder.protocol import States
from jrc.runs.lookup import FoundRun, served_path
from jrc.runs.questions import (
    InJournal,
    cancel_run,
    cells_of,
    executed,
    is_over,
    kept_in_journal,
    start_journal,
    state_of_run,
)

if TYPE_CHECKING:
    from jrc.server.client import ServerClient


class Timing(NamedTuple):
    """The thresholds of a cancellation, in seconds.

    Attributes:
        stop: for the cell to end after its interrupt.
        answer: for the kernel to say whether the cell has ended.
        pause: between two such questions.
    """

    stop: float = 10.0
    answer: float = 2.0
    pause: float = 0.2


DEFAULT_TIMING = Timing()


async def cancel_found(
    found: FoundRun, server: "ServerClient", timing: Timing = DEFAULT_TIMING
) -> str:
    """Cancel a run, interrupt its cell, and end its kernel once the journal is complete.

    Args:
        found: the run.
        server: the server that it is on.
        timing: how long to wait.

    Returns:
        what was done, in a few sentences.

    Raises:
        NotFoundError: the kernel of the run is gone, or does not know the run.
        UnreachableError: the kernel does not answer. It was interrupted nevertheless.
    """
    states = await _states(found, server)
    if is_over(states):
        what = f"The run {found.run} had ended already."
    else:
        await cancel_run(server, found.kernel_id, found.run)
        what = await _interrupt(found, server, states, timing)
    return f"{what} {await _end_kernel(found, server)}"


async def _interrupt(
    found: FoundRun, server: "ServerClient", states: States, timing: Timing
) -> str:
    number, total = executed(states) + 1, cells_of(states)
    cell = f"Cell {number} of {total}"
    if not states.runs[0].running:
        return "No cell was running, and none will run."
    await server.interrupt(found.kernel_id)
    if await _until_stopped(found, server, timing):
        behind = "; the cells after it will not run" if number < total else ""
        return f"{cell} was interrupted{behind}."
    return f"{cell} did not react to the interrupt within {timing.stop:.0f} s."


async def _end_kernel(found: FoundRun, server: "ServerClient") -> str:
    """End the kernel of a run that was cancelled; returns what became of it, as sentences."""
    if not found.session_id:
        return (
            f"Its kernel stays: it was not started for this run. The result: jrc attach {found.run}"
        )
    if found.record is not None and found.record.client_lives:
        client = found.record.client.pid
        return f"The process {client} on this computer has the result, and ends the kernel."
    fetch = f"The result: jrc attach {found.run}"
    try:
        kept = await _in_journal(found, server)
        if kept and not kept.path:
            return await _of_no_run(found, server)
        reason = await _not_fetchable(kept, server)
    except JrcError as error:
        reason = error.message.rstrip(".")
    if reason:
        return (
            f"Its kernel stays until the result is fetched: {reason}. {fetch} "
            "To free the kernel's memory without it: "
            f"jrc kernel stop {shlex.quote(found.kernel_id)}"
        )
    kernel = SessionKernel(
        server,
        found.kernel_id,
        session_id=found.session_id,
        session_path=found.session_path,
        stays=True,
    )
    problem = await kernel.delete()
    return f"{problem or 'Its kernel was ended; what it printed is in its journal.'} {fetch}"


async def _in_journal(found: FoundRun, server: "ServerClient") -> InJournal:
    """Whether all that the kernel holds of a run is in its journal, which is begun if need be.

    Raises:
        JrcError: the kernel does not answer.
    """
    kept = await kept_in_journal(server, found.kernel_id, found.run)
    if kept or kept.path or found.record is None:
        return kept
    # The run was not begun with --detach, and its client was killed.
    try:
        await start_journal(server, found.kernel_id, found.run, found.record.about)
    except NotFoundError:
        return InJournal()
    return await kept_in_journal(server, found.kernel_id, found.run)


async def _not_fetchable(kept: InJournal, server: "ServerClient") -> str:
    """Why the kernel must not end yet: nobody could fetch what it holds. Empty if it may end."""
    if not kept:
        return f"there is no complete journal ({kept.reason})"
    if not await served_path(server, kept.path):
        return "the server does not serve its journal"
    return ""


async def _of_no_run(found: FoundRun, server: "ServerClient") -> str:
    """What became of a kernel that holds nothing of the run any more, as a sentence."""
    if await server.kernel(found.kernel_id) is None:
        return "Its kernel has ended, too."
    stop = f"jrc kernel stop {shlex.quote(found.kernel_id)}"
    return f"Its kernel stays, and knows nothing of the run any more. To end it: {stop}"


async def _states(found: FoundRun, server: "ServerClient") -> States:
    hint = f"What it did before may be in its journal: jrc attach {found.run}"
    try:
        if not found.kernel_id:
            raise NotFoundError("The server has no kernel of this run.")
        states = await state_of_run(server, found.kernel_id, found.run)
    except NotFoundError as error:
        raise NotFoundError(
            f"The kernel of the run {found.run} is gone: there is nothing to stop.", hint=hint
        ) from error
    except UnreachableError:
        await server.interrupt(found.kernel_id)
        raise
    if states is None or not states.runs:
        raise NotFoundError(
            f"The kernel {found.kernel_id} lives, and knows nothing of the run {found.run} any "
            "more: there is nothing to stop.",
            hint=hint,
        )
    return states


async def _until_stopped(found: FoundRun, server: "ServerClient", timing: Timing) -> bool:
    try:
        async with asyncio.timeout(timing.stop):
            while True:
                if not await _runs(found, server, timing.answer):
                    return True
                await asyncio.sleep(timing.pause)
    except TimeoutError:
        return False


async def _runs(found: FoundRun, server: "ServerClient", seconds: float) -> bool:
    try:
        states = await state_of_run(server, found.kernel_id, found.run, seconds=seconds)
    except NotFoundError:
        return False
    except UnreachableError:
        # A kernel that is just ending does not answer.
        return await server.kernel(found.kernel_id) is not None
    return states is not None and bool(states.runs) and bool(states.runs[0].running)
