"""How a server's certificate is checked: the same way for REST and for websockets."""

from typing import TYPE_CHECKING

from jrc.server.address import ServerAddress

if TYPE_CHECKING:
    import ssl


def tls_context(address: ServerAddress, *, verify: bool) -> "ssl.SSLContext | None":
    """The context for connections to a server; None where it is asked without TLS.

    The trusted CAs are those of the system, or of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` when set:
    a company's own CA is installed there.

    Args:
        address: the server.
        verify: whether its certificate must be valid.
    """
    if not address.is_tls:
        return None
    import ssl

    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        # A Python from python.org on macOS, for one, comes without any CA.
        import certifi

        context.load_verify_locations(certifi.where())
    return context
