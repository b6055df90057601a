"""Files that somebody wrote where jrc keeps its own: each is read, or refused in a sentence."""

import json
import tomllib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from jrc.editor.ledger import read_ledger
from jrc.errors import ConfigError, JrcError, NotFoundError, UsageError
from jrc.notebook.document import load
from jrc.notebook.reading import load_notebook
from jrc.notebook.schema import fits
from jrc.notebook.writers import Writers
from jrc.notebook.writing import notebook_bytes
from jrc.profile.paths import Paths
from jrc.profile.route import Route
from jrc.profile.store import ProfileStore
from jrc.relay.sockets import read_connection_file
from jrc.runs.records import RunPlace, RunRecord, RunRecords
from jrc.runs.sightings import Sightings
from jrc.server.kinds.gateway import RememberedKernels
from jrc.server.orphans import Record, _records
from jrc.tunnel.cause import Cause, Kind
from jrc.tunnel.machine import Phase
from jrc.tunnel.status import FORMAT, KeeperFiles, KeeperStatus, LedTo, Spec, way_of
from tests.support.fuzzing import altered_texts, examples

pytestmark = pytest.mark.attacks

ROUTE = Route("ctx", "ns", "svc/x", 80)
RECORD = RunRecord(
    "0a1b2c3d", RunPlace("p", "http://h/", "k"), 1790000000.0, {"document": "/a.ipynb"}
).to_json()
STATUS = {
    "format": FORMAT,
    **asdict(
        KeeperStatus(
            Spec("p", ROUTE, 1234),
            1,
            "now",
            Phase.READY,
            1.0,
            cause=Cause(Kind.LOST, "It is lost."),
        )
    ),
}
LED_TO = asdict(LedTo(way_of(ROUTE), "pod", "uid", 1.5))
ORPHAN = Record("http://h/", "jrc/x/y-1", "s", 1.0, "host", 3)._asdict()
SEEN = {"0a1b2c3d": {"state": "running", "cell": 1, "cells": 3, "at": 1790000000.0}}
WRITER = ["0a1b2c3d", True, [1, 2, 3]]
CONNECTION = {
    "transport": "tcp",
    "ip": "127.0.0.1",
    "shell_port": 1,
    "iopub_port": 2,
    "stdin_port": 3,
    "control_port": 4,
    "hb_port": 5,
    "key": "k",
    "signature_scheme": "hmac-sha256",
}
LEDGER = {
    "version": 1,
    "settings": {"/s.json": {"original": None, "digest": "d", "profiles": {}, "changes": []}},
    "installed": [{"kind": "kernelspec", "path": "/x", "profile": "p", "digest": "d"}],
    "consent": True,
}
NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "id": "a",
            "metadata": {"tags": ["parameters"], "execution": {"a": "b"}},
            "source": ["1\n", "2"],
            "execution_count": 1,
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["a"]},
                {
                    "output_type": "display_data",
                    "data": {"text/plain": "x", "application/json": {"a": [1]}},
                    "metadata": {},
                },
                {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t"]},
            ],
        },
        {"cell_type": "markdown", "id": "b", "metadata": {}, "source": "# x", "attachments": {}},
        {"cell_type": "raw", "metadata": {}, "source": ""},
    ],
    "metadata": {
        "kernelspec": {"name": "python3", "display_name": "P", "language": "python"},
        "language_info": {"name": "python", "codemirror_mode": {"name": "ipython"}},
        "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}},
    },
    "nbformat": 4,
    "nbformat_minor": 5,
}
OLD = {
    "metadata": {"name": "x"},
    "nbformat": 3,
    "nbformat_minor": 0,
    "worksheets": [
        {
            "metadata": {},
            "cells": [
                {
                    "cell_type": "code",
                    "collapsed": False,
                    "input": "1",
                    "language": "python",
                    "metadata": {},
                    "outputs": [{"output_type": "pyout", "prompt_number": 1, "text": ["1"]}],
                    "prompt_number": 1,
                }
            ],
        }
    ],
}
PROFILE: dict[str, Any] = {
    "default": "p",
    "profiles": {
        "p": {
            "url": "http://h/",
            "auth": "token",
            "kind": "jupyter",
            "user": "u",
            "headers": {"X": "env:Y"},
            "kubernetes": {
                "context": "c",
                "namespace": "n",
                "target": "svc/x",
                "port": 80,
            },
        }
    },
}


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "config", tmp_path / "state", tmp_path / "logs")


