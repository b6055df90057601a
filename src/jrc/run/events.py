"""What happens in a run, as its listener sees it.

``jrc run --json`` prints these, one JSON object a line: field names and ``event`` names are a
contract, described in docs/json.md.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class RunStarted(NamedTuple):
    """The kernel is there and the first cell goes out.

    Attributes:
        run: id of the run.
        document: path of the file that is executed.
        server: base URL.
        kernel_id: of the remote kernel.
        session: its session path on the server; empty for a kernel that was already running.
        cells: how many will be executed.
        kind: ``notebook``, ``percent`` for a script with cells, or ``script``.
        profile: name of the server's profile; empty for the embedded server.
        kernel_name: the kernelspec; empty where a running kernel is used.
        output: the file that the result is saved in; None when it is not saved.
    """

    run: str
    document: str
    server: str
    kernel_id: str
    session: str
    cells: int
    kind: str = "notebook"
    profile: str = ""
    kernel_name: str = ""
    output: str | None = None


class KernelReady(NamedTuple):
    """The kernel answered for the first time.

    Attributes:
        language: as the kernel names it: ``python``, ``R`` …
        language_version: of the language.
    """

    language: str
    language_version: str

    @classmethod
    def of(cls, language_info: Mapping[str, Any]) -> "KernelReady":
        """What a kernel says of its language."""
        return cls(*(str(language_info.get(key) or "") for key in ("name", "version")))


class CellStarted(NamedTuple):
    """The kernel began to execute a cell.

    Attributes:
        cell: index in the notebook, from 0.
        number: which of the cells that are executed, from 1; 0 for injected parameters.
        total: how many will be executed.
        source: the code.
        title: what the cell is called: the first heading above it, else its first line of code.
        started: when, by the kernel's clock (ISO 8601): earlier, where a run is followed later.
    """

    cell: int
    number: int
    total: int
    source: str
    title: str = ""
    started: str = ""


class CellOutput(NamedTuple):
    """One output arrived.

    Attributes:
        cell: index in the notebook, from 0.
        output: as a notebook holds it (``output_type`` …); for ``update_display_data`` and
            ``clear_output`` the message's own fields.
        display_id: a later ``update_display_data`` with the same one replaces the output; null
            when there is none.
        widget: id of the Output widget that shows it; null where the cell does.
    """

    cell: int
    output: dict[str, Any]
    display_id: str | None = None
    widget: str | None = None


class WidgetChanged(NamedTuple):
    """A widget that a cell displays looks different: a progress bar went on.

    Attributes:
        cell: index in the notebook, from 0.
        model_id: of the widget.
        text: the widget as a line of text; empty for one that has none.
    """

    cell: int
    model_id: str
    text: str


class CellFinished(NamedTuple):
    """A cell is done.

    Attributes:
        cell: index in the notebook, from 0.
        number, total: as in ``CellStarted``.
        status: ``ok``, ``error``, ``lost``, ``timeout``, ``interrupted``.
        seconds: from the kernel's busy to its end.
        execution_count: the ``In[n]`` number.
    """

    cell: int
    number: int
    total: int
    status: str
    seconds: float
    execution_count: int | None


class Notice(NamedTuple):
    """Something that the person should know while the run goes on.

    Attributes:
        kind: ``link-lost``, ``link-restored``, ``output-lost``, ``unrecorded``,
            ``interrupted``, ``timeout``, ``kernel``, ``kernel-died``, ``saved``, ``repaired``,
            ``parameters``, ``question``, ``exited``.
        text: one sentence.
    """

    kind: str
    text: str


class RunFinished(NamedTuple):
    """The run is over.

    Attributes:
        run: id of the run.
        status: ``ok``, ``error``, ``aborted``, ``cancelled`` (with ``jrc cancel``), ``timeout``,
            ``interrupted``, ``output-lost``, ``kernel-died``, ``failed``.
        exit_code: what ``jrc`` exits with: elsewhere than on Windows a byte.
        output: the file that holds the result; None when none was asked for.
        lost: one sentence for each loss of output.
    """

    run: str
    status: str
    exit_code: int
    output: str | None
    lost: list[str]


class RunDetached(NamedTuple):
    """The run goes on without a client: the last event of one that was left.

    Attributes:
        run: id of the run.
        server: base URL.
        kernel_id: of the remote kernel.
        journal: path of its journal on the server's machine; None when it is in the kernel's
            memory only.
        attach: what to type to see what happened.
    """

    run: str
    server: str
    kernel_id: str
    journal: str | None
    attach: str


RunEvent = (
    RunStarted
    | KernelReady
    | CellStarted
    | CellOutput
    | WidgetChanged
    | CellFinished
    | Notice
    | RunFinished
    | RunDetached
)
