"""What holds for the whole house: start-up imports, exit codes, module sizes, the front page."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import jrc.errors
from jrc.cli.app import RootGroup
from jrc.errors import ExitCode, JrcError
from tests.support.command import run_jrc
from tests.support.limits import sizes
from tests.support.purity import claims_purity, impurities

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "jrc"
MODULES = sorted(SOURCE.rglob("*.py"))

MOST_LINES = 600
MOST_ATTRIBUTES = 12
MOST_FUNCTION_LINES = 60
MOST_PARAMETERS = 8

TOO_LARGE = {
    # Records: each field is one fact, and all of them are read and written together.
    "recorder/protocol.py RunState": "what a recorder says of a run, field by field",
    # The signature or the object of others.
    "recorder/in_kernel/recorder.py Recorder._send_kept": "stands in for Session.send, as it is",
    "recorder/in_kernel/archive.py Run": "a newer recorder takes over the objects of an older one",
    "recorder/in_kernel/recorder.py Recorder": "a class more is more text in the first request",
    "wire/message.py new_message": "Jupyter's message, field by field; one factory calls it",
}
"""What is larger than the house allows, and why it may be."""

NOT_YET_PURE: dict[str, str] = {}

USERS = {
    "certifi": {"server"},
    "filelock": {"profile", "server", "tunnel"},
    "httpcore": {"server"},
    "httpx": {"server"},
    "jupytext": {"notebook"},
    "keyring": {"profile"},
    "nbformat": {"notebook"},
    "platformdirs": {"profile"},
    "tomlkit": {"profile"},
    "truststore": {"server"},
    "typer": {"cli"},
    "websockets": {"kernel"},
    "yaml": {"notebook"},
    "zmq": {"relay"},
}
"""The rooms that use a library, and turn its exceptions into ours."""

ASKS_A_LIBRARY = {
    ("doctor/bundle.py", "tomlkit"): "shows that the secrets are gone from what another room reads",
    ("doctor/bundle.py", "yaml"): "shows that the secrets are gone from what another room reads",
    ("doctor/kernel.py", "websockets"): "finds the HTTP status behind an error",
    ("editor/connect.py", "zmq"): "looks whether it can be imported",
}

HEAVY = {
    "asyncio",
    "filelock",
    "httpx",
    "importlib.metadata",
    "jupytext",
    "keyring",
    "nbformat",
    "platformdirs",
    "pydantic",
    "rich",
    "ssl",
    "tomlkit",
    "websockets",
    "yaml",
}
"""What help must not wait for."""

NOT_FOR_THE_FIRST_REQUEST = {
    "jrc.kernel.channels",
    "jrc.kernel.messages",
    "jrc.run.runner",
    "jrc.runs.manifest",
    "jrc.server.http_errors",
    "jrc.wire.message",
    "websockets",
}
"""What a run does not need to ask for its kernel."""

EXIT_CODES = {
    "JrcError": 70,
    "UsageError": 2,
    "ConfigError": 3,
    "AuthError": 4,
    "NotFoundError": 5,
    "UnreachableError": 6,
    "DeadlineError": 7,
    "KernelDiedError": 8,
    "ProtocolError": 9,
    "WireError": 9,
    "OutputLostError": 9,
    "RemoteError": 1,
    "InterruptedByUserError": 130,
}
"""A public promise: scripts and CI jobs decide by these numbers."""

COMMAND_LINES = [[], *([name] for name in RootGroup.table)]


@pytest.mark.parametrize("words", COMMAND_LINES, ids=lambda words: " ".join(["jrc", *words]))
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    """Start-up speed is kept by what is not imported: milliseconds differ between machines."""
    report = (
        "import sys; from jrc.cli.app import run_cli; code = run_cli(sys.argv[1:]);"
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", report, *words, "--help"], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("Usage: jrc")
    assert HEAVY & set(ended.stderr.split()) == set()


def with_a_dead_server(report: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process whose profile is a server that nobody listens for."""
    return subprocess.run(
        [sys.executable, "-c", report],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "JRC_URL": "http://127.0.0.1:1/", "JRC_TOKEN": "t"},
    )


def test_a_request_loads_no_command_line_of_a_library() -> None:
    """httpx has one, and with it come click, rich and pygments."""
    report = (
        "import sys; from jrc.cli.app import run_cli; code = run_cli(['kernel', 'list']);"
        "import httpx; assert callable(httpx.main); print(*sys.modules); sys.exit(code)"
    )
    ended = with_a_dead_server(report)
    assert ended.returncode == ExitCode.UNREACHABLE, ended.stderr
    assert {"click", "rich", "pygments"} & set(ended.stdout.split()) == set()


def test_a_run_asks_for_its_kernel_before_it_loads_what_executes_cells(tmp_path: Path) -> None:
    """The kernel begins to live meanwhile."""
    (tmp_path / "hello.py").write_text("print('hello')")
    report = (
        "import sys; from jrc.cli.app import run_cli; from jrc.server.client import ServerClient\n"
        "async def asked(*_): print(*sys.modules); raise SystemExit\n"
        "ServerClient.create_session = asked; run_cli(['run', 'hello.py'])"
    )
    ended = with_a_dead_server(report, cwd=tmp_path)
    loaded = set(ended.stdout.split())
    assert "jrc.run.job" in loaded, ended.stderr
    assert NOT_FOR_THE_FIRST_REQUEST & loaded == set()


