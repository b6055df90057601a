"""What is printed never ends a command: pipes that close, full disks, alphabets."""

import ast
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import jrc.cli
from jrc.cli.streams import SafeStream
from jrc.cli.terminal import Terminal, json_line
from tests.support.command import jrc_command, jrc_environment
from tests.support.jupyter import JupyterServer
from tests.support.running import Recorder, profile_of, run_document, write_notebook

LINES = 20_000
"""More than a pipe holds."""

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell of POSIX")


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Much text, characters that few alphabets have, and a last cell that shows that all ran."""
    monkeypatch.chdir(tmp_path)
    sources = [
        f"for i in range({LINES}): print('line', i)",
        "print('█ ☃ 안녕')\ndisplay({'text/plain': 'b\\udcff'}, raw=True)",
        "6 * 7",
    ]
    cells = [new_code_cell(source) for source in sources]
    nbformat.write(new_notebook(cells=cells), tmp_path / "a.ipynb")
    return tmp_path / "a.ipynb"


def shell(redirected: str, *words: str, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """``jrc WORDS`` in a shell, with its streams redirected so."""
    code = f'{{ "$@" {redirected}; }}'
    return subprocess.run(
        ["/bin/sh", "-c", code, "sh", *jrc_command(*words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=jrc_environment(env),
        timeout=90,
    )


def check_saved(path: Path) -> None:
    cells = nbformat.read(path.with_name("a.out.ipynb"), as_version=4).cells
    assert cells[0].outputs[0].text.count("\n") == LINES
    assert "█ ☃ 안녕" in cells[1].outputs[0].text
    assert cells[2].outputs[0].data["text/plain"] == "42"


@posix
@pytest.mark.parametrize(
    "redirected",
    [
        "| head -n 1",
        "2>&1 | head -n 0",
        ">/dev/full 2>/dev/full",
        ">&- 2>&- <&-",
        "--json | head -n 1",
        "--json >/dev/full",
    ],
)
def test_the_result_is_saved_whatever_becomes_of_stdout(
    notebook: Path, jupyter: JupyterServer, redirected: str
) -> None:
    env = profile_of(jupyter)
    words = ["--json"] if redirected.startswith("--json") else []
    done = shell(redirected.removeprefix("--json"), "run", "a.ipynb", *words, env=env)
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr
    check_saved(notebook)


@posix
@pytest.mark.parametrize("redirected", [">/dev/full", ">&-", "2>&-"])
def test_the_exit_code_is_the_runs(tmp_path: Path, jupyter: JupyterServer, redirected: str) -> None:
    path = tmp_path / "a.py"
    path.write_text("print('x')\nexit(3)")
    done = shell(redirected, "run", str(path), env=profile_of(jupyter))
    assert done.returncode == 3


@posix
def test_a_full_disk_is_said_once(notebook: Path, jupyter: JupyterServer) -> None:
    done = shell(">/dev/full", "run", "a.ipynb", env=profile_of(jupyter))
    assert done.returncode == 0
    assert done.stderr.count(b"No space left on device") == 1


@posix
@pytest.mark.parametrize(
    ("redirected", "words"),
    [
        ("| head -n 0", ["--help"]),
        (">&-", ["--version"]),
        ("2>&-", ["status"]),
        *((">/dev/full", words) for words in (["run", "--help"], ["kernel", "list"], ["runs"])),
    ],
)
def test_no_command_minds(jupyter: JupyterServer, redirected: str, words: Sequence[str]) -> None:
    done = shell(redirected, *words, env=profile_of(jupyter))
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_what_an_alphabet_lacks_is_replaced(notebook: Path, jupyter: JupyterServer) -> None:
    done = subprocess.run(
        jrc_command("run", "a.ipynb"),
        capture_output=True,
        env={
            **jrc_environment(profile_of(jupyter)),
            "PYTHONUTF8": "0",
            "PYTHONIOENCODING": "cp1252",
        },
        timeout=90,
    )
    assert done.returncode == 0
    assert done.stdout.decode("cp1252").splitlines()[-3:] == ["? ? ??", "b?", "42"]
    check_saved(notebook)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_json_is_valid_whatever_is_in_it(
    notebook: Path, jupyter: JupyterServer, encoding: str
) -> None:
    done = subprocess.run(
        jrc_command("run", "a.ipynb", "--json"),
        capture_output=True,
        env={
            **jrc_environment(profile_of(jupyter)),
            "PYTHONUTF8": "0",
            "PYTHONIOENCODING": encoding,
        },
        timeout=90,
    )
    events = [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]
    outputs = [event["output"] for event in events if event["event"] == "cell-output"]
    assert "█ ☃ 안녕\n" in "".join(output.get("text", "") for output in outputs)
    assert {"text/plain": "b\udcff"} in [output.get("data") for output in outputs]
    assert events[-1]["exit_code"] == 0


def test_json_has_no_word_for_nan() -> None:
    value = {"a": [float("nan"), 1.5], "b": float("-inf"), "\ud800": "\x85"}
    line = json_line(value)
    assert line == '{"a": [null, 1.5], "b": null, "\\ud800": "\\u0085"}'
    assert json.loads(line) == {"a": [None, 1.5], "b": None, "\ud800": "\x85"}


@pytest.mark.anyio
async def test_a_listener_that_fails_does_not_end_the_run(
    tmp_path: Path, jupyter: JupyterServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Recorder):
        def on_event(self, event: object) -> None:
            raise RuntimeError("a bug")

    path = write_notebook(tmp_path / "a.ipynb", ["print(1)", "2"])
    out = tmp_path / "out.ipynb"
    assert await run_document(jupyter, path, out, listener=Failing()) == 0
    assert nbformat.read(out, as_version=4).cells[1].outputs[0].data["text/plain"] == "2"
    assert "a listener failed at CellFinished" in caplog.text


class Refusing(io.StringIO):
    """A stream whose writes fail, and whose descriptor is a file's that may be taken away."""

    def __init__(self, error: OSError, number: int) -> None:
        super().__init__()
        self._error = error
        self._number = number

    def flush(self) -> None:
        raise self._error

    def fileno(self) -> int:
        return self._number


