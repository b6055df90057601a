"""Was it the person's code that an interrupt stopped, or did somebody end the whole kernel?

A server interrupts a kernel before it asks it to shut down. So the last words of a kernel that is
ended from outside are those of interrupted code.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from jrc.errors import JrcError, NotFoundError
from jrc.kernel.execution import KernelEnded
from jrc.run.progress import HOW_KERNELS_END, Result
from jrc.runs.questions import state_of_run

if TYPE_CHECKING:
    from jrc.server.client import ServerClient

log = logging.getLogger("jrc.run.true_end")

_LOOKS = 6
_PAUSE = 0.25
_ANSWER_SECONDS = 2.0


async def kernel_was_ended(server: "ServerClient", kernel_id: str, run: str) -> bool:
    """Whether the kernel of a run that was interrupted just now is about to end."""
    for _ in range(_LOOKS):
        try:
            states = await state_of_run(server, kernel_id, run, seconds=_ANSWER_SECONDS)
        except NotFoundError:
            return True
        except JrcError as error:
            # It answers nothing on its way down.
            log.info("asking the kernel again: %s", error)
            continue
        if states is None or not states.runs or states.runs[0].ending:
            return True
        await asyncio.sleep(_PAUSE)
    return False


def end_with_kernel(result: Result, how: str = "ended") -> None:
    """The end of the kernel is the end of the run."""
    result.status = "kernel-died"
    result.ended = KernelEnded(how)
    result.reason = HOW_KERNELS_END[how]
