"""The relay under the libraries with which VS Code speaks to kernels."""

import shutil
from pathlib import Path

import pytest

from tests.support import node
from tests.support.relay import Kernel

HERE = Path(__file__).parent / "javascript"


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the JavaScript tests and what they need."""
    folder = tmp_path_factory.mktemp("javascript") / "relay"
    shutil.copytree(HERE, folder)
    node.install(folder, "--ignore-scripts")
    return folder


@pytest.mark.timeout(400)
def test_jupyterlab_services_and_zeromq(javascript: Path, in_place: Kernel) -> None:
    env = {"CONNECTION_FILE": in_place.manager.connection_file}
    node.run(javascript, "--test", "--test-timeout=120000", "relay.test.js", env=env)
