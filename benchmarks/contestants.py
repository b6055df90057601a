"""Who runs the notebooks: the floors, jrc, and its peers, each with its command line."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.site import Limits, Site

CLIENTS = Path(__file__).parent / "clients"


@dataclass(frozen=True)
class Task:
    """One notebook to be run by one contestant.

    Attributes:
        owner: the contestant's name: it gets warm kernels of its own.
        notebook, out: what to run, and where its executed copy goes.
        limits, rtt_ms, nagle: which server, and how far away it is.
        peers: the Python of the environment that has the peers.
    """

    site: Site
    owner: str
    notebook: Path
    out: Path
    limits: Limits
    rtt_ms: int
    nagle: bool
    peers: Path

    @property
    def url(self) -> str:
        return self.site.url(self.limits, self.rtt_ms, self.nagle)

    @property
    def kernel_id(self) -> str:
        return self.site.warm_kernel(self.limits, self.owner)

    @property
    def connection(self) -> Path:
        return self.site.warm_local_kernel(self.owner)

    @property
    def files(self) -> list[str]:
        return [str(self.notebook), str(self.out)]


@dataclass(frozen=True)
class Contestant:
    """A way to run a notebook.

    Attributes:
        command: the argv for a task.
        is_peer: it needs the environment of the peers.
        is_jrc: it needs a profile, and it is the one that has targets.
    """

    command: Callable[[Task], list[str]]
    is_peer: bool = False
    is_jrc: bool = False

    def environment(self, task: Task) -> dict[str, str]:
        return task.site.jrc_environment(task.url) if self.is_jrc else task.site.environment


def jrc_command() -> list[str]:
    """The installed command; for an uninstalled source tree the module."""
    script = Path(sys.executable).with_name("jrc")
    return [str(script)] if script.exists() else [sys.executable, "-m", "jrc"]


def _floor(module: str, *options: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.clients.{module}", *options]


def _peer(task: Task, script: str, *options: str) -> list[str]:
    return [str(task.peers.with_name(script)), *options]


def _peer_client(task: Task, module: str, *options: str) -> list[str]:
    # -P: the modules beside the script are not meant for it.
    return [str(task.peers), "-P", str(CLIENTS / f"{module}.py"), *options]


def _zmq(task: Task) -> list[str]:
    return _floor("zmq_floor", *task.files)


def _zmq_warm(task: Task) -> list[str]:
    return _floor("zmq_floor", "--connection", str(task.connection), *task.files)


def _websocket(task: Task) -> list[str]:
    return _floor("websocket_floor", task.url, *task.files)


def _websocket_warm(task: Task) -> list[str]:
    return _floor("websocket_floor", "--kernel-id", task.kernel_id, task.url, *task.files)


def _jrc(task: Task) -> list[str]:
    return [*jrc_command(), "run", str(task.notebook), "-o", str(task.out)]


def _jrc_warm(task: Task) -> list[str]:
    return [*_jrc(task), "--kernel-id", task.kernel_id]


def _kernel_client(task: Task) -> list[str]:
    return _peer_client(task, "kernel_client_peer", task.url, *task.files)


def _kernel_client_warm(task: Task) -> list[str]:
    target = ("--kernel-id", task.kernel_id, task.url)
    return _peer_client(task, "kernel_client_peer", *target, *task.files)


def _nbclient(task: Task) -> list[str]:
    return _peer(task, "jupyter-execute", f"--output={task.out}", str(task.notebook))


def _papermill(task: Task) -> list[str]:
    return _peer(task, "papermill", "--no-progress-bar", "-k", "python3", *task.files)


def _nbclient_gateway(task: Task) -> list[str]:
    return _peer_client(task, "gateway_peer", task.url, *task.files)


CONTESTANTS = {
    "zmq": Contestant(_zmq),
    "zmq-warm": Contestant(_zmq_warm),
    "websocket": Contestant(_websocket),
    "websocket-warm": Contestant(_websocket_warm),
    "jrc": Contestant(_jrc, is_jrc=True),
    "jrc-warm": Contestant(_jrc_warm, is_jrc=True),
    "kernel-client": Contestant(_kernel_client, is_peer=True),
    "kernel-client-warm": Contestant(_kernel_client_warm, is_peer=True),
    "nbclient": Contestant(_nbclient, is_peer=True),
    "papermill": Contestant(_papermill, is_peer=True),
    "nbclient-gateway": Contestant(_nbclient_gateway, is_peer=True),
    "python": Contestant(lambda _: [sys.executable, "-c", "pass"]),
    "jrc-help": Contestant(lambda _: [*jrc_command(), "--help"], is_jrc=True),
    "remote_ikernel-help": Contestant(lambda t: _peer(t, "remote_ikernel", "--help"), is_peer=True),
    "konsole-help": Contestant(lambda t: _peer(t, "jupyter-konsole", "--help"), is_peer=True),
    "nbclient-help": Contestant(lambda t: _peer(t, "jupyter-execute", "--help"), is_peer=True),
    "papermill-help": Contestant(lambda t: _peer(t, "papermill", "--help"), is_peer=True),
}
"""By name. A ``-warm`` one uses a kernel that is already running; the others start theirs."""
