"""What a company puts before a server: its own CA, client certificates, headers, passing tokens."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.certificates import Authority
from tests.support.command import jrc_command, jrc_environment, run_jrc
from tests.support.connect_proxy import ConnectProxy
from tests.support.jupyter import JupyterServer, wait_until
from tests.support.servers import BEHIND_A_PROXY, Served, Servers, start_nginx, write_nginx

FIRST, SECOND = "g4te-one", "g4te-two"


@pytest.fixture(scope="module")
def proxied(servers: Servers) -> Served:
    return servers.get("proxied")


@dataclass
class Gate:
    """A server behind an ingress that wants a header of its own.

    Attributes:
        url: of the ingress.
        token: of the server behind it.
    """

    nginx: JupyterServer
    backend: JupyterServer

    @property
    def url(self) -> str:
        return self.nginx.url

    @property
    def token(self) -> str:
        return self.backend.token

    def want(self, value: str) -> None:
        """Let through only who sends this value, and cut everybody off."""
        port = urlsplit(self.url).port
        assert port
        backend = urlsplit(self.backend.url).netloc
        write_nginx(self.nginx.folder, port, backend, gate_rule(value))
        self.nginx.process.send_signal(signal.SIGHUP)


def gate_rule(value: str) -> str:
    return f'if ($http_x_gate != "{value}") {{ return 401 "who are you?"; }}'


@pytest.fixture(scope="module")
def gate(servers: Servers) -> Gate:
    backend = servers.jupyter("behind-the-gate", settings=BEHIND_A_PROXY)
    return Gate(start_nginx(servers, "gate", backend, rules=gate_rule(FIRST)), backend)


@pytest.mark.parametrize(
    ("leave_out", "code", "message", "hint"),
    [
        ("--ca-file", 6, "is signed by a CA that this machine does not trust", "--ca-file FILE"),
        ("--client-cert", 6, "asks for a client certificate.", "--client-cert FILE"),
    ],
)
def test_what_is_missing_is_named(
    proxied: Served, leave_out: str, code: int, message: str, hint: str
) -> None:
    words = list(proxied.words)
    del words[words.index(leave_out) : words.index(leave_out) + 2]
    done = run_jrc("login", proxied.url, *words, input=proxied.secret)
    assert done.code == code
    assert message in done.stderr
    assert hint in done.stderr


def test_wrong_files(proxied: Served, tmp_path: Path) -> None:
    """Each in its own words, before anything is sent."""
    text, missing = tmp_path / "text.pem", tmp_path / "missing.pem"
    text.write_text("hello")
    for words, message in [
        (["--ca-file", str(text)], f"The CA file {text} holds no certificate."),
        (["--ca-file", str(missing)], f"There is no file {missing}."),
        (["--client-cert", str(text)], f"{text} hold no certificate with its key."),
        (["--client-key", str(text)], "--client-key needs --client-cert."),
    ]:
        done = run_jrc("login", proxied.url, "--token-stdin", *words, input="t")
        assert done.code in (2, 3)
        assert message in done.stderr


def test_insecure_is_loud(proxied: Served) -> None:
    """And in the profile by name."""
    words = list(proxied.words)
    del words[words.index("--ca-file") : words.index("--ca-file") + 2]
    done = run_jrc("login", proxied.url, "-P", "it", "--insecure", *words, input=proxied.secret)
    assert done.code == 0, done.stderr
    assert "warning: The server's certificate is not checked" in done.stderr
    assert "certificate NOT checked" in run_jrc("profile", "show").stdout


def test_a_header_from_the_environment(gate: Gate, tmp_path: Path) -> None:
    """REST and the websocket carry it; config.toml knows only the variable's name."""
    refused = run_jrc("login", gate.url, "-P", "it", "--token-stdin", input=gate.token)
    assert refused.code == 6
    assert "wants a login before it says what it is" in refused.stderr
    env = {"GATE": FIRST}
    words = ("--token-stdin", "--header", "X-Gate=env:GATE")
    done = run_jrc("login", gate.url, "-P", "it", *words, input=gate.token, env=env)
    assert done.code == 0, done.stderr
    script = tmp_path / "a.py"
    script.write_text("print('through')\n")
    assert run_jrc("run", script, env=env).stdout == "through\n"
    assert FIRST not in (Path(os.environ["JRC_HOME"]) / "config" / "config.toml").read_text()
    without = run_jrc("run", script)
    assert without.code == 3
    assert "The header X-Gate of the profile 'it' has no value: the variable GATE" in without.stderr


