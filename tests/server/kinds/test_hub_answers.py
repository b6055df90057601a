"""JupyterHub's words: what is read from them, whatever they are."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jrc.errors import ProtocolError
from jrc.server.address import ServerAddress
from jrc.server.auth import NoAuth
from jrc.server.kinds.hub import HubClient
from jrc.server.kinds.hub_answers import (
    HubServer,
    HubUser,
    SpawnEvent,
    State,
    may,
    missing_scopes,
    read_event,
    read_user,
    server_url,
    state_of,
)
from jrc.server.models import answer_of
from jrc.shapes import Reader

HUB = "https://hub.org/p/"


def user(**servers: object) -> Reader:
    return answer_of(
        "GET x", {"name": "ann", "scopes": ["access:servers!user=ann"], "servers": servers}
    )


@pytest.mark.parametrize(
    ("server", "state"),
    [
        ({"ready": True, "pending": None, "url": "/p/user/ann/"}, State.READY),
        ({"ready": False, "pending": "spawn"}, State.STARTING),
        ({"ready": False, "pending": "stop"}, State.STOPPING),
        ({"ready": False, "pending": None}, State.STOPPED),
    ],
)
def test_states(server: object, state: State) -> None:
    found = read_user(user(**{"": server}))
    assert state_of(found, "") is state
    assert state_of(found, "other") is State.STOPPED


def test_servers_that_may_not_be_seen() -> None:
    assert state_of(read_user(answer_of("GET x", {"name": "ann"})), "") is State.UNKNOWN


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (
            'data: {"progress": 0, "message": "Server\\nrequested"}',
            SpawnEvent("Server requested", 0),
        ),
        (
            'data: {"progress": 100, "ready": true, "message": "Ready", "url": "/u/"}',
            SpawnEvent("Ready", 100, ready=True),
        ),
        (
            'data: {"progress": 100, "failed": true, "message": "No"}',
            SpawnEvent("No", 100, failed=True),
        ),
        ("", None),
        (": comment", None),
        ("data: [1]", None),
        ("data: {", None),
        ('data: {"progress": 101}', SpawnEvent("")),
    ],
)
def test_events(line: str, event: SpawnEvent | None) -> None:
    assert read_event(line) == event


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda each: (
            st.lists(each)
            | st.dictionaries(st.sampled_from(["progress", "message", "ready"]), each)
        ),
    ).map(lambda value: f"data: {json.dumps(value)}")
)
def test_no_line_breaks_it(line: str) -> None:
    found = read_event(line)
    assert found is None or isinstance(found.message, str)


@pytest.mark.parametrize(
    ("scopes", "lacks"),
    [
        (["access:servers", "read:servers", "start:servers"], []),
        (["access:servers!user=ann", "read:servers!user=ann", "servers!user=ann"], []),
        (["access:servers!server=ann/gpu", "read:servers!user=ann"], ["start:servers"]),
        (["access:servers!server=ann/"], ["access:servers", "read:servers", "start:servers"]),
        (["access:servers!user=bob"], ["access:servers", "read:servers", "start:servers"]),
        (["access:servers!group=x", "read:servers", "start:servers"], []),
    ],
)
def test_scopes(scopes: list[str], lacks: list[str]) -> None:
    assert missing_scopes(scopes, "ann", "gpu") == lacks


def test_a_scope_of_another_name_is_none() -> None:
    assert not may(["access:servers:x", "xaccess:servers"], "access:servers", "ann", "")


@pytest.mark.parametrize(
    ("given_url", "url"),
    [
        ("/p/user/ann/gpu/", "https://hub.org/p/user/ann/gpu/"),
        ("", "https://hub.org/p/user/ann/gpu/"),
        ("https://hub.org/p/user/ann/gpu/", "https://hub.org/p/user/ann/gpu/"),
        ("https://ann.hub.org/p/user/ann/gpu/", "https://ann.hub.org/p/user/ann/gpu/"),
        # The public name of a hub that we reach through a tunnel.
        ("https://public.org/p/user/ann/gpu/", "https://hub.org/p/user/ann/gpu/"),
    ],
)
def test_urls(given_url: str, url: str) -> None:
    assert server_url(HUB, HubServer("gpu", True, "", given_url), "ann", "gpu") == url


def test_no_token_goes_to_a_host_that_is_not_the_hub_s() -> None:
    server = HubServer("gpu", True, "", "https://evil.org/steal/")
    with pytest.raises(ProtocolError, match="another host"):
        server_url(HUB, server, "ann", "gpu")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("server", "place"),
    [
        (HubServer("", ready=True, pending="", url="/user/ann/"), "http://hub/user/ann/"),
        (HubServer("", ready=False, pending="spawn", url="/user/ann/"), None),
        (None, None),
    ],
)
async def test_a_question_starts_no_server(
    server: HubServer | None, place: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who lists runs, or completes a word, did not ask for a pod."""

    async def me(_: HubClient) -> HubUser:
        return HubUser("ann", frozenset(), {} if server is None else {"": server})

    monkeypatch.setattr(HubClient, "me", me)
    async with HubClient(ServerAddress("http://hub/"), NoAuth()) as hub:
        found = await hub.running_server("", "", None, print)
    assert (found and found.base_url) == place
