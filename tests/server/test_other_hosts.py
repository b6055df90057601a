"""A hub that names another host: two listeners, and the second one never hears of a token."""

import json
from collections.abc import Iterator

import pytest

from jrc.errors import JrcError
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.auth import TokenAuth
from jrc.server.client import ServerClient
from jrc.server.detect import detect
from jrc.server.kinds.hub import HubClient
from tests.support.web import Reply, Web

pytestmark = [pytest.mark.anyio, pytest.mark.attacks]

TOKEN = "hub-token-that-stays"

PLACES = [
    "////{evil}/user/ann/",
    "//{evil}/user/ann/",
    "/\\{evil}/user/ann/",
    "\\\\{evil}\\user\\ann\\",
    "http:////{evil}/user/ann/",
    "http:\\\\{evil}/user/ann/",
    "http://{hub}@{evil}/user/ann/",
    "http://{hub}\\@{evil}/user/ann/",
    "http://{hub}//{evil}/user/ann/",
    "http://{evil}/",
    "http://{evil}#.127.0.0.1/",
]


ITS_OWN = ["/user/ann/", "http://{hub}/user/ann/"]

BY_ANOTHER_NAME = "http://{evil}/user/ann/"
"""As a hub says it that is reached another way than it believes: its path is looked for here."""

ANYTHING = Reply(200, b'{"version": "2.0.0", "started": "x", "kernels": 0}')


@pytest.fixture
def evil() -> Iterator[Web]:
    with Web({"/user/ann/api/status": ANYTHING, "/api/status": ANYTHING}) as web:
        yield web


def _hub(place: str, evil: Web) -> Web:
    hub = Web({})
    text = place.format(evil=f"127.0.0.1:{evil.port}", hub=f"127.0.0.1:{hub.port}")
    server = {"name": "", "ready": True, "pending": None, "url": text, "full_url": text}
    me = {"name": "ann", "kind": "user", "scopes": [], "servers": {"": server}}
    sent = Reply(302, headers={"Location": text.replace("user/ann", "hub/api")})
    hub._replies |= {
        "/hub/api/user": [Reply(200, json.dumps(me).encode())],
        "/api": [sent],
        "/hub/api": [ANYTHING],
        "/user/ann/api/status": [ANYTHING],
    }
    return hub


async def _verified(hub: Web) -> str:
    """Ask the server that a hub says it has. Returns its URL."""
    auth = TokenAuth(Secret(TOKEN))
    async with HubClient(ServerAddress.parse(hub.url)[0], auth) as client:
        found = await client.running_server("", "", None, lambda _: None)
    assert found is not None
    async with ServerClient(found, auth) as server:
        await server.verify()
    return found.base_url


@pytest.mark.parametrize("place", PLACES)
async def test_the_token_stays_with_the_hub(place: str, evil: Web) -> None:
    with _hub(place, evil) as hub, pytest.raises(JrcError):
        await _verified(hub)
    assert evil.requests == []


@pytest.mark.parametrize("place", [*ITS_OWN, BY_ANOTHER_NAME])
async def test_the_hub_s_own_server_gets_the_token(place: str, evil: Web) -> None:
    with _hub(place, evil) as hub:
        assert await _verified(hub) == f"{hub.url}user/ann/"
    assert evil.requests == []
    last = hub.requests[-1]
    assert (last.path, last.headers["authorization"]) == ("/user/ann/api/status", f"token {TOKEN}")


@pytest.mark.parametrize("place", [*PLACES, BY_ANOTHER_NAME])
async def test_a_redirect_makes_no_other_host_the_hub(place: str, evil: Web) -> None:
    with _hub(place, evil) as hub, pytest.raises(JrcError):
        await detect(ServerAddress.parse(hub.url)[0])
    assert evil.requests == []


@pytest.mark.parametrize("place", ITS_OWN)
async def test_a_redirect_to_itself_shows_the_hub(place: str, evil: Web) -> None:
    with _hub(place, evil) as hub:
        found = await detect(ServerAddress.parse(hub.url)[0])
    assert (found.kind, found.url) == ("hub", hub.url)


async def test_a_404_page_makes_no_other_host_the_server(evil: Web) -> None:
    page = f'<link href="//127.0.0.1:{evil.port}/static/style.css">'.encode()
    with Web({"/api": Reply(404, page, "text/html")}) as web, pytest.raises(JrcError) as caught:
        await detect(ServerAddress.parse(web.url)[0])
    assert str(evil.port) not in f"{caught.value.message} {caught.value.hint}"
    assert evil.requests == []
