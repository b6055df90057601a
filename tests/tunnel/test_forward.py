"""Port-forwards that are started ahead of time: whoever lets go of one, it ends."""

import asyncio
import os

import pytest

from jrc.profile.route import Route
from jrc.tunnel.forward import Forwarder
from jrc.tunnel.kubectl import Kubectl
from jrc.tunnel.machine import Destination
from jrc.tunnel.target import Target
from tests.support.kube import Kube
from tests.support.tunnels import forwarders_of
from tests.support.webapp import WebApp

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("kubectl")]

POD = Destination("jupyter-0", 8888, "uid")
OTHER = Destination("jupyter-1", 8888, "uid")


@pytest.fixture
def forwarder(kube: Kube, app: WebApp) -> Forwarder:
    kube.jupyter(app.address)
    kubectl = Kubectl(Route("stub", "default", "svc/jupyter", 80, str(kube.kubeconfig)))
    return Forwarder(kubectl, lambda event: None, kubectl.classify)


def running() -> int:
    return len(forwarders_of(os.getpid()))


@pytest.mark.parametrize("turns", range(1, 5))
async def test_one_that_is_dropped_is_reaped_though_the_drop_is_cancelled(
    turns: int, forwarder: Forwarder
) -> None:
    await forwarder.prepare(POD)
    assert running() == 1
    dropping = asyncio.create_task(forwarder.drop())
    for _ in range(turns):
        await asyncio.sleep(0)
    dropping.cancel()
    await asyncio.wait({dropping})
    assert running() == 0


@pytest.mark.parametrize("turns", range(1, 5))
async def test_one_that_leads_elsewhere_is_reaped_though_the_forward_is_cancelled(
    turns: int, forwarder: Forwarder
) -> None:
    await forwarder.prepare(OTHER)
    assert running() == 1
    forwarding = asyncio.create_task(forwarder.run(1, POD))
    for _ in range(turns):
        await asyncio.sleep(0)
    forwarding.cancel()
    await asyncio.wait({forwarding})
    assert running() == 0


async def test_of_two_tries_that_start_one_at_once_the_later_one_counts(
    forwarder: Forwarder,
) -> None:
    """A try whose kubectl starts slowly may be late: the next one is at work already."""
    guess = forwarder.guess(Target.parse("svc/jupyter"), 80)
    await asyncio.gather(guess, forwarder.prepare(POD), forwarder.prepare(OTHER))
    assert running() == 1
    await forwarder.drop()
    assert running() == 0
