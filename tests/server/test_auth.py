"""Tokens and passwords on real servers."""

import logging
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect

from jrc.errors import AuthError, UnreachableError
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.auth import NoAuth, PasswordAuth, TokenAuth
from jrc.server.client import ServerClient
from tests.support.jupyter import JupyterServer, StartJupyter, launch_jupyter, shown_on_failure
from tests.support.proxy import Proxy
from tests.support.web import Reply, Web

pytestmark = pytest.mark.anyio

PASSWORD = "open ; sesame = ü"


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A server with a password and a prefix, where nothing has a token."""
    folder = tmp_path_factory.mktemp("jupyter") / "server"
    server = launch_jupyter(folder, password=PASSWORD, base_url="/team/")
    with shown_on_failure(server):
        yield server


def with_password(url: str, password: str = PASSWORD) -> ServerClient:
    address = ServerAddress(url)
    return ServerClient(address, PasswordAuth(Secret(password), address))


async def test_a_password_opens_everything(protected: JupyterServer) -> None:
    """GET, POST, DELETE and the websocket: the last three check the XSRF token."""
    async with with_password(protected.url) as client:
        await client.verify()
        kernel = await client.start_kernel(None)
        url = client.address.websocket(kernel.id, "abc")
        headers = await client.headers()
        async with connect(url, additional_headers=headers, proxy=None) as websocket:
            assert websocket.response is not None
            assert websocket.response.status_code == 101
        await client.interrupt(kernel.id)
        await client.delete_kernel(kernel.id)


async def test_one_login_serves_all_requests(protected: JupyterServer) -> None:
    with Proxy(protected.url) as proxy:
        async with with_password(proxy.url) as client:
            assert await client.headers() == await client.headers()
            await client.verify()
            await client.kernels()
    logins = [line for line in protected.new_log().splitlines() if "302 POST /team/login" in line]
    assert len(logins) == 1


async def test_a_wrong_password(protected: JupyterServer) -> None:
    async with with_password(protected.url, "wr0ngw0rd") as client:
        with pytest.raises(AuthError, match="refused the password") as raised:
            await client.verify()
    assert "wr0ngw0rd" not in f"{raised.value}{raised.value.hint}"


async def test_a_token_is_refused_where_there_is_none(protected: JupyterServer) -> None:
    auth = TokenAuth(Secret("abc"))
    async with ServerClient(ServerAddress(protected.url), auth) as client:
        with pytest.raises(AuthError):
            await client.verify()


async def test_an_invalid_cookie_is_renewed(start_jupyter: StartJupyter) -> None:
    """The server was restarted with another cookie secret: one more login, nobody is asked."""
    first, second = (start_jupyter(password=PASSWORD) for _ in range(2))
    with Proxy(first.url) as proxy:
        async with with_password(proxy.url) as client:
            await client.verify()
            old = await client.headers()
            proxy.redirect(second.url)
            proxy.cut()
            await client.verify()
            assert await client.headers() != old
            proxy.redirect(first.url)
            proxy.cut()
            kernel = await client.start_kernel(None)
            await client.delete_kernel(kernel.id)


async def test_forgetting_the_login_logs_in_again(protected: JupyterServer) -> None:
    async with with_password(protected.url) as client:
        old = await client.headers()
        client.forget_login()
        assert await client.headers() != old
        await client.verify()


async def test_a_token_works_as_the_password_of_a_token_server(jupyter: JupyterServer) -> None:
    """Its login page takes it, so a person who was asked the wrong question still gets in."""
    async with with_password(jupyter.url, jupyter.token) as client:
        await client.verify()


async def test_no_log_shows_password_or_cookie(
    protected: JupyterServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with with_password(protected.url) as client:
            await client.verify()
            headers = await client.headers()
    assert "team/login" in caplog.text
    for secret in (PASSWORD, headers["X-XSRFToken"], headers["Cookie"]):
        assert secret not in caplog.text
    assert PASSWORD not in repr(vars(client))


async def test_a_server_without_a_login_page() -> None:
    with Web({}) as web:
        async with with_password(web.url) as client:
            with pytest.raises(AuthError, match="has no password login"):
                await client.headers()


async def test_a_login_page_of_another_kind() -> None:
    with Web({"/login": Reply(body=b"<form>", content_type="text/html")}) as web:
        async with with_password(web.url) as client:
            with pytest.raises(AuthError, match="has no password login"):
                await client.headers()


@pytest.mark.parametrize("status", [200, 302, 403])
async def test_a_login_that_gives_no_cookie(status: int) -> None:
    page = Reply(headers={"Set-Cookie": "_xsrf=2|a|b; Path=/"})
    with Web({"/login": [page, Reply(status, headers={"Set-Cookie": "_xsrf=3; Path=/"})]}) as web:
        async with with_password(web.url) as client:
            with pytest.raises(AuthError):
                await client.headers()
    assert web.requests[1].headers["cookie"] == "_xsrf=2|a|b"


async def test_the_password_is_not_sent_to_where_a_login_page_redirects() -> None:
    with Web({}) as thief, Web({"/login": Reply(302, headers={"Location": thief.url})}) as web:
        async with with_password(web.url) as client:
            with pytest.raises(UnreachableError, match="jrc did not follow"):
                await client.headers()
    assert thief.requests == []
    assert [request.method for request in web.requests] == ["GET"]


async def test_an_open_server(start_jupyter: StartJupyter) -> None:
    server = start_jupyter(token="")
    async with ServerClient(ServerAddress(server.url), NoAuth()) as client:
        await client.verify()
        kernel = await client.start_kernel(None)
        client.forget_login()
        await client.delete_kernel(kernel.id)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "é", "\x00"])
async def test_what_no_header_can_carry_is_no_token(token: str) -> None:
    with pytest.raises(AuthError) as raised:
        TokenAuth(Secret(token))
    assert not token or token not in raised.value.message.split("'")
