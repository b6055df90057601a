"""A Jupyter Server, as it is installed."""

from typing import TYPE_CHECKING, NamedTuple

from jrc.errors import ProtocolError
from jrc.server.http_errors import from_answer
from jrc.server.kinds.kind import Ask, Detected, Kind, Probed

if TYPE_CHECKING:
    from jrc.server.address import ServerAddress
    from jrc.server.http_errors import Answer

_TAKES_BOTH = "Token authentication is enabled"
"""Source: jupyter_server ``templates/login.html``; the heading is in every version of it."""


class Versions(NamedTuple):
    """What ``GET /api`` tells.

    Attributes:
        server: version of the Jupyter Server that answered, or of the one that a gateway is made
            of.
        gateway: version of the Enterprise Gateway; empty for others.
    """

    server: str
    gateway: str


def read_versions(api: "Answer") -> Versions | None:
    """The versions in an answer of ``GET /api``; None where it is not a Jupyter program's."""
    if api.status != 200:
        return None
    try:
        body = api.json()
        return Versions(
            body.field("version").text(), body.field("gateway_version").text(default="")
        )
    except ProtocolError:
        return None


def has_password_field(login: "Answer") -> bool:
    """Whether a page is one that takes a password."""
    return login.status == 200 and login.is_html and 'name="password"' in login.page()


def wanted_auth(status: "Answer", login: "Answer | None", address: "ServerAddress") -> str:
    """What the server wants: ``token``, ``password`` or ``none``.

    Args:
        status: the answer of ``GET /api/status``, sent without credentials.
        login: the answer of ``GET /login`` if the first was a refusal.
        address: the server.

    Raises:
        JrcError: the status is no answer of a Jupyter Server.
    """
    if login is None:
        if status.status != 200:
            raise from_answer(status, address)
        return "none"
    only_password = has_password_field(login) and _TAKES_BOTH not in login.page()
    return "password" if only_password else "token"


class JupyterServer(Kind):
    """Kernels, sessions and files."""

    name = "server"
    refused_hint = "Where the server runs, `jupyter server list` shows its token."

    def recognise(self, probed: Probed) -> Detected | Ask | None:
        versions, address = read_versions(probed.api), probed.address
        if versions is None:
            return None
        status_url, login_url = address.rest("api", "status"), address.rest("login")
        status, login = probed.answers.get(status_url), probed.answers.get(login_url)
        if status is None:
            return Ask((status_url,))
        if status.refused and login is None:
            return Ask((login_url,))
        return Detected(
            kind=self.name,
            title=f"Jupyter Server {versions.server}",
            auth=wanted_auth(status, login, address),
            url=address.base_url,
            version=versions.server,
        )


KIND = JupyterServer()
