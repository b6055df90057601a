"""What servers answer before and after a login, read for all kinds: pure.

It is loaded to find out what a URL leads to, and not to open a profile.
"""

from collections.abc import Mapping
from typing import NamedTuple

from jrc.errors import ProtocolError
from jrc.server.address import ServerAddress
from jrc.server.http import Answer
from jrc.server.http_errors import from_answer

_TAKES_BOTH = "Token authentication is enabled"
"""Source: jupyter_server ``templates/login.html``; the heading is in every version of it."""


class Detected(NamedTuple):
    """A server that jrc can use.

    Attributes:
        kind: the name of its kind, as a profile has it.
        title: what was found, in words: ``Jupyter Server 2.14.2``.
        auth: what it wants: ``token``, ``password`` or ``none``. One that takes both says
            ``token``; a kind that makes tokens says ``password`` where it makes one for a user
            name and a password.
        url: what a profile of it saves; at a hub the hub's.
        version: empty where the server says it only with credentials.
        user: whose server at ``url`` it is; empty where the URL does not say it.
        server: the name of that server; empty for the default one.
    """

    kind: str
    title: str
    auth: str
    url: str
    version: str = ""
    user: str = ""
    server: str = ""


class Probed(NamedTuple):
    """What a URL answered so far to requests without credentials.

    Attributes:
        address: the URL.
        answers: by the URL that was asked; that of ``GET /api`` is always there.
    """

    address: ServerAddress
    answers: Mapping[str, Answer]

    @property
    def api(self) -> Answer:
        """The answer of ``GET /api``."""
        return self.answers[self.address.rest("api")]


class Ask(NamedTuple):
    """A kind needs more answers before it can decide.

    Attributes:
        urls: to be asked with GET, in this order.
    """

    urls: tuple[str, ...]


class Identity(NamedTuple):
    """Whom a server takes you for.

    Attributes:
        user: your user name there; empty where the server does not say it.
        warnings: sentences about what the credentials do not allow.
    """

    user: str
    warnings: tuple[str, ...] = ()


class Versions(NamedTuple):
    """What ``GET /api`` tells.

    Attributes:
        server: version of the Jupyter Server that answered, or of the one that a gateway is made
            of.
        gateway: version of the Enterprise Gateway; empty for others.
    """

    server: str
    gateway: str


def read_versions(api: Answer) -> Versions | None:
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


def has_password_field(login: Answer) -> bool:
    """Whether a page is one that takes a password."""
    return login.status == 200 and login.is_html and 'name="password"' in login.page()


def wanted_auth(status: Answer, login: Answer | None, address: ServerAddress) -> str:
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
