"""Notebooks and file names that are not as they should be run all the same."""

import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer
from tests.support.running import profile_of, write_notebook

SPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}


def code(number: int, source: Any, **fields: Any) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": f"c{number}", "metadata": {}, "source": source}
    return {**cell, "outputs": [], "execution_count": None, **fields}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


ODD: dict[str, Any] = {
    "nbformat": 4,
    "nbformat_minor": "4",
    "metadata": {"kernelspec": {"name": "python3"}, "language_info": None, "title": None},
    "stranger": 1,
    "cells": [
        {"cell_type": "heading", "level": 1, "metadata": {}, "source": "Title"},
        {"cell_type": "markdown", "metadata": None, "source": "m", "outputs": []},
        {"cell_type": "sql", "metadata": {}, "source": "SELECT 1"},
        code(3, "a = 1", metadata={"tags": "parameters"}, collapsed=True),
        code(4, "print(a)", outputs=[{"output_type": "pyout", "text": ["x"]}, 7]),
        code(5, "print('never')", metadata={"tags": ["skip-execution", "skip-execution"]}),
        {"cell_type": "code"},
    ],
}


def test_an_odd_notebook_runs_and_is_repaired(folder: Path, jupyter: JupyterServer) -> None:
    """One notice; the result is valid, and the next run has nothing to say."""
    path = folder / "odd.ipynb"
    path.write_text(json.dumps(ODD), encoding="utf-8")
    env = profile_of(jupyter)
    done = run_jrc("run", "odd.ipynb", "-p", "a", "5", "--in-place", env=env)
    assert (done.code, done.stdout) == (0, "5\n"), done.stderr
    said = [line for line in done.stderr.splitlines() if "does not follow the notebook f" in line]
    assert len(said) == 1
    assert "cell of the type heading, now markdown (cell 1)" in said[0]
    result = json.loads(path.read_text("utf-8"))
    nbformat.validate(copy.deepcopy(result))
    assert [cell["cell_type"] for cell in result["cells"]] == [
        *("markdown", "markdown", "raw", "code", "code", "code", "code", "code"),
    ]
    assert result["metadata"]["kernelspec"]["display_name"] == "python3"
    again = run_jrc("run", "odd.ipynb", "-p", "a", "6", "--json", env=env)
    assert again.code == 0
    assert '"kind": "repaired"' not in again.stdout


def test_a_notebook_of_a_newer_format_runs(folder: Path, jupyter: JupyterServer) -> None:
    """What is unknown there is kept as it is, like nbformat does."""
    future = {
        "nbformat": 4,
        "nbformat_minor": 99,
        "future": 1,
        "metadata": {"kernelspec": SPEC},
        "cells": [
            {"cell_type": "hologram", "id": "h", "metadata": {}, "depth": 3},
            code(1, ["print('hello')"], future="yes"),
        ],
    }
    (folder / "new.ipynb").write_text(json.dumps(future), encoding="utf-8")
    done = run_jrc("run", "new.ipynb", env=profile_of(jupyter))
    assert (done.code, done.stdout) == (0, "hello\n"), done.stderr
    result = json.loads((folder / "new.out.ipynb").read_text("utf-8"))
    assert result["cells"][0] == future["cells"][0]  # type: ignore[index]
    assert (result["future"], result["nbformat_minor"]) == (1, 99)
    assert result["cells"][1]["future"] == "yes"


@pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="file names are Unicode text on this system"
)
def test_a_file_name_may_be_any_bytes(folder: Path, jupyter: JupyterServer) -> None:
    """Python holds the bytes that are no UTF-8 as lone surrogates."""
    name = os.fsdecode(b"r\xe9")
    write_notebook(folder / f"{name}.ipynb", ["print(1)"])
    (folder / f"{name}.py").write_text("import sys\nprint(ascii(sys.argv[0]))", encoding="utf-8")
    (folder / f"{name}2.py").write_text("# %%\nprint(ascii(__file__[-7:]))", encoding="utf-8")
    env = profile_of(jupyter)
    done = run_jrc("run", f"{name}.ipynb", env=env)
    assert (done.code, done.stdout) == (0, "1\n"), done.stderr
    assert (folder / f"{name}.out.ipynb").exists()
    done = run_jrc("run", f"{name}.py", env=env)
    assert (done.code, done.stdout) == (0, f"{name + '.py'!a}\n"), done.stderr
    done = run_jrc("run", "--json", f"{name}2.py", env=env)
    assert done.code == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (output,) = (event["output"] for event in events if event["event"] == "cell-output")
    assert output["text"] == "'/r\\udce92.py'\n"
    begun = run_jrc("run", f"{name}.ipynb", "--detach", env=env)
    assert begun.code == 0, begun.stderr
    assert run_jrc("attach", begun.stdout.strip(), env=env).stdout == "1\n"
