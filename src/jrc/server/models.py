"""What a server answers, as values that are known to have the right shape."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeVar

from jrc.errors import ProtocolError
from jrc.shapes import Reader, unicode_text

T = TypeVar("T")

log = logging.getLogger("jrc.server.models")


class KernelSpec(NamedTuple):
    """One kind of kernel that the server can start.

    Attributes:
        name: what it is started by, ``python3``.
        display_name: for people, ``Python 3 (ipykernel)``.
        language: ``python``; empty when the server does not say.
    """

    name: str
    display_name: str
    language: str


class KernelSpecs(NamedTuple):
    """All of them.

    Attributes:
        default: the name of the one that starts when none is named.
        specs: by name.
    """

    default: str
    specs: dict[str, KernelSpec]


class KernelModel(NamedTuple):
    """A running kernel.

    Attributes:
        id: a UUID.
        name: of its kernelspec.
        state: ``starting``, ``idle``, ``busy``, ``dead``… May stay ``starting`` after a crash.
        last_activity: when it last did something, with a time zone; None when not known.
        connections: how many websockets are open to it.
    """

    id: str
    name: str
    state: str
    last_activity: datetime | None
    connections: int


class SessionModel(NamedTuple):
    """The record that ties a document to a kernel.

    Attributes:
        id: a UUID; not the ``session`` of messages.
        path: of the document; unique on the server.
        name: of the document; may be empty.
        type: ``notebook``, ``console``, ``file``.
    """

    id: str
    path: str
    name: str
    type: str
    kernel: KernelModel


def answer_of(endpoint: str, value: object) -> Reader:
    """A reader of what an endpoint answered: whatever is wrong with it is a ``ProtocolError``.

    Args:
        endpoint: who answered it, ``GET https://…/api/kernels``.
        value: the decoded answer.
    """

    def reject(place: str, found: str, wanted: str) -> ProtocolError:
        where = f" at {place}" if place else ""
        return ProtocolError(
            f"{endpoint} answered {found}{where} where {wanted} belongs.",
            hint="Is this a Jupyter Server? A proxy or another program may have answered.",
        )

    return Reader(value, reject)


def kernel(body: Reader) -> KernelModel:
    """Read one kernel.

    Raises:
        ProtocolError: it is not one; the message names the endpoint and the place.
    """
    return KernelModel(
        id=body.field("id").text(),
        name=body.field("name").text(default=""),
        state=body.field("execution_state").text(default="unknown"),
        last_activity=body.field("last_activity").time(),
        connections=body.field("connections").number(default=0),
    )


def session(body: Reader) -> SessionModel:
    """Read one session.

    Raises:
        ProtocolError: see :func:`kernel`.
    """
    return SessionModel(
        id=body.field("id").text(),
        path=body.field("path").text(default=""),
        name=body.field("name").text(default=""),
        type=body.field("type").text(default=""),
        kernel=kernel(body.field("kernel")),
    )


def kernelspecs(body: Reader) -> KernelSpecs:
    """Read the kernelspecs.

    Raises:
        ProtocolError: see :func:`kernel`.
    """
    entries = body.field("kernelspecs").fields().items()
    specs = _readable(partial(_kernelspec, unicode_text(name), entry) for name, entry in entries)
    return KernelSpecs(
        default=body.field("default").text(default=""), specs={spec.name: spec for spec in specs}
    )


def _kernelspec(name: str, entry: Reader) -> KernelSpec:
    spec = entry.field("spec")
    return KernelSpec(
        name=name,
        display_name=spec.field("display_name").text(default=name),
        language=spec.field("language").text(default=""),
    )


def version(body: Reader) -> str:
    """Read the answer of ``GET /api``.

    Raises:
        ProtocolError: see :func:`kernel`.
    """
    return body.field("version").text()


def list_of(read: Callable[[Reader], T], body: Reader) -> list[T]:
    """Read a list of models. One that can't be read hides none of the others.

    Raises:
        ProtocolError: see :func:`kernel`; not even one of them can be read.
    """
    return _readable(partial(read, item) for item in body.items())


def _readable(entries: Iterable[Callable[[], T]]) -> list[T]:
    """Those of the entries that can be read; an error where that is none of them."""
    found: list[T] = []
    faults: list[ProtocolError] = []
    for read in entries:
        try:
            found.append(read())
        except ProtocolError as fault:
            log.warning("left out: %s", fault)
            faults.append(fault)
    if faults and not found:
        raise faults[0]
    return found


def user_of_identity(answer: object) -> str:
    """The user name in an answer of ``/api/me``; empty where all share one token.

    Source: jupyter_server ``auth/identity.py``: without a login of your own you get a random user
    name and the display name "Anonymous MOON".
    """
    identity = answer.get("identity") if isinstance(answer, dict) else None
    if not isinstance(identity, dict):
        return ""
    name, shown = identity.get("username"), identity.get("display_name")
    anonymous = isinstance(shown, str) and shown.startswith("Anonymous ")
    return name if isinstance(name, str) and not anonymous else ""
