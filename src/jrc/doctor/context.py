"""What the checks of one examination share: each one leaves there what the next ones need."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.server.address import ServerAddress

if TYPE_CHECKING:
    from jrc.doctor.conversation import Conversation
    from jrc.kernel.session import RemoteKernel
    from jrc.server.client import ServerClient
    from jrc.server.connection import Way
    from jrc.server.models import KernelSpecs

T = TypeVar("T")


@dataclass
class Context:
    """One examination.

    Attributes:
        paths: jrc's folders.
        asked: the profile that the person named; None for the one in force.
        stack: closed at the end: what a check opens for the next ones.
        profile: what is examined; None for the embedded server.
        address: where the server answers, on this machine for a tunnel.
        client: with the credentials.
        specs: the server's kernelspecs.
        kernel: the one that was started.
        kernel_began: loop time, in seconds, at which it was asked for.
        talk: with that kernel.
        round_trip: median, in seconds.
    """

    paths: Paths
    asked: str | None
    stack: AsyncExitStack
    profile: Profile | None = None
    address: ServerAddress | None = None
    client: "ServerClient | None" = None
    specs: "KernelSpecs | None" = None
    kernel: "RemoteKernel | None" = None
    kernel_began: float = 0.0
    talk: "Conversation | None" = None
    round_trip: float = 0.0

    @cached_property
    def way(self) -> "Way":
        """How to get to the server; read when the profile is known.

        Raises:
            JrcError: a header's value or a file that the profile names is missing.
        """
        from jrc.server.connection import DIRECT
        from jrc.server.open import way_to

        return DIRECT if self.profile is None else way_to(self.profile, self.paths)


def known(value: T | None) -> T:
    """What an earlier check left, which must have passed for this one to be made."""
    if value is None:
        raise RuntimeError("a check was made before one that it needs")
    return value
