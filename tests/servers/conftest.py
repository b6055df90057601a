"""All kinds of servers, started once in a session; every test of this folder is marked."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers import Servers, all_servers

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.servers)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers of every kind."""
    with all_servers(tmp_path_factory.mktemp("servers")) as found:
        yield found


@pytest.fixture
def logged_in(servers: Servers, kind: str, home: Path) -> None:
    """The test's own ``JRC_HOME`` has one profile: the server of the parameter ``kind``."""
    shutil.copytree(servers.home(kind), home / "jrc", dirs_exist_ok=True)
