"""The way to a server that a company's network asks for: certificates, and headers of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Way:
    """How every connection to a server is made, REST and websockets alike.

    Attributes:
        verify_tls: whether the server's certificate must be valid.
        ca_file: PEM file of CAs that are trusted beside the system's; empty for none.
        client_cert: PEM file that shows who we are; empty for none.
        client_key: PEM file of its key; empty when ``client_cert`` holds it too.
        headers: sent with every request; their values may be secret.
    """

    verify_tls: bool = True
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


DIRECT = Way()
"""Nothing special."""
