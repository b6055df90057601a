"""Kernelspecs that stand for a remote kernel, and the processes behind them."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.jupyter import JupyterServer
from tests.support.relay import Kernel, StartKernel, write_kernelspec


@pytest.fixture
def kernelspecs(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that ``JUPYTER_PATH`` names; it has the kernelspecs ``remote`` and ``echo``."""
    folder = home / "jupyter"
    write_kernelspec(folder)
    write_kernelspec(folder, "echo", JRC_KERNEL="echo")
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    return folder


@pytest.fixture
def at_server(kernelspecs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let relays that are started from now on use a server."""

    def use(server: JupyterServer, url: str | None = None) -> None:
        monkeypatch.setenv("JRC_URL", url or server.url)
        monkeypatch.setenv("JRC_TOKEN", server.token)

    return use


@pytest.fixture
def remote(jupyter: JupyterServer, at_server: Callable[..., None]) -> JupyterServer:
    """The shared server, which relays use."""
    at_server(jupyter)
    return jupyter


@pytest.fixture
def start_kernel(kernelspecs: Path) -> Iterator[StartKernel]:
    """A maker of relays with a client; they are ended with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **env: stack.enter_context(Kernel(*args, **env))


@pytest.fixture
def kernel(remote: JupyterServer, start_kernel: StartKernel) -> Kernel:
    """A relay to a kernel on the shared server, ready."""
    return start_kernel().ready()


@pytest.fixture
def in_place(
    remote: JupyterServer, start_kernel: StartKernel, monkeypatch: pytest.MonkeyPatch
) -> Kernel:
    """A relay whose client is no manager of jupyter_client: it starts no process of its own."""
    from jupyter_client.provisioning import local_provisioner

    launch = local_provisioner.launch_kernel
    monkeypatch.setattr(
        local_provisioner, "launch_kernel", lambda cmd, **kw: launch(cmd, independent=True, **kw)
    )
    return start_kernel().ready()
