"""The way to a server that a company's network asks for: certificates, and headers of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jrc.errors import JrcError

Talk = Callable[[str], None]
"""Called with a line for the person while something takes its time."""


def _may_come_back() -> JrcError | None:
    return None


@dataclass(frozen=True)
class Way:
    """How every connection to a server is made, REST and websockets alike.

    Attributes:
        verify_tls: whether the server's certificate must be valid.
        ca_file: PEM file of CAs that are trusted beside the system's; empty for none.
        client_cert: PEM file that shows who we are; empty for none.
        client_key: PEM file of its key; empty when ``client_cert`` holds it too.
        headers: sent with every request; their values may be secret.
        verdict: asked when the server can't be reached: why it never will be again, unless a person
            does something about it; None where it may come back by itself.
    """

    verify_tls: bool = True
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verdict: Callable[[], JrcError | None] = field(
        default=_may_come_back, repr=False, compare=False
    )


DIRECT = Way()
"""Nothing special."""
