"""What several tests of the editor room share."""

from pathlib import Path

import pytest

from tests.support import node


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the companion, its tests and the packages that they need."""
    return node.prepare(tmp_path_factory.mktemp("javascript"))
