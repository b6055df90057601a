"""The same notebooks through jrc on a real server, and through nbclient on a local kernel."""

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from jrc.errors import RemoteError
from tests.support.jupyter import JupyterServer
from tests.support.notebooks import neighbours_merged
from tests.support.running import run_document

pytestmark = pytest.mark.anyio

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.ipynb"))

VOLATILE: list[tuple[str, str]] = [
    (r"0x[0-9a-f]{6,}", "0x…"),
    (r"ipykernel_\d+[/\\]\d+\.py", "ipykernel_…"),
    (r"\b[0-9a-f]{32}\b", "‹id›"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "‹uuid›"),
]


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 25


@pytest.mark.parametrize("pipeline", [True, False], ids=["pipelined", "one by one"])
@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
async def test_jrc_writes_what_nbclient_writes(
    path: Path,
    jupyter: JupyterServer,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    pipeline: bool,
) -> None:
    """However the cells are sent."""
    expected, nbclient_failed = by_nbclient(path, tmp_path_factory.getbasetemp())
    output = tmp_path / "out.ipynb"
    jrc_failed = False
    try:
        await run_document(jupyter, path, output, pipeline=pipeline)
    except RemoteError:
        jrc_failed = True
    written = nbformat.read(output, as_version=4)
    nbformat.validate(written)
    assert jrc_failed == nbclient_failed
    assert normalized(written) == expected


@functools.cache
def by_nbclient(path: Path, folder: Path) -> tuple[list[str], bool]:
    """The notebook as nbclient leaves it, normalized, and whether a cell failed."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": folder}},
    )
    try:
        client.execute()
    except CellExecutionError:
        return normalized(notebook), True
    return normalized(notebook), False


def normalized(notebook: Any) -> list[str]:
    """The notebook as lines of JSON, without what differs between any two executions."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = list(map(nbformat.from_dict, neighbours_merged(cell["outputs"])))
    plain = json.loads(nbformat.writes(notebook))
    for cell in plain["cells"]:
        cell.pop("id", None)
        timing = cell["metadata"].pop("execution", None)
        if timing is not None:
            cell["metadata"]["execution"] = sorted(timing)
    plain["metadata"].pop("kernelspec", None)
    plain.pop("nbformat_minor")
    return json.dumps(each_text(plain, without_volatile_parts), indent=1, sort_keys=True).split(
        "\n"
    )


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {change(key): each_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [each_text(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def without_volatile_parts(text: str) -> str:
    for pattern, replacement in VOLATILE:
        text = re.sub(pattern, replacement, text)
    return text
