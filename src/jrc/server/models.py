"""What a server answers, as values that are known to have the right shape."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from jrc.errors import NotFoundError, ProtocolError
from jrc.server.ids import find_id

T = TypeVar("T")


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


class Body(NamedTuple):
    """A decoded JSON body, or a part of one, that says what is wrong with itself.

    Attributes:
        value: what was decoded.
        endpoint: who answered it, ``GET https://…/api/kernels``.
        place: the way to this part, ``[0].kernel``; empty for the whole.
    """

    value: object
    endpoint: str
    place: str = ""

    def items(self) -> Iterator["Body"]:
        """The parts of a list."""
        if not isinstance(self.value, list):
            raise self.fault("a list")
        for index, value in enumerate(self.value):
            yield Body(value, self.endpoint, f"{self.place}[{index}]")

    def fields(self) -> dict[str, "Body"]:
        """The parts of an object."""
        if not isinstance(self.value, dict):
            raise self.fault("an object")
        return {
            key: Body(value, self.endpoint, f"{self.place}.{key}")
            for key, value in self.value.items()
        }

    def field(self, key: str) -> "Body":
        """One part of an object; a missing one is null."""
        if not isinstance(self.value, dict):
            raise self.fault("an object")
        return Body(self.value.get(key), self.endpoint, f"{self.place}.{key}")

    def text(self, default: str | None = None) -> str:
        """The string that it is; the default, when there is one, for null."""
        return self._is(str, "text", default)

    def number(self, default: int | None = None) -> int:
        """The whole number that it is; the default, when there is one, for null."""
        return self._is(int, "a whole number", default)

    def time(self) -> datetime | None:
        """The ISO 8601 time that it is, in UTC where it names no zone; None for null."""
        if self.value is None:
            return None
        try:
            time = datetime.fromisoformat(self.text())
        except ValueError as error:
            raise self.fault("a time") from error
        return time if time.tzinfo else time.replace(tzinfo=UTC)

    def fault(self, wanted: str) -> ProtocolError:
        """The error for a part of the wrong shape. It does not show the value."""
        place = f" at {self.place.lstrip('.')}" if self.place else ""
        found = _KINDS.get(type(self.value), "something else")
        return ProtocolError(
            f"{self.endpoint} answered {found}{place} where {wanted} belongs.",
            hint="Is this a Jupyter Server? A proxy or another program may have answered.",
        )

    def _is(self, kind: type[T], name: str, default: T | None) -> T:
        if self.value is None and default is not None:
            return default
        # bool is an int to Python, and is not one to JSON.
        if not isinstance(self.value, kind) or isinstance(self.value, bool):
            raise self.fault(name)
        return self.value


_KINDS: dict[type[object], str] = {
    type(None): "nothing",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}


def kernel(body: Body) -> KernelModel:
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


def session(body: Body) -> SessionModel:
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


def kernelspecs(body: Body) -> KernelSpecs:
    """Read the kernelspecs.

    Raises:
        ProtocolError: see :func:`kernel`.
    """
    specs = {}
    for name, entry in body.field("kernelspecs").fields().items():
        spec = entry.field("spec")
        specs[name] = KernelSpec(
            name=name,
            display_name=spec.field("display_name").text(default=name),
            language=spec.field("language").text(default=""),
        )
    return KernelSpecs(default=body.field("default").text(default=""), specs=specs)


def version(body: Body) -> str:
    """Read the answer of ``GET /api``.

    Raises:
        ProtocolError: see :func:`kernel`.
    """
    return body.field("version").text()


def list_of(read: Callable[[Body], T], body: Body) -> list[T]:
    """Read a list of models.

    Raises:
        ProtocolError: see :func:`kernel`.
    """
    return [read(item) for item in body.items()]


SHORT_ID = 8
"""Characters of a kernel's id that are shown, where they tell it from the others."""


def short_ids(kernels: list[KernelModel]) -> dict[str, str]:
    """For each kernel's id the shortest prefix that tells it from the others, eight at least."""
    ids = [kernel.id for kernel in kernels]
    short = {}
    for each in ids:
        others = [other for other in ids if other != each]
        size = SHORT_ID
        while size < len(each) and any(other.startswith(each[:size]) for other in others):
            size += 1
        short[each] = each[:size]
    return short


def find_kernel(kernels: list[KernelModel], prefix: str) -> KernelModel:
    """The kernel that a person means.

    Args:
        kernels: those that run.
        prefix: its id, or the beginning of it that no other has.

    Raises:
        NotFoundError: there is none, or there are several.
    """
    found = find_id(prefix, [kernel.id for kernel in kernels], kind="kernel")
    if found is None:
        raise NotFoundError(
            f"No kernel's id begins with {prefix!r}.", hint="See those that run: jrc kernel list"
        )
    return next(kernel for kernel in kernels if kernel.id == found)