def test_a_value_on_the_command_line_is_refused(gate: Gate) -> None:
    """A shell keeps it in its history; the refusal does not repeat it."""
    done = run_jrc("login", gate.url, "--token-stdin", "--header", f"X-Gate={FIRST}", input="t")
    assert done.code == 2
    assert "does not say where X-Gate comes from" in done.stderr
    assert FIRST not in done.stderr


TICKS = """
import sys, time
print("begun", flush=True)
import pathlib
stop = pathlib.Path(sys.argv[1])
while not stop.exists():
    time.sleep(0.05)
print("ended")
"""


def test_a_session_outlives_its_credentials(gate: Gate, tmp_path: Path) -> None:
    """The credential command is asked again; where that does not help, a login elsewhere does."""
    value, stop, script = tmp_path / "value", tmp_path / "stop", tmp_path / "ticks.py"
    value.write_text(FIRST)
    script.write_text(TICKS)
    give = tmp_path / "give.py"
    give.write_text(
        "import json, pathlib\n"
        f"value = pathlib.Path({str(value)!r}).read_text()\n"
        "print(json.dumps({'headers': {'X-Gate': value}}))\n"
    )
    command = f"{sys.executable} {give}"
    words = ("--token-stdin", "--credential-command", command)
    done = run_jrc("login", gate.url, "-P", "it", *words, input=gate.token)
    assert done.code == 0, done.stderr
    log = tmp_path / "talk"
    with log.open("w") as talk:
        run = subprocess.Popen(
            jrc_command("run", script, "--", str(stop)),
            stdout=subprocess.PIPE,
            stderr=talk,
            stdin=subprocess.DEVNULL,
            text=True,
            env=jrc_environment(),
        )
    try:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        # The program knows the new value: nobody has to do anything.
        value.write_text(SECOND)
        gate.want(SECOND)
        wait_until(lambda: "Link restored" in log.read_text(), "the link", timeout=60)
        assert "jrc login" not in log.read_text()
        # It does not: the run waits for the person.
        gate.want("g4te-three")
        asked = "In another terminal: jrc login --profile it"
        wait_until(lambda: asked in log.read_text(), "the question", timeout=60)
        value.write_text("g4te-three")
        again = run_jrc("login", "--profile", "it", "--token-stdin", input=gate.token)
        assert again.code == 0, again.stderr
        wait_until(lambda: "Logged in again; going on." in log.read_text(), "it", timeout=60)
        stop.write_text("")
        rest, _ = run.communicate(timeout=60)
        assert (run.returncode, rest) == (0, "ended\n"), log.read_text()
    finally:
        run.kill()
        run.wait()
        gate.want(FIRST)
    assert not any(secret in log.read_text() for secret in (FIRST, SECOND, gate.token))


SECRETS = {
    "token": "PLANTED-t0ken-aaaaaaaaaaaa",
    "header": "PLANTED-he4der-bbbbbbbbbbbb",
    "command": "PLANTED-c0mmand-cccccccccccc",
    "password": "PLANTED-p4ssword-dddddddddddd",
}

SPY = """
import os, runpy, sys
import subprocess
real = subprocess.Popen.__init__
def spy(self, args, *rest, **named):
    with open(os.environ["SPY"], "a") as file:
        file.write(repr(args) + "\\n")
    return real(self, args, *rest, **named)
subprocess.Popen.__init__ = spy
sys.argv = ["jrc", *sys.argv[1:]]
with open(os.environ["SPY"], "a") as file:
    file.write(repr(sys.orig_argv) + "\\n")
runpy.run_module("jrc", run_name="__main__")
"""


