"""The notebooks that are measured, and how much output each of them must bring home."""

import json
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20

_LINE = "line {:06d} the quick brown fox jumps over the lazy dog 0123456789\n"

_PUBLISH = "import base64, os\nfrom IPython.display import publish_display_data\n"


@dataclass(frozen=True)
class Workload:
    """One notebook.

    Attributes:
        name: of its file, without the suffix.
        cells: sources of its code cells.
        output_bytes: length of all stream text and of each display's longest representation.
        largest_message: bytes of the longest single message that it causes.
    """

    name: str
    cells: tuple[str, ...]
    output_bytes: int
    largest_message: int = 0

    def write(self, folder: Path) -> Path:
        """Write the notebook; returns its path."""
        cells: list[dict[str, object]] = [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"cell-{number}",
                "metadata": {},
                "outputs": [],
                "source": source,
            }
            for number, source in enumerate(self.cells)
        ]
        kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
        metadata = {"kernelspec": kernelspec, "language_info": {"name": "python"}}
        notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
        path = folder / f"{self.name}.ipynb"
        path.write_text(json.dumps(notebook))
        return path


def _printing(name: str, lines: int, *, flush: bool) -> Workload:
    text = _LINE.rstrip("\n")
    source = f"for i in range({lines}):\n    print({text!r}.format(i), flush={flush})"
    return Workload(name, (source,), lines * len(_LINE.format(0)))


def _pictures(name: str, count: int, size: int) -> Workload:
    source = (
        f"{_PUBLISH}for i in range({count}):\n"
        f"    picture = base64.b64encode(os.urandom({size})).decode()\n"
        "    publish_display_data({'image/png': picture, 'text/plain': f'picture {i}'})"
    )
    encoded = _base64_length(size)
    return Workload(name, (source,), count * encoded, encoded)


def _base64_length(size: int) -> int:
    return (size + 2) // 3 * 4


HELLO = Workload("hello", ("print('hello')",), 6)
ONE_CELL = Workload("cells-1", ("pass",), 0)
MANY_CELLS = Workload("cells-200", ("pass",) * 200, 0)
PICTURES = _pictures("png-200", 200, 256 * 1024)
ONE_DISPLAY = Workload(
    "display-64mib",
    (
        f"{_PUBLISH}data = base64.b64encode(os.urandom({48 * MIB})).decode()\n"
        "publish_display_data({'application/octet-stream': data})",
    ),
    64 * MIB,
    64 * MIB,
)
LINES = _printing("lines-100k", 100_000, flush=False)
FLUSHED_LINES = _printing("lines-10k-flushed", 10_000, flush=True)
MANY_FLUSHED_LINES = _printing("lines-100k-flushed", 100_000, flush=True)
STREAM = Workload("stream-64mib", (f"print('x' * {64 * MIB - 1})",), 64 * MIB)
DISPLAYS_AND_ERROR = Workload(
    "displays-10k-error",
    (
        f"{_PUBLISH}for i in range(10_000): publish_display_data({{'text/plain': f'{{i:09d}}'}})\n"
        "raise ValueError('behind them')",
    ),
    # In a notebook the text stands between no quotes: nine digits each.
    9 * 10_000,
)

WORKLOADS = (
    *(HELLO, ONE_CELL, MANY_CELLS, PICTURES, ONE_DISPLAY, LINES, FLUSHED_LINES),
    *(MANY_FLUSHED_LINES, STREAM, DISPLAYS_AND_ERROR),
)


def completeness(workload: Workload, executed: Path) -> float:
    """How much of what the notebook published is in its executed copy, in percent.

    A workload without output counts its executed cells.
    """
    try:
        cells = json.loads(executed.read_bytes())["cells"]
    except (OSError, ValueError, KeyError):
        return 0.0
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    if not workload.output_bytes:
        done = sum(cell["execution_count"] is not None for cell in code)
        return 100 * done / len(workload.cells)
    arrived = sum(_size(output) for cell in code for output in cell["outputs"])
    return 100 * arrived / workload.output_bytes


def _size(output: dict[str, object]) -> int:
    if output["output_type"] == "stream":
        # The notices of a server's limits are on stderr.
        return _length(output["text"]) if output["name"] == "stdout" else 0
    data = output.get("data")
    return max(map(_length, data.values()), default=0) if isinstance(data, dict) else 0


def _length(text: object) -> int:
    """Characters of a text, which notebooks may also spell as a list of lines."""
    return sum(map(len, text)) if isinstance(text, list) else len(str(text))
