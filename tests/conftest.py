"""What every test has: a home of its own, a real server, and no process left behind."""

import contextlib
import os
import sys
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, settings

from tests.support import jupyter as support
from tests.support.jupyter import JupyterServer, StartJupyter

MARKER = "TEST_SESSION_OF_JRC"
"""Every process that a test starts inherits this variable, and so is found again at the end."""

GRACE_SECONDS = 10
"""How long the processes that were told to end may take for it."""

FOREIGN = ("JRC_", "JUPYTER", "IPYTHON", "XDG_", "PAPERMILL_")
FOREIGN_NAMES = ("NO_COLOR", "FORCE_COLOR", "CI", "COLUMNS", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


# How long an example takes says more about the machine than about the code.
settings.register_profile("jrc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("jrc")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The async tests run on asyncio, as jrc does."""
    return "asyncio"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home folder; nothing of the person who runs the tests is seen or written."""
    folder = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name in FOREIGN_NAMES or name.lower() in PROXY_NAMES:
            monkeypatch.delenv(name)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder))
    for name in ("CONFIG", "STATE", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(folder / f"xdg-{name.lower()}"))
    for name in ("APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(folder / name.lower()))
    monkeypatch.setenv("JRC_HOME", str(folder / "jrc"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    return folder


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """The one server that most tests share: `.url`, `.token`, `.rest(…)`.

    Leave no kernel behind on it (that is checked), stop nothing of it, and count on being alone on
    nothing.
    """
    server = support.launch_jupyter(tmp_path_factory.mktemp("jupyter") / "server")
    with support.shown_on_failure(server):
        yield server


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that uses the shared server takes its kernels and sessions away again."""
    if "jupyter" not in request.fixturenames:
        yield
        return
    server: JupyterServer = request.getfixturevalue("jupyter")
    before = server.kept()
    yield
    deadline = time.monotonic() + GRACE_SECONDS
    while (left := server.kept() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    for path, _ in left:
        # A session takes its kernel with it.
        with contextlib.suppress(httpx.HTTPStatusError):
            server.rest("DELETE", path)
    assert not left, f"left behind on the server: {sorted(name for _, name in left)}"


@pytest.fixture
def start_jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartJupyter]:
    """A maker of servers that belong to one test, which may do to them what it likes."""
    with contextlib.ExitStack() as stack:

        def start(**options: object) -> JupyterServer:
            folder = tmp_path_factory.mktemp("jupyter") / "server"
            make: Callable[..., JupyterServer] = support.launch_jupyter
            return stack.enter_context(support.shown_on_failure(make(folder, **options)))

        yield start


def pytest_configure(config: pytest.Config) -> None:
    if not is_worker(config):
        os.environ[MARKER] = uuid.uuid4().hex


def is_worker(config: pytest.Config) -> bool:
    """Whether another pytest, which looks after everything, gives this one its tests (xdist)."""
    return hasattr(config, "workerinput")


def pytest_runtest_setup() -> None:
    for server in support.running:
        server.mark_log()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for server in support.running:
            if log := server.new_log():
                report.sections.append((f"log of {server.url}", log))
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing that the tests started may outlive them."""
    if is_worker(session.config):
        return
    left = _left_processes()
    deadline = time.monotonic() + GRACE_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = _left_processes()
    if not left:
        return
    print("\nThese processes were left behind by the tests:", file=sys.stderr)
    for process in left:
        with contextlib.suppress(psutil.Error):
            print(f"  {process.pid} {' '.join(process.cmdline())}", file=sys.stderr)
            process.kill()
    session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _left_processes() -> list[psutil.Process]:
    """Children of this process, and whoever carries the marker though its parent is gone."""
    found = {process.pid: process for process in psutil.Process().children(recursive=True)}
    marker = os.environ[MARKER]
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARKER) == marker:
                found[process.pid] = process
    return [process for process in found.values() if _alive(process)]


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
