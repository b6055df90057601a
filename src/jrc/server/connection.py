"""How connections to a server are made: certificates, and headers that a network asks for.

The same way for REST and for websockets.
"""

import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Never

from jrc.errors import ConfigError, JrcError
from jrc.server.address import ServerAddress

if TYPE_CHECKING:
    import ssl

    from jrc.tunnel.entrance import Entrance

Talk = Callable[[str], None]
"""Called with a line for the person while something takes its time."""


def _may_come_back() -> JrcError | None:
    return None


class Way(NamedTuple):
    """How every connection to a server is made, REST and websockets alike.

    Attributes:
        verify_tls: whether the server's certificate must be valid.
        ca_file: PEM file of CAs that are trusted beside the system's; empty for none.
        client_cert: PEM file that shows who we are; empty for none.
        client_key: PEM file of its key; empty when ``client_cert`` holds it too.
        headers: sent with every request; their values may be secret.
        entrance: of the tunnel that leads there; None for a server that is reached without one.
        verdict: asked when the server can't be reached: why it stays so until
            somebody acts; None where it may come back by itself.
    """

    verify_tls: bool = True
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    entrance: "Entrance | None" = None
    verdict: Callable[[], JrcError | None] = _may_come_back

    def __repr__(self) -> str:
        # The values of headers may be secret.
        files = (self.ca_file, self.client_cert, self.client_key)
        return f"Way({self.verify_tls}, {files}, {list(self.headers)})"


DIRECT = Way()
"""Nothing special."""


def tls_context(address: ServerAddress, way: Way) -> "ssl.SSLContext | None":
    """The context for connections to a server; None where it is asked without TLS.

    The trusted CAs are those of the system, where a company installs its own, or of
    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` when set; and those of ``way.ca_file``.

    Args:
        address: the server.
        way: what to trust and what to show.

    Raises:
        ConfigError: one of its files can't be used.
    """
    if not address.is_tls:
        return None
    context = _trusting_the_system() if way.verify_tls else _trusting_everybody()
    if way.ca_file and way.verify_tls:
        _add_ca(context, way.ca_file)
    if way.client_cert:
        _add_client(context, way)
    return context


def _trusting_everybody() -> "ssl.SSLContext":
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _trusting_the_system() -> "ssl.SSLContext":
    import ssl

    named = any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    if named or sys.platform not in ("darwin", "win32"):
        context = ssl.create_default_context()
        if named or context.cert_store_stats()["x509_ca"]:
            return context
    # macOS and Windows keep their CAs in no file; some Pythons look for the file of another system.
    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.platform not in ("darwin", "win32"):
        # A container without any CA.
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _add_ca(context: "ssl.SSLContext", path: str) -> None:
    import ssl

    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise ConfigError(
            f"The CA file {path} holds no certificate.",
            hint="It must be PEM: lines between BEGIN CERTIFICATE and END CERTIFICATE.",
        ) from error
    except OSError as error:
        raise _unreadable("CA file", path, error) from error


def _add_client(context: "ssl.SSLContext", way: Way) -> None:
    import ssl

    def password() -> Never:
        # OpenSSL would ask at the terminal, in the middle of a run.
        raise ConfigError(
            f"The key of the client certificate {way.client_cert} is encrypted.",
            hint="Save it without its passphrase, readable only by you: openssl pkey -in … -out …",
        )

    for path in filter(None, (way.client_cert, way.client_key)):
        try:
            with open(path, "rb"):  # noqa: PTH123  a path of a person's, as it is
                pass
        except OSError as error:
            raise _unreadable("client certificate", path, error) from error
    try:
        context.load_cert_chain(way.client_cert, way.client_key or None, password)
    except ssl.SSLError as error:
        place = f"{way.client_cert} and {way.client_key}" if way.client_key else way.client_cert
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        raise ConfigError(
            f"The key of {place} is not that of the certificate."
            if mismatch
            else f"{place} hold no certificate with its key.",
            hint="Give both as PEM: --client-cert FILE --client-key FILE",
        ) from error


def _unreadable(what: str, path: str, error: OSError) -> ConfigError:
    return ConfigError(f"The {what} {path} can't be read: {error.strerror or error}.")
