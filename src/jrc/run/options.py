"""The options of a run: what a person may say, and what is found out before it begins.

The fields with an ``Option`` are options of ``jrc run`` or ``jrc attach``. Nothing heavy is
imported here: help needs this module.
"""

from typing import Annotated, NamedTuple

from jrc.options import Option, limit, seconds
from jrc.run.timing import DEFAULT_TIMING, Timing

Patience = Annotated[
    float,
    Option("--reconnect", "Keep trying to reconnect for this long.", "TIME", parse=seconds),
]
"""Seconds to try to reconnect to a lost server."""


class KernelOptions(NamedTuple):
    """Which kernel a run uses, and what becomes of it.

    Attributes:
        spec: kernelspec to start; None for what the document says, then the server's default.
        id: a running kernel to use instead.
        start_timeout: seconds for a new kernel's first answer.
        keep, keep_on_error: do not delete the kernel at the end.
        language: of that kernel, as ``notebook.language`` has it; None for what the document says.
    """

    spec: Annotated[str | None, Option("--kernel", "Start this kernelspec.", "NAME")] = None
    id: Annotated[str | None, Option("--kernel-id", "Use a running kernel, and keep it.", "ID")] = (
        None
    )
    start_timeout: Annotated[
        float,
        Option("--start-timeout", "Time for a kernel to start.", "TIME", parse=seconds),
    ] = 120
    keep: Annotated[bool, Option("--keep-kernel", "Keep the kernel at the end.")] = False
    keep_on_error: Annotated[
        bool, Option("--keep-kernel-on-error", "Keep the kernel if a cell fails.")
    ] = False
    language: str | None = None


class CellOptions(NamedTuple):
    """Which cells are executed, and which ends of them are failures.

    Attributes:
        timeout: seconds for one cell.
        allow_errors: go on after a cell that failed.
        allow_loss: lost output does not make the exit code non-zero.
        mark_error: let a failed result begin with a link to the cell that failed.
        first: how many of the cells are left out, because the kernel executed them already.
    """

    timeout: Annotated[
        float | None,
        Option("--timeout", "Interrupt a cell after this time: 90s, 2h.", "TIME", limit),
    ] = None
    allow_errors: Annotated[bool, Option("--allow-errors", "Continue after a failed cell.")] = False
    allow_loss: Annotated[bool, Option("--allow-loss", "Exit with 0 even if output was lost.")] = (
        False
    )
    mark_error: Annotated[
        bool, Option("--mark-error", "Link to the error in the result.", hidden=True)
    ] = False
    first: int = 0


class Options(NamedTuple):
    """How a document is executed.

    Attributes:
        kernel: which one, and what becomes of it.
        cells: which ones, and which ends of them are failures.
        patience: seconds to try to reconnect to a lost server.
        recorder: let a recorder in the kernel keep what is published until it arrives.
        pipeline: send all cells at once.
        name: a name for the run; empty for none.
        profile: name of the server's profile; empty for a server that ends with us.
        command: the words of ``jrc run`` that choose the document, for hints.
        timing: the thresholds of the run.
    """

    kernel: KernelOptions = KernelOptions()
    cells: CellOptions = CellOptions()
    patience: Patience = 60
    recorder: Annotated[
        bool, Option("--recorder/--no-recorder", "Keep output in the kernel until it arrives.")
    ] = True
    pipeline: Annotated[bool, Option("--pipeline/--no-pipeline", "Send all cells at once.")] = True
    name: Annotated[str, Option("--name", "Name the run, to use instead of its id.", "NAME")] = ""
    profile: str = ""
    command: tuple[str, ...] = ("FILE",)
    timing: Timing = DEFAULT_TIMING


class AttachOptions(NamedTuple):
    """How a run is followed to its end.

    Attributes:
        latest: do not show what happened before.
        keep_kernel: leave the kernel and the journal when the run is complete.
        patience: seconds to try to reconnect to a lost server.
        timing: the thresholds of the run.
    """

    latest: Annotated[bool, Option("--latest", "Do not show earlier output.")] = False
    keep_kernel: Annotated[
        bool, Option("--keep-kernel", "Leave the kernel and the journal on the server.")
    ] = False
    patience: Patience = 60
    timing: Timing = DEFAULT_TIMING
