"""What ``jrc run`` does for papermill's options: paths made of parameters, results not executed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from jrc.cli.terminal import Terminal
from jrc.errors import NotFoundError, UsageError
from jrc.notebook.document import Document, cell_tags
from jrc.notebook.language import PYTHON, normal
from jrc.notebook.parameter_values import Value
from jrc.notebook.schema import Json
from jrc.run.events import CellOutput, RunEvent

if TYPE_CHECKING:
    from jrc.run.progress import Listener

STDOUT = Path("-")
"""The file of a result that goes to stdout."""


class PapermillOptions(NamedTuple):
    """Options that papermill has too; named as they are there."""

    inject_input_path: bool = False
    inject_output_path: bool = False
    prepare_only: bool = False
    report_mode: bool = False
    mark_error: bool = False
    help_notebook: bool = False
    stdout_file: Path | None = None
    stderr_file: Path | None = None

    def words(self) -> list[str]:
        """The words that choose the same content of the result again."""
        options = {
            "--inject-input-path": self.inject_input_path,
            "--inject-output-path": self.inject_output_path,
            "--report-mode": self.report_mode,
            "--mark-error": self.mark_error,
        }
        return [option for option, given in options.items() if given]


def filled_input(path: Path, values: Mapping[str, Value]) -> Path:
    """As ``filled``, unless there is a file whose name has these braces.

    Raises:
        UsageError: it names a parameter that is not given.
    """
    return path if "{" in str(path) and _is_there(path) else filled(path, values)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def filled(path: Path, values: Mapping[str, Value]) -> Path:
    """A path with the values of the parameters that it names: ``out/{epochs}.ipynb``.

    Raises:
        UsageError: it names a parameter that is not given.
    """
    text = str(path)
    if not values or "{" not in text:
        return path
    try:
        return Path(text.format_map({**_builtin(), **values}))
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


def _builtin() -> dict[str, object]:
    """What papermill knows in paths beside the parameters, as in ``{pm[run_uuid]}``."""
    import uuid
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    local = now.astimezone().replace(tzinfo=None)
    return {
        "pm": {
            "run_uuid": str(uuid.uuid4()),
            "current_datetime_utc": now,
            "current_datetime_local": local,
        }
    }


def show_parameters(document: Document, language: str | None, terminal: Terminal) -> None:
    """Print the parameters that a notebook's tagged cell sets.

    Raises:
        NotFoundError: no cell is tagged.
    """
    from jrc.notebook.parameter_cell import parameters_of
    from jrc.notebook.parameters import PARAMETERS_TAG

    cells = document.notebook["cells"]
    source = next((c["source"] for c in cells if PARAMETERS_TAG in cell_tags(c)), None)
    if source is None:
        raise NotFoundError(
            f"No cell of {document.path.name} is tagged '{PARAMETERS_TAG}'.",
            hint="Tag the cell that sets the defaults, in Jupyter or VS Code.",
        )
    terminal.data(f"Parameters of {document.path.name}:")
    found = parameters_of(source, normal(language or document.language) or PYTHON)
    for parameter in found:
        kind = parameter.type or "Unknown type"
        line = f"  {parameter.name}: {kind} (default {parameter.default})"
        terminal.data(f"{line:<34}{parameter.help}".rstrip())
    if not found:
        terminal.data("  none that could be found in its code")


def hide_code(document: Document) -> None:
    """Let Jupyter show the result without its code."""
    for cell in document.notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["metadata"].setdefault("jupyter", {})["source_hidden"] = True


def result_to_stdout(terminal: Terminal) -> Callable[[Json], None]:
    """What writes a notebook to stdout; until then nothing else goes there."""
    terminal.talk_only = True

    def write(notebook: Json) -> None:
        from jrc.notebook.writing import notebook_bytes

        terminal.talk_only = False
        decoded = "".join(piece.decode("utf-8") for piece in notebook_bytes(notebook))
        terminal.write(terminal.as_json_text(decoded))

    return write


def save_prepared(document: Document, output: Path | None, terminal: Terminal) -> None:
    """Save a document that was not executed.

    Raises:
        UsageError: there is no file for it, or it can't be written.
    """
    if output is None:
        raise UsageError("--prepare-only needs a file for the notebook.", hint="-o RESULT.ipynb")
    if output == STDOUT:
        result_to_stdout(terminal)(document.notebook)
        return
    from jrc.notebook.saving import Saver

    Saver(output, lambda: document.notebook).save()
    terminal.say(f"jrc: not executed, saved in {output}")


class StreamFiles:
    """A listener that also writes what cells print into files.

    Args:
        listener: who is told everything.
        files: by the name of the stream.
        trouble: told when a file can't be written any more; the run goes on.
    """

    def __init__(
        self, listener: "Listener", files: Mapping[str, TextIO], trouble: Callable[[str], None]
    ) -> None:
        self._listener = listener
        self._files = dict(files)
        self._trouble = trouble

    @property
    def can_answer(self) -> bool:
        return self._listener.can_answer

    def on_event(self, event: RunEvent) -> None:
        if isinstance(event, CellOutput) and event.output["output_type"] == "stream":
            self._write(str(event.output["name"]), str(event.output["text"]))
        self._listener.on_event(event)

    async def ask(self, prompt: str, *, hidden: bool) -> str | None:
        return await self._listener.ask(prompt, hidden=hidden)

    def _write(self, stream: str, text: str) -> None:
        file = self._files.get(stream)
        if file is None:
            return
        try:
            file.write(text)
            file.flush()
        except OSError as error:
            del self._files[stream]
            self._trouble(f"Can't write to {file.name}: {error.strerror}. It ends there.")


@contextmanager
def with_stream_files(
    listener: "Listener", options: PapermillOptions, terminal: Terminal
) -> Iterator["Listener"]:
    """The listener, which writes the files of ``--stdout-file`` and ``--stderr-file``, if any.

    Raises:
        UsageError: a file can't be written.
    """
    named = {"stdout": options.stdout_file, "stderr": options.stderr_file}
    with ExitStack() as stack:
        files: dict[str, TextIO] = {}
        for stream, path in named.items():
            if path is None:
                continue
            try:
                file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise UsageError(f"Can't write --{stream}-file {path}: {reason}.") from error
            stack.callback(_close, file)
            files[stream] = file
        yield StreamFiles(listener, files, terminal.warn) if files else listener


def _close(file: TextIO) -> None:
    with suppress(OSError):
        # What it could not write was said; it fails with the same again.
        file.close()


TABLE = """\
papermill's options in jrc run:

  -p, --parameters NAME VALUE   also -p NAME=VALUE, --parameter
  -r, --parameters_raw NAME T   also --raw: text, whatever it looks like
  -f, --parameters_file PATH    also --parameter-file: YAML or JSON, repeatable
  -y, --parameters_yaml YAML    also --yaml
  -b, --parameters_base64 TEXT  also --base64: YAML, encoded
  --inject-input-path           sets PAPERMILL_INPUT_PATH
  --inject-output-path          sets PAPERMILL_OUTPUT_PATH
  --inject-paths                both
  --prepare-only                put the parameters in, execute nothing
  --help-notebook               show the parameters of the notebook
  --report-mode                 hide the code in the result
  --mark-error                  begin a failed result with a link to the error
  -k, --kernel NAME             the kernelspec
  -l, --language NAME           of the cell with the parameters
  --execution-timeout S         --timeout
  --stdout-file PATH            write what cells print there, too
  --stderr-file PATH            the same for stderr
  OUTPUT_PATH                   -o PATH; else NAME.out.ipynb
  -                             as FILE: a notebook on stdin; -o -: to stdout

FILE and -o may name parameters: jrc run a.ipynb -p lr 0.1 -o 'out-{lr}.ipynb'"""
