"""Every command that jrc tells a person to type exists; the important ones are typed."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import jrc
from jrc.cli.app import app
from jrc.profile.paths import Paths
from jrc.profile.store import ProfileStore
from tests.support.command import Result, run_jrc
from tests.support.jupyter import JupyterServer, StartJupyter

SOURCE = Path(jrc.__file__).parent
# Of a value that is put in, nothing is known but that it is one word.
VALUE = "VALUE"
COMMANDS = "|".join(get_command(app).commands)  # type: ignore[attr-defined]
# What stands behind an announcement must be a command; elsewhere it may be the start of a sentence.
_COMMAND = re.compile(
    rf"(?:(?:[Tt]ype|[Tt]ry|[Ss]ee|again|them|then|one): |`)jrc (?P<announced>[a-z][^`\n;]*)"
    rf"|(?:^|: |\(|then |and |&& |or )jrc (?P<named>(?:{COMMANDS})\b(?!\()[^`\n;]*)"
)


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The texts of a module with their lines, but for docstrings; a value in one is ``VALUE``."""
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node)
        if part is not node
    }
    for node in ast.walk(tree):
        if id(node) in documents or id(node) in inside:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        if isinstance(node, ast.JoinedStr):
            parts = (
                str(part.value) if isinstance(part, ast.Constant) else VALUE for part in node.values
            )
            yield node.lineno, "".join(parts)


def commands_in(text: str) -> Iterator[list[str]]:
    """The words behind ``jrc`` of the commands that a text says to type."""
    for found in _COMMAND.finditer(text):
        said = found["announced"] or found["named"]
        line = re.split(r"[.,:]? *(?:$|[.,)] | \(| — | && | {2}|\.\n)", said)[0]
        try:
            yield shlex.split(line.rstrip(".,:)"))
        except ValueError:
            yield line.split()


HINTS = sorted(
    {
        (f"{path.relative_to(SOURCE)}:{line}", shlex.join(words))
        for path in SOURCE.rglob("*.py")
        for line, text in texts(ast.parse(path.read_text("utf-8")))
        for words in commands_in(text)
    }
)


def fault(words: list[str]) -> str:
    """Why a command line can't be typed; empty when it can."""
    command: Any = get_command(app)
    rest = list(words)
    if "…" in rest:
        return "not all of it is printed"
    while hasattr(command, "commands"):
        if not rest or rest[0] == VALUE:
            return ""
        if rest[0] not in command.commands:
            return f"there is no command {rest[0]!r}"
        command = command.commands[rest.pop(0)]
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    for word in rest:
        name = word.partition("=")[0]
        if name.startswith("-") and len(name) > 1 and name not in known:
            return f"jrc {words[0]} has no option {name!r}"
    return ""


_ENDS = re.compile(r"(?<!\.)[.,](?= |$|\n)")
_OTHERS = re.compile(
    r"(?:[Tt]ype|[Tt]ry|[Ss]ee|[Aa]gain|[Bb]ack|[Tt]hen|it|[Ss]ame|[Tt]here|[Ll]ater): VALUE[.,]"
    r"|\b(?:pip install|unset|export) [^(—\n]*?[.,](?= |$)"
)


def glued(text: str) -> Iterator[str]:
    """The commands behind which a text has a full stop or a comma: copied, they are other words."""
    for found in _COMMAND.finditer(text):
        said = re.split(r" \(| — | && |\)", found["announced"] or found["named"])[0]
        end = _ENDS.search(said)
        if end:
            yield f"jrc {said[: end.end()]}"
    yield from (found[0] for found in _OTHERS.finditer(text))


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("Fetch it: jrc attach VALUE. Or save elsewhere: -o OTHER.ipynb", "jrc attach VALUE."),
        ("Come back: VALUE. (end it: jrc cancel VALUE", "back: VALUE."),
        ("Type: jrc runs, or wait", "jrc runs,"),
        ("pip install 'a[b]' c, or wait", "pip install 'a[b]' c,"),
        ("Fetch it (jrc attach VALUE), or wait. See: jrc runs", None),
        ("To run it: jrc run n.ipynb", None),
    ],
)
def test_the_check_sees_what_is_glued_to_a_command(text: str, end: str | None) -> None:
    assert list(glued(text)) == ([end] if end else [])


def test_nothing_is_glued_to_a_command() -> None:
    found = {
        f"{path.relative_to(SOURCE)}:{line}: {command}"
        for path in SOURCE.rglob("*.py")
        for line, text in texts(ast.parse(path.read_text("utf-8")))
        for command in glued(text)
    }
    assert not found


def test_the_inventory_finds_hints() -> None:
    """So that the next test does not pass for want of any."""
    found = {words.split()[0] for _, words in HINTS}
    assert {"login", "connect", "kernel", "runs", "profile", "doctor", "status"} <= found
    assert len(HINTS) > 40


@pytest.mark.parametrize(("place", "words"), HINTS, ids=[f"{a} {b}"[:90] for a, b in HINTS])
def test_what_is_said_to_be_typed_exists(place: str, words: str) -> None:
    assert not fault(shlex.split(words)), place


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("See: jrc kernels list", "no command 'kernels'"),
        ("Type: jrc run --kernel NAME …", "not all of it is printed"),
        ("Type: jrc login URL --certificate FILE", "no option '--certificate'"),
        ("Log in again: jrc login --profile VALUE --header NAME=env:VARIABLE", ""),
    ],
)
def test_the_check_sees_faults(text: str, why: str) -> None:
    (words,) = commands_in(text)
    assert why in fault(words)
    assert bool(why) == bool(fault(words))


