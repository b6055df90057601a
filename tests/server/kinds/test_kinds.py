"""The registry of kinds: one more is one module and one line."""

import sys
from types import ModuleType

import pytest

from jrc.errors import ConfigError, UsageError
from jrc.profile.model import Profile
from jrc.profile.paths import Paths
from jrc.server.address import ServerAddress
from jrc.server.detect import detect
from jrc.server.kinds import MODULES, every_kind, kind_named, kind_of
from jrc.server.kinds.kind import Kind
from jrc.server.kinds.recognition import Ask, Detected, Probed
from jrc.server.open import open_profile
from tests.support.command import run_jrc
from tests.support.jupyter import JupyterServer
from tests.support.web import Reply, Web

pytestmark = pytest.mark.anyio


class Lab(Kind):
    """A made-up kind: a page that names the Jupyter Server for its kernels."""

    name = "lab"
    server = ""

    def recognise(self, probed: Probed) -> Detected | Ask | None:
        if "x-lab" not in probed.api.headers:
            return None
        url = probed.address.rest("about")
        if url not in probed.answers:
            return Ask((url,))
        version = probed.answers[url].json().field("version").text()
        return Detected(self.name, f"Lab {version}", "none", probed.address.base_url, version)

    async def find_server(self, *_: object, **__: object) -> ServerAddress:
        return ServerAddress(self.server)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    module = ModuleType("lab_of_a_test")
    module.KIND = lab = Lab()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("jrc.server.kinds.MODULES", {"lab": module.__name__, **MODULES})
    return lab


def test_each_kind_has_its_name() -> None:
    assert [kind.name for kind in every_kind()] == list(MODULES)


async def test_a_new_kind_is_recognised_named_and_opened(lab: Lab, jupyter: JupyterServer) -> None:
    """With its module and its line, and without another edit."""
    replies = {
        "/api": Reply(404, headers={"X-Lab": "yes"}),
        "/about": Reply(body=b'{"version": "7"}'),
    }
    with Web(replies) as web:
        found = await detect(ServerAddress(web.url))
        assert found == Detected("lab", "Lab 7", "none", web.url, "7")
        assert kind_named(found.kind) is lab
        lab.server = jupyter.url
        profile = Profile("mine", found.url, kind=found.kind, auth=found.auth)
        async with open_profile(profile) as server:
            assert server.address.base_url == jupyter.url
            assert await server.version() == jupyter.rest("GET", "api")["version"]
        with pytest.raises(UsageError, match="--kernel-env is for gateways; 'mine' is"):
            async with open_profile(profile, kernel_env={"A": "b"}):
                pass


async def test_a_new_kind_is_a_profile_that_is_saved_and_read(lab: Lab) -> None:
    profile = Profile.from_table("mine", {"url": "http://h/", "kind": "lab"})
    assert kind_of(profile) is lab


def test_a_kind_that_nobody_knows_is_told_when_it_is_used() -> None:
    """An older jrc may read what a newer one saved; its other profiles work."""
    paths = Paths.from_environment()
    paths.config.mkdir(parents=True, exist_ok=True)
    (paths.config / "config.toml").write_text(
        '[profiles.p]\nurl = "https://x.org/"\nkind = "cluster"\n'
    )
    assert run_jrc("profile", "list").code == 0
    with pytest.raises(ConfigError) as caught:
        kind_of(Profile("p", "https://x.org/", kind="cluster"))
    words = "Profile 'p': its kind is none of gateway, hub, server."
    assert caught.value.message == words
    assert words in run_jrc("kernel", "list").stderr
