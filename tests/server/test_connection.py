"""The way to a server: what connections trust, show and carry; and where they do not go."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from jrc.errors import ConfigError, ProtocolError
from jrc.kernel.link import open_link
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.server.auth import TokenAuth
from jrc.server.client import ServerClient
from jrc.server.connection import Way, tls_context
from tests.support.certificates import Authority
from tests.support.web import Reply, Web

pytestmark = pytest.mark.anyio

HERE = ServerAddress("https://h.org/")


def test_without_tls_there_is_nothing_to_check() -> None:
    assert tls_context(ServerAddress("http://h.org/"), Way(ca_file="/missing")) is None


def test_a_ca_file_is_trusted_beside_the_system(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    plain, more = tls_context(HERE, Way()), tls_context(HERE, Way(ca_file=str(authority.file)))
    assert plain is not None
    assert more is not None
    assert more.verify_mode is ssl.CERT_REQUIRED
    assert len(more.get_ca_certs()) == len(plain.get_ca_certs()) + 1


def test_an_encrypted_key_is_not_asked_for(tmp_path: Path) -> None:
    """OpenSSL would ask at the terminal, in the middle of a run."""
    client = Authority(tmp_path).client("ada")
    key = serialization.load_pem_private_key(client.read_bytes(), None)
    encrypted = tmp_path / "key.pem"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    with pytest.raises(ConfigError, match="is encrypted"):
        tls_context(HERE, Way(client_cert=str(client), client_key=str(encrypted)))


def test_a_key_of_another_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    way = Way(client_cert=str(authority.client("ada")), client_key=str(authority.client("eve")))
    with pytest.raises(ConfigError, match="is not that of the certificate"):
        tls_context(HERE, way)


async def test_headers_go_with_every_request() -> None:
    """And with the websocket; the credentials win over one of the same name."""
    way = Way(headers={"X-A": "b", "Authorization": "Basic x"})
    with Web({"/api": Reply(body=b'{"version": "2"}')}) as web:
        auth = TokenAuth(Secret("t"))
        async with ServerClient(ServerAddress(web.url), auth, way) as client:
            await client.version()
            for_websocket = await client.headers()
    sent = web.requests[0].headers
    assert (sent["x-a"], sent["authorization"]) == ("b", "token t")
    assert for_websocket == {"X-A": "b", "Authorization": "token t"}
    assert "Basic" not in repr(way)


async def test_a_websocket_follows_no_redirect() -> None:
    """It would take the credentials along, to another host too."""
    with Web({}) as elsewhere:
        there = f"{elsewhere.url}api/kernels/k/channels"
        with Web({"/api/kernels/k/channels": Reply(302, headers={"Location": there})}) as web:
            url = web.url.replace("http", "ws") + "api/kernels/k/channels"
            with pytest.raises(ProtocolError, match="HTTP 302 instead of opening a websocket"):
                await open_link(url, {"Authorization": "token t"}, tls=None, use_proxy=False)
    assert elsewhere.requests == []


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
async def test_a_socks_proxy_wants_a_package(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "socks5://127.0.0.1:1")
    with contextlib.suppress(ImportError):
        import socksio  # noqa: F401

        pytest.fail("this test is for an environment without socksio")
    async with ServerClient(HERE, TokenAuth(Secret("t"))) as client:
        with pytest.raises(ConfigError, match="names a SOCKS proxy"):
            await client.version()
    with pytest.raises(ConfigError, match="names a SOCKS proxy"):
        async with asyncio.timeout(10):
            await open_link("wss://h.org/api", {}, tls=None, use_proxy=True)
