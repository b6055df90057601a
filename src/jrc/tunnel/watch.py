"""The pods of a selector as the cluster tells their changes: for the time in which one is awaited.

It needs the right to watch pods. Without it, and where the watch breaks, the pods are only looked
for now and then.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping

from jrc.tunnel.cause import CauseError
from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.objects import read_pod

AGAIN_SECONDS = 10.0
"""A watch that ended is begun again after so long."""

_READ_BYTES = 64 * 1024
_MOST_BYTES = 16 * 1024 * 1024


class PodWatch:
    """One watch at a time.

    Args:
        kubectl: how the cluster is asked.
        on_change: called after each change.

    Attributes:
        pods: what was told, by name; empty where nothing is known.
    """

    def __init__(self, kubectl: Kubectl, on_change: Callable[[], None]) -> None:
        self.pods: dict[str, object] = {}
        self._kubectl = kubectl
        self._on_change = on_change
        self._task: asyncio.Task[None] | None = None

    def start(self, selector: str) -> None:
        """Begin, unless it is on."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(selector), name="watch of pods")

    async def stop(self) -> None:
        """End it. Who is cancelled meanwhile leaves the rest to the next one who stops it."""
        self.pods = {}
        if self._task:
            if not self._task.cancelling():
                self._task.cancel()
            # Not gather, which would cancel it once more, in the midst of ending kubectl.
            await asyncio.wait({self._task})

    async def _run(self, selector: str) -> None:
        while True:
            # Whatever ended it: others find out why, and say so.
            with contextlib.suppress(CauseError):
                await self._watch(selector)
            self.pods = {}
            await asyncio.sleep(AGAIN_SECONDS)

    async def _watch(self, selector: str) -> None:
        child = await self._kubectl.watch(selector)
        events = Events()
        try:
            while data := await child.stdout.read(_READ_BYTES):
                changed = False
                for event in events.feed(data):
                    changed = self._take(event) or changed
                if changed:
                    self._on_change()
        finally:
            await child.stop()

    def _take(self, event: object) -> bool:
        """Note one change."""
        if not isinstance(event, Mapping):
            return False
        kind, pod = event.get("type"), event.get("object")
        name = read_pod(pod).name
        if not name or kind not in ("ADDED", "MODIFIED", "DELETED"):
            return False
        if kind == "DELETED":
            self.pods.pop(name, None)
        else:
            self.pods[name] = pod
        return True


class Events:
    """JSON documents in a stream, one after the other, with space in between."""

    def __init__(self) -> None:
        self._rest = ""
        self._decoder = json.JSONDecoder()

    def feed(self, data: bytes) -> Iterator[object]:
        """The documents that are whole with ``data``."""
        # kubectl writes ASCII but for names that people gave; a torn letter is nothing we look at.
        self._rest = (self._rest + data.decode(errors="replace")).lstrip()
        while self._rest:
            try:
                found, end = self._decoder.raw_decode(self._rest)
            except (ValueError, RecursionError):
                if len(self._rest) > _MOST_BYTES:
                    self._rest = ""
                return
            self._rest = self._rest[end:].lstrip()
            yield found
