"""What ``jrc run`` does for papermill's options, apart from the run itself."""

from collections.abc import Callable
from pathlib import Path

from jrc.cli.terminal import Terminal
from jrc.errors import NotFoundError, UsageError
from jrc.notebook.document import Document, cell_tags
from jrc.notebook.language import PYTHON, normal
from jrc.notebook.schema import Json


def names_of_paths() -> dict[str, object]:
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
    from jrc.notebook.parameters import PARAMETERS_TAG, parameters_of

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
    from jrc.notebook.saving import Saver
    from jrc.profile.files import rights_of

    Saver(output, lambda: document.notebook, most=rights_of(document.path)).save()
    terminal.say(f"jrc: not executed, saved in {output}")


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
