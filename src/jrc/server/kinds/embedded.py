"""The embedded server: a Jupyter Server on this machine that lives as long as a command of jrc."""

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from jrc.errors import ConfigError, DeadlineError, UnreachableError
from jrc.profile.environment import for_programs
from jrc.profile.files import create_folder
from jrc.profile.paths import Paths
from jrc.profile.secret import Secret
from jrc.server.address import ServerAddress
from jrc.shapes import number_at, parse

_CHILD = Path(__file__).with_name("embedded_child.py")

_WITHHELD = ("JRC_", "JUPYTER_GATEWAY_", "JUPYTER_TOKEN")
"""Variables that neither the server nor the code that it runs should see: our own secrets, and
what would make it another server."""

_UNLIMITED = {
    "ZMQChannelsWebsocketConnection": {"iopub_msg_rate_limit": 0, "iopub_data_rate_limit": 0}
}


class EmbeddedTiming(NamedTuple):
    """How long the embedded server may take.

    Attributes:
        start: seconds, a cold disk included; in practice it is about one second.
        stop: seconds, longer than the server gives itself; then it is asked to end.
        terminate: seconds after that; then it is killed.
    """

    start: float = 60.0
    stop: float = 14.0
    terminate: float = 2.0


class EmbeddedServer:
    """A Jupyter Server on loopback with a random token, stopped with its kernels at the end.

    Its end is tied to ours by a pipe: it also ends when jrc is killed.

    Args:
        root: the server's root folder; kernels start in it.
        output_limits: keep the server's limits for what a kernel prints in a second.
        timing: how long it may take.
    """

    def __init__(
        self, *, root: Path, output_limits: bool = True, timing: EmbeddedTiming | None = None
    ) -> None:
        self._timing = timing or EmbeddedTiming()
        self.secret = Secret(secrets.token_hex(24))
        self._root = root
        self._config: dict[str, Any] = {} if output_limits else _UNLIMITED
        self._process: asyncio.subprocess.Process | None = None
        self._address: ServerAddress | None = None
        self._runtime = Path()
        self.log = Path()

    @property
    def address(self) -> ServerAddress:
        """Where it listens, once it is ready."""
        if self._address is None:
            raise RuntimeError("EmbeddedServer is used before it is ready")
        return self._address

    async def __aenter__(self) -> Self:
        await self.start()
        try:
            await self.ready()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Start the process, and return while it gets ready: there is other work to do.

        Raises:
            ConfigError: jupyter_server or ipykernel is not installed, or a folder can't be made.
        """
        for package in ("jupyter_server", "ipykernel"):
            if find_spec(package) is None:
                raise ConfigError(
                    f"The embedded server needs {package}, which is not installed.",
                    hint="pip install 'jrc-cli[server]' (or use another server: jrc login URL)",
                )
        try:
            self._runtime = Path(tempfile.mkdtemp(prefix="jrc-server-"))
            self.log = _new_log(Paths.from_environment().logs)
        except OSError as error:
            raise ConfigError(
                f"The embedded server has no place for its files: {error}."
            ) from error
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                # -P: a json.py in the current folder is not the json that the server wants.
                *[sys.executable, "-P", str(_CHILD)],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=_environment(),
                **_apart(),
            )
        self._send_settings()

    async def ready(self) -> None:
        """Wait until it takes requests.

        Raises:
            UnreachableError: it ended at its start.
            DeadlineError: it did not get ready.
        """
        process = self._process
        if process is None or process.stdout is None:
            raise RuntimeError("EmbeddedServer was not started")
        try:
            async with asyncio.timeout(self._timing.start):
                line = await process.stdout.readline()
                if not line:
                    await process.wait()
        except TimeoutError as error:
            raise DeadlineError(
                f"The embedded server did not start within {self._timing.start:.0f} s.",
                hint=f"Its log is {self.log}",
            ) from error
        if not line:
            raise UnreachableError(
                f"The embedded server ended at its start: {_last_line(self.log)}",
                hint=f"Its log is {self.log}",
            )
        port = number_at(parse(line), "port")
        self._address = ServerAddress(f"http://127.0.0.1:{port}/")

    async def close(self) -> None:
        """Stop it with its kernels. When this is cancelled, it goes on stopping by itself."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if not await _ends(process, self._timing.stop):
            with suppress(ProcessLookupError):
                process.terminate()
            if not await _ends(process, self._timing.terminate):
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        shutil.rmtree(self._runtime, ignore_errors=True)
        if process.returncode == 0:
            self.log.unlink(missing_ok=True)

    def _send_settings(self) -> None:
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("EmbeddedServer was not started")
        settings = {
            "root": str(self._root.absolute()),
            "runtime": str(self._runtime),
            "token": self.secret.reveal(),
            "config": self._config,
        }
        self._process.stdin.write(json.dumps(settings).encode() + b"\n")


def _apart() -> dict[str, Any]:
    """Keep the terminal's Ctrl-C from the server: it is for the cell that runs."""
    if os.name == "nt":
        flags = ("CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW")
        return {"creationflags": sum(getattr(subprocess, flag) for flag in flags)}
    return {"start_new_session": True}


def _new_log(folder: Path) -> Path:
    create_folder(folder, private=True)
    handle, name = tempfile.mkstemp(".log", "embedded-server-", folder)
    os.close(handle)
    return Path(name)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it wrote nothing."


def _environment() -> dict[str, str]:
    variables = for_programs(os.environ).items()
    return {name: text for name, text in variables if not name.startswith(_WITHHELD)}


async def _ends(process: asyncio.subprocess.Process, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        return False
    return True
