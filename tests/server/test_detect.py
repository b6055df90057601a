"""What a URL leads to: real servers, and the recorded answers of those that are not here."""

import socket
import socketserver
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from jrc.errors import UnreachableError
from jrc.server.address import ServerAddress
from jrc.server.connection import DIRECT, Way
from jrc.server.detect import DetectTiming, detect, what_else
from jrc.server.kinds import MODULES, every_kind
from jrc.server.kinds.recognition import Detected, Probed
from tests.support.answers import HTML, JSON, answer_to
from tests.support.certificates import make_certificate
from tests.support.jupyter import JupyterServer, StartJupyter
from tests.support.proxy import Proxy
from tests.support.web import Reply, Web

pytestmark = pytest.mark.anyio

VERSION = Reply(body=b'{"version": "2.21.1"}')
FORBIDDEN = Reply(403, b'{"message": "Forbidden", "reason": null}')


async def failure(
    url: str, way: Way = DIRECT, timing: DetectTiming | None = None
) -> UnreachableError:
    with pytest.raises(UnreachableError) as raised:
        await detect(ServerAddress(url), way, timing)
    return raised.value


async def test_a_token_server(jupyter: JupyterServer) -> None:
    version = jupyter.rest("GET", "api")["version"]
    assert await detect(ServerAddress(jupyter.url)) == Detected(
        "server", f"Jupyter Server {version}", "token", jupyter.url, version
    )


@pytest.mark.parametrize(
    ("token", "password", "auth"), [("", "sesame", "password"), ("", "", "none")]
)
async def test_other_authentication(
    start_jupyter: StartJupyter, token: str, password: str, auth: str
) -> None:
    server = start_jupyter(token=token, password=password)
    assert (await detect(ServerAddress(server.url))).auth == auth


async def test_a_missing_or_wrong_base_url_is_found(start_jupyter: StartJupyter) -> None:
    """The server's 404 page links to its style, and so tells where it lives."""
    server = start_jupyter(base_url="/team/a/", token="t", password="p")
    assert (await detect(ServerAddress(server.url))).auth == "token"
    root = server.url.removesuffix("team/a/")
    for wrong in (root, f"{root}team/", f"{root}team/a/lab/"):
        error = await failure(wrong)
        assert f"is not at {wrong} but at {server.url}" in error.message
        assert error.hint == f"jrc login {server.url}"


async def test_a_server_that_refuses_its_name(jupyter: JupyterServer) -> None:
    """It listens on this machine only and so answers 403 to any other Host header."""
    with Web({"/api": FORBIDDEN}) as web:
        error = await failure(web.url)
    assert "refuses to be called 127.0.0.1:" in error.message


async def test_tls(start_jupyter: StartJupyter, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    certificate = make_certificate(tmp_path)
    server = start_jupyter(certfile=certificate.server, keyfile=certificate.server)
    host = server.url.removeprefix("https://").rstrip("/")

    error = await failure(server.url)
    assert error.message == (
        f"The certificate of {host} is signed by a CA that this machine does not trust."
    )
    assert error.hint is not None
    assert "--ca-file" in error.hint

    assert (await detect(ServerAddress(server.url), Way(verify_tls=False))).auth == "token"

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.ca))
    assert (await detect(ServerAddress(server.url))).auth == "token"

    error = await failure(f"http://{host}/")
    assert error.message == f"{host} speaks TLS, and was asked in plain HTTP."
    assert error.hint == f"jrc login https://{host}/"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "jupyter.example.org"}, "is for another name: "),
        ({"expired": True}, "is not valid now: certificate has expired"),
        ({"self_signed": True}, "is self-signed, so it proves nothing"),
    ],
)
async def test_bad_certificates(  # type: ignore[no-untyped-def]
    tmp_path: Path, monkeypatch, options: dict[str, str | bool], words: str
) -> None:
    certificate = make_certificate(tmp_path, **options)  # type: ignore[arg-type]
    if "self_signed" not in options:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.ca))
    with Web({"/api": VERSION}, tls=certificate.context()) as web:
        error = await failure(web.url)
        assert words in error.message
        assert error.hint
    assert web.requests == []


async def test_https_to_a_plain_port(jupyter: JupyterServer) -> None:
    url = jupyter.url.replace("http:", "https:")
    error = await failure(url)
    assert "does not speak TLS" in error.message
    assert error.hint == f"jrc login {jupyter.url}"


async def test_an_unknown_host() -> None:
    assert "is not known" in (await failure("https://no-such-host.invalid/")).message


async def test_nothing_listens() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    error = await failure(f"http://127.0.0.1:{port}/")
    assert error.message == f"Nothing listens at 127.0.0.1:{port} (connection refused)."


async def test_a_silent_port(jupyter: JupyterServer) -> None:
    timing = DetectTiming(answer=0.2)
    with Proxy(jupyter.url) as proxy:
        proxy.black_hole()
        assert (
            "accepted the connection but did not answer"
            in (await failure(proxy.url, timing=timing)).message
        )


async def test_a_port_that_only_closes(jupyter: JupyterServer) -> None:
    with Web({"/api": Reply(0)}) as web:
        assert "closed the connection without an answer" in (await failure(web.url)).message


