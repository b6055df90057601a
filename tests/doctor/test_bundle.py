"""The zip for a bug report: what is in it, and that no planted secret is, anywhere."""

import base64
import io
import json
import os
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from jrc.doctor.bundle import redacted_config
from jrc.doctor.redact import MASK, Redactor
from jrc.profile.paths import Paths
from tests.support.command import Result, run_jrc
from tests.support.jupyter import JupyterServer
from tests.support.keyrings import FileKeyring, keyring_environment
from tests.support.web import Reply, Web

MARK = "plAnted"


class Planted:
    """Secrets that are told apart, and what is found of them."""

    def __init__(self) -> None:
        self.secrets: list[str] = []
        self.known: list[str] = []

    def __call__(self) -> str:
        """A new secret that jrc knows. Its odd characters look different in a URL or in JSON."""
        self.known.append(self.unknown("{}/+ &x"))
        return self.known[-1]

    def unknown(self, form: str = "{}") -> str:
        """A new secret that jrc can tell by its place only."""
        self.secrets.append(form.format(f"{MARK}{len(self.secrets):03}"))
        return self.secrets[-1]

    def found_in(self, data: bytes) -> list[str]:
        encodings = (
            str.encode,
            lambda secret: quote(secret, safe="").encode(),
            lambda secret: json.dumps(secret)[1:-1].encode(),
            lambda secret: base64.b64encode(secret.encode())[:16],
        )
        return [each for each in self.secrets for encode in encodings if encode(each) in data]


@pytest.fixture
def planted() -> Planted:
    return Planted()


