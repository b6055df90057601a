"""``jrc doctor`` against real servers: healthy ones, and ones that are wrong in one way each."""

import contextlib
import json
import os
import socket
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from jrc.doctor import kernel, network, remote
from jrc.doctor.check import Context, Verdict
from jrc.errors import AuthError, UnreachableError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.profile.secrets import SecretStore
from jrc.profile.store import ProfileStore
from jrc.server.address import ServerAddress
from tests.support.certificates import make_certificate
from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer, StartJupyter
from tests.support.keyrings import HangingKeyring, LockedKeyring, keyring_environment
from tests.support.proxy import Proxy, UpgradeStripper
from tests.support.web import Reply, Web

pytestmark = pytest.mark.anyio

SERVER_CHECKS = [
    "server",
    "clock",
    "round-trip",
    "authentication",
    "kernelspecs",
    "kernel",
    "websocket",
    "execution",
    "recorder",
    "throughput",
    "clean-up",
]


@dataclass(frozen=True)
class Examined:
    """What one ``jrc doctor --json`` said."""

    code: int
    report: dict[str, Any]
    stderr: str

    def __getitem__(self, name: str) -> dict[str, Any]:
        (check,) = [each for each in self.report["checks"] if each["name"] == name]
        found: dict[str, Any] = check
        return found

    def verdicts(self, verdict: str) -> list[str]:
        return [each["name"] for each in self.report["checks"] if each["verdict"] == verdict]


def examine(url: str, token: str = "", *, env: dict[str, str] | None = None) -> Examined:
    """The doctor's report on a server."""
    ended = run_jrc("doctor", "--json", env={"JRC_URL": url, "JRC_TOKEN": token, **(env or {})})
    assert ended.stdout.count("\n") == 1, ended.stderr
    report = json.loads(ended.stdout)
    assert report["exit_code"] == ended.code
    if token:
        assert token not in ended.stdout + ended.stderr
    return Examined(ended.code, report, ended.stderr)


def kernels(server: JupyterServer) -> int:
    return len(server.rest("GET", "api/kernels"))


def test_a_healthy_server(start_jupyter: StartJupyter) -> None:
    """Everything is fine, and the kernel is gone afterwards."""
    server = start_jupyter(base_url="/team/")
    seen = examine(server.url, server.token)
    assert seen.code == 0
    assert seen.verdicts("failed") == seen.verdicts("skipped") == []
    names = [check["name"] for check in seen.report["checks"]]
    local = ["python", "config", "secrets", "editors", "dns", "tcp"]
    assert names == [*local, *SERVER_CHECKS, "editor-kernelspecs"]
    assert seen.report["url"] == server.url
    assert seen["websocket"]["details"]["protocol"] == "v1"
    assert seen["execution"]["details"]["implementation"] == "ipython"
    assert seen["throughput"]["details"]["bytes_per_second"] > 0
    assert seen["secrets"]["details"]["found_in"] == "environment"
    assert kernels(server) == 0


def test_the_report_for_people(jupyter: JupyterServer) -> None:
    """A line for each check on stdout, nothing on stderr."""
    ended = run_jrc("doctor", env={"JRC_URL": jupyter.url, "JRC_TOKEN": jupyter.token})
    lines = ended.stdout.splitlines()
    assert (ended.code, ended.stderr) == (0, "")
    assert lines[-1] == "Everything is fine."
    assert [line.split()[1] for line in lines[:-1]][-len(SERVER_CHECKS) - 1 : -1] == SERVER_CHECKS
    assert {line.split()[0] for line in lines[:-1]} == {"ok"}


def test_without_a_profile_the_embedded_server_is_examined() -> None:
    ended = run_jrc("doctor", "--json")
    checks = {each["name"]: each["verdict"] for each in json.loads(ended.stdout)["checks"]}
    assert ended.code == 0
    assert checks["embedded-server"] == checks["throughput"] == "ok"
    assert "dns" not in checks


