"""What a shell completes after TAB: it never runs what somebody on the server chose as a name."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer._click.core import Parameter
from typer._click.shell_completion import CompletionItem
from typer.main import get_command

from jrc.cli.app import app
from jrc.cli.completion import answer, beside, safe_word
from tests.support.fuzzing import examples
from tests.support.jupyter import JupyterServer
from tests.support.web import Reply, Web

pytestmark = pytest.mark.attacks

SAFE = {
    "bash": r"[A-Za-z0-9._-]+",
    "zsh": (
        r"""(_arguments '\*: :\(\()?"[A-Za-z0-9._-]+"(:"[A-Za-z0-9 .,/_@+-]+")?(\)\)')?"""
        "|_files"
    ),
    "fish": r"[A-Za-z0-9._-]+(\t[A-Za-z0-9 .,/_@+-]+)?",
    "pwsh": r"[A-Za-z0-9._-]+:::[A-Za-z0-9 .,/_@+-]+",
}
"""All that a line of the answer to a shell may be."""

EVIL = [
    "$(x)",
    "\\$(x)",
    "`x`",
    "a b",
    "a;b",
    "[/x]",
    "ü",
    "\udc80",
    "-rf",
    "--x=y",
    "",
    "*",
    "~",
    "a\nb",
]


def questions(command: Any, words: tuple[str, ...] = ("jrc",)) -> Iterator[str]:
    """Every place of the command line where a shell may complete."""
    yield " ".join([*words, ""])
    yield " ".join([*words, "-"])
    for param in command.params:
        for name in (*param.opts, *param.secondary_opts):
            if name.startswith("-"):
                yield " ".join([*words, name, ""])
    for name in getattr(command, "commands", {}):
        yield from questions(command.commands[name], (*words, name))


@pytest.mark.parametrize("shell", SAFE)
def test_no_completer_passes_the_gate_by(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever completes, at every option and argument of every command."""
    asked: list[str] = []
    seen: set[str] = set()

    def complete(param: Parameter, *_: object) -> list[CompletionItem]:
        asked.append(str(param.name))
        print("$(x)")
        items = [CompletionItem(each, help=other) for each in EVIL for other in (None, *EVIL)]
        return [*items, CompletionItem("good"), CompletionItem("best", help="$(x) `x` it's\n")]

    monkeypatch.setattr(Parameter, "shell_complete", complete)
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    for line in questions(get_command(app)):
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        asked.clear()
        answer(shell, app)
        shown = capsys.readouterr()
        assert shown.err == ""
        for each in shown.out.splitlines():
            assert re.fullmatch(SAFE[shell], each), (line, each)
        if asked:
            assert re.search(r"(?s)good.*best", shown.out), line
            seen.update(asked)
    assert seen > {"spec", "profile", "ids", "run", "runs", "name"}


@examples(100)
@given(st.text(), st.text())
def test_safe_words_are_made_of_safe_characters(word: str, typed: str) -> None:
    if safe_word(word, typed):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", word)
        assert not word.startswith("-") or typed.startswith("-")
    assert re.fullmatch(r"[A-Za-z0-9 .,/_@+-]{0,80}", beside(word))


@pytest.mark.parametrize("line", ["jrc --version ", "jrc help ", "jrc kernel list --help "])
def test_nothing_else_is_said_to_a_shell(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    answer("zsh", app)
    assert re.fullmatch(r"_arguments '.*'\n|_files\n|", capsys.readouterr().out, re.DOTALL)


if os.name == "posix":
    from tests.support.shells import Shells

    SHELLS = ("bash", "zsh", "fish")

    def attacks(mark: Path) -> list[str]:
        """Names that run ``touch`` in a shell that evaluates them in one way or another."""
        run = f"touch {mark}"
        return [
            *(f"$({run})", f"\\$({run})", f"\\\\$({run})", f"`{run}`", f"\\`{run}`"),
            *(f"');{run};'", f'");{run};"', f"\n{run}\n", f";{run};", f"))';{run};'"),
            *(f"(({run}))", f":{run}", f"a:::{run}", f"{{$({run}),x}}", f"\x1b]0;{run}\x07"),
        ]

    @pytest.fixture
    def hostile(jupyter: JupyterServer, tmp_path: Path) -> Iterator[dict[str, str]]:
        """A real server on which a colleague named sessions so."""
        ids = []
        for path in attacks(tmp_path / "ran")[:4]:
            body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
            ids.append(jupyter.rest("POST", "api/sessions", body)["kernel"]["id"])
        yield {"JRC_URL": jupyter.url, "JRC_TOKEN": jupyter.token, "ID": ids[0]}
        for kernel_id in ids:
            jupyter.rest("DELETE", f"api/kernels/{kernel_id}")

    @pytest.mark.parametrize("shell", SHELLS)
    def test_a_session_path_runs_nothing(
        shell: str, hostile: dict[str, str], tmp_path: Path
    ) -> None:
        shown = Shells(tmp_path, hostile).tab(shell, "jrc kernel stop ")
        assert not (tmp_path / "ran").exists()
        assert hostile["ID"][:8] in shown

    @pytest.mark.parametrize("line", ["jrc kernel start ", "jrc run --kernel ", "jrc kernel stop "])
    @pytest.mark.parametrize("shell", SHELLS)
    def test_names_that_no_real_server_has_run_nothing(
        shell: str, line: str, tmp_path: Path
    ) -> None:
        names = [*attacks(tmp_path / "ran"), "-rf", "fine-1.0", "fine-2.0"]
        kernels = [
            {"id": f"fine-{i}{suffix}", "name": name, "execution_state": name, "connections": 0}
            for i, name in enumerate(names)
            for suffix in ("", name)
        ]
        sessions = [{"id": "s", "path": each["name"], "kernel": each} for each in kernels]
        specs = {name: {"name": name, "spec": {"display_name": name}} for name in names}
        replies = {
            "/api/kernelspecs": {"default": "fine-1.0", "kernelspecs": specs},
            "/api/kernels": kernels,
            "/api/sessions": sessions,
            "/api": {"version": "2.0.0"},
        }
        with Web(
            {path: Reply(body=json.dumps(each).encode()) for path, each in replies.items()}
        ) as web:
            shells = Shells(tmp_path, {"JRC_URL": web.url, "JRC_TOKEN": "t"})
            shown = shells.tab(shell, line)
            assert any(request.path in replies for request in web.requests)
        assert not (tmp_path / "ran").exists()
        assert "fine-" in shown
        if "stop" not in line:
            assert "-rf" not in shown
