"""What is sent to a kernel, and what its answer means."""

import ast
import subprocess
from pathlib import Path

import pytest

from jrc.recorder import install
from jrc.recorder.install import (
    Installed,
    InstallOptions,
    NotPossible,
    install_content,
    parse_install_reply,
    source,
    with_source,
)
from jrc.wire.message import Message, encode_object
from jrc.wire.websocket import encode_v1
from tests.support.fake_kernel import FakeKernel, IOPubThread
from tests.support.kernels import OLDEST, interpreters
from tests.support.scripted import from_kernel, reply

ANSWER = {
    "installed": True,
    "version": 1,
    "protocol": 1,
    "instance": "ab",
    "run": "run1",
    "count": 0,
    "folder": "/home",
    "journal": None,
    "journal_error": "",
    "disabled": "",
}


def with_metadata(message: Message, metadata: dict[str, object]) -> Message:
    return Message(
        message.channel,
        message.header,
        message.parent_header,
        encode_object(metadata),
        message.content,
    )


def test_the_source_is_python_3_8() -> None:
    ast.parse(source(), feature_version=OLDEST)


def test_the_source_compiles_on_the_oldest_python_here(tmp_path: Path) -> None:
    found = interpreters()
    file = tmp_path / "recorder.py"
    file.write_text(source())
    code = f"compile(open({str(file)!r}).read(), 'recorder', 'exec')"
    subprocess.run([found[min(found)], "-c", code], check=True, timeout=60)


def test_the_source_imports_the_standard_library_only() -> None:
    import sys

    for node in ast.walk(ast.parse(source())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            root = name.partition(".")[0]
            assert root in sys.stdlib_module_names or root == "IPython"


def test_no_module_redefines_what_another_one_defines() -> None:
    """They are joined into one text, where a name can mean one thing only."""
    defined: list[str] = []
    for node in ast.parse(source()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            defined.append(node.name)
        elif isinstance(node, ast.Assign):
            defined += [
                name.id
                for each in node.targets
                for name in ast.walk(each)
                if isinstance(name, ast.Name)
            ]
    assert sorted(set(defined)) == sorted(defined)


def test_the_source_talks_less_than_its_modules() -> None:
    assert '"""' not in source()
    modules = Path(install.__file__).with_name("in_kernel").glob("*.py")
    assert len(source()) < 0.9 * sum(len(path.read_text("utf-8")) for path in modules)


def test_the_request_fits_into_the_first_segments_of_a_connection() -> None:
    """Ten segments are sent before the first acknowledgement (RFC 6928), and one more for each that
    was acknowledged: the request for the websocket was. One is for what goes out beside this."""
    options = InstallOptions("run1", journal="jrc-runs", about={"a": "'\"\\\n{}"})
    request = with_source(from_kernel("shell", "execute_request", install_content(options)))
    assert len(encode_v1(request)) < 10 * 1448


def test_the_module_prints_what_runs_in_a_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    import runpy
    import warnings

    with warnings.catch_warnings():
        # runpy warns that the module is imported already.
        warnings.simplefilter("ignore", RuntimeWarning)
        runpy.run_module(install.__name__, run_name="__main__")
    assert capsys.readouterr().out == source()


def test_the_request_is_silent() -> None:
    content = install_content(InstallOptions("run1"))
    assert content["silent"] is True
    assert content["store_history"] is False
    assert content["stop_on_error"] is False


def test_the_code_is_short_and_holds_nothing_of_the_person() -> None:
    """IPython reads each line of it several times, and takes some lines for its own."""
    about = {"document": 'it\'s a "test" \\ {} \n 漢字 🙂.ipynb'}
    content = install_content(InstallOptions("run1", about=about))
    assert content["jrc"]["options"]["about"] == about
    assert len(content["code"]) < 1200
    assert len(ast.parse(content["code"]).body) == 1
    assert "test" not in content["code"]


def test_installed() -> None:
    answer = parse_install_reply(with_metadata(reply("x"), {"jrc": ANSWER}))
    assert answer == Installed(1, "ab", "run1", 0, "/home", None, "")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"installed": False, "reason": "AttributeError: no"}, "AttributeError: no"),
        ({"protocol": 2}, "protocol 2"),
        ({"disabled": "ValueError: x"}, "gave up: ValueError: x"),
    ],
)
def test_not_possible(changed: dict[str, object], reason: str) -> None:
    answer = parse_install_reply(with_metadata(reply("x"), {"jrc": {**ANSWER, **changed}}))
    assert isinstance(answer, NotPossible)
    assert reason in answer.reason


def test_a_kernel_that_says_nothing_is_no_ipykernel() -> None:
    assert parse_install_reply(reply("x")) == NotPossible("it is no ipykernel 6 or later")
    assert parse_install_reply(reply("x", "error")) == NotPossible("its reply was 'error'")


def test_an_incomplete_answer_is_none_of_a_recorder() -> None:
    incomplete = {key: value for key, value in ANSWER.items() if key != "count"}
    for answer in (incomplete, {**ANSWER, "count": float("inf")}, {**ANSWER, "version": []}):
        found = parse_install_reply(with_metadata(reply("x"), {"jrc": answer}))
        assert found == NotPossible("its answer is incomplete")


def test_the_requests_are_known_before_their_status_is_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the two, a kernel would say nothing to a client that asks: no status, no reply."""
    kernel, known = FakeKernel(), []

    class Watched(IOPubThread):
        def __setattr__(self, name: str, value: object) -> None:
            if name == "_really_send":
                known.append("jrc_state_request" in kernel.control_handlers)
            super().__setattr__(name, value)

    kernel.iopub_thread = Watched(kernel.out)
    try:
        kernel.install(monkeypatch, run="run1")
        assert known == [True]
    finally:
        kernel.close()
