"""What the programs that jrc starts get to see of its environment."""

import ast
import os
from pathlib import Path

import pytest

import jrc
from jrc.profile.environment import for_programs, secrets_withheld

SOURCES = Path(jrc.__file__).parent
STARTS = {"Popen", "run", "create_subprocess_exec", "create_subprocess_shell", "subprocess_exec"}
OWNERS = {"subprocess", "asyncio", "loop"}


@pytest.mark.parametrize(
    ("environment", "kept"),
    [
        ({"JRC_TOKEN": "s3cret", "PATH": "/bin"}, {"PATH": "/bin"}),
        ({"JRC_URL": "http://localhost:8888/lab?token=s3cret"}, {}),
        ({"JRC_URL": "http://me:s3cret@localhost:8888/"}, {}),
        ({"JRC_URL": "http://localhost:8888/"}, {"JRC_URL": "http://localhost:8888/"}),
        ({"JRC_KUBECTL": "kubectl"}, {"JRC_KUBECTL": "kubectl"}),
    ],
)
def test_secrets_are_taken_out(environment: dict[str, str], kept: dict[str, str]) -> None:
    assert for_programs(environment) == kept
    assert for_programs(environment, LC_ALL="C") == {**kept, "LC_ALL": "C"}


def test_secrets_are_away_while_a_library_starts_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JRC_TOKEN", "s3cret")
    with secrets_withheld():
        assert "JRC_TOKEN" not in os.environ
    assert os.environ["JRC_TOKEN"] == "s3cret"


def starts(tree: ast.AST) -> list[ast.Call]:
    """Where a program is started."""
    return [
        call
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in STARTS
        and ast.unparse(call.func.value).partition("(")[0].rpartition(".")[2]
        in {*OWNERS, "get_running_loop"}
        and ast.unparse(call.func) != "asyncio.run"
    ]


def test_every_program_that_jrc_starts_gets_an_environment_that_was_made_for_it() -> None:
    found = []
    for file in SOURCES.rglob("*.py"):
        for call in starts(ast.parse(file.read_text(encoding="utf-8"))):
            place = f"{file.relative_to(SOURCES)}:{call.lineno}"
            assert "env" in {keyword.arg for keyword in call.keywords}, place
            found.append(file.name)
    assert {"connect.py", "processes.py", "editors.py", "embedded.py"} <= set(found)


def test_only_the_one_place_copies_the_environment_for_programs() -> None:
    """A copy of ``os.environ`` that is made elsewhere may hold the secrets."""
    for file in SOURCES.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if "env=" in text and file.name != "environment.py":
            assert "dict(os.environ)" not in text, file
            assert "**os.environ" not in text, file
