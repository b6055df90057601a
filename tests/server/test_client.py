"""The REST client against a real server, and against what no real server does."""

import asyncio
import logging
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import closing

import httpx
import pytest

from jrc.errors import AuthError, NotFoundError, ProtocolError, UnreachableError
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.auth import NoAuth, TokenAuth
from jrc.server.client import ClientTiming, ServerClient
from jrc.server.http_errors import from_exception
from tests.support.jupyter import JupyterServer, StartJupyter
from tests.support.proxy import Proxy
from tests.support.web import Reply, Web

pytestmark = pytest.mark.anyio

TOKEN = "t0ps3cret"


def client_of(url: str, token: str = TOKEN, timing: ClientTiming | None = None) -> ServerClient:
    return ServerClient(ServerAddress(url), TokenAuth(Secret(token)), timing=timing)


def unique_path() -> str:
    return f"jrc/test/{uuid.uuid4().hex}"


@pytest.fixture
async def client(jupyter: JupyterServer) -> AsyncIterator[ServerClient]:
    async with client_of(jupyter.url, jupyter.token) as client:
        yield client


async def test_version_and_verify(client: ServerClient, jupyter: JupyterServer) -> None:
    assert await client.version() == jupyter.rest("GET", "api")["version"]
    await client.verify()


@pytest.mark.parametrize("auth", [TokenAuth(Secret("wr0ngt0ken")), NoAuth()])
async def test_wrong_credentials(jupyter: JupyterServer, auth: TokenAuth | NoAuth) -> None:
    async with ServerClient(ServerAddress(jupyter.url), auth) as client:
        with pytest.raises(AuthError) as raised:
            await client.verify()
    assert raised.value.message == (f"{jupyter.url} refused the credentials (HTTP 403: Forbidden).")
    assert raised.value.hint == f"Log in again: jrc login {jupyter.url}"


async def test_kernelspecs(client: ServerClient) -> None:
    specs = await client.kernelspecs()
    assert specs.specs[specs.default].language == "python"


async def test_the_life_of_a_session(client: ServerClient) -> None:
    """Created once per path, listed with its kernel, interrupted, restarted, deleted."""
    path = unique_path()
    session = await client.create_session(path, "a.ipynb", "notebook", "python3")
    assert (session.path, session.name, session.type) == (path, "a.ipynb", "notebook")
    assert await client.create_session(path, "a.ipynb", "notebook", None) == session
    assert session.id in [each.id for each in await client.sessions()]
    assert session.kernel.id in [each.id for each in await client.kernels()]
    kernel = await client.kernel(session.kernel.id)
    assert kernel is not None
    assert kernel.name == "python3"
    await client.interrupt(kernel.id)
    assert (await client.restart(kernel.id)).id == kernel.id
    await client.delete_session(session.id)
    assert await client.kernel(kernel.id) is None
    await client.delete_session(session.id)


async def test_an_unknown_kernelspec_names_those_that_exist(client: ServerClient) -> None:
    with pytest.raises(NotFoundError, match="has no kernelspec 'julia'") as session:
        await client.create_session(unique_path(), "a", "notebook", "julia")
    with pytest.raises(NotFoundError, match="has no kernelspec 'julia'") as kernel:
        await client.start_kernel("julia")
    assert session.value.hint == kernel.value.hint == "It has: python3"


async def test_a_kernel_that_is_not_there(client: ServerClient) -> None:
    gone = str(uuid.uuid4())
    for action in (client.delete_kernel, client.interrupt, client.restart):
        with pytest.raises(NotFoundError, match=f"has no kernel {gone}"):
            await action(gone)


async def test_request_gives_the_decoded_body(client: ServerClient) -> None:
    status = await client.request("GET", "api", "status")
    assert isinstance(status, dict)
    assert "kernels" in status
    found = await client.request("GET", "api", "contents", params={"content": "0"})
    assert isinstance(found, dict)
    assert found["content"] is None


async def test_a_base_url_prefixes_everything(start_jupyter: StartJupyter) -> None:
    server = start_jupyter(base_url="/team/x%20y/")
    address, _ = ServerAddress.parse(server.url)
    async with ServerClient(address, TokenAuth(Secret(server.token))) as client:
        await client.verify()
        assert await client.kernels() == []


async def test_a_token_client_keeps_no_cookie() -> None:
    """A cookie sent back would make the server ask for an XSRF token."""
    cookie = Reply(body=b'{"version": "2"}', headers={"Set-Cookie": "username-x=1; Path=/"})
    with Web({"/api": cookie}) as web:
        async with client_of(web.url) as client:
            await client.version()
            await client.version()
    assert [request.headers.get("cookie") for request in web.requests] == [None, None]
    assert web.requests[1].headers["authorization"] == f"token {TOKEN}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_takes_no_credentials_elsewhere(status: int) -> None:
    with Web({"/api/kernels": Reply(body=b"[]")}) as thief:
        away = Reply(status, headers={"Location": f"{thief.url}api/kernels?state=s3cret"})
        with Web({"/api/kernels": away}) as web:
            async with client_of(web.url) as client:
                with pytest.raises(UnreachableError, match="jrc did not follow") as raised:
                    await client.kernels()
    assert thief.requests == []
    assert f"127.0.0.1:{thief.port}" in raised.value.message
    assert "s3cret" not in raised.value.message


