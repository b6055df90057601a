"""Stop a run that goes on without a client, and free its kernel."""

import asyncio
import shlex
from typing import TYPE_CHECKING, NamedTuple

from jrc.errors import JrcError, NotFoundError, UnreachableError
from jrc.kernel.session import SessionKernel
from jrc.recorder.protocol import States
from jrc.runs.lookup import FoundRun, served_path
from jrc.runs.questions import cancel_run, cells_of, kept_in_journal, start_journal, state_of_run

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
        NotFoundError: the kernel of the run is gone.
        UnreachableError: the kernel does not answer. It was interrupted nevertheless.
    """
    states = await _states(found, server)
    if states is None:
        raise NotFoundError(
            f"The kernel of the run {found.run} is gone: there is nothing to stop.",
            hint=f"What it did before may be in its journal: jrc attach {found.run}",
        )
    total = cells_of(states)
    state = states.runs[0]
    if not state.running and (state.stopped or state.done >= total):
        what = f"The run {found.run} had ended already."
    else:
        await cancel_run(server, found.kernel_id, found.run)
        what = await _interrupt(found, server, states, timing)
    return f"{what} {await _end_kernel(found, server)}"


async def _interrupt(
    found: FoundRun, server: "ServerClient", states: States, timing: Timing
) -> str:
    number, total = _executed(states) + 1, cells_of(states)
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
        reason = await _not_in_journal(found, server)
    except NotFoundError:
        return "Its client saw the end, and ended the kernel."
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


async def _not_in_journal(found: FoundRun, server: "ServerClient") -> str:
    """Why the kernel must not end yet: what it holds is not in the journal. Empty if it may end.

    Raises:
        NotFoundError: the kernel is gone.
        JrcError: the kernel does not answer.
    """
    record = found.record
    kept = await kept_in_journal(server, found.kernel_id, found.run)
    if not kept.path and record is not None:
        # The run was not begun with --detach, and its client was killed.
        await start_journal(server, found.kernel_id, found.run, record.about)
        kept = await kept_in_journal(server, found.kernel_id, found.run)
    if kept and not kept.path:
        raise NotFoundError(f"The kernel {found.kernel_id} is gone.")
    if not kept:
        return f"there is no complete journal ({kept.reason})"
    if not await served_path(server, kept.path):
        return "the server does not serve its journal"
    return ""


async def _states(found: FoundRun, server: "ServerClient") -> States | None:
    if not found.kernel_id:
        return None
    try:
        states = await state_of_run(server, found.kernel_id, found.run)
    except NotFoundError:
        return None
    except UnreachableError:
        await server.interrupt(found.kernel_id)
        raise
    return states if states is not None and states.runs else None


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


def _executed(states: States) -> int:
    return sum(each.state == "done" and each.status != "aborted" for each in states.requests)
