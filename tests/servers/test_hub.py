"""JupyterHub: logins, starts and refusals, at a real hub behind its real proxy."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from jrc.profile.paths import Paths
from jrc.tunnel.connect import keepers, stop_keeper
from tests.support.command import run_jrc
from tests.support.dialog import Dialog
from tests.support.kube import Kube
from tests.support.kubectls import chosen_kubectls
from tests.support.servers import HUB_PASSWORD, Served, Servers

PRINT = "import os; print(os.environ.get('CHOSEN_PROFILE'))\n"


@pytest.fixture(scope="module")
def hub(servers: Servers) -> Served:
    return servers.get("hub")


def rest(
    hub: Served, method: str, path: str, token: str = "", json: object = None
) -> httpx.Response:
    headers = {"Authorization": f"token {token}"} if token else {}
    url = f"{hub.url}hub/api/{path}"
    return httpx.request(method, url, json=json, headers=headers, timeout=60, trust_env=False)


def new_token(hub: Served, user: str, *scopes: str) -> str:
    """A token of a user, who logs in for it first; with narrowed scopes if some are given."""
    form = f"{hub.url}hub/login"
    with httpx.Client(trust_env=False) as browser:
        browser.get(form)
        browser.post(
            form,
            data={
                "username": user,
                "password": HUB_PASSWORD,
                "_xsrf": browser.cookies.get("_xsrf", path="/pre/hub/") or "",
            },
        )
    body = {"auth": {"username": user, "password": HUB_PASSWORD}, "note": "test"}
    answer = rest(hub, "POST", f"users/{user}/tokens", json=body)
    answer.raise_for_status()
    token: str = answer.json()["token"]
    if scopes:
        answer = rest(hub, "POST", f"users/{user}/tokens", token, {"scopes": list(scopes)})
        answer.raise_for_status()
        token = answer.json()["token"]
    return token


def test_a_stopped_server_is_started_with_its_options(hub: Served, tmp_path: Path) -> None:
    """At the login and, after somebody stopped it, by the next command."""
    words = ("--user", "eve", "--server", "big", "--option", "profile=large", "--password-stdin")
    done = run_jrc("login", f"{hub.url}hub/home", "-P", "it", *words, input=HUB_PASSWORD)
    assert done.code == 0, done.stderr
    assert "Found JupyterHub " in done.stderr
    assert "Starting the server eve/big on the hub." in done.stderr
    assert "100 %  Server ready at /pre/user/eve/big/" in done.stderr
    script = tmp_path / "a.py"
    script.write_text(PRINT)
    token = new_token(hub, "eve")
    rest(hub, "DELETE", "users/eve/servers/big", token).raise_for_status()
    done = run_jrc("run", script)
    assert (done.code, done.stdout) == (0, "large\n"), done.stderr
    assert "jrc: Starting the server eve/big on the hub." in done.stderr


def test_a_pasted_token(hub: Served) -> None:
    """The page that makes tokens is shown."""
    token = new_token(hub, "ada")
    with Dialog("login", hub.url, "-P", "it", env={"JRC_TOKEN": ""}) as person:
        person.expect(f"Make a token on this page and paste it here: {hub.url}hub/token")
        person.answer("Token", token)
        assert person.end() == 0, person.shown
        assert token not in person.shown


def test_the_url_of_a_server(hub: Served) -> None:
    """As the browser shows it; the token is the hub's."""
    url = f"{hub.url}user/ada/lab/tree/a.ipynb"
    done = run_jrc("login", url, "-P", "it", "--token-stdin", input=new_token(hub, "ada"))
    assert done.code == 0, done.stderr
    shown = run_jrc("profile", "show").stdout
    assert f"url     {hub.url}\n" in shown
    assert "user    ada\n" in shown


def test_a_name_that_a_url_must_escape(hub: Served, tmp_path: Path) -> None:
    """The server is at an escaped path, where a plus is another character than its escape."""
    url = f"{hub.url}user/a%2Bb/lab"
    words = ("--user", "a+b", "--password-stdin")
    done = run_jrc("login", url, "-P", "it", *words, input=HUB_PASSWORD)
    assert done.code == 0, done.stderr
    script = tmp_path / "a.py"
    script.write_text("print('here')\n")
    done = run_jrc("run", script)
    assert (done.code, done.stdout) == (0, "here\n"), done.stderr
    token = new_token(hub, "a+b")
    # While the server runs, it is what answers at the URL.
    done = run_jrc("login", url, "-P", "it", "--token-stdin", input=token)
    assert done.code == 0, done.stderr
    done = run_jrc("run", script, env={"JRC_URL": url, "JRC_TOKEN": token})
    assert (done.code, done.stdout) == (0, "here\n"), done.stderr
    assert "user    a+b\n" in run_jrc("profile", "show").stdout


