"""What the keeper costs over kubectl alone, and how fast a lost tunnel comes back.

    python -m benchmarks.tunnel [--kubectl PATH] [--quick]

Everything runs on this machine: a stand-in API server and a small server behind it in one process,
the real kubectl, the keeper in its own process, and the client here. All of them share the cores,
so read the ratios: the stand-in is far slower than a cluster, and a cluster is farther away.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

import psutil

from jrc.profile.paths import Paths
from jrc.profile.route import Route
from jrc.tunnel.connect import ensure_keeper, stop_keeper
from jrc.tunnel.keeper import preferred_ports
from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.processes import Child, lines
from jrc.tunnel.status import KeeperStatus, Spec
from tests.support.kube import Kube
from tests.support.kubectls import all_kubectls
from tests.support.tunnels import forwarders_of

MB = 1_000_000
SMALL = b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"version": "2"}\n'
BLOCK = bytes(256 * 1024)


class App(asyncio.Protocol):
    """``GET /big/N`` sends N bytes, ``PUT N`` takes them, everything else gets a small answer."""

    def __init__(self) -> None:
        self._left = 0
        self._awaited = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._flowing = asyncio.Event()
        self._flowing.set()

    def pause_writing(self) -> None:
        self._flowing.clear()

    def resume_writing(self) -> None:
        self._flowing.set()

    def data_received(self, data: bytes) -> None:
        if self._awaited:
            self._awaited -= len(data)
            if self._awaited <= 0:
                self._transport.write(SMALL)
        elif data.startswith(b"PUT "):
            head, _, body = data.partition(b"\r\n\r\n")
            self._awaited = int(head.split()[1]) - len(body)
        elif data.startswith(b"GET /big/"):
            self._sending = asyncio.create_task(self._send(int(data[9:].split()[0])))
        else:
            self._transport.write(SMALL)

    async def _send(self, size: int) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while size > 0 and not self._transport.is_closing():
            await self._flowing.wait()
            self._transport.write(BLOCK[:size])
            size -= len(BLOCK)


def run_cluster(folder: str) -> None:
    """The process of the stand-in: obeys orders on stdin.

    ``drop`` breaks every session, ``roll`` replaces the pod, ``kill`` only ends it, ``make`` starts
    the next one, in which nothing listens, and ``ready`` lets it listen and be Ready.
    """

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(App, "127.0.0.1", 0, backlog=1024)
        address = server.sockets[0].getsockname()
        number = 0
        with Kube(Path(folder)) as kube:
            kube.jupyter(address, name=f"jupyter-{number}")
            print("up", flush=True)
            while order := (await asyncio.to_thread(sys.stdin.readline)).strip():
                if order == "drop":
                    kube.do(lambda stub: stub.drop_sessions())
                elif order == "roll":
                    old, number = f"jupyter-{number}", number + 1
                    kube.jupyter(address, name=f"jupyter-{number}")
                    kube.do(methodcaller("kill_pod", old))
                elif order == "kill":
                    kube.do(methodcaller("kill_pod", f"jupyter-{number}"))
                elif order == "make":
                    number += 1
                    kube.jupyter(("127.0.0.1", 9), name=f"jupyter-{number}", ready=False)
                elif order == "ready":
                    kube.do(partial(_make_ready, name=f"jupyter-{number}", address=address))
                print("done", flush=True)

    asyncio.run(serve())


def _make_ready(stub: Any, *, name: str, address: tuple[str, int]) -> None:
    stub.cluster.make_ready(name, address)


class Cluster:
    """The stand-in, seen from here."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process = process
        self.kubeconfig = folder / "kubeconfig"

    def order(self, word: str) -> None:
        assert self._process.stdin
        assert self._process.stdout
        print(word, file=self._process.stdin, flush=True)
        self._process.stdout.readline()


@contextmanager
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.tunnel", "--cluster", folder]
        with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
            assert process.stdout
            process.stdout.readline()
            os.environ["JRC_HOME"] = f"{folder}/jrc"
            try:
                yield Cluster(process, Path(folder))
            finally:
                process.communicate("\n")


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, limit=4 * MB)


async def read_answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.split(b"Content-Length: ")[1].split()[0])
    left = length
    while left:
        left -= len(await reader.read(min(left, MB)))
    assert b" 200 " in head, head
    return length


async def download(port: int, size: int) -> float:
    """MB/s."""
    reader, writer = await connected(port)
    began = time.perf_counter()
    writer.write(b"GET /big/%d HTTP/1.1\r\n\r\n" % size)
    await read_answer(reader)
    took = time.perf_counter() - began
    writer.close()
    return size / MB / took


