"""papermill's options in ``jrc run``; papermill itself is the oracle where it can be asked."""

import io
import json
import re
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from jrc.cli.run_command import read
from jrc.cli.run_copies import StreamFiles
from jrc.cli.run_options import Invocation, Parameters, Result, Source
from jrc.cli.run_papermill import names_of_paths
from jrc.cli.run_plan import filled
from jrc.errors import NotFoundError, UsageError
from jrc.notebook.parameter_values import Given
from jrc.options import words_of
from jrc.run.events import CellOutput
from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer
from tests.support.running import Recorder, profile_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import papermill
    import papermill.cli
    import papermill.exceptions
    from papermill.parameterize import add_builtin_parameters, parameterize_path

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
SHOW = "import sys\nprint(alpha, flag)\nprint('trouble', file=sys.stderr)"


@pytest.fixture
def env(jupyter: JupyterServer) -> dict[str, str]:
    return profile_of(jupyter)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a notebook ``a.ipynb``."""
    monkeypatch.chdir(tmp_path)
    defaults = new_code_cell("alpha: float = 1  # how much\nflag = True")
    defaults.metadata.tags = ["parameters"]
    cells = [new_markdown_cell("# T"), defaults, new_code_cell(SHOW)]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), tmp_path / "a.ipynb")
    return tmp_path


# --- paths


@pytest.mark.parametrize(
    "path",
    [
        "a.ipynb",
        "out/{alpha}.ipynb",
        "{name}-{n:03d}.ipynb",
        "{d[k]}.ipynb",
        "{{x}}{alpha!r}.ipynb",
    ],
)
def test_a_path_is_filled_as_papermill_fills_it(path: str) -> None:
    values: dict[str, Any] = {"alpha": 0.5, "name": "x y", "n": 7, "d": {"k": "v"}}
    assert str(filled(Path(path), values)) == parameterize_path(
        path, add_builtin_parameters(values)
    )


def test_a_path_has_what_papermill_knows_of_the_run() -> None:
    path = Path("{pm[run_uuid]}-{pm[current_datetime_utc]:%Y}.ipynb")
    assert "{" not in str(filled(path, names_of_paths()))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("{beta}.ipynb", "names the parameter 'beta', which is not given"),
        ("{alpha.ipynb", "can't be filled with parameters"),
        ("{alpha.real.x}.ipynb", "can't be filled with parameters"),
        ("{alpha[0]}.ipynb", "can't be filled with parameters"),
        ("{}.ipynb", "can't be filled with parameters"),
    ],
)
def test_a_path_that_can_not_be_filled(path: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        filled(Path(path), {"alpha": 0.5})
    assert words in caught.value.message


def test_braces_of_a_file_name_are_left_alone(folder: Path) -> None:
    """Without parameters, and where a file has that name."""
    path = Path("{alpha}.ipynb")
    (folder / "1.ipynb").write_bytes((folder / "a.ipynb").read_bytes())
    given = Given(values=[("alpha", "1")])
    with pytest.raises(NotFoundError):
        read(Invocation(Source(path)))
    assert read(Invocation(Source(path), given)).document.path == Path("1.ipynb")
    (folder / "1.ipynb").rename(folder / path)
    for words in (Invocation(Source(path), given), Invocation(Source(path))):
        assert read(words).document.path == path
    with pytest.raises(NotFoundError, match="1x"):
        read(Invocation(Source(Path("{alpha}" + "x" * 300)), given))


# --- without a run


def test_prepare_only_is_papermill_s(folder: Path) -> None:
    """No server is asked: there is none."""
    words = ["--prepare-only", "--report-mode", "-p", "alpha", "0.3", "-o", "out-{alpha}.ipynb"]
    done = run_jrc("run", "a.ipynb", *words, env={"JRC_URL": "http://127.0.0.1:1/"})
    assert (done.code, done.stdout) == (0, ""), done.stderr
    assert done.stderr == "jrc: not executed, saved in out-0.3.ipynb\n"
    theirs = papermill.execute_notebook(
        "a.ipynb", None, {"alpha": 0.3}, prepare_only=True, report_mode=True, progress_bar=False
    )
    ours = nbformat.read(folder / "out-0.3.ipynb", as_version=4)
    nbformat.validate(ours)

    def content(notebook: Any) -> list[Any]:
        return [
            (
                cell.cell_type,
                cell.source,
                cell.metadata.get("tags", []),
                cell.metadata.get("jupyter", {}),
            )
            for cell in notebook.cells
        ]

    assert content(ours) == content(theirs)


def test_prepare_only_to_stdout_and_of_a_script(folder: Path) -> None:
    done = run_jrc("run", "a.ipynb", "--prepare-only", "-p", "beta", "1", "-o", "-")
    assert done.code == 0
    assert json.loads(done.stdout)["cells"][2]["source"] == ["# Parameters\n", "beta = 1\n"]
    assert "does not set 'beta'. It sets alpha, flag." in done.stderr
    (folder / "a.py").write_text("# %%\n1\n")
    done = run_jrc("run", "--prepare-only", "a.py")
    assert (done.code, done.stdout) == (2, "")
    assert "hint: -o RESULT.ipynb" in done.stderr


def test_the_parameters_of_a_notebook_are_shown(folder: Path) -> None:
    done = run_jrc("run", "a.ipynb", "--help-notebook")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Parameters of a.ipynb:",
        "  alpha: float (default 1)        how much",
        "  flag: Unknown type (default True)",
    ]
    nbformat.write(new_notebook(metadata=KERNEL), folder / "none.ipynb")
    done = run_jrc("run", "none.ipynb", "--help-notebook")
    assert (done.code, done.stdout) == (5, "")
    assert "No cell of none.ipynb is tagged 'parameters'." in done.stderr


def test_every_option_is_listed(folder: Path) -> None:
    """``jrc run --help`` has no room for them; each that is listed exists."""
    done = run_jrc("run", "--help-papermill")
    assert (done.code, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "--help-papermill" in run_jrc("run", "--help").stdout
    flags = [word for word in done.stdout.split() if word.startswith("--inject")]
    done = run_jrc("run", "a.ipynb", *flags, "--prepare-only", "-o", "x.ipynb")
    assert (len(flags), done.code) == (3, 0)
    source = nbformat.read(folder / "x.ipynb", as_version=4).cells[2].source
    assert source.splitlines() == [
        "# Parameters",
        "PAPERMILL_INPUT_PATH = 'a.ipynb'",
        "PAPERMILL_OUTPUT_PATH = 'x.ipynb'",
    ]


def test_the_docs_name_every_option_of_papermill() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "papermill.md").read_text("utf-8")
    options = {
        name
        for parameter in papermill.cli.papermill.params
        if parameter.param_type_name == "option"
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    assert len(options) > 30
    # An old spelling, which works here too.
    options.remove("--start_timeout")
    assert {name for name in options if f"`{name}`" not in page} == set()


# --- streams


def test_a_notebook_goes_through_a_pipe(folder: Path, env: dict[str, str]) -> None:
    """The notebook comes on stdin, the result goes to stdout, and what cells print to stderr."""
    text = (folder / "a.ipynb").read_text("utf-8")
    for words in (["-p", "alpha", "2", "-"], ["-p", "alpha", "2", "-o", "-", "-"]):
        done = run_jrc("run", *words, input=text, env=env)
        assert done.code == 0, done.stderr
        result = nbformat.reads(done.stdout, as_version=4)
        nbformat.validate(result)
        assert [o.text for o in result.cells[3].outputs] == ["2 True\n", "trouble\n"]
        assert {"2 True", "trouble"} <= set(done.stderr.splitlines())
        assert [path.name for path in folder.iterdir()] == ["a.ipynb"]


def test_a_failed_notebook_goes_to_stdout_too(folder: Path, env: dict[str, str]) -> None:
    notebook = new_notebook(cells=[new_code_cell("print('é')\n1 / 0")], metadata=KERNEL)
    nbformat.write(notebook, folder / "bad.ipynb")
    ascii_only = {**env, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = run_jrc("run", "bad.ipynb", "-o", "-", env=ascii_only)
    assert done.code == 1
    outputs = json.loads(done.stdout)["cells"][0]["outputs"]
    assert [output["output_type"] for output in outputs] == ["stream", "error"]
    assert outputs[0]["text"] == ["é\n"]


def test_a_failed_result_points_to_its_error(folder: Path, env: dict[str, str]) -> None:
    """Where papermill does; the next run of the result takes the two cells out again."""
    sources = ["x = 1", "print(x)\n1 / 0", "print('never')"]
    cells = [new_code_cell(source) for source in sources]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), folder / "bad.ipynb")
    done = run_jrc("run", "bad.ipynb", "--mark-error", env=env)
    assert done.code == 1
    with pytest.raises(papermill.exceptions.PapermillExecutionError):
        papermill.execute_notebook("bad.ipynb", "theirs.ipynb", progress_bar=False)

    def said(cell: Any) -> object:
        """The source; of a cell that points to the error, what leads there and from where."""
        if "papermill-error-cell-tag" not in cell.metadata.get("tags", []):
            return cell.source
        return re.findall(r'(?:href|id)="[^"]+"|In \[\d+\]', cell.source)

    def content(name: str) -> list[Any]:
        notebook = nbformat.read(folder / name, as_version=4)
        nbformat.validate(notebook)
        return [
            (cell.cell_type, said(cell), cell.metadata.get("tags", [])) for cell in notebook.cells
        ]

    assert content("bad.out.ipynb") == content("theirs.ipynb")
    assert run_jrc("run", "bad.out.ipynb", "--in-place", env=env).code == 1
    assert [source for _, source, _ in content("bad.out.ipynb")] == sources


@pytest.mark.parametrize(
    "words",
    [
        ["-o", "-", "--json", "a.ipynb"],
        ["-o", "-", "--detach", "a.ipynb"],
        ["--stdout-file", "x", "--detach", "a.ipynb"],
        ["--mark-error", "--detach", "a.ipynb"],
        ["--stdout-file", "none/x", "a.ipynb"],
        ["--in-place", "-"],
    ],
    ids=" ".join,
)
def test_what_can_not_be_had_together(folder: Path, env: dict[str, str], words: list[str]) -> None:
    text = (folder / "a.ipynb").read_text("utf-8")
    done = run_jrc("run", *words, input=text, env=env)
    assert (done.code, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("error: ")


def test_streams_are_written_to_files_as_papermill_does(folder: Path, env: dict[str, str]) -> None:
    words = ["--stdout-file", "out.txt", "--stderr-file", "err.txt", "-p", "flag", "false"]
    done = run_jrc("run", "a.ipynb", *words, env=env)
    assert (done.code, done.stdout) == (0, "1 False\n"), done.stderr
    out, err = io.StringIO(), io.StringIO()
    papermill.execute_notebook(
        "a.ipynb", None, {"flag": False}, progress_bar=False, stdout_file=out, stderr_file=err
    )
    ours = ((folder / name).read_text("utf-8") for name in ("out.txt", "err.txt"))
    assert list(ours) == [out.getvalue(), err.getvalue()]


class FullDisk(io.StringIO):
    name = "full.txt"

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_full_disk_ends_the_file_and_not_the_run() -> None:
    said: list[str] = []
    listener = Recorder()
    event = CellOutput(0, {"output_type": "stream", "name": "stdout", "text": "x"})
    files = StreamFiles(listener, {"stdout": FullDisk()}, said.append)
    files.on_event(event)
    files.on_event(event)
    assert said == ["Can't write to full.txt: No space left on device. It ends there."]
    assert listener.events == [event, event]


def test_the_words_that_choose_the_same_result() -> None:
    assert words_of(Parameters()) == words_of(Result()) == []
    assert words_of(Parameters(inject_output=True)) == ["--inject-output-path"]
    assert words_of(Result(report_mode=True)) == ["--report-mode"]
