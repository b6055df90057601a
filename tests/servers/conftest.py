"""All kinds of servers, started once in a session; every test of this folder is marked."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import KINDS, Servers, all_servers

HERE = Path(__file__).parent

MOST_USED = {"test_hub.py": "hub", "test_company.py": "proxied"}
"""The server of the tests whose ids name none."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.servers)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Tests of one server go to one worker, so that it is started once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByServer(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return server_of(nodeid)

    return ByServer(config, log)


def server_of(nodeid: str) -> str:
    """The kind of server that a test uses, or the name of its module."""
    if (named := re.search(r"\[([a-z0-9-]+)(: .*)?\]$", nodeid)) and named[1] in KINDS:
        return named[1].removesuffix("-named")
    module = nodeid.partition("::")[0].rpartition("/")[2]
    return MOST_USED.get(module, module)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers of every kind."""
    with all_servers(tmp_path_factory.mktemp("servers")) as found:
        yield found


@pytest.fixture
def logged_in(servers: Servers, kind: str, home: Path) -> None:
    """The test's own ``JRC_HOME`` has one profile: the server of the parameter ``kind``."""
    shutil.copytree(servers.home(kind), home / "jrc", dirs_exist_ok=True)
