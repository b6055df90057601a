"""What looks like Jupyter in a namespace, and which contexts there are."""

import pytest

from jrc.errors import ConfigError
from jrc.profile.route import Route
from jrc.tunnel.discover import (
    Candidate,
    Context,
    candidates,
    find_candidates,
    find_contexts,
    read_contexts,
)
from jrc.tunnel.objects import Pod, PodPort, Service, ServicePort
from tests.support.kube import Kube
from tests.support.webapp import WebApp


def test_the_likeliest_come_first() -> None:
    services = [
        Service("web", "app=web", (ServicePort(80, 8080),)),
        Service("lab", "app=lab", (ServicePort(80, 8888),)),
        Service("team-jupyter", "app=j", (ServicePort(8888, 8888),)),
        Service("outside-jupyter", "", (ServicePort(8888, 8888),)),
        Service("named", "app=n", (ServicePort(80, "http"),)),
        Service("empty-jupyter", "app=e", (ServicePort(8888, 8888),)),
        Service("headless-jupyter", "app=h", ()),
    ]
    pods = [
        Pod("lab-1", labels=(("app", "lab"),)),
        Pod("n-1", labels=(("app", "n"),), ports=(PodPort(8888, "http"),)),
        Pod("e-1", labels=(("app", "e"),), ready=False),
        Pod("j-1", labels=(("app", "j"),), ports=(PodPort(8888),)),
        Pod("notebook-0", ports=(PodPort(8888),)),
        Pod("leaving-jupyter", terminating=True, ports=(PodPort(8888),)),
        Pod("database-0", ports=(PodPort(5432),)),
    ]
    assert candidates(services, pods) == [
        Candidate("svc/team-jupyter", 8888, "port 8888 and name or labels"),
        Candidate("pod/notebook-0", 8888, "port 8888 and name or labels"),
        Candidate("svc/lab", 80, "port 8888"),
        Candidate("svc/named", 80, "port 8888"),
        Candidate("svc/empty-jupyter", 8888, "port 8888 and name or labels; no pod of it is ready"),
    ]


def test_a_hub_is_not_a_server_of_a_person() -> None:
    hub = (("app", "jupyterhub"), ("component", "hub"))
    user = (("app", "jupyterhub"), ("component", "singleuser-server"))
    found = candidates(
        [Service("hub", "component=hub", (ServicePort(8081, 8081),), labels=hub)],
        [Pod("hub-1", labels=hub), Pod("jupyter-jane", labels=user, ports=(PodPort(8888),))],
    )
    assert [candidate.target for candidate in found] == ["pod/jupyter-jane"]


def test_contexts_of_any_kubeconfig() -> None:
    config = {
        "current-context": "b",
        "contexts": [
            {"name": "a", "context": {"cluster": "x"}},
            {"name": "b", "context": {"namespace": "team"}},
            {"name": 3},
            None,
        ],
    }
    assert read_contexts(config) == ([Context("a", "default"), Context("b", "team")], "b")
    assert read_contexts({"contexts": None}) == ([], "")
    assert read_contexts([]) == ([], "")


@pytest.mark.anyio
@pytest.mark.usefixtures("kubectl")
async def test_the_real_kubectl_lists_them(kube: Kube, app: WebApp) -> None:
    kube.jupyter(app.address)
    kubeconfig = str(kube.kubeconfig)
    route = Route("stub", "default", "", 0, kubeconfig)
    found = [Candidate("svc/jupyter", 80, "port 8888 and name or labels")]
    assert await find_candidates(route) == found
    assert await find_contexts(kubeconfig) == ([Context("stub", "default")], "stub")
    kube.kubeconfig.write_text("{:")
    with pytest.raises(ConfigError, match="configuration"):
        await find_contexts(kubeconfig)
