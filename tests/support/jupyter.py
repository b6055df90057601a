"""A real Jupyter Server in a process of its own, with folders of its own."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import httpx
import psutil

START_SECONDS = 60
"""A cold disk and two busy cores included; only a server that will never come reaches it."""

STOP_SECONDS = 20

LAUNCH = """
import runpy, sys
sys.modules["rfc3987_syntax"] = None
runpy.run_module("jupyter_server", run_name="__main__")
"""
"""`python -m jupyter_server` without an optional format checker of JSON schemas that the server's
own schemas do not use: it compiles a grammar for two seconds, at every start."""


def wait_until(
    condition: Callable[[], Any], what: str, *, timeout: float = 30, every: float = 0.02
) -> Any:
    """Poll until ``condition()`` is true and return its value; fail naming ``what`` otherwise."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(every)
    return value


@dataclass
class JupyterServer:
    """One running server.

    Attributes:
        url: base URL with a trailing slash, without a token.
        token: empty when the server has none.
        password: empty when the server has none.
        root: its root folder.
        folder: everything it owns: HOME, configuration, kernel connection files, log.
    """

    url: str
    token: str = field(repr=False)
    password: str = field(repr=False)
    root: Path
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path
    verify: str | bool = True
    _shown: int = field(default=0, repr=False)

    def rest(self, method: str, path: str, json: Any = None) -> Any:
        """One REST call as the owner of the token, apart from the code under test.

        Args:
            method: ``GET`` and so on.
            path: below the base URL, for example ``api/kernels``.
            json: the body.

        Returns:
            the decoded body, None when it is empty.
        """
        headers = {"Authorization": f"token {self.token}"} if self.token else {}
        response = httpx.request(
            method,
            self.url + path,
            json=json,
            headers=headers,
            timeout=30,
            trust_env=False,
            verify=self.verify,
        )
        response.raise_for_status()
        return response.json() if response.content else None

    def kept(self) -> set[tuple[str, str]]:
        """Every kernel and every session on it: its REST path, and words that a person knows."""
        kernels = {
            (f"api/kernels/{kernel['id']}", f"a kernel {kernel['name']}")
            for kernel in self.rest("GET", "api/kernels")
        }
        sessions = {
            (f"api/sessions/{session['id']}", session["path"])
            for session in self.rest("GET", "api/sessions")
        }
        return kernels | sessions

    def kernel_processes(self) -> list[psutil.Process]:
        """The processes of its kernels."""
        children: list[psutil.Process] = psutil.Process(self.process.pid).children()
        return children

    def kill(self) -> None:
        """End it as a power cut would: no clean-up; its kernels are killed too."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait(STOP_SECONDS)
        _kill(family)

    def stop(self) -> None:
        """End it as an administrator would. Nothing happens when it already ended."""
        if self.process.poll() is not None:
            return
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS)
        _kill(family)

    def mark_log(self) -> None:
        """What the log holds now belongs to earlier tests."""
        self._shown = self.log.stat().st_size

    def new_log(self) -> str:
        """What was logged since :meth:`mark_log`."""
        with self.log.open("rb") as file:
            file.seek(self._shown)
            return file.read().decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class StartJupyter(Protocol):
    """The type of the ``start_jupyter`` fixture."""

    def __call__(
        self,
        *,
        token: str | None = None,
        password: str = "",
        base_url: str = "/",
        certfile: Path | None = None,
        keyfile: Path | None = None,
        settings: dict[str, dict[str, Any]] | None = None,
        env: dict[str, str] | None = None,
    ) -> JupyterServer: ...


running: list[JupyterServer] = []
"""The servers that this test session runs now; their logs are shown when a test fails."""


def launch_jupyter(
    folder: Path,
    *,
    token: str | None = None,
    password: str = "",
    base_url: str = "/",
    certfile: Path | None = None,
    keyfile: Path | None = None,
    settings: dict[str, dict[str, Any]] | None = None,
    env: dict[str, str] | None = None,
) -> JupyterServer:
    """Start a server and wait until it answers.

    Args:
        folder: where it keeps everything.
        token: random when it is None; an empty one, together with no password, opens the server.
        password: what its login page asks for; there is no token then.
        base_url: prefix of all its pages, ``/team/``.
        certfile, keyfile: PEM files: it speaks TLS then.
        settings: more configuration, for example
            ``{"ZMQChannelsWebsocketConnection": {"iopub_msg_rate_limit": 5}}``.
        env: variables on top of the test session's own.
    """
    token = ("" if password else secrets.token_hex(16)) if token is None else token
    root, home = folder / "root", folder / "home"
    root.mkdir(parents=True)
    home.mkdir()
    config: dict[str, dict[str, Any]] = {
        "ServerApp": {
            "ip": "127.0.0.1",
            "port": 0,
            "open_browser": False,
            "root_dir": str(root),
            "base_url": base_url,
            "allow_root": True,
            "terminals_enabled": False,
            "jpserver_extensions": {"jupyter_server_terminals": False},
            "certfile": str(certfile or ""),
            "keyfile": str(keyfile or ""),
        },
        "IdentityProvider": {"token": token},
        "PasswordIdentityProvider": {"hashed_password": _hashed(password)},
    }
    for section, values in (settings or {}).items():
        config.setdefault(section, {}).update(values)
    config_file = folder / "jupyter_server_config.json"
    config_file.write_text(json.dumps(config))
    log = folder / "server.log"
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, f"--config={config_file}"],
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            cwd=root,
            env={**server_environment(home), **(env or {})},
        )
    server = JupyterServer(
        url="",
        token=token,
        password=password,
        root=root,
        folder=folder,
        process=process,
        log=log,
        verify=not certfile,
    )
    try:
        server.url = _url_of(server, home / "runtime", base_url, "https" if certfile else "http")
        wait_until(lambda: _answers(server), f"an answer of {server.url}", timeout=START_SECONDS)
    except BaseException:
        server.stop()
        raise
    return server


def server_environment(home: Path) -> dict[str, str]:
    """An environment in which Jupyter and IPython find nothing but what lies under ``home``."""
    ours = ("JRC_", "JUPYTER", "XDG_", "IPYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {
        **kept,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "APPDATA": str(home / "appdata"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_PLATFORM_DIRS": "1",
    }


@contextmanager
def shown_on_failure(server: JupyterServer) -> Iterator[JupyterServer]:
    """Run the block with the server's log among those that a failing test shows; then stop it."""
    running.append(server)
    try:
        with server:
            yield server
    finally:
        running.remove(server)


