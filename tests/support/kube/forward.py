"""The kubelet's part: port-forward sessions and exec, whatever they travel in."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.support.kube import spdy
from tests.support.kube.cluster import Object

if TYPE_CHECKING:
    from tests.support.kube.api import KubeStub

Send = Callable[[bytes], Awaitable[None]]


class Forward:
    """One upgraded port-forward connection: a pair of SPDY streams for each TCP connection."""

    def __init__(self, stub: "KubeStub", pod: Object, send: Send) -> None:
        self._stub = stub
        self._pod = pod
        self._send_raw = send
        self._framer = spdy.Framer()
        self._halves: dict[str, dict[str, int]] = {}
        self._incoming: dict[int, asyncio.Queue[bytes | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def feed(self, data: bytes) -> None:
        """Bytes from kubectl."""
        if self._stub.faults.black_hole:
            return
        for frame in self._framer.feed(data):
            if isinstance(frame, spdy.Data):
                queue = self._incoming.get(frame.stream)
                if queue and frame.payload:
                    queue.put_nowait(frame.payload)
                if queue and frame.last:
                    queue.put_nowait(None)
            elif frame.kind == spdy.SYN_STREAM:
                await self._open(frame)
            elif frame.kind == spdy.PING:
                await self._send(spdy.pong(frame.number))
            elif frame.kind == spdy.RST_STREAM and frame.number in self._incoming:
                self._incoming[frame.number].put_nowait(None)

    async def _send(self, frame: bytes) -> None:
        if not self._stub.faults.black_hole:
            await self._send_raw(frame)

    async def _open(self, frame: spdy.Control) -> None:
        self._incoming[frame.number] = asyncio.Queue()
        await self._send(self._framer.syn_reply(frame.number))
        pair = self._halves.setdefault(frame.headers["requestid"], {})
        pair[frame.headers["streamtype"]] = frame.number
        if len(pair) == 2:
            del self._halves[frame.headers["requestid"]]
            port = int(frame.headers["port"])
            task = asyncio.create_task(self._serve(port, pair["data"], pair["error"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, port: int, data: int, error: int) -> None:
        with contextlib.suppress(OSError):
            complaint = await self._relay(port, data)
            if complaint:
                await self._send(spdy.data(error, complaint.encode()))
            await self._send(spdy.data(data, b"", last=True))
            await self._send(spdy.data(error, b"", last=True))
        self._incoming.pop(data, None)
        self._incoming.pop(error, None)

    async def _relay(self, port: int, stream: int) -> str | None:
        """Join the stream and the pod's port; returns the kubelet's complaint, if it has one."""
        uid = self._pod["metadata"]["uid"]
        head = f"error forwarding port {port} to pod {uid}, uid : "
        if not self._stub.is_current(self._pod):
            return f'{head}failed to find sandbox "{uid}" in store: not found'
        address = self._stub.cluster.backends[uid].get(port)
        try:
            if address is None:
                raise ConnectionRefusedError
            reader, writer = await asyncio.open_connection(*address)
        except OSError:
            return f"{head}failed to connect to localhost:{port}: connect: connection refused"
        self._stub.connections.setdefault(uid, set()).add(writer)
        upwards = asyncio.create_task(self._upwards(stream, writer))
        try:
            while chunk := await reader.read(65536):
                await self._send(spdy.data(stream, chunk))
        except ConnectionResetError:
            return f"{head}read tcp4 127.0.0.1:{port}: read: connection reset by peer"
        finally:
            upwards.cancel()
            writer.close()
            self._stub.connections[uid].discard(writer)
        return None

    async def _upwards(self, stream: int, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while (chunk := await self._incoming[stream].get()) is not None:
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()


class SpdyExec:
    """One ``kubectl exec`` over SPDY: waits for its streams, runs the program, answers."""

    def __init__(self, streams: int, run: Callable[[], tuple[str, str, int]], send: Send) -> None:
        self._expected = streams
        self._run = run
        self._send = send
        self._framer = spdy.Framer()
        self._streams: dict[str, int] = {}

    async def feed(self, data: bytes) -> None:
        for frame in self._framer.feed(data):
            if isinstance(frame, spdy.Control) and frame.kind == spdy.SYN_STREAM:
                self._streams[frame.headers["streamtype"]] = frame.number
                await self._send(self._framer.syn_reply(frame.number))
        if len(self._streams) == self._expected:
            self._expected = -1
            stdout, stderr, code = self._run()
            for name, text in (("stdout", stdout), ("stderr", stderr), ("error", outcome(code))):
                if name in self._streams:
                    await self._send(spdy.data(self._streams[name], text.encode(), last=True))

    def close(self) -> None:
        """Nothing runs on."""


def outcome(code: int) -> str:
    """What the error stream of an exec carries at its end."""
    if code == 0:
        return json.dumps({"metadata": {}, "status": "Success"})
    cause = {"reason": "ExitCode", "message": str(code)}
    return json.dumps(
        {
            "metadata": {},
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "message": f"command terminated with non-zero exit code: exit status {code}",
            "details": {"causes": [cause]},
        }
    )
