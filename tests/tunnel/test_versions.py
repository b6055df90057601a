"""Every kubectl on this machine, whatever its version and vendor, in the two main situations."""

import pytest

from tests.support.kube import Kube
from tests.support.kubectls import KubectlProgram, all_kubectls
from tests.support.tunnels import OpenTunnel
from tests.support.webapp import WebApp

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("program", all_kubectls(), ids=str)
async def test_every_kubectl_here_forwards_and_recovers(
    program: KubectlProgram,
    open_tunnel: OpenTunnel,
    kube: Kube,
    app: WebApp,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JRC_KUBECTL", program.path)
    kube.jupyter(app.address)
    with WebApp("second") as second:
        async with open_tunnel() as tunnel:
            await tunnel.until_ready()
            assert len((await tunnel.get("/big/5000000"))[1]) == 5_000_000
            kube.do(lambda stub: stub.kill_pod("jupyter-0"))
            kube.jupyter(second.address, name="jupyter-1")
            assert b"second" in (await tunnel.get())[1]