# A profile's name, a run's id and a pod's have no letter that a shell takes for its own.
_PLAIN = re.compile(
    r"(profile|old|new|name|run|port|.*\.(run|run_id|name|profile|pod|port)|self\._profile|text|"
    r"target|again|elsewhere|base_url|token|other|megabytes)"
)
_BEFORE_A_VALUE = re.compile(
    rf"(?:^|: |`|&& |then )(jrc ({COMMANDS})\b|kubectl (--|get|describe)|export )[^.,;]*$"
)
_QUOTED = re.compile(r"\b(quote|join|login|login_at|completed|_host)\(")


def unquoted(tree: ast.AST) -> Iterator[str]:
    """The values that are put into commands as they are, though a server may have given them."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr):
            continue
        before = ""
        for part in node.values:
            if isinstance(part, ast.Constant):
                before += str(part.value)
            elif _BEFORE_A_VALUE.search(before):
                value = ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else ""
                if not (_PLAIN.fullmatch(value) or _QUOTED.search(value)):
                    yield f"{node.lineno}: {value}"
                before += VALUE


def test_what_a_hint_repeats_is_quoted() -> None:
    """What a server names may hold shell code: ``x;touch y``."""
    found = {
        f"{path.relative_to(SOURCE)}:{value}"
        for path in SOURCE.rglob("*.py")
        for value in unquoted(ast.parse(path.read_text("utf-8")))
    }
    assert not found


def typed(done: Result) -> list[str]:
    """The command of a hint as a person would type it."""
    hint = next(line for line in done.stderr.splitlines() if line.startswith("hint: "))
    line = hint[hint.index("jrc ") :].rstrip(".")
    return shlex.split(line)[1:]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "hello.py"
    path.write_text("print('hello')\n")
    return path


def log_in(server: JupyterServer, name: str = "lab") -> None:
    done = run_jrc("login", server.url, "-P", name, "--token-stdin", input=server.token)
    assert done.code == 0, done.stderr


def test_a_refused_token_is_renewed_in_the_same_profile(
    start_jupyter: StartJupyter, script: Path
) -> None:
    server = start_jupyter()
    log_in(server)
    from jrc.profile.secret import Secret
    from jrc.profile.secrets import SecretStore

    SecretStore(Paths.from_environment()).set("lab", Secret("expired"))
    done = run_jrc("kernel", "list")
    assert done.code == 4
    assert "_xsrf" not in done.stderr
    words = typed(done)
    assert words == ["login", "--profile", "lab"]
    assert run_jrc(*words, "--token-stdin", input=server.token).code == 0
    assert run_jrc("run", script).stdout == "hello\n"
    assert list(ProfileStore(Paths.from_environment()).all()) == ["lab"]


def test_a_missing_token_is_given_again(jupyter: JupyterServer, script: Path) -> None:
    log_in(jupyter)
    assert run_jrc("logout").code == 0
    done = run_jrc("run", script)
    assert done.code == 4
    assert run_jrc(*typed(done), "--token-stdin", input=jupyter.token).code == 0
    assert run_jrc("run", script).stdout == "hello\n"


def test_a_wrong_token_of_the_environment_is_named(jupyter: JupyterServer, script: Path) -> None:
    log_in(jupyter)
    wrong = {"JRC_TOKEN": "wr0ng"}
    done = run_jrc("run", script, env=wrong)
    assert done.code == 4
    assert "JRC_TOKEN in the environment" in done.stderr
    assert "unset JRC_TOKEN" in done.stderr
    assert "jrc login" not in done.stderr
    assert "_xsrf" not in done.stderr
    # As the hint says.
    assert run_jrc("run", script).stdout == "hello\n"
    alone = run_jrc("run", script, env={"JRC_URL": jupyter.url, **wrong})
    assert alone.code == 4
    assert "correct it." in alone.stderr
    nothing = run_jrc("run", script, env={"JRC_URL": jupyter.url, "JRC_TOKEN": ""})
    assert nothing.code == 4, nothing.stderr
    assert "Set JRC_TOKEN" in nothing.stderr
    right = {"JRC_URL": jupyter.url, "JRC_TOKEN": jupyter.token}
    assert run_jrc("run", script, env=right).stdout == "hello\n"


def test_an_unknown_profile_leads_to_the_list(jupyter: JupyterServer) -> None:
    log_in(jupyter)
    done = run_jrc("connect", "nope")
    assert done.code == 5
    listed = run_jrc(*typed(done))
    assert "lab" in listed.stdout


def test_a_kernel_that_is_unknown_leads_to_the_list(jupyter: JupyterServer) -> None:
    log_in(jupyter)
    done = run_jrc("kernel", "stop", "ffffffff")
    assert done.code == 5
    assert run_jrc(*typed(done)).code == 0


def test_a_run_that_is_unknown_leads_to_the_list(jupyter: JupyterServer) -> None:
    log_in(jupyter)
    done = run_jrc("attach", "nope")
    assert done.code == 5
    assert run_jrc(*typed(done)).code == 0


def test_a_base_url_that_is_missing_is_typed_into_the_same_profile(
    start_jupyter: StartJupyter,
) -> None:
    server = start_jupyter(base_url="/a/team/")
    words = ("login", server.url.removesuffix("a/team/"), "-P", "lab", "--token-stdin")
    done = run_jrc(*words, input=server.token)
    assert done.code == 6
    assert run_jrc(*typed(done), "--token-stdin", input=server.token).code == 0
    assert list(ProfileStore(Paths.from_environment()).all()) == ["lab"]