async def test_a_redirect_on_the_same_server_is_not_followed_either() -> None:
    with Web({"/api/kernels": Reply(302, headers={"Location": "/elsewhere"})}) as web:
        async with client_of(web.url) as client:
            with pytest.raises(UnreachableError, match=r"redirects to http://.*/elsewhere"):
                await client.kernels()
    assert [request.path for request in web.requests] == ["/api/kernels"]


async def test_no_log_shows_the_token(
    jupyter: JupyterServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with client_of(jupyter.url, jupyter.token) as client:
            await client.verify()
            with pytest.raises(NotFoundError):
                await client.request("GET", "api", "nothing")
    assert len([line for line in caplog.text.splitlines() if "api/status" in line]) == 1
    assert jupyter.token not in caplog.text
    assert jupyter.token not in repr(client)


async def test_an_html_error_page_is_not_quoted(
    client: ServerClient, jupyter: JupyterServer
) -> None:
    """Jupyter Server writes its token into its error pages."""
    page = httpx.get(
        f"{jupyter.url}nothing",
        headers={"Authorization": f"token {jupyter.token}"},
        trust_env=False,
    )
    assert jupyter.token in page.text
    with pytest.raises(NotFoundError) as raised:
        await client.request("GET", "nothing")
    assert raised.value.message == f"GET {jupyter.url}nothing does not exist (HTTP 404)."


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(body=b"[1]"), ProtocolError, "answered a number at [0] where an object belongs"),
        (Reply(body=b"{"), ProtocolError, "answered something else where JSON belongs"),
        (Reply(body=b"\xff\xfe"), ProtocolError, "where JSON belongs"),
        (Reply(body=b"<p>", content_type="text/html"), ProtocolError, "answered a web page"),
        (Reply(401), AuthError, "refused the credentials (HTTP 401)"),
        (Reply(400, b'{"message": "no\\n such"}'), ProtocolError, "(HTTP 400: no such)"),
        (Reply(500, b'{"message": "disk full"}'), UnreachableError, "(HTTP 500: disk full)"),
        (Reply(500, b'{"message": "", "reason": "why"}'), UnreachableError, "(HTTP 500: why)"),
        (Reply(500, b'{"message": ["a"]}'), UnreachableError, "(HTTP 500)"),
        (Reply(500, b"[]"), UnreachableError, "(HTTP 500)"),
        (Reply(500, b"[" * 100_000), UnreachableError, "(HTTP 500)"),
        (Reply(500, b'{"message": "%s"}' % (b"x" * 999)), UnreachableError, "xxx…)"),
        (Reply(502, b"<h1>", "text/html"), UnreachableError, "A proxy answers for 127.0.0.1:"),
        (Reply(429), UnreachableError, "(HTTP 429)"),
        (Reply(424, b'{"message": "off"}'), UnreachableError, "JupyterHub says"),
    ],
)
async def test_odd_answers(reply: Reply, kind: type[Exception], words: str) -> None:
    with Web({"/api/kernels": reply}) as web:
        async with client_of(web.url) as client:
            with pytest.raises(kind) as raised:
                await client.kernels()
    assert words in str(raised.value)


async def test_a_failed_start_of_a_known_kernelspec_shows_the_server_s_reason() -> None:
    specs = Reply(body=b'{"default": "ir", "kernelspecs": {"ir": {"spec": {}}}}')
    failed = Reply(500, b'{"message": "R is not installed"}')
    with Web({"/api/kernelspecs": specs, "/api/kernels": failed}) as web:
        async with client_of(web.url) as client:
            with pytest.raises(UnreachableError, match="R is not installed"):
                await client.start_kernel("ir")


async def test_a_404_counts_only_from_a_server_that_is_there() -> None:
    """A proxy may give it to every request while its server is away, and stop in between."""
    version, kernel = Reply(body=b'{"version": "2.14"}'), Reply(body=b'{"id": "k", "name": "p"}')
    nothing = Reply(404)
    with Web({}) as web:
        async with client_of(web.url) as client:
            with pytest.raises(UnreachableError, match="a proxy answers in its place"):
                await client.kernel("k")
            with pytest.raises(UnreachableError, match="a proxy answers in its place"):
                await client.delete_session("s")
    with Web({"/api": version, "/api/kernels/k": [nothing, kernel]}) as web:
        async with client_of(web.url) as client:
            found = await client.kernel("k")
            assert found is not None
            assert found.id == "k"
            assert await client.kernel("other") is None
            await client.delete_session("s")


async def test_a_get_is_sent_again_when_the_connection_breaks() -> None:
    with Web({"/api": [Reply(0), Reply(body=b'{"version": "2.14"}')]}) as web:
        async with client_of(web.url) as client:
            assert await client.version() == "2.14"
    assert len(web.requests) == 2


