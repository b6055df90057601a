"""Stop a run that goes on without a client."""

import asyncio
from typing import TYPE_CHECKING

from jrc.errors import NotFoundError, UnreachableError
from jrc.recorder.protocol import States
from jrc.run.ask import cancel_run, state_of_run
from jrc.run.found import FoundRun

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

STOP_SECONDS = 10.0
"""For the cell to end after its interrupt."""

_PAUSE = 0.2


async def cancel_found(found: FoundRun, server: "ServerClient") -> str:
    """Cancel a run, interrupt its cell, and wait a while for that to end.

    Returns:
        what happened, in one line.

    Raises:
        NotFoundError: it has no kernel any more.
        UnreachableError: the kernel does not answer; it was interrupted all the same.
    """
    kernel_id = found.kernel_id
    states = await _states(found, server)
    if states is None:
        raise NotFoundError(
            f"The kernel of the run {found.run} is gone: there is nothing to stop.",
            hint=f"What it did before may be in its journal: jrc attach {found.run}",
        )
    total = _cells(states)
    if not states.runs[0].running and (states.runs[0].stopped or states.runs[0].done >= total):
        return f"The run {found.run} had ended already. Its result: jrc attach {found.run}"
    await cancel_run(server, kernel_id, found.run)
    running = states.runs[0].running
    if running:
        await server.interrupt(kernel_id)
        stopped = await _until_stopped(found, server)
    else:
        stopped = True
    done = _executed(states)
    what = f"Cell {done + 1} of {total} was interrupted" if running else "No cell was running"
    if not stopped:
        what = f"Cell {done + 1} of {total} does not react to its interrupt yet"
    return f"{what}; none of those behind it will run. The result: jrc attach {found.run}"


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


async def _until_stopped(found: FoundRun, server: "ServerClient") -> bool:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            while True:
                states = await _states(found, server)
                if states is None or not states.runs[0].running:
                    return True
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        return False


def _cells(states: States) -> int:
    told = states.runs[0].last or {}
    cells = told.get("cells")
    return cells if isinstance(cells, int) else len(states.requests)


def _executed(states: States) -> int:
    return sum(each.state == "done" and each.status != "aborted" for each in states.requests)