def test_a_wrong_token(jupyter: JupyterServer) -> None:
    """What needs no token is checked; what needs it is skipped."""
    seen = examine(jupyter.url, "wrong-token-" + "0" * 12)
    assert seen.code == 4
    assert seen.verdicts("failed") == ["authentication"]
    assert seen["authentication"]["remedy"].startswith("The token is that of JRC_TOKEN")
    assert seen["server"]["verdict"] == seen["round-trip"]["verdict"] == "ok"
    assert seen["throughput"]["because"] == ["authentication"]


def test_a_profile_without_a_token(jupyter: JupyterServer) -> None:
    paths = Paths.from_environment()
    ProfileStore(paths).save(Profile("team", jupyter.url), make_default=True)
    ended = run_jrc("doctor")
    assert ended.code == 4
    assert "jrc login" in ended.stdout


def test_the_remedy_for_a_refused_token_changes_the_profile(jupyter: JupyterServer) -> None:
    """Not a second profile for the same server."""
    paths = Paths.from_environment()
    ProfileStore(paths).save(Profile("team", jupyter.url), make_default=True)
    SecretStore(paths).set("team", Secret("wrong-token-" + "0" * 12))
    ended = run_jrc("doctor")
    assert ended.code == 4
    assert "Log in again: jrc login --profile team\n" in ended.stdout