def contents(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def everything(ended: Result, file: Path) -> Iterator[bytes]:
    """All that the command gave away."""
    yield ended.stdout.encode()
    yield ended.stderr.encode()
    yield file.read_bytes()
    for name, data in contents(file).items():
        yield name.encode()
        yield data


def plant_files(url: str, planted: Planted, kubeconfig: Path) -> None:
    """Secrets in every file that jrc has or reads."""
    paths = Paths.from_environment()
    tunnel = paths.state / "tunnels" / "lab"
    for folder in (paths.config, paths.logs, tunnel):
        folder.mkdir(parents=True)
    (paths.config / "secrets.json").write_text(
        json.dumps({"lab": planted(), "forgotten": planted()})
    )
    (paths.config / "config.toml").write_text(
        f"""\
# my token is {planted.unknown()}
default = "lab"
[profiles.lab]
url = "{url}"
api_token = "{planted.unknown()}"
credential_command = ["helper", "--with", "{planted.unknown()}"]
[profiles.lab.headers]
X-Whatever = "plain:{planted.unknown()}"
X-Key = "keyring"
[profiles.other]
url = "http://other/"
"""
    )
    kubeconfig.write_text(
        json.dumps({"users": [{"name": "me", "user": {"token": planted(), "password": planted()}}]})
    )
    cause = {"message": f"kubectl said: {planted.known[0]}", "kind": "lost"}
    (tunnel / "keeper.json").write_text(
        json.dumps({"note": f"open https://sso/?code={planted.unknown()}", "cause": cause})
    )


def plant_logs(planted: Planted, in_a_name: str) -> None:
    """What a careless library might log: the secrets that are known, and others by their looks."""
    logs = Paths.from_environment().logs
    lines = [f"seen: {secret} and more" for secret in planted.known]
    lines += [
        f"GET http://127.0.0.1:8888/?token={planted.unknown()} 200",
        f"connecting to https://me:{planted.unknown()}@host/",
        f"{{'Authorization': 'token {planted.unknown()}', 'Cookie': 'a={planted.unknown()}'}}",
        f"Authorization: Bearer {planted.unknown()}",
        f"client-key-data: {planted.unknown()}",
        f'set "password" = "{planted.unknown()}"',
    ]
    (logs / "embedded-server-1.log").write_text("\n".join(lines))
    (logs / f"crash-{in_a_name}.log").write_text(
        f"Traceback\n  RuntimeError: refused {planted.known[1]!r}\n"
        f"  ValueError: {{'token': {planted.unknown()!r}}}\n"
    )


def test_no_planted_secret_gets_out(planted: Planted, tmp_path: Path) -> None:
    """Config, environment, keyring, kubeconfig, logs, states, URLs, errors, a server's words."""
    keys, kubeconfig = tmp_path / "keys.json", tmp_path / "kubeconfig"
    env = {
        **keyring_environment(FileKeyring, keys),
        "KUBECONFIG": str(kubeconfig),
        "JRC_TOKEN": planted(),
        "MY_API_KEY": planted(),
        "PGPASSWORD": planted(),
        "OTHER_SECRET": (in_a_name := planted.unknown()),
        "ALL_PROXY": f"http://me:{planted.unknown()}@proxy:3128",
        "NO_PROXY": "127.0.0.1",
    }
    keys.write_text(
        json.dumps({"jrc/lab": planted(), "jrc/other": planted(), "jrc/lab/x-key": planted()})
    )
    words = f"no: token={planted.unknown()} {env['JRC_TOKEN']} {env['MY_API_KEY']}"
    answer = Reply(500, json.dumps({"message": words}).encode())
    bundle = tmp_path / "report.zip"
    with Web({"/api": answer}) as web:
        plant_files(web.url, planted, kubeconfig)
        plant_logs(planted, in_a_name)
        ended = run_jrc("-vv", "doctor", "--bundle", bundle, env=env)
    assert ended.code == 6, ended.stdout
    assert "HTTP 500" in ended.stdout
    for data in everything(ended, bundle):
        assert planted.found_in(data) == []
        assert MARK.encode() not in data
    assert os.name == "nt" or bundle.stat().st_mode & 0o777 == 0o600


def test_what_a_credential_command_gives_stays_secret(planted: Planted, tmp_path: Path) -> None:
    """It is in no file; a server may repeat it in its words, with and without its scheme."""
    token, header, bearer = planted.unknown(), planted.unknown(), planted.unknown()
    (tmp_path / "secrets").write_text(
        json.dumps({"token": token, "headers": {"X-A": header, "X-B": f"Bearer {bearer}"}})
    )
    give, bundle = tmp_path / "give.py", tmp_path / "report.zip"
    give.write_text(f"print(open({str(tmp_path / 'secrets')!r}).read())\n")
    paths = Paths.from_environment()
    paths.config.mkdir(parents=True)
    refusal = Reply(403, json.dumps({"message": f"{token}, {header} or {bearer}?"}).encode())
    replies = {
        "/api": Reply(200, b'{"version": "2.14.0"}'),
        "/api/status": refusal,
        "/api/kernelspecs": refusal,
    }
    with Web(replies) as web:
        (paths.config / "config.toml").write_text(
            f'default = "lab"\n[profiles.lab]\nurl = "{web.url}"\nauth = "none"\n'
            f"credential_command = {json.dumps([sys.executable, str(give)])}\n"
        )
        ended = run_jrc("-vv", "doctor", "--bundle", bundle)
        json_ended = run_jrc("doctor", "--json")
    assert any(request.headers.get("x-a") == header for request in web.requests)
    assert MASK in ended.stdout
    for data in [*everything(ended, bundle), json_ended.stdout.encode()]:
        assert planted.found_in(data) == []


def test_what_a_bundle_tells(jupyter: JupyterServer, tmp_path: Path) -> None:
    """The report, versions, the configuration, the environment and the logs, readable."""
    paths = Paths.from_environment()
    for folder in (paths.config, paths.logs):
        folder.mkdir(parents=True)
    (paths.config / "config.toml").write_text(f'[profiles.lab]\nurl = "{jupyter.url}"\n')
    (paths.logs / "tunnel-lab.log").write_text("".join(f"line {n}\n" for n in range(1000)))
    bundle = tmp_path / "report.zip"
    ended = run_jrc(
        "doctor", "--json", "--bundle", bundle, env={"JRC_TOKEN": jupyter.token, "CI": "1"}
    )
    assert ended.code == 0
    assert str(bundle) in ended.stderr
    files = contents(bundle)
    assert json.loads(files["report.json"])["checks"] == json.loads(ended.stdout)["checks"]
    assert tomllib.loads(files["config.toml"].decode())["profiles"]["lab"]["url"] == jupyter.url
    environment = json.loads(files["environment.json"])
    assert (environment["JRC_TOKEN"], environment["CI"]) == (MASK, "1")
    assert files["logs/tunnel-lab.log"].decode().splitlines()[0] == "line 800"
    assert jupyter.token.encode() not in b"".join(everything(ended, bundle))


def test_a_bundle_that_can_not_be_written(tmp_path: Path) -> None:
    """The report is told all the same."""
    file = tmp_path / "a-file"
    file.touch()
    env = {"JRC_URL": "http://no-such-host.invalid/", "JRC_TOKEN": "some-token"}
    ended = run_jrc("doctor", "--bundle", file / "report.zip", env=env)
    assert ended.code == 3
    assert "failed   dns" in ended.stdout
    assert "report.zip" in ended.stderr


def test_headers_and_credential_commands_are_told_in_part() -> None:
    table = {
        "url": "http://h/",
        "headers": {"A": "plain:secret", "B": "env:VALUE", "C": "keyring", "D": "odd"},
        "credential_command": ["helper", "-x", "word"],
    }
    told = redacted_config({"profiles": {"lab": table, "bad": 1}}, Redactor())
    assert told["profiles"]["lab"] == {
        "url": "http://h/",
        "headers": {"A": "plain:***", "B": "env:***", "C": "keyring", "D": "***"},
        "credential_command": ["helper", MASK, MASK],
    }


def test_a_zip_is_whole(tmp_path: Path) -> None:
    """Also where jrc has never been used."""
    bundle = tmp_path / "report.zip"
    run_jrc("doctor", "--bundle", bundle, env={"JRC_URL": "http://no-such-host.invalid/"})
    assert zipfile.ZipFile(io.BytesIO(bundle.read_bytes())).testzip() is None
    assert set(contents(bundle)) == {"README.txt", "report.json", "environment.json"}
