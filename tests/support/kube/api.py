"""A stand-in Kubernetes API server: enough for ``kubectl get``, ``port-forward`` and ``exec``."""

import asyncio
import contextlib
import json
import re
import socket
import ssl
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.kube import websocket
from tests.support.kube.cluster import KINDS, Cluster, Faults, Kind, Object, is_selector
from tests.support.kube.forward import Forward, SpdyExec, outcome

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
TUNNEL = "SPDY/3.1+portforward.k8s.io"

PROGRAM_SECONDS = 0.1
"""How long a program of a pod runs. kubectl makes its streams while it reads the websocket already:
an answer that is there at once is lost, or it fails with "closed all streams"."""

_PATH = re.compile(
    r"/api(?:s/[^/]+)?/[^/]+(?:/namespaces/(?P<ns>[^/]+)(?=/))?/(?P<plural>[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?"
)


@dataclass
class Request:
    """One HTTP request and the connection that it came on."""

    verb: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytes = b""

    def value(self, name: str) -> str:
        return next((value for key, value in self.query if key == name), "")

    async def answer(self, code: int, body: Object) -> None:
        data = json.dumps(body).encode()
        head = f"HTTP/1.1 {code} -\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
        self.writer.write(f"{head}\r\n\r\n".encode() + data)
        await self.writer.drain()

    async def refuse(self, code: int, reason: str, message: str, **details: str) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        more = {"reason": reason, "message": message, "details": details, "code": code}
        await self.answer(code, status | more)


