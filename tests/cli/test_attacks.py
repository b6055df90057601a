"""Commands against a server that answers anything: each ends with a documented exit code."""

import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.cli.app import run_cli
from jrc.errors import ExitCode
from tests.support.fuzzing import ODD_TEXTS, altered, altered_texts, dumped, examples
from tests.support.hostile import (
    FOLDER,
    KERNEL_ID,
    RUN,
    STATE,
    HostileServer,
    about,
    hub_answers,
    in_base64,
    inside_of,
    journal,
    jupyter_answers,
    messages_of_a_cell,
    notes,
    packed,
)
from tests.support.running import write_notebook
from tests.support.web import Reply

pytestmark = pytest.mark.attacks

COMMANDS = [
    ["kernel", "list"],
    ["kernel", "list", "--json"],
    ["kernel", "start", "python3"],
    ["kernel", "stop", KERNEL_ID[:4]],
    ["kernel", "interrupt", KERNEL_ID[:4]],
    ["kernel", "restart", KERNEL_ID],
    ["runs", "--all"],
    ["runs", "--all", "--json"],
    ["attach", RUN],
    ["logs", RUN],
    ["cancel", RUN],
    ["runs", "rm", RUN, "--yes"],
    ["status", "--json"],
    ["run", "NOTEBOOK"],
]
STATUSES = (200, 200, 200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 409, 500)
TYPES = ("application/json", "application/json", "text/html", "\xff", "")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileServer]:
    with HostileServer(jupyter_answers(tmp_path_factory.mktemp("served"))) as web:
        yield web


@pytest.fixture(scope="module")
def hub() -> Iterator[HostileServer]:
    with HostileServer(hub_answers(), {"X-JupyterHub-Version": "5.0.0"}) as web:
        yield web


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileServer]:
    answers = jupyter_answers(tmp_path_factory.mktemp("gateway"))
    answers["/api"] = {"version": "2.14.0", "gateway_version": "3.3.0"}
    with HostileServer(answers) as web:
        yield web