async def test_a_post_is_never_sent_again() -> None:
    """It may have arrived: a second kernel would start."""
    with Web({"/api/kernels": Reply(0)}) as web:
        async with client_of(web.url) as client:
            with pytest.raises(UnreachableError, match="closed the connection without an answer"):
                await client.start_kernel(None)
    assert len(web.requests) == 1


async def test_a_delete_is_sent_again_while_the_server_restarts_the_kernel() -> None:
    # The window of a real server is some milliseconds long, in the restart of a kernel that died.
    timing = ClientTiming(delete_pauses=(0.01, 0.01))
    failed = Reply(500, b'{"message": "Unhandled error"}')
    for path in ("sessions", "kernels"):
        with Web({f"/api/{path}/k1": [failed, failed, Reply(204)]}) as web:
            async with client_of(web.url, timing=timing) as client:
                await (client.delete_session if path == "sessions" else client.delete_kernel)("k1")
        assert len(web.requests) == 3
    with Web({"/api/sessions/k1": failed}) as web:
        async with client_of(web.url, timing=timing) as client:
            with pytest.raises(UnreachableError, match="Unhandled error"):
                await client.delete_session("k1")
    assert len(web.requests) == 3


async def test_a_session_is_deleted_though_the_line_breaks_or_is_dead(
    jupyter: JupyterServer,
) -> None:
    """Twice is once for a session; a kernel that is deleted twice is one that is not there."""
    for path, count in (("sessions", 2), ("kernels", 1)):
        with Web({f"/api/{path}/k1": [Reply(0), Reply(204)]}) as web:
            async with client_of(web.url) as client:
                if path == "sessions":
                    await client.delete_session("k1")
                else:
                    with pytest.raises(UnreachableError, match="closed the connection"):
                        await client.delete_kernel("k1")
        assert len(web.requests) == count
    timing = ClientTiming(swallowed=0.3)
    with Proxy(jupyter.url) as proxy:
        async with client_of(proxy.url, jupyter.token, timing) as client:
            session = await client.create_session(
                "gone.ipynb", name="gone.ipynb", type="notebook", kernel_name=None
            )
            proxy.black_hole(swallow=True)
            before = proxy.bytes_up
            deleting = asyncio.create_task(client.delete_session(session.id))
            while proxy.bytes_up == before:
                await asyncio.sleep(0.01)
            proxy.restore()
            await deleting
            assert session.id not in [each.id for each in await client.sessions()]


async def test_a_get_finds_the_server_that_comes_back(jupyter: JupyterServer) -> None:
    """A keep-alive connection that was cut meanwhile is no failure."""
    with Proxy(jupyter.url) as proxy:
        async with client_of(proxy.url, jupyter.token) as client:
            await client.verify()
            proxy.cut()
            await client.verify()
        assert proxy.connections == 2


async def test_nothing_listens() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    async with client_of(f"http://127.0.0.1:{port}/") as client:
        with pytest.raises(UnreachableError, match=rf"Nothing listens at 127.0.0.1:{port} "):
            await client.kernels()


async def test_an_unknown_host() -> None:
    async with client_of("http://no-such-host.invalid/") as client:
        with pytest.raises(UnreachableError, match=r"host name no-such-host.invalid is not known"):
            await client.start_kernel(None)


async def test_a_silent_server(jupyter: JupyterServer) -> None:
    with Proxy(jupyter.url) as proxy:
        proxy.black_hole()
        async with client_of(proxy.url) as client:
            with pytest.raises(
                UnreachableError, match="accepted the connection but did not answer"
            ):
                await client.request("GET", "api", seconds=0.2)


async def test_this_machine_is_reached_around_proxies(
    jupyter: JupyterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9/")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9/")
    async with client_of(jupyter.url, jupyter.token) as client:
        await client.verify()


async def test_the_environment_s_proxy_is_used_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with Web({"http://jupyter.example.org/api": Reply(body=b'{"version": "1"}')}) as web:
        monkeypatch.setenv("http_proxy", web.url)
        async with client_of("http://jupyter.example.org/") as client:
            assert await client.version() == "1"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectTimeout(""), "h:1 does not answer: no connection in time."),
        (httpx.ReadTimeout(""), "h:1 accepted the connection but did not answer GET x in time."),
        (httpx.ProxyError("407 No"), "did not let us through to h:1: 407 No."),
        (OSError(101, "Network is unreachable"), "h:1 can't be reached: network is unreachable."),
        (ConnectionResetError(), "h:1 closed the connection without an answer."),
        (httpx.RemoteProtocolError("junk"), "h:1 closed the connection without an answer."),
        (httpx.DecodingError("gzip"), "GET x failed: DecodingError."),
    ],
)
async def test_failures_in_words(error: Exception, words: str) -> None:
    assert from_exception(error, "GET x", ServerAddress("http://h:1/")).message.endswith(words)
