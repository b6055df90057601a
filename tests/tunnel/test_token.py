"""Tokens from the cluster: out of a Secret, or from the server in the pod, by the real kubectl."""

import json

import pytest

from jrc.errors import AuthError, NotFoundError, UsageError
from jrc.profile.route import Route
from jrc.tunnel.token import FromPod, FromSecret, fetch_token, parse_source, running_servers
from tests.support.kube import Kube
from tests.support.kube.api import KubeStub
from tests.support.webapp import WebApp

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("kubectl")]


@pytest.fixture
def route(kube: Kube) -> Route:
    return Route("stub", "default", "svc/jupyter", 80, str(kube.kubeconfig))


def test_sources_are_read() -> None:
    assert parse_source("pod") == FromPod()
    assert parse_source("secret/jupyter:token") == FromSecret("jupyter", "token")


@pytest.mark.parametrize("text", ["", "pods", "secret/x", "secret/:y", "secret/x:", "secret/-x:y"])
def test_what_is_no_source_says_the_forms(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert caught.value.hint == "It is secret/NAME:KEY or pod."


async def test_token_of_a_secret(route: Route, kube: Kube) -> None:
    kube.do(lambda stub: stub.cluster.secret("jupyter", {"token": "s3cret\n"}))
    fetched = await fetch_token(route, FromSecret("jupyter", "token"), "lab")
    assert fetched.token.reveal() == "s3cret"
    assert "s3cret" not in repr(fetched)


async def test_what_is_missing_is_named(route: Route, kube: Kube) -> None:
    kube.do(lambda stub: stub.cluster.secret("jupyter", {"a": "x", "empty": ""}))
    with pytest.raises(NotFoundError, match="There is no Secret 'nope'"):
        await fetch_token(route, FromSecret("nope", "token"), "lab")
    with pytest.raises(NotFoundError, match=r"has no key 'token'; it has a, empty\."):
        await fetch_token(route, FromSecret("jupyter", "token"), "lab")
    with pytest.raises(NotFoundError, match="does not hold a token"):
        await fetch_token(route, FromSecret("jupyter", "empty"), "lab")
    kube.do(lambda stub: stub.faults.deny.add("get secrets"))
    with pytest.raises(AuthError, match='cannot get resource "secrets"'):
        await fetch_token(route, FromSecret("jupyter", "a"), "lab")


async def test_token_of_the_server_in_the_pod(route: Route, kube: Kube, app: WebApp) -> None:
    """The pod's own ``jupyter server list`` says token and base URL."""
    asked: list[list[str]] = []
    servers = [
        {"port": 9999, "token": "other", "base_url": "/"},
        {"port": 8888, "token": "s3cret", "base_url": "/team/"},
    ]

    def program(argv: list[str]) -> tuple[str, str, int]:
        asked.append(argv)
        return "\n".join(map(json.dumps, servers)) + "\n", "[a warning]\n", 0

    kube.jupyter(app.address, program=program)
    fetched = await fetch_token(route, FromPod(), "lab")
    assert fetched.token.reveal() == "s3cret"
    assert fetched.base_url == "/team/"
    assert asked == [["jupyter", "server", "list", "--json"]]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (("", "", 0), "`jupyter server list` in pod jupyter-0 shows no server."),
        (('{"port": 8888, "token": ""}\n', "", 0), "The Jupyter Server in pod jupyter-0 has no"),
        (
            ("", "sh: jupyter: not found\n", 127),
            r"could not be asked for its token \(sh: jupyter: not found\)",
        ),
    ],
)
async def test_a_pod_that_does_not_tell(
    answer: tuple[str, str, int], message: str, route: Route, kube: Kube, app: WebApp
) -> None:
    kube.jupyter(app.address, program=lambda argv: answer)
    with pytest.raises(NotFoundError, match=message):
        await fetch_token(route, FromPod(), "lab")


def test_other_lines_than_json_are_skipped() -> None:
    assert running_servers('Currently running:\n{"port": 1}\n[]\n') == [{"port": 1}]


async def test_the_container_that_has_the_server_is_asked(
    route: Route, kube: Kube, app: WebApp
) -> None:
    """A proxy stands beside it, first in the list; nobody declares the port."""
    servers = '{"port": 8888, "token": "s3cret", "base_url": "/"}\n'
    missing = ("", "sh: jupyter: not found\n", 127)
    kube.jupyter(app.address, program=lambda argv: missing)
    kube.do(lambda stub: stub.cluster.service("jupyter", {"app": "jupyter"}, {80: 8888}))

    def add_proxy(stub: KubeStub) -> None:
        pod = stub.cluster.objects["pods", "default", "jupyter-0"]
        pod["spec"]["containers"] = [{"name": "proxy"}, {"name": "main"}]
        stub.cluster.programs[f"{pod['metadata']['uid']}/main"] = lambda argv: (servers, "", 0)

    kube.do(add_proxy)
    assert (await fetch_token(route, FromPod(), "lab")).token.reveal() == "s3cret"