@pytest.mark.parametrize(
    ("error", "complaint"),
    [
        (BrokenPipeError(32, "Broken pipe"), ""),
        (OSError(22, "Invalid argument"), ""),
        (OSError(28, "No space left on device"), "Can't write to stdout: No space left on device."),
        (OSError(5, "Input/output error"), "Can't write to stdout: Input/output error."),
    ],
)
def test_a_write_that_fails(tmp_path: Path, error: OSError, complaint: str) -> None:
    said = io.StringIO()
    with (tmp_path / "out").open("wb") as file:
        stream = SafeStream(
            Refusing(error, file.fileno()), "stdout", SafeStream(said, "stderr", None)
        )
        for _ in range(3):
            assert stream.write("text") == 4
            stream.flush()
        assert stream.broken
        os.write(file.fileno(), b"goes nowhere")
    assert (tmp_path / "out").read_bytes() == b""
    assert said.getvalue().count("\n") == bool(complaint)
    assert complaint in said.getvalue()


class Screen(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "live", "color"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "CI": "true"}, False, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_the_environment_says_how_it_may_look(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], live: bool, color: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    shown = Screen()
    monkeypatch.setattr(sys, "stdout", Screen())
    monkeypatch.setattr(sys, "stderr", shown)
    terminal = Terminal()
    assert (terminal.live, terminal.color_out, terminal.color_err) == (live, color, color)
    terminal.say("jrc: x")
    terminal.mark("y")
    assert ("\x1b[1mjrc:\x1b[0m x\n" in shown.getvalue()) == color
    assert ("\x1b[2my\x1b[0m\n" in shown.getvalue()) == color


def test_a_closed_stream_and_none(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        terminal = Terminal()
        terminal.data("x")
        terminal.warn("y")
        assert (terminal.live, terminal.color_out) == (False, False)


def test_a_stream_of_text_takes_no_bytes() -> None:
    with pytest.raises(TypeError):
        SafeStream(io.StringIO(), "stdout", None).write(b"")  # type: ignore[arg-type]


@posix
def test_a_missing_stdin_is_an_empty_one(jupyter: JupyterServer) -> None:
    done = shell("<&-", "login", jupyter.url, "--token-stdin", env={})
    assert done.returncode == 2
    assert done.stderr == b"error: The token is empty.\n"


@posix
def test_a_pipe_that_does_not_block_gets_everything() -> None:
    """Node.js and others leave a shared pipe so."""
    program = (
        "import os\nos.set_blocking(1, False)\n"
        "from jrc.cli.streams import safe_streams\nfrom jrc.cli.terminal import Terminal\n"
        "with safe_streams():\n"
        "    for i in range(20000): Terminal().data(f'line {i} ' + 'x' * 100)"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" | { sleep 1; cat; }', "sh", sys.executable, "-c", program],
        capture_output=True,
        encoding="utf-8",
        timeout=90,
    )
    assert done.stderr == ""
    assert [int(line.split()[1]) for line in done.stdout.splitlines()] == list(range(20000))


def test_nothing_else_writes() -> None:
    """Two modules of the command line write; the others speak through the terminal.

    What is not looked at on its way to a terminal are sequences that stand in our code.
    """
    folder = Path(jrc.cli.__file__).parent
    sent = [
        ast.unparse(node)
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".control")
    ]
    assert sent == [
        "out.control(f'{up}\\r\\x1b[J')",
        "self.control(own_text(text))",
        "self.out.control(_CLEAR)",
    ]
    for path in sorted(folder.rglob("*.py")):
        if path.name in ("streams.py", "terminal.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called != "print", f"{path.name}:{node.lineno}"
                assert "stdout.write" not in called, f"{path.name}:{node.lineno}"
                assert "stderr.write" not in called, f"{path.name}:{node.lineno}"
                assert not called.endswith("echo"), f"{path.name}:{node.lineno}"
