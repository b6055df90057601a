"""What following a run needs of a kernel, be it a living one or its journal."""

from typing import Any, Protocol

from jrc.wire.message import Message


class KernelChannels(Protocol):
    """What the runner needs of ``kernel.channels.Channels``."""

    @property
    def received(self) -> int: ...

    async def all_arrived(self) -> bool: ...

    async def send(self, message: Message, *, later: bool = True) -> None: ...

    def events(self) -> Any: ...

    def start_over(self) -> None: ...


class KernelControl(Protocol):
    """What the runner needs of the server's REST interface, for its one kernel."""

    async def interrupt(self) -> None: ...

    async def state(self) -> str | None: ...