def test_a_dead_server() -> None:
    """Nobody listens: TCP fails, all that follows is skipped."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        seen = examine(f"http://127.0.0.1:{bound.getsockname()[1]}/", "some-token")
    assert seen.code == 6
    assert seen.verdicts("failed") == ["tcp"]
    assert "connection refused" in seen["tcp"]["message"]
    assert seen["dns"]["verdict"] == "ok"
    assert set(seen.verdicts("skipped")) == set(SERVER_CHECKS)


def test_an_unknown_name() -> None:
    seen = examine("http://no-such-host.invalid:8888/", "some-token")
    assert seen.code == 6
    assert seen.verdicts("failed") == ["dns"]
    assert "no-such-host.invalid" in seen["dns"]["message"]


def test_a_certificate_that_proves_nothing(start_jupyter: StartJupyter, tmp_path: Path) -> None:
    """TLS fails on its own line."""
    made = make_certificate(tmp_path, self_signed=True)
    server = start_jupyter(certfile=made.server)
    seen = examine(server.url, server.token)
    assert seen.code == 6
    assert seen.verdicts("failed") == ["tls"]
    assert seen["tcp"]["verdict"] == "ok"


def test_a_certificate_of_a_known_ca(start_jupyter: StartJupyter, tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    server = start_jupyter(certfile=made.server)
    seen = examine(server.url, server.token, env={"SSL_CERT_FILE": str(made.ca)})
    assert seen.code == 0
    assert seen["tls"]["details"]["protocol"].startswith("TLS")
    assert seen["websocket"]["verdict"] == "ok"


def test_a_certificate_that_is_not_checked(start_jupyter: StartJupyter, tmp_path: Path) -> None:
    made = make_certificate(tmp_path, self_signed=True)
    server = start_jupyter(certfile=made.server)
    paths = Paths.from_environment()
    ProfileStore(paths).save(Profile("lab", server.url, verify_tls=False), make_default=True)
    ended = run_jrc("doctor", "lab", env={"JRC_TOKEN": server.token})
    assert ended.code == 0, ended.stdout
    assert "is not checked" in ended.stdout
    assert "1 warning" in ended.stdout


def test_tls_asked_of_plain_http(jupyter: JupyterServer) -> None:
    seen = examine(jupyter.url.replace("http:", "https:"), jupyter.token)
    assert seen.code == 6
    assert seen.verdicts("failed") == ["tls"]


def test_a_proxy_that_strips_the_upgrade(start_jupyter: StartJupyter) -> None:
    """The usual mistake of an ingress: REST works, websockets do not; the remedy names nginx."""
    server = start_jupyter()
    with UpgradeStripper(server.url) as proxy:
        seen = examine(proxy.url, server.token)
    assert seen.code == 9
    assert seen.verdicts("failed") == ["websocket"]
    assert "HTTP 400" in seen["websocket"]["message"]
    assert "proxy_set_header Upgrade" in seen["websocket"]["remedy"]
    assert seen.verdicts("skipped") == ["execution", "recorder", "throughput"]
    assert seen["clean-up"]["verdict"] == "ok"
    assert kernels(server) == 0


def _kernelspec(folder: Path, argv: list[str]) -> dict[str, str]:
    """Make ``python3`` a kernel of this argv; the variables for the server."""
    spec = folder / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "Broken", "language": "python"})
    )
    return {"JUPYTER_PATH": str(folder)}


def test_a_kernel_whose_program_is_missing(start_jupyter: StartJupyter, tmp_path: Path) -> None:
    server = start_jupyter(env=_kernelspec(tmp_path, ["/no/such/program", "{connection_file}"]))
    seen = examine(server.url, server.token)
    assert seen.code != 0
    assert seen.verdicts("failed") == ["kernel"]
    assert seen["throughput"]["because"] == ["kernel"]
    assert server.rest("GET", "api/sessions") == []


def test_a_kernel_that_ends_at_once(start_jupyter: StartJupyter, tmp_path: Path) -> None:
    """Nothing hangs, and nothing is left behind."""
    server = start_jupyter(
        env=_kernelspec(tmp_path, [sys.executable, "-c", "raise SystemExit(3)"]),
        settings={"MappingKernelManager": {"kernel_info_timeout": 5}},
    )
    seen = examine(server.url, server.token)
    assert seen.code == 8
    # The server holds the websocket back until the kernel answers, or is given up.
    assert seen.verdicts("failed") in (["websocket"], ["execution"])
    assert server.rest("GET", "api/sessions") == []


def test_a_slow_link(start_jupyter: StartJupyter) -> None:
    """A round trip of more than half a second is worth a warning, no failure."""
    server = start_jupyter()
    with Proxy(server.url, delay_ms=300) as proxy:
        seen = examine(proxy.url, server.token)
    assert seen.code == 0
    assert "round-trip" in seen.verdicts("warning")
    assert seen["round-trip"]["details"]["median_seconds"] > 0.5


def test_a_server_that_swallows_everything(start_jupyter: StartJupyter) -> None:
    """A black hole behind an open port ends at a deadline."""
    server = start_jupyter()
    with Proxy(server.url) as proxy:
        proxy.black_hole()
        seen = examine(proxy.url, server.token)
        proxy.restore()
    assert seen.code == 6
    assert seen.verdicts("failed") == ["server"]


@pytest.mark.parametrize("kind", [HangingKeyring, LockedKeyring])
def test_a_keyring_that_does_not_work(
    jupyter: JupyterServer, tmp_path: Path, kind: type[HangingKeyring]
) -> None:
    """A warning: the file takes its place."""
    seen = examine(
        jupyter.url, jupyter.token, env=keyring_environment(kind, tmp_path / "entries.json")
    )
    assert seen.code == 0
    assert seen.verdicts("warning") == ["secrets"]
    assert "keyring" in seen["secrets"]["message"]


def test_a_file_of_secrets_that_others_can_read(jupyter: JupyterServer) -> None:
    paths = Paths.from_environment()
    ProfileStore(paths).save(Profile("team", jupyter.url), make_default=True)
    store = SecretStore(paths)
    store.set("team", Secret(jupyter.token))
    if os.name == "nt":
        return  # Windows has no such modes.
    store.file_path.chmod(0o644)
    ended = run_jrc("doctor", "--json")
    seen = Examined(ended.code, json.loads(ended.stdout), ended.stderr)
    assert seen.code == 0
    assert seen["secrets"]["details"] == {
        "keyring": None,
        "file_mode": "0644",
        "found_in": "file",
    }
    assert seen.verdicts("warning") == ["secrets"]
    assert store.file_path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [("not = toml = at all", [], 3), ('[profiles.a]\nurl = "http://h/"', ["b"], 5)],
    ids=["broken file", "no such profile"],
)
def test_a_configuration_that_does_not_help(text: str, words: list[str], code: int) -> None:
    """The checks of the machine are made; all about a server is skipped."""
    config = Paths.from_environment().config
    config.mkdir(parents=True)
    (config / "config.toml").write_text(text)
    ended = run_jrc("doctor", "--json", *words)
    seen = Examined(ended.code, json.loads(ended.stdout), ended.stderr)
    assert seen.code == code
    assert seen.verdicts("failed") == ["config"]
    assert seen["editors"]["verdict"] == "ok"
    assert seen["throughput"]["because"] == ["config"]


if os.name == "posix":
    # A terminal of one's own is a thing of POSIX, and so is Ctrl-C sent to one process.
    from tests.support.dialog import Dialog

    def test_on_a_terminal_each_line_comes_when_its_check_is_done() -> None:
        with Dialog("doctor", env={"JRC_URL": "http://no-such-host.invalid/"}) as dialog:
            dialog.expect("checking dns")
            dialog.expect("failed   dns")
            dialog.expect("→ Check the spelling")
            dialog.expect("because dns failed")
            assert dialog.end() == 6

    def test_ctrl_c_leaves_nothing_behind(start_jupyter: StartJupyter) -> None:
        server = start_jupyter()
        env = {"JRC_URL": server.url, "JRC_TOKEN": server.token}
        with Dialog("doctor", env=env) as dialog:
            dialog.expect("The server started a kernel")
            dialog.press("\x03")
            assert dialog.end() == 130
        assert "Interrupted." in dialog.shown
        assert "Traceback" not in dialog.shown
        assert server.rest("GET", "api/sessions") == []
        assert kernels(server) == 0


@contextlib.asynccontextmanager
async def context_at(url: str, profile: Profile | None = None) -> Any:
    async with AsyncExitStack() as stack:
        yield Context(Paths.from_environment(), None, stack, profile, ServerAddress.parse(url)[0])


@pytest.mark.parametrize(("ahead", "word"), [(600, "ahead of"), (-600, "behind")])
async def test_a_clock_that_is_wrong(ahead: int, word: str) -> None:
    date = formatdate(time.time() + ahead, usegmt=True)
    with Web({"/api": Reply(headers={"Date": date})}) as web:
        async with context_at(web.url) as context:
            found = await remote.clock(context)
    assert found.verdict is Verdict.WARNING
    assert word in found.message
    assert abs(abs(float(str(found.details["skew_seconds"]))) - 600) < 30


def test_a_certificate_that_ends_soon() -> None:
    certificate = {"notAfter": "Jan 10 00:00:00 2030 GMT"}
    soon = network.judge_certificate("h", "TLSv1.3", certificate, now=1_893_456_000 + 86400 * 8)
    later = network.judge_certificate("h", "TLSv1.3", certificate, now=1_893_456_000 - 86400 * 60)
    assert (soon.verdict, soon.details["certificate_days"]) == (Verdict.WARNING, 1)
    assert later.verdict is Verdict.OK


async def test_a_proxy_of_the_environment_is_what_must_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server's own name need not be known here."""
    with Web({}) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        async with context_at("https://no-such-host.invalid/") as context:
            assert (await network.dns(context)).passes
            assert "proxy" in (await network.tcp(context)).message
            assert (await network.tls(context)).verdict is Verdict.SKIPPED
            assert (await network.tls(context)).passes


def test_a_websocket_that_is_refused_has_its_own_remedy() -> None:
    refused = kernel.explained(AuthError("No."), status=403)
    broken = kernel.explained(UnreachableError("No."), status=502)
    assert isinstance(refused, AuthError)
    assert "Authorization" in str(refused.hint)
    assert isinstance(broken, UnreachableError)
    assert broken.hint == kernel.UPGRADE_REMEDY