@st.composite
def replies(draw: st.DrawFn, value: Any) -> Reply:
    """An answer with something wrong in its status, its headers or its body."""
    body = draw(altered_texts(value)).encode("utf-8", "surrogatepass")
    message = {"message": draw(st.sampled_from(ODD_TEXTS)), "reason": None}
    status = draw(st.sampled_from(STATUSES))
    if status >= 300:
        body = draw(st.just(body) | altered_texts(message).map(_encoded))
    headers = draw(
        st.just({})
        | st.just({"Location": "////evil.example/api"})
        | st.just({"Location": "http://[::1/"})
        | st.just({"WWW-Authenticate": "x" * 5000, "Set-Cookie": "a=\x01; Path=%"})
    )
    return Reply(status, body, draw(st.sampled_from(TYPES)), headers)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def command(words: list[str], **environment: str) -> tuple[int, str]:
    """The exit code of a command in this process, and what it said."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(os.environ["HOME"])
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.StringIO("s3cret\n"))
        code = run_cli(words)
    return code, said.getvalue()


def check(words: list[str], code: int, said: str) -> None:
    if code == ExitCode.BUG:
        logs = sorted(Path(os.environ["JRC_HOME"]).rglob("crash-*.log"))
        told = logs[-1].read_text() if logs else ""
        for log in logs:
            log.unlink()
        raise AssertionError(f"jrc {' '.join(words)}:\n{said}\n{told}")
    assert code in set(ExitCode) - {ExitCode.INTERRUPTED}, said


@given(st.data())
@examples(60)
def test_no_answer_of_a_server_is_a_bug_of_jrc(
    server: HostileServer, tmp_path: Path, data: st.DataObject
) -> None:
    words = data.draw(st.sampled_from(COMMANDS))
    path = data.draw(st.sampled_from(sorted(server.answers)))
    server.odd = {path: data.draw(replies(server.answers[path]))}
    notebook = str(write_notebook(tmp_path / "a.ipynb", ["1"]))
    typed = [notebook if word == "NOTEBOOK" else word for word in words]
    code, said = command(typed, JRC_URL=server.url, JRC_TOKEN="t0ken")
    check(typed, code, said)
    assert "t0ken" not in said


@given(st.data())
@examples(25)
def test_no_answer_at_a_login_is_a_bug_of_jrc(
    server: HostileServer,
    hub: HostileServer,
    gateway: HostileServer,
    home: Path,
    data: st.DataObject,
) -> None:
    web = data.draw(st.sampled_from([server, hub, hub, gateway]))
    path = data.draw(st.sampled_from(sorted(web.answers)))
    web.odd = {path: data.draw(replies(web.answers[path]))}
    for words in (
        ["login", web.url, "--token-stdin", "--profile", "x"],
        ["kernel", "list", "--profile", "x"],
        ["connect", "x", "--vscode", "--yes"],
        ["disconnect", "x"],
    ):
        code, said = command(words)
        check(words, code, said)
        assert "s3cret" not in said
    shutil.rmtree(home / "jrc", ignore_errors=True)


@st.composite
def journals(draw: st.DrawFn, told: dict[str, Any]) -> bytes:
    """A journal with something wrong in a note, in a message or in its bytes."""
    said, texts = messages_of_a_cell(), [dumped(note) for note in notes(told)]
    match draw(st.integers(0, 3)):
        case 0:
            number = draw(st.integers(0, len(texts) - 1))
            texts[number] = draw(altered_texts(notes(told)[number]))
        case 1:
            inside = draw(altered(inside_of(told)))
            texts[0] = dumped({**notes(told)[0], "about": packed(told, dumped(inside))})
        case 2:
            channel, frames = draw(st.sampled_from(said))
            part = draw(st.integers(0, 3))
            changed = list(frames)
            changed[part] = _encoded(draw(altered_texts(json.loads(frames[part]))))
            said[said.index((channel, frames))] = (channel, changed)
        case _:
            data = bytearray(journal(list(map(_encoded, texts)), said))
            for _ in range(draw(st.integers(1, 3))):
                # How long it is depends on the folder of the test.
                data[draw(st.integers(0, 1 << 16)) % len(data)] = draw(st.integers(0, 255))
            return bytes(data[: len(data) // draw(st.sampled_from([1, 1, 2, 100]))])
    return journal(list(map(_encoded, texts)), said)


@given(st.data())
@examples(20)
def test_no_journal_and_no_state_of_a_run_is_a_bug_of_jrc(
    server: HostileServer, tmp_path: Path, data: st.DataObject
) -> None:
    state = f"{RUN}.json"
    server.odd = {
        f"/api/contents/{FOLDER}/{state}": _file(
            state, _encoded(data.draw(altered_texts(STATE) | st.just(dumped(STATE))))
        ),
        f"/api/contents/{FOLDER}/{RUN}.jrcjournal": _file(
            f"{RUN}.jrcjournal", data.draw(journals(about(tmp_path)))
        ),
    }
    for words in (
        ["runs", "--all"],
        ["logs", RUN],
        ["attach", RUN, "-o", str(tmp_path / "o.ipynb")],
    ):
        code, said = command(words, JRC_URL=server.url, JRC_TOKEN="t0ken")
        check(words, code, said)


def _file(name: str, content: bytes) -> Reply:
    return Reply(200, json.dumps(in_base64(name, content)).encode())


@given(st.data())
@examples(4)
def test_no_answer_of_a_server_is_a_bug_of_the_doctor(
    server: HostileServer, data: st.DataObject
) -> None:
    paths = [path for path in sorted(server.answers) if "contents" not in path]
    path = data.draw(st.sampled_from(paths))
    server.odd = {path: data.draw(replies(server.answers[path]))}
    words = ["doctor", "--json"]
    code, said = command(words, JRC_URL=server.url, JRC_TOKEN="t0ken")
    check(words, code, said)
    assert json.loads(said.splitlines()[0])["checks"]