async def upload(port: int, size: int) -> float:
    """MB/s."""
    reader, writer = await connected(port)
    began = time.perf_counter()
    writer.write(b"PUT %d\r\n\r\n" % size)
    for _ in range(size // len(BLOCK)):
        writer.write(BLOCK)
        await writer.drain()
    writer.write(BLOCK[: size % len(BLOCK)])
    await read_answer(reader)
    took = time.perf_counter() - began
    writer.close()
    return size / MB / took


async def round_trips(port: int, count: int) -> float:
    """Median milliseconds of a small request on an open connection."""
    reader, writer = await connected(port)
    took = []
    for _ in range(count):
        began = time.perf_counter()
        writer.write(b"GET /api HTTP/1.1\r\n\r\n")
        await read_answer(reader)
        took.append(time.perf_counter() - began)
    writer.close()
    return statistics.median(took) * 1000


async def fresh(port: int) -> None:
    """One request on a connection of its own."""
    reader, writer = await connected(port)
    writer.write(b"GET /api HTTP/1.1\r\n\r\n")
    await read_answer(reader)
    writer.close()


async def fresh_round_trips(port: int, count: int) -> float:
    """Median milliseconds of a request with its connection."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        await fresh(port)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


async def together(port: int, clients: int) -> float:
    """Seconds until so many clients at once have 200 kB each."""

    async def one() -> None:
        reader, writer = await connected(port)
        writer.write(b"GET /big/200000 HTTP/1.1\r\n\r\n")
        await read_answer(reader)
        writer.close()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one())
    return time.perf_counter() - began


@contextmanager
def bare_loop(route: Route) -> Iterator[int]:
    """``while true; do kubectl port-forward …; done``, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    forward = (
        f'"$JRC_KUBECTL" --context {route.context} -n {route.namespace} port-forward '
        f"--address 127.0.0.1 {route.target} {port}:{route.port}"
    )
    environment = {**os.environ, "KUBECONFIG": route.kubeconfig}
    with subprocess.Popen(
        ["bash", "-c", f"while true; do {forward}; done"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as loop:
        try:
            yield port
        finally:
            os.killpg(loop.pid, signal.SIGKILL)


def kill_loops_forward(port: int) -> None:
    """End the kubectl of a bare loop, which has the loop's port on its command line."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "port-forward" in words and words[-1].startswith(f"{port}:"):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def kill_keepers_forward(keeper: KeeperStatus) -> None:
    """End the kubectl of a keeper, and nobody else's."""
    for process in forwarders_of(keeper.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


async def until_good(port: int) -> None:
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, AssertionError):
            async with asyncio.timeout(20):
                await fresh(port)
            return
        await asyncio.sleep(0.01)


async def race(stand_in: Cluster, route: Route, keeper: KeeperStatus, rounds: int) -> None:
    """Seconds until the next good answer, through a bare loop and through the keeper, in turns."""
    print()
    row("next good answer, s", "bare loop", "keeper", "ratio")
    row("-" * 44, *["-" * 13] * 3)

    async def killed(port: int) -> float:
        if port == keeper.port:
            kill_keepers_forward(keeper)
        else:
            kill_loops_forward(port)
        return await timed(port)

    async def dropped(port: int) -> float:
        stand_in.order("drop")
        return await timed(port)

    async def rolled(port: int) -> float:
        stand_in.order("roll")
        return await timed(port)

    async def rolled_while_idle(port: int) -> float:
        stand_in.order("roll")
        await asyncio.sleep(5)
        return await timed(port)

    async def made_ready(port: int) -> float:
        stand_in.order("kill")
        asking = asyncio.create_task(until_good(port))
        await asyncio.sleep(1.5)
        stand_in.order("make")
        await asyncio.sleep(3)
        stand_in.order("ready")
        began = time.perf_counter()
        await asking
        return time.perf_counter() - began

    async def timed(port: int) -> float:
        began = time.perf_counter()
        await until_good(port)
        return time.perf_counter() - began

    for name, work in (
        ("kubectl killed", killed),
        ("connection to the API cut", dropped),
        ("pod replaced by a ready one", rolled),
        ("pod replaced while idle, 5 s later", rolled_while_idle),
        ("pod replaced, from its successor's Ready on", made_ready),
    ):
        columns: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for column in (0, 1):
                # One at a time: the other would take the processors.
                keeping = contextlib.nullcontext(keeper.port)
                with keeping if column else bare_loop(route) as port:
                    await until_good(port)
                    # Long enough to count as healthy.
                    await asyncio.sleep(6)
                    columns[column].append(await work(port))
        one, other = (statistics.median(column) for column in columns)
        row(name, f"{one:.2f}", f"{other:.2f}", f"{other / one:.2f}")


def weight(pid: int) -> tuple[float, int]:
    """A process's MiB and open files."""
    process = psutil.Process(pid)
    return process.memory_info().rss / 2**20, process.num_fds()


async def many(port: int, pid: int, count: int) -> list[tuple[float, int]]:
    """The keeper's weight before, in the middle and after so many connections."""
    limit = asyncio.Semaphore(20)

    async def one() -> None:
        async with limit:
            await fresh(port)

    weights = [weight(pid)]
    for _ in range(4):
        async with asyncio.TaskGroup() as group:
            for _ in range(count // 4):
                group.create_task(one())
        await asyncio.sleep(0.5)
        weights.append(weight(pid))
    return weights


async def alone(route: Route) -> tuple[Child, int]:
    """kubectl without a keeper, and its port."""
    child = await Kubectl(route).forward("jupyter-0", 8888)
    async for line in lines(child.stdout):
        if "127.0.0.1:" in line:
            return child, int(line.split("127.0.0.1:")[1].split()[0])
    raise RuntimeError("kubectl ended")


def row(name: str, *values: str) -> None:
    print(f"| {name:<44} | " + " | ".join(f"{value:>13}" for value in values) + " |", flush=True)


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def compare(route: Route, keeper: KeeperStatus, times: int, size: int) -> None:
    """The same work through kubectl alone and through the keeper, in turns."""
    child, bare = await alone(route)
    row("", "kubectl alone", "keeper", "ratio")
    row("-" * 44, *["-" * 13] * 3)
    works: tuple[tuple[str, Callable[[int], Awaitable[float]]], ...] = (
        (f"download {size // MB} MB, MB/s", lambda port: download(port, size)),
        (f"upload {size // MB} MB, MB/s", lambda port: upload(port, size)),
        ("round trip, open connection, ms", lambda port: round_trips(port, 500)),
        ("round trip, new connection, ms", lambda port: fresh_round_trips(port, 200)),
        ("200 clients at once, 200 kB each, s", lambda port: together(port, 200)),
    )
    for name, work in works:
        pairs = [(await work(bare), await work(keeper.port)) for _ in range(times)]
        one, other = (statistics.median(column) for column in zip(*pairs, strict=True))
        row(name, f"{one:.2f}", f"{other:.2f}", f"{other / one:.2f}")
    before = cpu(child.pid), cpu(keeper.pid)
    await download(bare, size)
    await download(keeper.port, size)
    spent = cpu(child.pid) - before[0], cpu(keeper.pid) - before[1]
    row("processor, ms/MB", *(f"{each * 1e9 / size:.2f}" for each in spent), "(its own)")
    await child.stop()


async def measure(stand_in: Cluster, *, quick: bool, only_race: bool) -> None:
    paths = Paths.from_environment()
    route = Route("stub", "default", "svc/jupyter", 80, str(stand_in.kubeconfig))
    spec = Spec("bench", route, preferred_ports("bench")[0])
    began = time.perf_counter()
    keeper = await ensure_keeper(spec, paths, hold=True)
    print(f"connect, nothing running: {time.perf_counter() - began:.2f} s")
    began = time.perf_counter()
    await ensure_keeper(spec, paths)
    print(f"connect, keeper running: {(time.perf_counter() - began) * 1000:.1f} ms\n")
    try:
        if only_race:
            await race(stand_in, route, keeper, 3 if quick else 7)
            return
        await compare(route, keeper, 3 if quick else 7, (40 if quick else 200) * MB)
        print()
        await race(stand_in, route, keeper, 3 if quick else 7)
        count = 1000 if quick else 10_000
        weights = await many(keeper.port, keeper.pid, count)
        print(f"\nkeeper over {count} connections: MiB", *(f"{mib:.1f}" for mib, _ in weights))
        print("open files", *(files for _, files in weights))
    finally:
        stop_keeper("bench", paths)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubectl", help="the program; else the newest that is found")
    parser.add_argument("--quick", action="store_true", help="a look instead of a measurement")
    parser.add_argument("--race", action="store_true", help="only how fast it comes back")
    parser.add_argument("--cluster", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cluster:
        run_cluster(options.cluster)
        return
    os.environ["JRC_KUBECTL"] = options.kubectl or all_kubectls()[-1].path
    print(f"{os.environ['JRC_KUBECTL']}, {os.cpu_count()} cores, {socket.gethostname()}\n")
    with cluster() as stand_in:
        asyncio.run(measure(stand_in, quick=options.quick, only_race=options.race))


if __name__ == "__main__":
    main()
