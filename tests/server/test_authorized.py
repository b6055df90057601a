"""A session whose credentials are refused waits for the person, and goes on."""

import asyncio

import pytest

from jrc.errors import AuthError
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.auth import Auth, TokenAuth
from jrc.server.authorized import Relogin, ReloginTiming, SavedAuth
from jrc.server.client import ServerClient
from tests.support.jupyter import JupyterServer

pytestmark = pytest.mark.anyio


class Saved:
    """What is saved: a token, and how often somebody logged in."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.logins = 0

    def auth(self) -> SavedAuth:
        return SavedAuth(lambda: TokenAuth(Secret(self.token)), lambda: self.logins)

    def log_in(self, token: str) -> None:
        self.token, self.logins = token, self.logins + 1


def client(jupyter: JupyterServer, auth: Auth, relogin: Relogin | None = None) -> ServerClient:
    return ServerClient(ServerAddress(jupyter.url), auth, relogin=relogin)


async def test_a_command_fails_at_once(jupyter: JupyterServer) -> None:
    auth, said = Saved("wrong").auth(), list[str]()
    async with client(jupyter, auth, Relogin(auth, "team", said.append)) as server:
        with pytest.raises(AuthError):
            await server.kernelspecs()
    assert said == []


async def test_a_session_waits_and_goes_on(jupyter: JupyterServer) -> None:
    """Two requests that wait are told of once; a login that is wrong too waits again."""
    saved, said = Saved("expired"), list[str]()
    auth = saved.auth()
    relogin = Relogin(auth, "team", said.append, ReloginTiming(poll=0.01))
    async with client(jupyter, auth, relogin) as server:
        server.session_began()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(server.kernelspecs()) for _ in range(2)]
            await until(lambda: len(said) == 1)
            saved.log_in("wrong too")
            await until(lambda: len(said) >= 3)
            saved.log_in(jupyter.token)
        assert all(task.result().specs for task in tasks)
    assert "In another terminal: jrc login --profile team" in said[0]
    assert said[1] == "Logged in again; going on."


async def test_it_does_not_wait_for_ever(jupyter: JupyterServer) -> None:
    auth = Saved("expired").auth()
    relogin = Relogin(auth, "team", lambda _: None, ReloginTiming(wait=0.05))
    async with client(jupyter, auth, relogin) as server:
        server.session_began()
        with pytest.raises(AuthError):
            await server.kernelspecs()


async def until(condition) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)