def _hashed(password: str) -> str:
    if not password:
        return ""
    from jupyter_server.auth.security import passwd

    # sha1 and not argon2: a login in a test should not cost the time that keeps attackers away.
    hashed: Callable[[str, str], str] = passwd
    return hashed(password, "sha1")


def _url_of(server: JupyterServer, runtime: Path, base_url: str, scheme: str) -> str:
    def port() -> int:
        if server.process.poll() is not None:
            raise AssertionError(f"The server ended at its start:\n{server.log.read_text()}")
        try:
            # The folder is the server's own, so the one info file in it is the server's.
            (info_file,) = runtime.glob("jpserver-*.json")
            named = int(json.loads(info_file.read_text())["port"])
        except (OSError, ValueError):
            return 0
        return named or _listening_port(server.process.pid)

    number = wait_until(port, "the port of the server", timeout=START_SECONDS)
    return f"{scheme}://127.0.0.1:{number}{base_url}"


def _listening_port(pid: int) -> int:
    """For the older servers, which write the 0 that they were given into their info file."""
    for connection in psutil.Process(pid).net_connections("tcp4"):
        if connection.status == psutil.CONN_LISTEN:
            return int(connection.laddr.port)
    return 0


def _answers(server: JupyterServer) -> bool:
    if server.process.poll() is not None:
        raise AssertionError(f"The server ended at its start:\n{server.log.read_text()}")
    try:
        server.rest("GET", "api")
    except httpx.HTTPError:
        return False
    return True


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=STOP_SECONDS)
