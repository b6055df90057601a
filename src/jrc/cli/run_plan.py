"""What ``jrc run`` does, decided from its options and the document before anything begins. Pure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from jrc.cli.run_options import Invocation
from jrc.errors import UsageError
from jrc.notebook.document import Document
from jrc.notebook.language import certain_language
from jrc.notebook.parameter_values import Value
from jrc.notebook.script import STDIN
from jrc.options import words_of
from jrc.run.options import Options
from jrc.shell import quote

if TYPE_CHECKING:
    from pathlib import Path

STDOUT = STDIN
"""The file of a result that goes to stdout: ``-``."""

_EMBEDDED_PATIENCE = 10.0
"""Seconds. An embedded server that is gone does not come back."""


class Plan(NamedTuple):
    """What is executed.

    Attributes:
        invocation: what was typed, with parameters filled into the paths.
        document: with its parameters, once the language of the kernel is known.
        values: the parameters.
    """

    invocation: Invocation
    document: Document
    values: Mapping[str, Value]

    @property
    def language(self) -> str | None:
        """The language of the kernel to come; None where the server has to be asked."""
        kernel = self.invocation.how.kernel
        return certain_language(self.document, kernel.spec, kernel.id)

    @property
    def result(self) -> "Path | None":
        """Where the result goes; None for a script whose result nobody asked for.

        Raises:
            UsageError: two places, or a place that does not fit the document.
        """
        file, asked = self.invocation.source.file, self.invocation.result.output
        if self.invocation.result.in_place:
            if asked is not None:
                raise UsageError("-o and --in-place exclude each other.")
            if self.document.kind != "notebook" or file == STDIN:
                raise UsageError(
                    f"--in-place is for notebook files; {self.document.path.name} is none.",
                    hint=f"jrc run -o RESULT.ipynb {quote(str(file))}",
                )
            return self.document.path
        if asked == STDOUT:
            return STDOUT
        if asked is not None:
            return notebook_file(asked)
        if self.document.kind != "notebook":
            return None
        return STDOUT if file == STDIN else _beside(self.document.path)


def notebook_file(path: "Path") -> "Path":
    """The path, where it is one for a result.

    Raises:
        UsageError: it is not.
    """
    if path.suffix != ".ipynb":
        raise UsageError(f"A result is saved as a notebook; {path} does not end in .ipynb.")
    return path


def with_paths(
    invocation: Invocation, names: Mapping[str, object], *, file_is_there: bool
) -> Invocation:
    """The same with the values of parameters in its paths.

    Args:
        invocation: what was typed.
        names: what a path may name.
        file_is_there: a file is called as FILE is typed, braces and all.

    Raises:
        UsageError: a path names a parameter that is not given.
    """
    source, result = invocation.source, invocation.result
    if not file_is_there:
        source = source._replace(file=filled(source.file, names))
    if result.output is not None:
        result = result._replace(output=filled(result.output, names))
    return invocation._replace(source=source, result=result)


def filled(path: "Path", names: Mapping[str, object]) -> "Path":
    """A path with the values of the parameters that it names: ``out/{epochs}.ipynb``.

    Raises:
        UsageError: it names a parameter that is not given.
    """
    text = str(path)
    try:
        return type(path)(text.format_map(names)) if "{" in text else path
    except KeyError as error:
        raise UsageError(
            f"{text} names the parameter {error}, which is not given.",
            hint=f"-p {error.args[0]} VALUE",
        ) from error
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{text} can't be filled with parameters: {error}.",
            hint="Write {{ and }} for braces that belong to the name.",
        ) from error


def injected(invocation: Invocation) -> dict[str, Value]:
    """The parameters that say where the notebook is, and where its result goes."""
    wanted, found = invocation.parameters, dict[str, Value]()
    file = invocation.source.file
    if wanted.inject_input or wanted.inject_paths:
        found["PAPERMILL_INPUT_PATH"] = str(file)
    if wanted.inject_output or wanted.inject_paths:
        result = file if invocation.result.in_place else invocation.result.output or _beside(file)
        found["PAPERMILL_OUTPUT_PATH"] = str(result)
    return found


def _beside(path: "Path") -> "Path":
    return STDOUT if path == STDIN else path.with_name(f"{path.stem}.out.ipynb")


def check(plan: Plan) -> None:
    """Refuse options that exclude each other.

    Raises:
        UsageError: it can't.
    """
    invocation, kernel = plan.invocation, plan.invocation.how.kernel
    if kernel.start_timeout < 1:
        raise UsageError("A kernel needs more than a second to start.", hint="--start-timeout 120")
    if kernel.id == "":
        raise UsageError(
            "--kernel-id is empty. It takes the id of a running kernel.", hint="jrc kernel list"
        )
    cells = plan.document.cell_count
    if invocation.first > max(cells, 1):
        raise UsageError(
            f"--from {invocation.first}: {plan.document.path.name} has only {cells} to execute."
        )
    if invocation.first > 1 and kernel.id is None:
        raise UsageError(
            f"--from {invocation.first} needs the kernel that executed the cells before.",
            hint="--kernel-id ID, of a run with --keep-kernel-on-error. See: jrc kernel list",
        )
    if plan.result == STDOUT:
        for option, given in {
            "--json": invocation.report.json,
            "--detach": invocation.detach,
        }.items():
            if given:
                raise UsageError(
                    f"{option} can't be combined with a result on stdout.", hint="-o RESULT.ipynb"
                )
    if invocation.detach:
        _check_detached(invocation)


def _check_detached(invocation: Invocation) -> None:
    how = invocation.how
    alone = [
        *words_of(invocation.copies),
        *words_of(how.cells, only=("mark_error", "timeout")),
        *words_of(how, only=("recorder", "pipeline")),
    ]
    option = next((word for word in alone if word.startswith("--")), None)
    if option is not None:
        raise UsageError(
            f"--detach and {option} exclude each other: nobody is there to keep watch."
        )


def settled(plan: Plan, *, kernel_id: str | None, language: str, profile: str) -> Options:
    """The options of the run, with all that was found out.

    Args:
        plan: what is executed.
        kernel_id: of the running kernel to use; None for a new one.
        language: of the kernel.
        profile: name of the server's profile; empty for the embedded server.
    """
    how = plan.invocation.how
    first = plan.document.position(plan.invocation.first)
    return how._replace(
        kernel=how.kernel._replace(id=kernel_id, language=language),
        cells=how.cells._replace(first=first),
        patience=how.patience if profile else _EMBEDDED_PATIENCE,
        profile=profile,
        command=tuple(_document_arguments(plan.invocation)),
    )


def _document_arguments(invocation: Invocation) -> list[str]:
    """The arguments that choose the same document, parameters, server and file again."""
    return [
        str(invocation.source.file),
        *words_of(invocation.given),
        *words_of(invocation.parameters),
        *words_of(invocation.how.cells, only=("mark_error",)),
        *words_of(invocation.result),
        *words_of(invocation.place, only=("profile",)),
    ]
