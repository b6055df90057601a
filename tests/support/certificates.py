"""Certificates for TLS servers on 127.0.0.1: good ones, and bad ones of each kind."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificate:
    """PEM files: the server's own (certificate and key in one), and that of the CA to trust."""

    server: Path
    ca: Path

    def context(self) -> ssl.SSLContext:
        """For a server that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server)
        return context


def make_certificate(
    folder: Path, *, name: str = "127.0.0.1", expired: bool = False, self_signed: bool = False
) -> Certificate:
    """Write a certificate and its CA into a folder.

    Args:
        folder: where.
        name: the host that it is for.
        expired: it was valid until yesterday.
        self_signed: it is its own CA.
    """
    authority = trustme.CA()
    server, ca = folder / "server.pem", folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    if self_signed:
        authority.cert_pem.write_to_path(str(server))
        authority.private_key_pem.write_to_path(str(server), append=True)
        return Certificate(server, ca)
    now = datetime.now(UTC)
    before, after = (now - timedelta(9), now - timedelta(1)) if expired else (None, None)
    issued = authority.issue_cert(name, not_before=before, not_after=after)
    issued.private_key_and_cert_chain_pem.write_to_path(str(server))
    return Certificate(server, ca)


class Authority:
    """A company's own CA, which signs the certificates of its servers and its people.

    Args:
        folder: where everything is written.
    """

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._folder = folder
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def server(self, name: str) -> Path:
        """A server's certificate and key in one PEM file."""
        path = self._folder / f"server-{name}.pem"
        self._authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    def client(self, name: str) -> Path:
        """A person's certificate and key in one PEM file."""
        path = self._folder / f"client-{name}.pem"
        issued = self._authority.issue_cert(f"{name}@example.org", common_name=name)
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path
