"""Notebooks that once ended jrc, lost an output or were refused: each runs, its result is valid.

One file, one fault: what is wrong is in the file's metadata, in an old output, or in what its code
does. nbclient executes the same code in a notebook without faults, and is the reference.
"""

import functools
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from jrc.cli.rendering import strip_ansi
from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer
from tests.support.notebooks import neighbours_merged
from tests.support.running import profile_of

CASES = sorted(Path(__file__).with_name("cases").glob("*.ipynb"))

FAILING = {"enc_nb", "render_none", "render_str", "surrogates"}
"""Their code raises."""

NOT_FOR_NBCLIENT = {
    # nbclient waits for ever for the reply, or ends with a bug of its own.
    *("closed_stdout", "render_none", "with_stdout"),
    *("raw_c_msg3", "raw_d_none", "raw_d_str", "raw_e_tbnone", "raw_s_notext"),
    # It keeps data that makes the file invalid, or a traceback that is a list of letters.
    *("out_types", "render_str"),
    # It can't decode what the kernel prints.
    "surrogates",
    # sys.exit(0) is an error to it; papermill and jrc take it for the end.
    "exit0",
}

TEXTS = {
    "closed_stdout": "x\n",
    "exit0": "a\n",
    "out_types": "",
    "raw_c_msg3": "end\ntwo\n",
    "raw_d_none": "end\ntwo\n",
    "raw_d_str": "end\ntwo\n",
    "raw_e_tbnone": "end\ntwo\n",
    "raw_s_notext": "end\ntwo\n",
    "render_none": "before\n",
    "render_str": "",
    "surrogates": "a\udcc3b\n",
    "with_stdout": "x\nafter\n",
}
"""What is printed where nbclient can't tell."""


def test_every_case_has_a_reference() -> None:
    assert {*TEXTS} == NOT_FOR_NBCLIENT
    assert {path.stem for path in CASES} >= NOT_FOR_NBCLIENT | FAILING


@pytest.mark.parametrize(
    ("path", "more"),
    [
        *((path, ()) for path in CASES),
        *((path, ("--no-recorder",)) for path in CASES if path.stem.startswith(("r", "out"))),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else " ".join(value),
)
def test_a_case_runs(
    path: Path,
    more: tuple[str, ...],
    jupyter: JupyterServer,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    output = tmp_path / "out.ipynb"
    words = ("run", str(path), "--kernel", "python3", "-o", str(output), *more)
    # In the C locale, python would write a lone surrogate as the byte that it stands for.
    done = run_jrc(*words, env=profile_of(jupyter) | {"PYTHONIOENCODING": "utf-8"})
    assert done.code == (1 if path.stem in FAILING else 0), done.stderr
    assert "Traceback (most recent call last)" not in done.stderr or path.stem in FAILING
    result = nbformat.read(output, as_version=4)
    nbformat.validate(result)
    outputs = [cell.outputs for cell in result.cells if cell.cell_type == "code"]
    if path.stem in TEXTS:
        assert printed(outputs) == TEXTS[path.stem]
    else:
        assert shown(outputs) == by_nbclient(path, tmp_path_factory.getbasetemp())


def printed(cells: list[list[Any]]) -> str:
    """What all cells wrote to stdout."""
    streams = (each for outputs in cells for each in outputs if each.output_type == "stream")
    return "".join(each.text for each in streams if each.name == "stdout")


def shown(cells: list[list[Any]]) -> list[str]:
    """The outputs of all cells as text, without what differs between two executions."""
    texts = []
    for outputs in cells:
        for output in map(dict, neighbours_merged(outputs)):
            output.pop("execution_count", None)
            if "traceback" in output:
                output["traceback"] = strip_ansi(output["traceback"][-1])
            texts.append(json.dumps(output, sort_keys=True))
    return texts


@functools.cache
def by_nbclient(path: Path, folder: Path) -> list[str]:
    """The outputs of a notebook of the same code that has no faults."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in sources]
    )
    client = NotebookClient(
        notebook, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    try:
        client.execute()
    except CellExecutionError:
        assert path.stem in FAILING
    return shown([cell.outputs for cell in notebook.cells])