@pytest.mark.parametrize("words", COMMAND_LINES, ids=lambda words: " ".join(["jrc", *words]))
def test_help_fits_a_screen(words: list[str]) -> None:
    """A screen is 80 columns wide and, with a window of today, 50 lines high."""
    ended = subprocess.run(
        [sys.executable, "-m", "jrc", *words, "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 80


def test_each_public_error_has_its_exit_code() -> None:
    errors = {
        name: thing.exit_code
        for name, thing in vars(jrc.errors).items()
        if isinstance(thing, type) and issubclass(thing, JrcError)
    }
    assert errors == EXIT_CODES


def test_every_error_of_the_house_is_public() -> None:
    """A class of a room has the exit code of the public class above it.

    What runs inside a remote kernel knows nothing of jrc; of the errors of ``shapes``, which are
    ``ValueError``, each room makes its own.
    """
    for path in MODULES:
        if path.name in ("errors.py", "shapes.py") or path.parent.name == "in_kernel":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                bases = {ast.unparse(base) for base in node.bases}
                assert bases & EXIT_CODES.keys(), f"{path}: {node.name}"


def test_every_exit_code_is_used() -> None:
    assert set(ExitCode) == {*EXIT_CODES.values(), ExitCode.OK}


def test_an_error_keeps_its_hint_apart() -> None:
    error = JrcError("It failed.", hint="Try again.")
    assert (str(error), error.message, error.hint) == ("It failed.", "It failed.", "Try again.")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_modules_are_short_and_say_what_they_are_for(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) < MOST_LINES
    assert ast.get_docstring(ast.parse(text))


def test_no_class_or_function_is_too_large() -> None:
    """One that is has a reason, and no reason stays that is needed no more."""
    found = {
        f"{path.relative_to(SOURCE).as_posix()} {size.name}": size
        for path in MODULES
        for size in sizes(ast.parse(path.read_text("utf-8")))
        if size.attributes > MOST_ATTRIBUTES
        or size.lines > MOST_FUNCTION_LINES
        or size.parameters > MOST_PARAMETERS
    }
    assert {name: size for name, size in found.items() if name not in TOO_LARGE} == {}
    assert TOO_LARGE.keys() - found.keys() == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_that_says_it_is_pure_is_so(path: Path) -> None:
    name = path.relative_to(SOURCE).as_posix()
    tree = ast.parse(path.read_text("utf-8"))
    if claims_purity(tree) and name not in NOT_YET_PURE:
        assert impurities(tree) == set()


def test_what_decides_is_pure() -> None:
    """The first column of the table in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = text.partition("| Decides | Acts |\n|---|---|\n")[2].partition("\n\n")[0]
    modules = [
        name
        for row in table.splitlines()
        for name in re.findall(r"`((?:\w+\.)+\w+)`", row.split("|")[1])
    ]
    assert len(modules) > 20
    for module in modules:
        path = SOURCE / f"{module.replace('.', '/')}.py"
        assert impurities(ast.parse(path.read_text("utf-8"))) == set(), module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_library_is_used_by_its_rooms_only(path: Path) -> None:
    name = path.relative_to(SOURCE).as_posix()
    room = name.partition("/")[0]
    for library in imported_by(path) & USERS.keys():
        assert room in USERS[library] or (name, library) in ASKS_A_LIBRARY, library


def imported_by(path: Path) -> set[str]:
    """The packages that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_what_is_imported_is_a_dependency_with_a_room() -> None:
    """Not what runs in a kernel: it imports what is there."""
    here = [path for path in MODULES if "in_kernel" not in path.relative_to(SOURCE).as_posix()]
    imported = set.union(*map(imported_by, here)) - sys.stdlib_module_names - {"jrc"}
    assert imported == USERS.keys()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {re.split(r"[\[<>=]", each)[0].lower() for each in project["dependencies"]}
    distributions = packages_distributions()
    for library in imported:
        assert {each.lower() for each in distributions[library]} <= declared, library


def test_the_quickstart_needs_nothing_but_python() -> None:
    notebook = json.loads((ROOT / "examples" / "quickstart.ipynb").read_text("utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    tree = ast.parse("\n".join("".join(cell["source"]) for cell in code))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    imported = {alias.name for node in imports for alias in node.names}
    assert imported
    assert imported <= sys.stdlib_module_names


def test_the_quickstart_runs_without_a_profile(tmp_path: Path) -> None:
    """The job of the front page's first command: text, a table and a picture come home."""
    out = tmp_path / "out.ipynb"
    ended = run_jrc("run", ROOT / "examples" / "quickstart.ipynb", "-o", out)
    assert ended.code == 0, ended.stderr
    assert "200,000 darts" in ended.stdout
    cells = json.loads(out.read_text("utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert {"text/html", "image/svg+xml"} <= kinds


def test_the_front_page_has_the_two_commands() -> None:
    """.ci/run takes the second one from there; the first one names a file that exists."""
    readme = (ROOT / "README.md").read_text("utf-8")
    commands = re.findall(r"<!-- the (\w+) command -->\n+```\w*\n(.*)\n```", readme)
    assert commands == [
        ("first", 'python -m pip install ".[server]" && jrc run examples/quickstart.ipynb'),
        ("test", "python -m pip install nox && nox"),
    ]


def test_the_changelog_tells_of_this_version() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert version is not None
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert version[1] in re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_one_reader_decodes_what_is_not_ours(path: Path) -> None:
    """``shapes.parse`` bounds depth and numbers; what runs elsewhere has no jrc to import."""
    module = str(path.relative_to(SOURCE))
    if module in ("shapes.py", "server/kinds/embedded_child.py") or "in_kernel" in module:
        return
    decoders = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("load", "loads", "JSONDecoder")
        and isinstance(node.value, ast.Name)
        and node.value.id == "json"
    ]
    imported = "from json import" in path.read_text(encoding="utf-8")
    assert not decoders, f"use shapes.parse in {module}, lines {decoders}"
    assert not imported
