"""The tests' own tools do what their names say."""

import ast
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer, StartJupyter, wait_until
from tests.support.limits import Size, sizes
from tests.support.proxy import Proxy

TESTS = sorted(Path(__file__).parent.rglob("test_*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_no_test_module_imports_another(path: Path) -> None:
    """What two of them need lies in ``tests.support``: each can be read, run and moved alone."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            last = (node.module or "").rpartition(".")[2]
            assert not last.startswith(("test_", "conftest")), f"{path}: {node.module}"


def connected(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port))
    client.settimeout(10)
    return client


def ask(client: socket.socket) -> bytes:
    client.sendall(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return client.recv(65536)


def test_proxy_carries_delays_and_counts(jupyter: JupyterServer) -> None:
    with Proxy(jupyter.url, delay_ms=20) as proxy, httpx.Client(trust_env=False) as client:
        assert "version" in client.get(proxy.url + "api").json()
        assert client.get(proxy.url + "api").elapsed.total_seconds() >= 0.04
        assert proxy.connections == proxy.open_connections == 1
        assert proxy.bytes_up > 100 < proxy.bytes_down
    assert proxy.open_connections == 0


def test_proxy_cut_resets_refuses_and_comes_back(jupyter: JupyterServer) -> None:
    with Proxy(jupyter.url) as proxy:
        with connected(proxy) as client:
            assert ask(client).startswith(b"HTTP/1.1 200")
            proxy.cut(refuse=True)
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connected(proxy)
        proxy.restore()
        with connected(proxy) as client:
            assert ask(client).startswith(b"HTTP/1.1 200")
        assert proxy.connections == 2


def test_proxy_may_be_cut_by_several_at_once(jupyter: JupyterServer) -> None:
    """A fault that is broken off goes on in its thread while the next one begins."""
    with Proxy(jupyter.url) as proxy:
        with ThreadPoolExecutor(4) as pool:
            cuts = [pool.submit(proxy.cut, refuse=True) for _ in range(4)]
            assert [cut.result() for cut in cuts] == [None] * 4
        proxy.restore()
        with connected(proxy) as client:
            assert ask(client).startswith(b"HTTP/1.1 200")


def test_black_hole_holds_bytes_and_delivers_them_later(jupyter: JupyterServer) -> None:
    with Proxy(jupyter.url) as proxy, connected(proxy) as client:
        ask(client)
        proxy.black_hole()
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            ask(client)
        proxy.restore()
        client.settimeout(10)
        assert client.recv(65536).startswith(b"HTTP/1.1 200")


def test_black_hole_that_swallows_never_delivers(jupyter: JupyterServer) -> None:
    with Proxy(jupyter.url) as proxy, connected(proxy) as client:
        ask(client)
        proxy.black_hole(swallow=True)
        sent = proxy.bytes_up
        client.sendall(b"GET /api HTTP/1.1\r\nHost: lost\r\n\r\n")
        wait_until(lambda: proxy.bytes_up > sent, "the swallowed bytes")
        proxy.restore()
        assert ask(client).startswith(b"HTTP/1.1 200")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(65536)


def test_start_jupyter_with_prefix_and_settings(start_jupyter: StartJupyter) -> None:
    """A server of the test's own answers under its prefix, and its kernels end with it."""
    settings = {"ZMQChannelsWebsocketConnection": {"iopub_msg_rate_limit": 5}}
    server = start_jupyter(base_url="/team/a/", settings=settings)
    assert server.url.endswith("/team/a/")
    server.rest("POST", "api/kernels", {"name": "python3"})
    (kernel,) = server.kernel_processes()
    server.kill()
    assert not kernel.is_running()


def test_run_jrc_runs_the_command() -> None:
    result = run_jrc("--help")
    assert (result.code, result.stderr) == (0, "")
    assert "jrc run" in result.stdout


def test_classes_and_functions_are_measured() -> None:
    module = ast.parse(
        "class A:\n"
        "    x: int = 0\n"
        "    def __init__(self, a, /, b, *, c):\n"
        "        self.y, self.z = a, b\n"
        "        self.z.w = c\n"
        "        def inner(): ...\n"
        "def command(\n"
        "    a: Annotated[str, 1],\n"
        "    b: int,\n"
        "):\n"
        "    return a\n"
    )
    assert list(sizes(module)) == [
        Size("A", attributes=3),
        Size("A.__init__", lines=4, parameters=3),
        Size("A.__init__.inner", lines=1),
        Size("command", lines=1),
    ]