def test_planted_secrets_are_nowhere(servers: Servers, tmp_path: Path) -> None:
    """Not in any file but the secret store's, any output, any argv; after failures too."""
    backend = servers.jupyter("planted", token=SECRETS["token"], settings=BEHIND_A_PROXY)
    locked = servers.jupyter("planted-password", password=SECRETS["password"])
    give, spy, seen = tmp_path / "give.py", tmp_path / "spy.py", tmp_path / "argv"
    secret_file = tmp_path / "secret-of-the-command"
    secret_file.write_text(SECRETS["command"])
    give.write_text(
        "import json, pathlib\n"
        f"value = pathlib.Path({str(secret_file)!r}).read_text()\n"
        "print(json.dumps({'headers': {'X-Command': value}}))\n"
    )
    spy.write_text(SPY)
    script, bad = tmp_path / "a.py", tmp_path / "bad.py"
    script.write_text("print('fine')\n")
    bad.write_text("raise SystemError('bad')\n")
    broken = tmp_path / "broken.py"
    broken.write_text(f"print({SECRETS['command']!r}, 'is not JSON')\n")
    outputs = []

    def jrc(*words: str, input: str | None = None, fails: bool = False) -> None:
        done = subprocess.run(
            [sys.executable, str(spy), *words],
            input=input,
            stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=jrc_environment({"SPY": str(seen), "PLANTED": SECRETS["header"]}),
            cwd=tmp_path,
            timeout=120,
        )
        assert (done.returncode != 0) == fails, done.stderr
        outputs.append(done.stdout + done.stderr)

    header = ("--header", "X-Planted=env:PLANTED")
    command = ("--credential-command", f"{sys.executable} {give}")
    token, password = SECRETS["token"], SECRETS["password"]
    jrc("-vv", "login", backend.url, "-P", "it", "--token-stdin", *header, *command, input=token)
    jrc("-vv", "run", "-o", "out.ipynb", str(script))
    jrc("-vv", "run", str(bad), fails=True)
    jrc("-vv", "kernel", "list", "--json")
    jrc("profile", "show", "--json")
    jrc("-vv", "login", locked.url, "-P", "pw", "--password-stdin", input=password)
    jrc("-vv", "run", "-P", "pw", str(script))
    # Failures: a refused secret, a command that prints nonsense, a server that is gone.
    jrc("-vv", "login", locked.url, "-P", "x", "--password-stdin", input=token, fails=True)
    jrc("-vv", "login", backend.url, "-P", "x", "--token-stdin", input=password, fails=True)
    wrong = ("--credential-command", f"{sys.executable} {broken}")
    jrc("-vv", "login", backend.url, "-P", "x", "--token-stdin", *wrong, input=token, fails=True)
    backend.kill()
    jrc("-vv", "run", "-P", "it", str(script), fails=True)
    jrc("-vv", "kernel", "list", "-P", "it", fails=True)

    texts = {"output": "".join(outputs), "argv": seen.read_text()}
    allowed = {secret_file, broken, Path(os.environ["JRC_HOME"]) / "config" / "secrets.json"}
    for folder in (Path(os.environ["HOME"]), tmp_path):
        for path in folder.rglob("*"):
            if path.is_file() and path not in allowed:
                texts[str(path)] = path.read_text(errors="replace")
    found = [
        f"{name} in {place}"
        for place, text in texts.items()
        for name, secret in SECRETS.items()
        if secret in text
    ]
    assert found == []
    kept = json.loads((Path(os.environ["JRC_HOME"]) / "config" / "secrets.json").read_text())
    assert kept == {"it": token, "pw": password}


def test_through_a_proxy_to_a_name_that_only_it_knows(servers: Servers, tmp_path: Path) -> None:
    """REST and the websocket go through HTTPS_PROXY, and TLS is checked end to end."""
    name = "jupyter.example.test"
    authority = Authority(servers.folder("proxy-authority"))
    certificate = authority.server(name)
    backend = servers.jupyter("behind-the-proxy", settings=BEHIND_A_PROXY)
    rules = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"
    nginx = start_nginx(servers, "proxy-nginx", backend, rules=rules, listen="ssl")
    port = urlsplit(nginx.url).port
    assert port
    script = tmp_path / "a.py"
    script.write_text("print('through')\n")
    with ConnectProxy({f"{name}:443": ("127.0.0.1", port)}) as proxy:
        env = {"HTTPS_PROXY": proxy.url}
        url, ca = f"https://{name}/", ("--ca-file", str(authority.file))
        done = run_jrc("login", url, "--token-stdin", *ca, input=backend.token, env=env)
        assert done.code == 0, done.stderr
        before = len(proxy.asked)
        done = run_jrc("run", script, env=env)
        assert (done.code, done.stdout) == (0, "through\n"), done.stderr
        assert len(proxy.asked) - before >= 2
        assert set(proxy.asked) == {f"CONNECT {name}:443"}
        done = run_jrc("login", "https://other.example.test/", env=env)
        assert done.code == 6
        assert "The proxy in the environment did not let us through" in done.stderr
