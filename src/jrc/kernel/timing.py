"""The thresholds of a link to a kernel."""

from typing import NamedTuple


class LinkTiming(NamedTuple):
    """When a link is given up, and when the next one is opened, in seconds.

    Attributes:
        first_open: for the first connection to a kernel. The server opens it when the kernel has
            answered, and gives a slow one 60 s (``kernel_info_timeout``).
        first_tries: for all tries to connect for the first time; two tries into a dead link fit in.
        open: for a later connection to a kernel that was seen to live.
        silence: without a byte before a link counts as half-open. A server pings every 30 s.
        probe: between two checks whether the link is silent.
        arrival: for the answer to a ping, which shows that all before it has arrived.
        stable: a link that did not live so long is followed by a pause. One that brought no message
            either counts as none.
        goodbye: for the server's answer when a link is closed. Only a near server can make it.
        last_bytes: for what is still in this process when a link is closed.
    """

    first_open: float = 75.0
    first_tries: float = 45.0
    open: float = 20.0
    silence: float = 45.0
    probe: float = 15.0
    arrival: float = 3.0
    stable: float = 10.0
    goodbye: float = 0.002
    last_bytes: float = 1.0


DEFAULT_LINK_TIMING = LinkTiming()