class KubeStub:
    """The server. Lives in one event loop; see ``Kube`` for use from elsewhere."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.faults = Faults()
        self.seen: list[str] = []
        self.connections: dict[str, set[asyncio.StreamWriter]] = {}
        self.sessions: set[asyncio.StreamWriter] = set()
        self.forwards = 0
        self.refusals = 0
        self.watched: set[str] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self._listening: socket.socket | None = None
        self._accepting: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, tls: ssl.SSLContext | None) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self._listening.setblocking(False)
        self.port = self._listening.getsockname()[1]
        self._spawn(self._accept(self._listening, tls))

    async def stop(self) -> None:
        """Gone as a machine is gone: the port refuses, every connection is reset."""
        accepting = list(self._accepting)
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()
        for writer in list(self._clients):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _accept(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        """``asyncio.start_server`` would not know the connections that are in their handshake."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(listening)
            self._spawn(self._connect(connection, tls))

    async def _connect(self, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        protocol = asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._client)
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            await loop.connect_accepted_socket(lambda: protocol, connection, ssl=tls)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    def is_current(self, pod: Object) -> bool:
        metadata = pod["metadata"]
        now = self.cluster.get("pods", metadata["namespace"], metadata["name"])
        return now is not None and now["metadata"]["uid"] == metadata["uid"]

    def kill_pod(self, name: str, namespace: str = "default") -> None:
        """The pod and its connections go; the port-forward session stays, as with a real node."""
        pod = self.cluster.remove("pods", namespace, name)
        assert pod, name
        self.cut_connections(pod)

    def cut_connections(self, pod: Object) -> None:
        for writer in list(self.connections.get(pod["metadata"]["uid"], ())):
            writer.transport.abort()

    def drop_sessions(self) -> None:
        """Every port-forward connection breaks, as when a load balancer or the API restarts."""
        for writer in list(self.sessions):
            writer.transport.abort()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while request := await _read_request(reader, writer):
                self.seen.append(f"{request.verb} {request.path}")
                if await self._route(request):
                    break
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(writer)
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _route(self, request: Request) -> bool:
        """Answer one request; True when the connection was used up by an upgrade."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.faults.tokens is not None and token not in self.faults.tokens:
            await request.refuse(401, "Unauthorized", "Unauthorized")
            return False
        if self.faults.starting:
            self.refusals += 1
            await _refuse_all(request, self.faults.starting)
            return False
        if request.path == _REVIEWS:
            await request.answer(201, self._review(request))
            return False
        if (body := _discovery(request.path)) is not None:
            await request.answer(200, body)
            return False
        match = _PATH.fullmatch(request.path)
        if match is None or match["plural"] not in KINDS:
            await request.refuse(404, "NotFound", "the server could not find that resource")
            return False
        return await self._resource(request, match)

    def _review(self, request: Request) -> Object:
        """The answer to ``kubectl auth can-i``."""
        if request.body.startswith(b"k8s\0"):
            verb, resource, part = _reviewed(request.body)
        else:
            about = json.loads(request.body)["spec"]["resourceAttributes"]
            verb, resource = about["verb"], about["resource"]
            part = about.get("subresource", "")
        asked = f"{verb} {resource}/{part}" if part else f"{verb} {resource}"
        return {
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "status": {"allowed": asked not in self.faults.deny},
        }

    async def _resource(self, request: Request, match: re.Match[str]) -> bool:
        plural, name, sub, namespace = (match[key] for key in ("plural", "name", "sub", "ns"))
        kind = KINDS[plural]
        verb = "create" if sub else "get" if name else "list"
        if request.value("watch") in ("true", "1"):
            verb = "watch"
        resource = f"{plural}/{sub}" if sub else plural
        if f"{verb} {resource}" in self.faults.deny:
            await self._forbid(request, verb, resource, kind, namespace, name)
            return False
        if not name:
            selector = request.value("labelSelector")
            if not is_selector(selector):
                text = f"unable to parse requirement: found '{selector[-1]}', expected: identifier"
                await request.refuse(400, "BadRequest", text)
                return False
            fields = request.value("fieldSelector")
            if request.value("watch") in ("true", "1"):
                await self._watch(request, plural, namespace or "", selector)
                return True
            items = self.cluster.select(plural, namespace or "", selector, fields)
            listing = {"kind": f"{kind.name}List", "apiVersion": kind.group_version}
            await request.answer(200, listing | {"metadata": {}, "items": items})
            return False
        obj = self.cluster.get(plural, namespace or "", name)
        if obj is None:
            full = f"{plural}.{kind.group}" if kind.group else plural
            text = f'{full} "{name}" not found'
            await request.refuse(404, "NotFound", text, name=name, kind=plural, group=kind.group)
        elif sub == "portforward":
            return await self._forward(request, obj)
        elif sub == "exec":
            return await self._exec(request, obj)
        else:
            await request.answer(200, obj)
        return False

    async def _watch(self, request: Request, plural: str, namespace: str, selector: str) -> None:
        """Tell each change from now on, until the client hangs up or the server stops."""
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
        request.writer.write(f"{head}\r\n\r\n".encode())

        def now() -> dict[str, str]:
            found = self.cluster.select(plural, namespace, selector)
            return {obj["metadata"]["uid"]: json.dumps(obj) for obj in found}

        told = now()
        self.watched.add(f"watch {plural}")
        while not request.reader.at_eof() and not request.writer.is_closing():
            await asyncio.sleep(0.02)
            present = now()
            changes = [("DELETED", told[uid]) for uid in told if uid not in present]
            changes += [
                ("MODIFIED" if uid in told else "ADDED", text)
                for uid, text in present.items()
                if told.get(uid) != text
            ]
            for kind, text in changes:
                event = f'{{"type": "{kind}", "object": {text}}}\n'.encode()
                request.writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await request.writer.drain()
            told = present

    async def _forbid(
        self, request: Request, verb: str, resource: str, kind: Kind, ns: str, name: str | None
    ) -> None:
        plural = resource.partition("/")[0]
        full = f"{plural}.{kind.group}" if kind.group else plural
        what = f'{full} "{name}"' if name else full
        text = (
            f'{what} is forbidden: User "jane" cannot {verb} resource "{resource}" '
            f'in API group "{kind.group}" in the namespace "{ns}"'
        )
        await request.refuse(403, "Forbidden", text, name=name or "", kind=plural)

    async def _forward(self, request: Request, pod: Object) -> bool:
        if self.faults.upgrade == "hang":
            await asyncio.Event().wait()
        if self.faults.upgrade == "500":
            text = "error dialing backend: dial tcp 10.0.0.5:10250: connect: no route to host"
            await request.refuse(500, "InternalError", text)
            return False
        offered = request.headers.get("sec-websocket-protocol", "")
        send = await self._upgrade(request, TUNNEL if TUNNEL in offered else "", "portforward")
        if send is None:
            return False
        self.forwards += 1
        self.sessions.add(request.writer)
        forward = Forward(self, pod, send)
        try:
            await _pump(request, forward)
        finally:
            self.sessions.discard(request.writer)
            forward.close()
        return True

    async def _exec(self, request: Request, pod: Object) -> bool:
        argv = [value for key, value in request.query if key == "command"]
        uid, container = pod["metadata"]["uid"], request.value("container")
        programs = self.cluster.programs
        program = programs.get(f"{uid}/{container}") or programs[uid]
        offered = request.headers.get("sec-websocket-protocol", "")
        protocol = "v5.channel.k8s.io" if "v5.channel.k8s.io" in offered else ""
        send = await self._upgrade(request, protocol, "v4.channel")
        if send is None:
            return False
        if protocol:
            await asyncio.sleep(PROGRAM_SECONDS)
            stdout, stderr, code = program(argv)
            for channel, text in ((1, stdout), (2, stderr), (3, outcome(code))):
                await send(bytes([channel]) + text.encode())
            request.writer.write(websocket.frame(b"\x03\xe8", websocket.CLOSE))
            await request.writer.drain()
            # Closing over unread bytes would reset the connection and destroy the answer.
            while await request.reader.read(4096):
                pass
        else:
            wanted = [name for name in ("stdin", "stdout", "stderr") if request.value(name)]
            await _pump(request, SpdyExec(1 + len(wanted), lambda: program(argv), send))
        return True

    async def _upgrade(self, request: Request, protocol: str, spdy_protocol: str) -> Any:
        """Switch to websocket or SPDY; returns the function that sends, None if refused."""
        writer = request.writer
        wanted = request.headers.get("upgrade", "").lower()
        head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
        if wanted == "websocket" and protocol and self.faults.websocket:
            key = websocket.accept(request.headers["sec-websocket-key"])
            head += f"Upgrade: websocket\r\nSec-WebSocket-Accept: {key}\r\n"
            head += f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
        elif wanted == "spdy/3.1":
            versions = request.headers.get("x-stream-protocol-version", "").split(",")
            chosen = next((v.strip() for v in versions if spdy_protocol in v), versions[0])
            head += f"Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {chosen}\r\n\r\n"
        else:
            await request.refuse(400, "BadRequest", "Upgrade request required")
            return None
        writer.write(head.encode())

        async def send(data: bytes) -> None:
            writer.write(websocket.frame(data) if wanted == "websocket" else data)
            await writer.drain()

        return send


async def _refuse_all(request: Request, code: int) -> None:
    """The answer of an API server that has just started."""
    if code == 401:
        await request.refuse(401, "Unauthorized", "Unauthorized")
        return
    match = _PATH.fullmatch(request.path)
    if match is None or match["plural"] not in KINDS:
        what = f'forbidden: User "jane" cannot get path "{request.path}"'
    else:
        plural, name = match["plural"], match["name"]
        object_ = f'{plural} "{name}"' if name else plural
        what = (
            f'{object_} is forbidden: User "jane" cannot {"get" if name else "list"} resource '
            f'"{plural}" in API group "" in the namespace "{match["ns"]}"'
        )
    await request.refuse(403, "Forbidden", what)


async def _pump(request: Request, session: Forward | SpdyExec) -> None:
    """Feed a session with what kubectl sends, until it hangs up."""
    if request.headers["upgrade"].lower() == "websocket":
        async for opcode, payload in websocket.frames(request.reader):
            if opcode == websocket.CLOSE:
                return
            if opcode == websocket.PING:
                request.writer.write(websocket.frame(payload, websocket.PONG))
            else:
                await session.feed(payload)
    while data := await request.reader.read(262144):
        await session.feed(data)


async def _read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Request | None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    verb, target, _ = first.split(" ")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        # kubectl < 1.31 repeats X-Stream-Protocol-Version, one version a line.
        key = name.strip().lower()
        headers[key] = f"{headers[key]},{value.strip()}" if key in headers else value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    return Request(verb, url.path, parse_qsl(url.query), headers, reader, writer, body)


def _reviewed(body: bytes) -> tuple[str, str, str]:
    """Verb, resource and subresource of a SelfSubjectAccessReview in protobuf.

    Source: kubernetes ``apimachinery/pkg/runtime/generated.proto`` (Unknown: 2 is raw) and
    ``api/authorization/v1/generated.proto``.
    """
    review = _fields(_fields(body[4:])[2])
    attributes = _fields(_fields(review[2])[1])
    verb, resource, part = (attributes.get(number, b"").decode() for number in (2, 5, 6))
    return verb, resource, part


def _fields(data: bytes) -> dict[int, bytes]:
    """The length-delimited fields of a protobuf message by number; others are not used here."""
    found: dict[int, bytes] = {}
    rest = data
    while rest:
        tag, rest = _varint(rest)
        size, rest = _varint(rest)
        if tag & 7 == 2:
            found[tag >> 3], rest = rest[:size], rest[size:]
    return found


def _varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for index, byte in enumerate(data):
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, data[index + 1 :]
    raise ValueError("a varint that does not end")


def _discovery(path: str) -> Object | None:
    """What a client asks before anything else: versions, groups, resources."""
    if path == "/version":
        return {"major": "1", "minor": "33", "gitVersion": "v1.33.1", "platform": "linux/amd64"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        version = {"groupVersion": "apps/v1", "version": "v1"}
        group = {"name": "apps", "versions": [version], "preferredVersion": version}
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}
    if path not in ("/api/v1", "/apis/apps/v1"):
        return None
    group_version = path.removeprefix("/apis/").removeprefix("/api/")
    resources = [
        {
            "name": plural,
            "singularName": kind.name.lower(),
            "namespaced": kind.namespaced,
            "kind": kind.name,
            "verbs": ["get", "list"],
            "shortNames": list(kind.short),
        }
        for plural, kind in KINDS.items()
        if kind.group_version == group_version
    ]
    listing: Object = {"kind": "APIResourceList", "groupVersion": group_version}
    return listing | {"resources": resources}