async def test_something_that_is_not_http() -> None:
    class Greeter(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
            self.request.recv(4096)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            error = await failure(f"http://127.0.0.1:{server.server_address[1]}/")
        finally:
            server.shutdown()
            thread.join()
    assert "closed the connection without an answer" in error.message


async def test_detection_sends_no_credentials_and_follows_nothing() -> None:
    with Web({}) as elsewhere:
        away = Reply(302, headers={"Location": f"{elsewhere.url}oauth?state=s3cret"})
        with Web({"/api": away}) as web:
            error = await failure(web.url)
    assert f"redirects to 127.0.0.1:{elsewhere.port}, probably a login page" in error.message
    assert elsewhere.requests == []
    assert not {"authorization", "cookie"} & set(web.requests[0].headers)


@pytest.mark.parametrize(
    ("url", "reply", "words", "hint"),
    [
        pytest.param(
            "http://web/",
            (200, "<html>Welcome</html>", HTML, {}),
            "http://web/ answers a web page, but not as a Jupyter Server does.",
            "Copy the URL from the browser",
            id="a web page",
        ),
        pytest.param(
            "http://web/",
            (200, '{"status": "ok"}', JSON, {}),
            "answers something, but not as a Jupyter Server does.",
            "",
            id="another program's JSON",
        ),
        pytest.param(
            "http://web/x/",
            (404, "<html>nginx</html>", HTML, {}),
            "There is no Jupyter Server at http://web/x/ (HTTP 404).",
            "jrc login http://web/PREFIX/",
            id="404",
        ),
        pytest.param(
            "http://h/",
            (301, "", HTML, {"location": "https://h/api"}),
            "http://h/ expects https.",
            "jrc login https://h/",
            id="redirect to https",
        ),
        pytest.param(
            "http://h/",
            (301, "", HTML, {"location": "/jupyter/api"}),
            "is not at http://h/ but at http://h/jupyter/",
            "jrc login http://h/jupyter/",
            id="redirect to the base URL",
        ),
        pytest.param(
            "https://h/",
            (302, "", HTML, {"location": "https://u:p@sso.example.org/auth?state=s3cret"}),
            "redirects to sso.example.org, probably a login page in front of it.",
            "--credential-command",
            id="ingress login",
        ),
        pytest.param(
            "https://h/",
            (401, "<html>", HTML, {"www_authenticate": 'Basic realm="x"'}),
            "A proxy in front of h asks for a login of its own (Basic).",
            "--header NAME=env:VARIABLE",
            id="basic authentication",
        ),
        pytest.param(
            "https://h/",
            (403, "<html>Access denied</html>", HTML, {}),
            "A proxy in front of h does not let us through (HTTP 403).",
            "VPN",
            id="forbidden by a proxy",
        ),
        pytest.param(
            "http://h:443/",
            (400, "<h1>The plain HTTP request was sent to HTTPS port</h1>", HTML, {}),
            "h:443 speaks TLS, and was asked in plain HTTP.",
            "jrc login https://h:443/",
            id="plain HTTP to nginx",
        ),
        pytest.param(
            "http://h:443/",
            (400, "Client sent an HTTP request to an HTTPS server.\n", "text/plain", {}),
            "h:443 speaks TLS",
            "",
            id="plain HTTP to a Go program",
        ),
        pytest.param(
            "https://h/",
            (503, "<html>no healthy upstream", HTML, {}),
            "A proxy answers for h, but the server behind it does not (HTTP 503).",
            "It may still be starting",
            id="server behind the proxy is down",
        ),
    ],
)
def test_what_is_no_server(
    url: str, reply: tuple[int, str, str, dict[str, str]], words: str, hint: str
) -> None:
    status, body, content_type, headers = reply
    api, address = answer_to(url, status, body, content_type, **headers), ServerAddress(url)
    probed = Probed(address, {address.rest("api"): api})
    assert [kind.recognise(probed) for kind in every_kind()] == [None] * len(MODULES)
    error = what_else(api, address)
    assert isinstance(error, UnreachableError)
    assert words in error.message
    assert hint in (error.hint or "")
    assert "s3cret" not in error.message


REFUSAL = b'{"reason": "Unauthorized", "message": ""}'


@pytest.mark.parametrize(
    ("replies", "title", "auth", "version"),
    [
        ({"/api": Reply(401, REFUSAL)}, "a kernel gateway", "token", ""),
        ({"/api": VERSION}, "a kernel gateway", "none", ""),
        (
            {"/api": Reply(body=b'{"version": "1.24.0", "gateway_version": "3.3.0"}')},
            "Enterprise Gateway 3.3.0",
            "none",
            "3.3.0",
        ),
    ],
    ids=["with a token", "open Kernel Gateway", "open Enterprise Gateway"],
)
async def test_gateways(
    replies: dict[str, Reply | list[Reply]], title: str, auth: str, version: str
) -> None:
    """They refuse even ``/api``, or have no ``/api/status``."""
    with Web(replies) as web:
        found = await detect(ServerAddress(web.url))
    assert found == Detected("gateway", title, auth, web.url, version)


async def test_another_program_that_wants_a_login() -> None:
    with Web({"/api": Reply(401, b'{"message": "Unauthorized"}')}) as web:
        error = await failure(web.url)
    assert "wants a login before it says what it is (HTTP 401)" in error.message