@given(altered_texts(RECORD, SEEN))
@examples(80)
def test_records_of_runs(paths: Paths, text: str) -> None:
    """One bad record hides none of the others."""
    records = RunRecords(paths)
    good = RunRecord("ffffffff", RunPlace("p", "http://h/", "k"), 1.0, {"document": "a"})
    records.save(good)
    written(paths.state / "runs" / "0a1b2c3d.json", text)
    written(paths.state / "runs-seen.json", text)
    found = {record.run: record for record in records.all()}
    assert found["ffffffff"] == good
    for record in found.values():
        assert isinstance(record.document, str)
        assert isinstance(record.is_followed, bool)
    with suppress(NotFoundError):
        records.find("0a1b")
    Sightings(paths).write({"ffffffff": {"at": 1.0}}, keep=["ffffffff"])


@given(altered_texts(STATUS, LED_TO))
@examples(80)
def test_the_state_of_a_keeper(paths: Paths, text: str) -> None:
    files = KeeperFiles.of(paths, "p")
    written(files.state, text)
    written(files.folder / "led-to.json", text)
    status = files.read()
    if status is not None:
        assert isinstance(status.runs(), bool)
        assert status.url.startswith("http://127.0.0.1:")
        files.write(status)
    files.remembered(ROUTE)


@given(altered_texts(ORPHAN, {"http://h/": {"k": "path"}}))
@examples(60)
def test_notes_of_remote_sessions(paths: Paths, text: str) -> None:
    written(paths.state / "relays" / "a.json", text)
    for _, record in _records(paths):
        assert isinstance(record.created, float)
    written(paths.state / "gateway-kernels.json", text)
    RememberedKernels(paths, "http://h/").all()


@given(altered_texts(WRITER))
@examples(40)
def test_notes_of_who_writes_a_file(tmp_path: Path, text: str) -> None:
    writers = Writers(tmp_path / "writers")
    writers.claim(tmp_path / "a.ipynb", "r").release(tmp_path / "a.ipynb", finished=True)
    (note,) = (tmp_path / "writers").glob("*.json")
    written(note, text)
    writers.claim(tmp_path / "a.ipynb", "r").give_up()


@given(altered_texts(LEDGER))
@examples(60)
def test_the_ledger_of_editors(paths: Paths, text: str) -> None:
    written(paths.state / "editors.json", text)
    with suppress(ConfigError):
        read_ledger(paths)


@given(altered_texts(CONNECTION))
@examples(60)
def test_connection_files(tmp_path: Path, text: str) -> None:
    with suppress(ConfigError):
        read_connection_file(written(tmp_path / "c.json", text))


@given(altered_texts(NOTEBOOK, OLD))
@examples(150)
def test_notebooks(tmp_path: Path, text: str) -> None:
    """One that is read is valid, can be executed, and is written as JSON."""
    path = written(tmp_path / "a.ipynb", text)
    try:
        read = load_notebook(path)
    except UsageError:
        return
    if read.notebook["nbformat_minor"] <= 5:
        assert fits(read.notebook)
    json.loads(b"".join(notebook_bytes(read.notebook)), parse_constant=_no_json)
    with suppress(JrcError):
        document = load(path, args=[])
        assert all(isinstance(document.code(cell), str) for cell in document.cells)


def _no_json(constant: str) -> None:
    raise AssertionError(constant)


@given(st.data())
@examples(80)
def test_configurations(paths: Paths, data: st.DataObject) -> None:
    text = data.draw(altered_texts(PROFILE).map(_as_toml) | st.text(max_size=200))
    written(paths.config / "config.toml", text)
    store = ProfileStore(paths)
    for read in (store.all, store.names, lambda: store.get(None), lambda: store.get("p")):
        with suppress(ConfigError, NotFoundError):
            read()


def _as_toml(text: str) -> str:
    """The same in TOML, as far as TOML can say it."""
    try:
        value = json.loads(text)
        made = tomlkit.dumps(value)
        tomllib.loads(made)
    except (ValueError, RecursionError, TypeError, tomlkit.exceptions.TOMLKitError, AttributeError):
        return f"profiles = {text}"
    return made
