"""Reading the file that says where to listen."""

import json
from pathlib import Path
from typing import Any

import pytest

from jrc.errors import ConfigError
from jrc.relay.sockets import CHANNELS, read_connection_file

PORTS = {f"{channel}_port": 9000 + index for index, channel in enumerate(CHANNELS)}


def read(folder: Path, fields: Any) -> Any:
    path = folder / "connection.json"
    path.write_text(json.dumps(fields))
    return read_connection_file(path)


def test_ports_key_and_scheme(tmp_path: Path) -> None:
    fields = {**PORTS, "ip": "127.0.0.2", "key": "secret", "signature_scheme": "hmac-sha512"}
    connection = read(tmp_path, fields)
    assert connection.endpoints["shell"] == "tcp://127.0.0.2:9000"
    assert set(connection.endpoints) == set(CHANNELS)
    assert (connection.key, connection.scheme) == (b"secret", "hmac-sha512")
    assert "secret" not in repr(connection)


def test_what_may_be_missing(tmp_path: Path) -> None:
    connection = read(tmp_path, PORTS)
    assert connection.endpoints["hb"] == "tcp://127.0.0.1:9004"
    assert (connection.key, connection.scheme, connection.curve) == (b"", "hmac-sha256", None)


def test_ipc(tmp_path: Path) -> None:
    connection = read(tmp_path, {**PORTS, "transport": "ipc", "ip": "/run/kernel"})
    assert connection.endpoints["shell"] == "ipc:///run/kernel-9000"


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ([], "not a JSON object"),
        ({**PORTS, "iopub_port": None}, "no iopub_port"),
        ({**PORTS, "hb_port": 0}, "no hb_port"),
    ],
)
def test_a_file_that_says_too_little_is_refused(tmp_path: Path, fields: Any, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        read(tmp_path, fields)


def test_a_file_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Can't read"):
        read_connection_file(tmp_path / "missing.json")
    (tmp_path / "text").write_text("shell: 1")
    with pytest.raises(ConfigError, match="not JSON"):
        read_connection_file(tmp_path / "text")
