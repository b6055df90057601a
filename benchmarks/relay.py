"""``python -m benchmarks.relay``: what a relay adds between an editor and a remote kernel.

Everything is measured beside its floor in the same run, in turns: a bare Python start, and a bare
websocket to a kernel on the same server. Read the ratios; the machine is not quiet.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.clients.connection import PORTS, write_connection_file
from benchmarks.clients.notebook import Parts, request
from benchmarks.clients.websocket_floor import Connection, decode, encode
from benchmarks.clients.zmq_floor import Kernel
from benchmarks.processes import Service
from benchmarks.site import Site

MIB = 2**20
DISPLAY_BYTES = 256 * 1024
DISPLAYS = 200

SHOW = f"""
from IPython.display import publish_display_data
for n in range({DISPLAYS}):
    publish_display_data({{"text/plain": "x" * {DISPLAY_BYTES}}})
"""


class Client(Protocol):
    """A way to a kernel: bare ZMQ sockets to the relay, or a bare websocket to the server."""

    def send(self, parts: Parts) -> None: ...

    def receive(self) -> list[Any]:
        """Parts of the next messages: header, parent_header, metadata, content."""
        ...


class Direct:
    """A bare websocket to a new kernel on the server."""

    def __init__(self, url: str, token: str) -> None:
        self._rest = Connection(url, token)
        self._kernel_id = json.loads(self._rest.rest("POST", "/api/kernels", b"{}"))["id"]
        self._websocket = Connection(url, token)
        self._websocket.upgrade(self._kernel_id)

    def send(self, parts: Parts) -> None:
        self._websocket.send(encode(b"shell", parts))

    def receive(self) -> list[Any]:
        return [decode(self._websocket.receive())]

    def close(self) -> None:
        self._rest.rest("DELETE", f"/api/kernels/{self._kernel_id}")


class Relay:
    """A relay process, and bare ZMQ sockets to it."""

    def __init__(self, site: Site, folder: Path, number: int) -> None:
        self.connection = folder / f"relay-{number}.json"
        write_connection_file(self.connection)
        self._service = Service(
            [*_relay_command(), "-f", str(self.connection)],
            env={**site.jrc_environment(site.url("off", 0, False)), "JRC_KERNEL": "python3"},
            log=folder / f"relay-{number}.log",
        )
        self.process = self._service.process
        self.client = Kernel(json.loads(self.connection.read_bytes()))

    def close(self) -> None:
        self._service.__exit__(None, None, None)


@dataclass(frozen=True)
class Figure:
    """One line of the report.

    Attributes:
        what: was measured.
        ours, floor: medians, in ``unit``; the floor is nan where there is none.
        verdict: the target, and whether it is met.
    """

    what: str
    ours: float
    floor: float
    unit: str
    verdict: str

    def __str__(self) -> str:
        return f"{self.what:<44} {self.ours:>9.2f} {self.floor:>9.2f} {self.unit:<6} {self.verdict}"


def _relay_command() -> list[str]:
    script = Path(sys.executable).with_name("jrc-kernel")
    return [str(script)] if script.exists() else [sys.executable, "-m", "jrc.relay.main"]


def run_request(client: Client, msg_type: str, content: dict[str, Any]) -> int:
    """Send a request and wait for its reply and its idle.

    Returns:
        bytes of content that were published for it.
    """
    msg_id, parts = request(msg_type, content)
    client.send(parts)
    size, missing = 0, {"reply", "idle"}
    while missing:
        for header, parent, _, body, *_ in client.receive():
            if json.loads(bytes(parent)).get("msg_id") != msg_id:
                continue
            kind = json.loads(bytes(header))["msg_type"]
            size += len(body)
            if kind.endswith("_reply"):
                missing.discard("reply")
            elif kind == "status" and b"idle" in bytes(body):
                missing.discard("idle")
    return size


def execute(client: Client, code: str) -> int:
    fields = {"silent": False, "store_history": False, "user_expressions": {}}
    return run_request(
        client,
        "execute_request",
        {"code": code, "allow_stdin": False, "stop_on_error": True, **fields},
    )


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def measure_ports(site: Site, folder: Path, rounds: int) -> Figure:
    """From the start of the process until its five ports listen."""
    ours, floor = [], []
    for number in range(rounds):
        floor.append(timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)))
        began = time.perf_counter()
        relay = Relay(site, folder, number)
        connection = json.loads(relay.connection.read_bytes())
        for name in PORTS:
            _wait_for_port(connection[name])
        ours.append(time.perf_counter() - began)
        relay.close()
    value, base = 1000 * statistics.median(ours), 1000 * statistics.median(floor)
    return Figure("process start to listening ports", value, base, "ms", _target(value, "<", 250))


def _wait_for_port(port: int) -> None:
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.001)


def measure_start(site: Site, folder: Path, url: str, token: str, rounds: int) -> Figure:
    """From the start of the process until the kernel has answered, beside a bare client."""
    ours, floor = [], []
    for number in range(rounds):
        began = time.perf_counter()
        direct = Direct(url, token)
        run_request(direct, "kernel_info_request", {})
        floor.append(time.perf_counter() - began)
        direct.close()
        began = time.perf_counter()
        relay = Relay(site, folder, 1000 + number)
        relay.client.wait_until_ready()
        ours.append(time.perf_counter() - began)
        relay.close()
    value, base = 1000 * statistics.median(ours), 1000 * statistics.median(floor)
    return Figure(
        "process start to kernel_info_reply", value, base, "ms", f"+{value - base:.0f} ms"
    )


def measure_latency(relay: Client, direct: Client, rounds: int) -> Figure:
    """One execution after another."""
    ours, floor = [], []
    for _ in range(rounds):
        floor.append(timed(lambda: execute(direct, "pass")))
        ours.append(timed(lambda: execute(relay, "pass")))
    value, base = 1000 * statistics.median(ours), 1000 * statistics.median(floor)
    verdict = f"+{value - base:.2f} ms, {_target(value - base, '<', 2.5)}"
    return Figure("one execution", value, base, "ms", verdict)


def measure_throughput(relay: Client, direct: Client, rounds: int) -> Figure:
    """Displays of 256 KiB."""
    ours: list[float] = []
    floor: list[float] = []
    for _ in range(rounds):
        for client, rates in ((direct, floor), (relay, ours)):
            began = time.perf_counter()
            size = execute(client, SHOW)
            rates.append(size / MIB / (time.perf_counter() - began))
            if size < DISPLAYS * DISPLAY_BYTES:
                sys.exit(f"only {size} bytes arrived")
    value, base = statistics.median(ours), statistics.median(floor)
    verdict = _target(100 * value / base, ">=", 70, "%")
    return Figure(f"{DISPLAYS} displays of 256 KiB", value, base, "MiB/s", verdict)


def memory(process: subprocess.Popen[bytes]) -> float:
    """Resident memory of a process in MiB."""
    listed = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(process.pid)], capture_output=True, text=True, check=True
    )
    return int(listed.stdout) / 1024


def _target(value: float, sign: str, limit: float, unit: str = "") -> str:
    met = value < limit if sign == "<" else value >= limit
    return f"{value:.1f}{unit} {sign} {limit}{unit}: {'met' if met else 'MISSED'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        site = Site(folder, stack)
        url, token = site.url("off", 0, False), site.environment["JRC_TOKEN"]
        print(f"{'':<44} {'relay':>9} {'floor':>9}")
        print(measure_ports(site, folder, options.rounds))
        print(measure_start(site, folder, url, token, options.rounds))
        relay, direct = Relay(site, folder, 5000), Direct(url, token)
        try:
            relay.client.wait_until_ready()
            run_request(direct, "kernel_info_request", {})
            idle = memory(relay.process)
            for client in (relay.client, direct):
                for _ in range(20):
                    execute(client, "pass")
            print(measure_latency(relay.client, direct, 20 * options.rounds))
            nan = float("nan")
            print(Figure("memory, idle", idle, nan, "MiB", _target(idle, "<", 60)))
            print(measure_throughput(relay.client, direct, options.rounds))
            after = memory(relay.process)
            verdict = _target(after, "<", 60)
            print(Figure("memory, after the displays", after, nan, "MiB", verdict))
        finally:
            relay.close()
            direct.close()
    os._exit(0)  # the bare ZMQ sockets wait for nobody


if __name__ == "__main__":
    main()