@pytest.mark.parametrize(
    ("words", "secret", "code", "message"),
    [
        (["--token-stdin"], "wr0ng", 4, "refused the token."),
        (["--user", "ada", "--password-stdin"], "wr0ng", 4, "refused the user name or the passw"),
    ],
)
def test_wrong_secrets(hub: Served, words: list[str], secret: str, code: int, message: str) -> None:
    done = run_jrc("login", hub.url, "-P", "it", *words, input=secret)
    assert done.code == code
    assert message in done.stderr
    assert secret not in done.stderr


def test_a_start_that_fails(hub: Served) -> None:
    """The hub's own reason is shown, and nothing is saved."""
    words = ["--user", "joe", "--server", "bad", "--option", "profile=broken", "--password-stdin"]
    done = run_jrc("login", hub.url, "-P", "it", *words, input=HUB_PASSWORD, timeout=120)
    assert done.code == 6, done.stderr
    assert "error: The start of the server joe/bad failed: " in done.stderr
    assert "Traceback" not in done.stderr
    assert run_jrc("profile", "list").stdout == ""


def test_scopes(hub: Served, tmp_path: Path) -> None:
    """What a token may not do is said by the name of the scope."""
    full = new_token(hub, "kim")
    useless = new_token(hub, "kim", "read:users!user")
    done = run_jrc("login", f"{hub.url}user/kim/", "--token-stdin", input=useless)
    assert done.code == 4
    assert "may not use the server of kim: it lacks the scope access:servers." in done.stderr

    narrow = new_token(hub, "kim", "read:servers!user", "access:servers!user")
    done = run_jrc("login", f"{hub.url}user/kim/", "--token-stdin", input=narrow)
    assert done.code == 4
    assert "may not start the server of kim: it lacks the scope start:servers." in done.stderr

    answer = rest(hub, "POST", "users/kim/server", full)
    assert answer.status_code in (201, 202)
    # A start that goes on already is joined.
    done = run_jrc("login", f"{hub.url}user/kim/", "-P", "it", "--token-stdin", input=full)
    assert done.code == 0, done.stderr
    done = run_jrc("login", f"{hub.url}user/kim/", "-P", "it", "--token-stdin", input=narrow)
    assert done.code == 0, done.stderr
    assert "warning: The token lacks start:servers: jrc can use a running server" in done.stderr


@pytest.fixture
def cluster(hub: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    """A cluster with the hub's proxy behind a Service; real kubectl leads there."""
    monkeypatch.setenv("JRC_KUBECTL", chosen_kubectls()[-1].path)
    where, paths = urlsplit(hub.url), Paths.from_environment()
    assert where.hostname
    assert where.port
    with Kube(tmp_path) as kube:
        monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig))
        kube.jupyter((where.hostname, where.port), name="proxy-0")
        yield kube
        for profile in keepers(paths):
            stop_keeper(profile, paths)


def test_a_hub_behind_kubectl(cluster: Kube, hub: Served, tmp_path: Path) -> None:
    """The login starts the server through the tunnel; runs and the doctor find the way again."""
    there = ("--context", "stub", "-n", "default", "--target", "svc/jupyter", "--port", "80")
    who = ("--base-url", urlsplit(hub.url).path, "--user", "zoe", "--password-stdin")
    done = run_jrc("login", *there, *who, "-P", "it", input=HUB_PASSWORD)
    assert done.code == 0, done.stderr
    assert "The tunnel to svc/jupyter (pod proxy-0) is up." in done.stderr
    assert "Starting the server of zoe on the hub." in done.stderr
    assert run_jrc("disconnect", "it").code == 0
    script = tmp_path / "a.py"
    script.write_text("import os; print(os.environ['JUPYTERHUB_USER'])\n")
    done = run_jrc("run", script)
    assert (done.code, done.stdout) == (0, "zoe\n"), done.stderr
    done = run_jrc("doctor", "--json", timeout=170)
    checks = {each["name"]: each["verdict"] for each in json.loads(done.stdout)["checks"]}
    assert done.code == 0, checks
    assert (checks["tunnel"], checks["execution"], checks["recorder"]) == ("ok", "ok", "ok")


def test_a_limit_of_named_servers(hub: Served) -> None:
    """The hub's own words."""
    token = new_token(hub, "lee")
    for number in range(4):
        rest(hub, "PUT", f"users/lee/servers/s{number}", token).raise_for_status()
    words = ["--server", "s5", "--token-stdin"]
    done = run_jrc("login", hub.url, "-P", "it", *words, input=token)
    assert done.code == 6
    assert "The hub does not start the server lee/s5: " in done.stderr
