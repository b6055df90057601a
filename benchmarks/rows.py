"""What is measured, and what jrc promises for it."""

from dataclasses import dataclass

from benchmarks.site import Limits
from benchmarks.workloads import (
    FLUSHED_LINES,
    HELLO,
    LINES,
    MANY_CELLS,
    MIB,
    ONE_CELL,
    ONE_DISPLAY,
    PICTURES,
    Workload,
)

RTT_MS = 50

BASE_RSS = 80
"""MiB that jrc may need for itself."""


@dataclass(frozen=True)
class Promise:
    """What jrc promises for one row.

    Attributes:
        ratio: at most so many times the floor.
        beats_peers: faster than each peer.
        round_trips: at most so many.
        complete: everything arrives.
        rss: at most so many MiB of memory.
        admits_loss: the exit code is 0 only when everything arrived.
    """

    ratio: float | None = None
    beats_peers: bool = False
    round_trips: float | None = None
    complete: bool = True
    rss: float | None = None
    admits_loss: bool = False


@dataclass(frozen=True)
class Row:
    """One table.

    Attributes:
        title: what is measured, in words.
        contestants: by name; the first one is the floor.
        promise: what jrc is held to.
        workload: the notebook; None where there is none.
        minus: the notebook whose time is subtracted, to see what the further cells cost.
        limits, rtt_ms, nagle: which server, and how far away it is.
        near: name of the same row without the distance, whose time is no part of the round trips.
    """

    title: str
    contestants: tuple[str, ...]
    promise: Promise
    workload: Workload | None = None
    minus: Workload | None = None
    limits: Limits = "off"
    rtt_ms: int = 0
    nagle: bool = False
    near: str | None = None

    @property
    def unit(self) -> str:
        return "ms/cell" if self.minus else "ms"

    def value(self, wall: float, wall_of_minus: float) -> float:
        """What the table shows, in ``unit``.

        Args:
            wall: seconds for the workload.
            wall_of_minus: seconds for ``minus``; 0 where there is none.
        """
        cells = 1
        if self.workload and self.minus:
            cells = len(self.workload.cells) - len(self.minus.cells)
        return 1000 * (wall - wall_of_minus) / cells


def _memory(workload: Workload) -> float:
    return BASE_RSS + 3 * workload.largest_message / MIB


_WARM = ("zmq-warm", "websocket-warm", "jrc-warm", "kernel-client-warm")
_FAR = _WARM[1:]
_LOCAL_PEERS = ("nbclient", "papermill")

ROWS = {
    "help": Row(
        "Start-up: the help text",
        (
            *("python", "jrc-help", "remote_ikernel-help", "konsole-help"),
            *("nbclient-help", "papermill-help"),
        ),
        Promise(ratio=7, beats_peers=True),
    ),
    "hello": Row(
        "A hello notebook, the start of its kernel included",
        ("zmq", "websocket", "jrc", "kernel-client", *_LOCAL_PEERS, "nbclient-gateway"),
        Promise(ratio=1.8, rss=_memory(HELLO)),
        HELLO,
    ),
    "hello-warm": Row(
        "A hello notebook on a running kernel",
        _WARM,
        Promise(ratio=3, rss=_memory(HELLO)),
        HELLO,
    ),
    "hello-warm-far": Row(
        f"A hello notebook on a running kernel, {RTT_MS} ms away",
        _FAR,
        Promise(round_trips=3),
        HELLO,
        rtt_ms=RTT_MS,
        near="hello-warm",
    ),
    "cells": Row(
        "Each further cell",
        (*_WARM, *_LOCAL_PEERS, "nbclient-gateway"),
        Promise(ratio=2),
        MANY_CELLS,
        ONE_CELL,
    ),
    "cells-far": Row(
        f"Each further cell, {RTT_MS} ms away",
        (*_FAR, "nbclient-gateway"),
        Promise(round_trips=2.1),
        MANY_CELLS,
        ONE_CELL,
        rtt_ms=RTT_MS,
    ),
    "cells-far-nagle": Row(
        f"Each further cell, {RTT_MS} ms away, with the server's Nagle algorithm",
        _FAR,
        Promise(),
        MANY_CELLS,
        ONE_CELL,
        rtt_ms=RTT_MS,
        nagle=True,
    ),
    "png": Row(
        "200 pictures of 256 KiB",
        (*_WARM, "nbclient", "nbclient-gateway"),
        Promise(ratio=1.5, rss=_memory(PICTURES)),
        PICTURES,
    ),
    "display": Row(
        "One display of 64 MiB",
        (*_WARM, "nbclient", "nbclient-gateway"),
        Promise(ratio=1.5, rss=_memory(ONE_DISPLAY)),
        ONE_DISPLAY,
    ),
    "lines": Row(
        "100 000 printed lines",
        (*_WARM, "nbclient", "nbclient-gateway"),
        Promise(),
        LINES,
    ),
    "limits": Row(
        "100 000 printed lines through a stock server's limits",
        (*_FAR, "nbclient-gateway"),
        Promise(complete=False, admits_loss=True),
        LINES,
        limits="default",
    ),
    "limits-flushed": Row(
        "10 000 flushed lines through a stock server's limits",
        (*_FAR, "nbclient-gateway"),
        Promise(complete=False, admits_loss=True),
        FLUSHED_LINES,
        limits="default",
    ),
}
"""By the name that ``--rows`` takes. Limits are off where they would hide the speed."""
