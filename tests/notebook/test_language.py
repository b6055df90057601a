"""The recorder and the parameters are for the kernel that runs, whatever the notebook says."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from jrc.errors import NotFoundError
from jrc.kernel.session import KernelChoice, ask_language, choose_kernelspec
from jrc.notebook.document import Document, load
from jrc.notebook.language import certain_language, is_python, normal
from jrc.server.models import KernelSpec, KernelSpecs
from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer, StartJupyter
from tests.support.running import client_of, profile_of

PYTHON = {"name": "python3", "display_name": "P", "language": "python"}
R = {"name": "ir", "display_name": "R", "language": "R"}


def write(path: Path, metadata: dict[str, Any], *sources: str) -> Path:
    cells = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "metadata": {},
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(sources)
    ]
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def document_of(tmp_path: Path) -> Any:
    def make(kernelspec: dict[str, str] | None = None, language: str | None = None) -> Document:
        metadata: dict[str, Any] = {}
        if kernelspec is not None:
            metadata["kernelspec"] = kernelspec
        if language is not None:
            metadata["language_info"] = {"name": language}
        return load(write(tmp_path / "a.ipynb", metadata, "1"), args=[])

    return make


def test_names_of_languages() -> None:
    names = ["Python", "ipython", " python3 ", "IPython", "R", "plaintext", "", None]
    assert [normal(name) for name in names] == [*["python"] * 4, "r", "plaintext", "", ""]
    assert [is_python(name) for name in names] == [True] * 4 + [False, False, True, True]


@pytest.mark.parametrize(
    ("kernelspec", "language", "chosen", "certain"),
    [
        (PYTHON, "python", {}, "python"),
        (PYTHON, "plaintext", {}, "python"),
        ({**PYTHON, "language": "Python"}, None, {}, "python"),
        (None, "ipython", {}, "python"),
        (None, None, {}, "python"),
        (R, "R", {}, "r"),
        (R, "R", {"kernel": "ir"}, "r"),
        (R, "R", {"kernel": "python3"}, "python"),
        (R, "R", {"kernel": "mine"}, None),
        (PYTHON, "python", {"kernel": "ir"}, None),
        (R, "R", {"kernel_id": "1"}, None),
        (PYTHON, "python", {"kernel_id": "1"}, "python"),
        (None, "plaintext", {}, None),
        (None, "R", {}, None),
        ({"name": "x", "display_name": "X"}, "plaintext", {}, None),
    ],
)
def test_when_the_server_need_not_be_asked(
    document_of: Any, kernelspec: Any, language: Any, chosen: Any, certain: str | None
) -> None:
    assert certain_language(document_of(kernelspec, language), **chosen) == certain


def test_scripts_are_python(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("1")
    assert certain_language(load(path, args=[]), "mine") == "python"


def test_a_kernel_of_the_same_language_whatever_its_capitals(document_of: Any) -> None:
    """A notebook from another platform: its kernelspec is not here, its language is 'Python'."""
    specs = KernelSpecs(
        "ir", {"ir": KernelSpec("ir", "R", "R"), "p": KernelSpec("p", "P", "Python")}
    )
    foreign = {"name": "synapse_pyspark", "display_name": "Synapse", "language": "Python"}
    choice = KernelChoice.of(document_of(foreign, "python"), None)
    assert choose_kernelspec(choice, specs) == "p"


@pytest.fixture
def server(start_jupyter: StartJupyter) -> JupyterServer:
    """One with a second Python kernel, which has another name."""
    server = start_jupyter()
    spec = server.folder / "home" / "data" / "kernels" / "mine"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    described = {"argv": argv, "display_name": "Mine", "language": "Python"}
    (spec / "kernel.json").write_text(json.dumps(described))
    return server


@pytest.mark.anyio
async def test_the_server_knows_the_language(server: JupyterServer, document_of: Any) -> None:
    async with client_of(server) as client:
        assert await ask_language(document_of(R, "R"), client, "mine") == "python"
        assert await ask_language(document_of(None, "plaintext"), client) == "python"
        gone = {"name": "gone", "display_name": "G"}
        assert await ask_language(document_of(gone, "python"), client) == "python"
        session = await client.create_session("x", "x", "notebook", "mine")
        running = session.kernel.id
        assert await ask_language(document_of(R, "R"), client, kernel_id=running) == "python"
        await client.delete_session(session.id)
        with pytest.raises(NotFoundError, match="no kernel 'ir', and none for r"):
            await ask_language(document_of(R, "R"), client)


def test_a_python_kernel_has_a_recorder_and_python_parameters(
    server: JupyterServer, tmp_path: Path
) -> None:
    """Nothing of a flood is lost, though the server drops most of it."""
    flood = "for i in range(3000):\n    print(i, flush=True)"
    for metadata, words in (
        ({"kernelspec": R, "language_info": {"name": "R"}}, ["--kernel", "mine"]),
        ({"language_info": {"name": "plaintext"}}, []),
        ({"kernelspec": {**PYTHON, "language": "Python"}}, []),
    ):
        path = write(tmp_path / "a.ipynb", metadata, "assert x is None", flood)
        done = run_jrc("run", path, *words, "-p", "x", "None", env=profile_of(server))
        assert done.code == 0, done.stderr
        assert done.stdout.split() == [str(number) for number in range(3000)]
        assert "no recorder" not in done.stderr
