"""Find out whether an interrupt was the end of the kernel, or only of the code.

A server interrupts a kernel before it asks the kernel to shut down. So the last messages of a
kernel that is ended from outside are those of interrupted code.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from jrc.errors import JrcError, NotFoundError
from jrc.kernel.execution import KernelEnded
from jrc.run.progress import HOW_KERNELS_END, Result
from jrc.run.timing import EndTiming
from jrc.runs.questions import state_of_run

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.run.true_end")


async def kernel_was_ended(
    server: "ServerClient", kernel_id: str, run: str, timing: EndTiming
) -> bool:
    """Whether the kernel of a run that was interrupted just now is about to end."""
    for _ in range(timing.looks):
        try:
            states = await state_of_run(server, kernel_id, run, seconds=timing.answer)
        except NotFoundError:
            return True
        except JrcError as error:
            # A kernel that is shutting down does not answer.
            log.info("asking the kernel again: %s", error)
            continue
        if states is None or not states.runs or states.runs[0].ending:
            return True
        await asyncio.sleep(timing.pause)
    return False


def end_with_kernel(result: Result, how: str = "ended") -> None:
    """The end of the kernel is the end of the run."""
    result.status = "kernel-died"
    result.ended = KernelEnded(how)
    result.reason = HOW_KERNELS_END[how]
