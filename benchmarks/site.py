"""Where the contestants run: servers near and far, warm kernels, an environment of their own."""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Literal

from benchmarks.clients.connection import kernel_command, write_connection_file
from benchmarks.processes import Service
from benchmarks.workloads import HELLO

Limits = Literal["default", "off"]
"""Whether a server drops output that comes too fast. Stock servers do."""

ROOT = Path(__file__).parents[1]

START_SECONDS = 60
STEP_SECONDS = 0.05

# Without bytecode files every start would compile its imports again.
_FOREIGN = ("JRC_", "JUPYTER", "IPYTHON", "XDG_", "PAPERMILL_", "PYTHONDONTWRITEBYTECODE")


class Site:
    """Starts what the contestants need, when one first needs it; all of it ends with ``stack``.

    Args:
        folder: an empty folder for everything that is written.
        stack: owner of the processes.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._token = secrets.token_hex(16)
        self.environment = self._make_environment()
        # A method cached by itself would keep every site alive.
        self.server_port = cache(self._server_port)
        self.url = cache(self._url)
        self.warm_kernel = cache(self._warm_kernel)
        self.warm_local_kernel = cache(self._warm_local_kernel)
        self.jrc_environment = cache(self._jrc_environment)

    def _make_environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith(_FOREIGN)}
        home = self.folder / "home"
        home.mkdir()
        return {
            **kept,
            "HOME": str(home),
            "IPYTHONDIR": str(home / "ipython"),
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "JUPYTER_PLATFORM_DIRS": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *_python_path()]),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "JRC_TOKEN": self._token,
        }

    def _server_port(self, limits: Limits) -> int:
        folder = self.folder / f"server-{limits}"
        (folder / "root").mkdir(parents=True)
        config = {
            "ServerApp": {
                "ip": "127.0.0.1",
                "port": 0,
                "allow_root": True,
                "open_browser": False,
                "root_dir": str(folder / "root"),
            },
            "IdentityProvider": {"token": self._token},
            "ZMQChannelsWebsocketConnection": {"limit_rate": limits == "default"},
        }
        file = folder / "jupyter_server_config.json"
        file.write_text(json.dumps(config))
        file.chmod(0o600)
        runtime = folder / "runtime"
        service = self._start(
            [sys.executable, "-m", "jupyter_server", f"--config={file}"],
            log=folder / "server.log",
            env={**self.environment, "JUPYTER_RUNTIME_DIR": str(runtime)},
        )
        port = _port_of(service, runtime)
        _wait_for(service, lambda: self._rest(port, "GET", "api/status"))
        return port

    def _url(self, limits: Limits, rtt_ms: int, nagle: bool) -> str:
        """The base URL of a server that is one round trip of ``rtt_ms`` away."""
        port = self.server_port(limits)
        if rtt_ms:
            proxy = self._start(
                [
                    *(sys.executable, "-m", "benchmarks.delay", str(port), str(rtt_ms)),
                    *(["--nagle"] if nagle else []),
                ],
                log=self.folder / f"delay-{limits}-{rtt_ms}-{nagle}.log",
                piped=True,
            )
            port = int(proxy.first_line())
        return f"http://127.0.0.1:{port}/"

    def _warm_kernel(self, limits: Limits, owner: str) -> str:
        """The id of a running kernel on the server, which only ``owner`` uses."""
        port = self.server_port(limits)
        kernel_id: str = self._rest(port, "POST", "api/kernels", {"name": "python3"})["id"]
        client = [sys.executable, "-m", "benchmarks.clients.websocket_floor"]
        target = ["--kernel-id", kernel_id, f"http://127.0.0.1:{port}/"]
        self._warm_up([*client, *target], owner)
        return kernel_id

    def _warm_local_kernel(self, owner: str) -> Path:
        """The connection file of a running local kernel, which only ``owner`` uses."""
        connection = self.folder / f"kernel-{owner}.json"
        write_connection_file(connection)
        self._start(kernel_command(connection), log=connection.with_suffix(".log"))
        client = [sys.executable, "-m", "benchmarks.clients.zmq_floor"]
        self._warm_up([*client, "--connection", str(connection)], owner)
        return connection

    def _warm_up(self, client: list[str], owner: str) -> None:
        notebook = HELLO.write(self.folder)
        out = self.folder / f"warm-up-{owner}.ipynb"
        subprocess.run(
            [*client, str(notebook), str(out)],
            env=self.environment,
            check=True,
            timeout=START_SECONDS,
        )

    def _jrc_environment(self, url: str) -> dict[str, str]:
        """What makes ``jrc`` use the server at ``url``."""
        home = self.folder / f"jrc-{url.rpartition(':')[2].strip('/')}"
        (home / "config").mkdir(parents=True)
        profile = f'default = "bench"\n\n[profiles.bench]\nurl = "{url}"\nauth = "token"\n'
        (home / "config" / "config.toml").write_text(profile)
        return {**self.environment, "JRC_HOME": str(home)}

    def _start(
        self,
        argv: list[str],
        *,
        log: Path,
        env: dict[str, str] | None = None,
        piped: bool = False,
    ) -> Service:
        service = Service(argv, env=env or self.environment, log=log, piped=piped)
        return self._stack.enter_context(service)

    def _rest(self, port: int, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"token {self._token}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
            return json.load(answer)


def _python_path() -> list[str]:
    return [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]


def _port_of(service: Service, runtime: Path) -> int:
    """The port that a server wrote into its runtime file."""

    def read() -> int:
        (info,) = runtime.glob("jpserver-*.json")
        port: int = json.loads(info.read_bytes())["port"]
        return port

    port: int = _wait_for(service, read)
    return port


def _wait_for(service: Service, attempt: Any) -> Any:
    """The first value of ``attempt()`` that comes without an error."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return attempt()
        except (OSError, ValueError):
            service.check()
            if time.monotonic() > deadline:
                raise
        time.sleep(STEP_SECONDS)
